import { BottleneckError } from './error.js';

/** Requests without a byte of success before it is given up. */
const ATTEMPTS = 4;
/** Longest wait that a server may ask for, in seconds: a reader has gone on by then. */
const LONGEST_WAIT = 10;
const BUSY = [429, 502, 503, 504];

/**
 * What has come so far.
 * @typedef {{chunks: Uint8Array[], loaded: number, total: number | undefined, tag: string | undefined}} Part
 */

/** What may pass: it is worth another request. */
class Interruption extends BottleneckError {
  /**
   * @param {string} message
   * @param {number} [wait] seconds that the server asks for
   */
  constructor(message, wait) {
    super('network', message);
    this.wait = wait;
  }
}

/**
 * Fetches bytes, telling how many have come. What breaks off is asked for again, from where it stopped if it has not
 * changed; a busy server is asked again after a while.
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @param {(loaded: number, total: number | undefined, first: Uint8Array) => void} onChunk
 *   `total` is undefined where the server does not say; `first` is the first chunk.
 * @param {string} [accept] media types that are wanted
 * @returns {Promise<Uint8Array>}
 */
export async function fetchBytes(url, signal, onChunk, accept) {
  /** @type {Part} */
  const part = { chunks: [], loaded: 0, total: undefined, tag: undefined };
  for (let attempt = 1; ; attempt += 1) {
    const before = part.loaded;
    try {
      await fetchRest(url, signal, part, onChunk, accept);
      return joined(part);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (part.loaded > before) attempt = 1;
      if (!(error instanceof Interruption) || attempt >= ATTEMPTS) throw error;
      const wait = error.wait ?? 2 ** attempt / 4;
      if (wait > LONGEST_WAIT) throw error;
      await pause(wait, signal);
    }
  }
}

/**
 * Adds to `part` what is missing.
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @param {Part} part
 * @param {(loaded: number, total: number | undefined, first: Uint8Array) => void} onChunk
 * @param {string | undefined} accept
 */
async function fetchRest(url, signal, part, onChunk, accept) {
  const headers = new Headers(accept ? { accept } : {});
  const resumes = part.loaded > 0 && part.tag !== undefined;
  if (resumes) {
    headers.set('range', `bytes=${part.loaded}-`);
    headers.set('if-range', part.tag ?? '');
  }
  let response;
  try {
    response = await fetch(url, { signal, headers });
  } catch (error) {
    const text = `${url} could not be fetched: ${message(error)}`;
    // Who is not there at first may stay away: a page has a fallback for that.
    throw part.loaded > 0 ? new Interruption(text) : new BottleneckError('network', text);
  }
  const goesOn = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${part.loaded}-`);
  if (response.status !== 200 && !goesOn) {
    const status = `${response.status} ${response.statusText}`.trim();
    const text = `${url} could not be fetched: the server answered ${status}`;
    if (!BUSY.includes(response.status)) throw new BottleneckError('network', text);
    const wait = Number(response.headers.get('retry-after') ?? NaN);
    throw new Interruption(text, Number.isFinite(wait) ? wait : undefined);
  }
  if (!goesOn) {
    // With a content encoding the length is that of the encoded bytes, so it says nothing here; nor do ranges.
    const encoded = response.headers.has('content-encoding');
    const length = encoded ? NaN : Number(response.headers.get('content-length') ?? NaN);
    const tag = encoded ? undefined : response.headers.get('etag')?.match(/^".*"$/)?.[0];
    Object.assign(part, { chunks: [], loaded: 0, total: Number.isFinite(length) ? length : undefined, tag });
  }
  if (!response.body) return;
  const reader = response.body.getReader();
  for (;;) {
    let chunk;
    try {
      chunk = await reader.read();
    } catch (error) {
      throw new Interruption(`${url} broke off: ${message(error)}`);
    }
    if (chunk.done) return;
    part.chunks.push(chunk.value);
    part.loaded += chunk.value.length;
    onChunk(part.loaded, part.total, part.chunks[0]);
  }
}

/** @param {Part} part */
function joined({ chunks, loaded }) {
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * @param {number} seconds
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function message(error) {
  return error instanceof Error ? error.message : String(error);
}
