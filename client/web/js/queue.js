import { BottleneckError } from './error.js';

/** @import { Answer, Job } from './worker.js' */

/**
 * @typedef {object} Waiting
 * @property {Job} job
 * @property {(answer: Answer) => void} on
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** A worker that has nothing to do for this long is ended, which frees its memory. */
const IDLE_MILLISECONDS = 30_000;

/** @type {Worker | undefined} */
let worker;
/** @type {Waiting | undefined} */
let running;
/** @type {Waiting[]} */
let waiting = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let idle;

/**
 * Runs `job` in the one worker, after those before it. An abort ends the worker, so it takes effect at once.
 * @param {Job} job
 * @param {AbortSignal | undefined} signal
 * @param {(answer: Answer) => void} on
 * @returns {Promise<void>}
 */
export function run(job, signal, on) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      waiting = waiting.filter((other) => other !== entry);
      if (running === entry) endWorker();
      entry.reject(signal?.reason);
      next();
    };
    const settle = () => signal?.removeEventListener('abort', abort);
    const entry = {
      job,
      on,
      resolve: () => (settle(), resolve()),
      reject: (/** @type {unknown} */ error) => (settle(), reject(error)),
    };
    signal?.addEventListener('abort', abort);
    waiting.push(entry);
    next();
  });
}

/** Starts the worker, which loads the decoder, ahead of the first job. */
export function prepare() {
  try {
    worker ??= start();
  } catch {
    // The first job reports it.
  }
  next();
}

function next() {
  if (running) return;
  running = waiting.shift();
  clearTimeout(idle);
  if (!running) {
    idle = setTimeout(endWorker, IDLE_MILLISECONDS);
    return;
  }
  try {
    worker ??= start();
    worker.postMessage(running.job);
  } catch (error) {
    fail('unsupported', `this browser starts no worker: ${error instanceof Error ? error.message : error}`);
  }
}

function start() {
  const started = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'bottleneck' });
  started.onmessage = (/** @type {MessageEvent<Answer>} */ { data }) => {
    if (!running) return;
    if (data.type === 'error') return fail(data.code, data.message);
    const done = running;
    try {
      done.on(data);
    } catch (error) {
      // The caller has failed, and the rest of this picture is of no use.
      endWorker();
      done.reject(error);
      return next();
    }
    if (data.type !== 'done') return;
    running = undefined;
    done.resolve();
    next();
  };
  // Its script could not be fetched, or is not allowed to run.
  started.onerror = () => fail('unsupported', 'the decoder could not be started');
  return started;
}

/**
 * @param {import('./error.js').ErrorCode} code
 * @param {string} message
 */
function fail(code, message) {
  const failed = running;
  running = undefined;
  // What state it is in after these is not known.
  if (code === 'internal' || code === 'unsupported') endWorker();
  failed?.reject(new BottleneckError(code, message));
  next();
}

function endWorker() {
  worker?.terminate();
  worker = undefined;
  running = undefined;
}
