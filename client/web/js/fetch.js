import { BottleneckError } from './error.js';

/**
 * Fetches bytes, telling how many have come.
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @param {(loaded: number, total: number | undefined, first: Uint8Array) => void} onChunk
 *   `total` is undefined where the server does not say; `first` is the first chunk.
 * @returns {Promise<Uint8Array>}
 */
export async function fetchBytes(url, signal, onChunk) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new BottleneckError('network', `${url} could not be fetched: ${message(error)}`);
  }
  if (!response.ok) {
    const status = `${response.status} ${response.statusText}`.trim();
    throw new BottleneckError('network', `${url} could not be fetched: the server answered ${status}`);
  }
  // With a content encoding the length is that of the encoded bytes, so it says nothing here.
  const length = response.headers.has('content-encoding') ? NaN : Number(response.headers.get('content-length') ?? NaN);
  const total = Number.isFinite(length) ? length : undefined;
  if (!response.body) return new Uint8Array(await response.arrayBuffer());

  const chunks = [];
  let loaded = 0;
  const reader = response.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      loaded += part.value.length;
      onChunk(loaded, total, chunks[0]);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new BottleneckError('network', `${url} broke off: ${message(error)}`);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function message(error) {
  return error instanceof Error ? error.message : String(error);
}
