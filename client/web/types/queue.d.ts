/**
 * Runs `job` in the one worker, after those before it. An abort ends the worker, so it takes effect at once.
 * @param {Job} job
 * @param {AbortSignal | undefined} signal
 * @param {(answer: Answer) => void} on
 * @returns {Promise<void>}
 */
export function run(job: Job, signal: AbortSignal | undefined, on: (answer: Answer) => void): Promise<void>;
/** Starts the worker, which loads the decoder, ahead of the first job. */
export function prepare(): void;
export type Waiting = {
    job: Job;
    on: (answer: Answer) => void;
    resolve: () => void;
    reject: (error: unknown) => void;
};
import type { Job } from './worker.js';
import type { Answer } from './worker.js';
