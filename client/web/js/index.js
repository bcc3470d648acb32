import { run } from './queue.js';

export { BottleneckError } from './error.js';
// Starts the worker, which loads the decoder, ahead of the first `decode`.
export { prepare } from './queue.js';

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
export async function decode(bytes, options = {}) {
  const { signal, onProgress, models = '/v1/models', maxPixels = 50_000_000, maxBytes = 64 << 20 } = options;
  const job = { bytes, models: new URL(models, location.href).href.replace(/\/$/, ''), maxPixels, maxBytes };
  /** @type {ImageData | undefined} */
  let image;
  let y = 0;
  await run(job, signal, (/** @type {Answer} */ answer) => {
    if (answer.type === 'model') {
      onProgress?.({ phase: 'model', loaded: answer.loaded, total: answer.total });
    } else if (answer.type === 'start') {
      image = new ImageData(answer.width, answer.height);
    } else if (answer.type === 'rows' && image) {
      const strip = new ImageData(answer.rgba, image.width);
      image.data.set(answer.rgba, y * image.width * 4);
      const done = y + strip.height;
      onProgress?.({ phase: 'strip', y, strip, done, total: image.height });
      y = done;
    } else if (answer.type === 'done') {
      onProgress?.({ phase: 'done', decodeMilliseconds: answer.decodeMilliseconds });
    }
  });
  return /** @type {ImageData} */ (image);
}
