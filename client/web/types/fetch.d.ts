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
export function fetchBytes(url: string, signal: AbortSignal | undefined, onChunk: (loaded: number, total: number | undefined, first: Uint8Array) => void, accept?: string): Promise<Uint8Array>;
/**
 * @param {unknown} error
 * @returns {string}
 */
export function message(error: unknown): string;
/**
 * What has come so far.
 */
export type Part = {
    chunks: Uint8Array[];
    loaded: number;
    total: number | undefined;
    tag: string | undefined;
};
