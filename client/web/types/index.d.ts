/** @import { Answer } from './worker.js' */
/**
 * How far a decode has come.
 * - `model`: so many bytes of the model have come from the network (not told where it is cached);
 * - `strip`: the rows from `y` down are there; `done` of `total` rows;
 * - `done`: how long the decoding itself took, without the model's transfer.
 * @typedef {(
 *   { phase: 'model', loaded: number, total: number | undefined } |
 *   { phase: 'strip', y: number, strip: ImageData, done: number, total: number } |
 *   { phase: 'done', decodeMilliseconds: number }
 * )} Progress
 */
/**
 * @typedef {object} DecodeOptions
 * @property {AbortSignal} [signal] Ends the decode at once; the promise is rejected with the signal's reason.
 * @property {(progress: Progress) => void} [onProgress]
 * @property {string | URL} [models] Where models are fetched from, as `{models}/{id}/decoder`; `/v1/models` of the
 *   page's origin if not given.
 * @property {number} [maxPixels] Largest picture; 50 million if not given. An `ImageData` takes 4 bytes a pixel.
 * @property {number} [maxBytes] Longest code; 64 MiB if not given.
 */
/**
 * Decodes a `.bnk` code in a worker.
 * @param {Uint8Array} bytes
 * @param {DecodeOptions} [options]
 * @returns {Promise<ImageData>}
 * @throws {import('./error.js').BottleneckError}
 */
export function decode(bytes: Uint8Array, options?: DecodeOptions): Promise<ImageData>;
export { BottleneckError } from "./error.js";
export { prepare } from "./queue.js";
/**
 * How far a decode has come.
 * - `model`: so many bytes of the model have come from the network (not told where it is cached);
 * - `strip`: the rows from `y` down are there; `done` of `total` rows;
 * - `done`: how long the decoding itself took, without the model's transfer.
 */
export type Progress = ({
    phase: "model";
    loaded: number;
    total: number | undefined;
} | {
    phase: "strip";
    y: number;
    strip: ImageData;
    done: number;
    total: number;
} | {
    phase: "done";
    decodeMilliseconds: number;
});
export type DecodeOptions = {
    /**
     * Ends the decode at once; the promise is rejected with the signal's reason.
     */
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
    /**
     * Where models are fetched from, as `{models}/{id}/decoder`; `/v1/models` of the
     * page's origin if not given.
     */
    models?: string | URL | undefined;
    /**
     * Largest picture; 50 million if not given. An `ImageData` takes 4 bytes a pixel.
     */
    maxPixels?: number | undefined;
    /**
     * Longest code; 64 MiB if not given.
     */
    maxBytes?: number | undefined;
};
