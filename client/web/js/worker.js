import init, { Code } from '../wasm/bottleneck_web.js';
import { BottleneckError } from './error.js';
import { message } from './fetch.js';
import { decoderOf } from './models.js';

/**
 * One decode.
 * @typedef {object} Job
 * @property {Uint8Array} bytes
 * @property {string} models URL of the collection of models
 * @property {number} maxBytes
 * @property {number} maxPixels
 */

/**
 * What is answered to a job: `model`* `start` `rows`* `done`, or `error` at any point.
 * @typedef {(
 *   { type: 'model', loaded: number, total: number | undefined } |
 *   { type: 'start', width: number, height: number } |
 *   { type: 'rows', rgba: Uint8ClampedArray<ArrayBuffer> } |
 *   { type: 'done', decodeMilliseconds: number } |
 *   { type: 'error', code: import('./error.js').ErrorCode, message: string }
 * )} Answer
 */

const loaded = init();
// Awaited by every job, which reports the failure.
loaded.catch(() => {});

/** @param {Answer} answer @param {Transferable[]} [transfer] */
const post = (answer, transfer = []) => self.postMessage(answer, { transfer });

/** @param {Job} job */
async function decode({ bytes, models, maxBytes, maxPixels }) {
  await loaded.catch((/** @type {unknown} */ error) => {
    throw new BottleneckError('unsupported', `the decoder could not be loaded: ${message(error)}`);
  });
  const code = new Code(bytes, maxBytes, maxPixels);
  try {
    const decoder = await decoderOf(code.model, models, (loaded, total) => post({ type: 'model', loaded, total }));
    const begun = performance.now();
    decoder.decode(
      code,
      (/** @type {number} */ width, /** @type {number} */ height) => post({ type: 'start', width, height }),
      (/** @type {Uint8ClampedArray<ArrayBuffer>} */ rgba) => post({ type: 'rows', rgba }, [rgba.buffer]),
    );
    post({ type: 'done', decodeMilliseconds: performance.now() - begun });
  } finally {
    code.free();
  }
}

self.onmessage = async (/** @type {MessageEvent<Job>} */ event) => {
  try {
    await decode(event.data);
  } catch (error) {
    // Errors of the decoder carry their code from Rust; a trap is none of them.
    const code = error instanceof Error && 'code' in error ? error.code : 'internal';
    post({
      type: 'error',
      code: /** @type {import('./error.js').ErrorCode} */ (code),
      message: code === 'internal' ? `the decoder stopped: ${message(error)}` : message(error),
    });
  }
};
