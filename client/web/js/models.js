import { Decoder } from '../wasm/bottleneck_web.js';
import { BottleneckError } from './error.js';
import { fetchBytes } from './fetch.js';

const CACHE = 'bottleneck-models';

/** @type {Map<string, Decoder>} */
const decoders = new Map();

/**
 * The decoder of model `id`: from memory, from the browser's cache, or from a server. Its bytes are verified by
 * the id wherever they come from.
 * @param {string} id 16 hexadecimal digits
 * @param {string} base URL of the collection of models
 * @param {(loaded: number, total: number | undefined) => void} onProgress told of bytes from the network only
 * @returns {Promise<Decoder>}
 */
export async function decoderOf(id, base, onProgress) {
  const known = decoders.get(id);
  if (known) return known;
  const decoder = (await cached(id)) ?? (await fetched(id, base, onProgress));
  decoders.set(id, decoder);
  return decoder;
}

/**
 * The cache exists in secure contexts only; elsewhere the HTTP cache, to which a model is immutable, has to do.
 * @returns {Promise<Cache | undefined>}
 */
async function openCache() {
  try {
    return await self.caches?.open(CACHE);
  } catch {
    return undefined; // Storage is blocked: private windows, third-party frames.
  }
}

/** @param {string} id */
function key(id) {
  // The same for every server: a model is what its id says.
  return new Request(new URL(`/bottleneck-model/${id}`, self.location.origin));
}

/** @param {string} id */
async function cached(id) {
  const cache = await openCache();
  const response = await cache?.match(key(id));
  if (!response) return undefined;
  try {
    return new Decoder(new Uint8Array(await response.arrayBuffer()), id);
  } catch {
    await cache?.delete(key(id));
    return undefined;
  }
}

/**
 * @param {string} id
 * @param {string} base
 * @param {(loaded: number, total: number | undefined) => void} onProgress
 */
async function fetched(id, base, onProgress) {
  const url = `${base}/${id}/decoder`;
  let bytes;
  try {
    bytes = await fetchBytes(url, undefined, onProgress);
  } catch (error) {
    if (!(error instanceof BottleneckError)) throw error;
    throw new BottleneckError('model', `this code was made by model ${id}, which could not be had: ${error.message}`);
  }
  const decoder = new Decoder(bytes, id);
  try {
    await (await openCache())?.put(key(id), new Response(/** @type {Uint8Array<ArrayBuffer>} */ (bytes)));
  } catch {
    // Storage is full: the model is fetched again next time.
  }
  return decoder;
}
