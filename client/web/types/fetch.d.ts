/**
 * Fetches bytes, telling how many have come.
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @param {(loaded: number, total: number | undefined, first: Uint8Array) => void} onChunk
 *   `total` is undefined where the server does not say; `first` is the first chunk.
 * @returns {Promise<Uint8Array>}
 */
export function fetchBytes(url: string, signal: AbortSignal | undefined, onChunk: (loaded: number, total: number | undefined, first: Uint8Array) => void): Promise<Uint8Array>;
/**
 * @param {unknown} error
 * @returns {string}
 */
export function message(error: unknown): string;
