/**
 * What went wrong:
 * - `damaged`: the code is cut short or corrupted;
 * - `limit`: it is sound, but larger than allowed;
 * - `model`: the model that made it could not be had;
 * - `network`: the code or the model could not be fetched;
 * - `unsupported`: this browser, or the page's Content-Security-Policy, does not run the decoder;
 * - `internal`: the decoder stopped.
 * @typedef {'damaged' | 'limit' | 'model' | 'network' | 'unsupported' | 'internal'} ErrorCode
 */
/** An error with a sentence for people and a `code` for programs. */
export class BottleneckError extends Error {
    /**
     * @param {ErrorCode} code
     * @param {string} message
     */
    constructor(code: ErrorCode, message: string);
    /** What kind of error this is. */
    code: ErrorCode;
}
/**
 * What went wrong:
 * - `damaged`: the code is cut short or corrupted;
 * - `limit`: it is sound, but larger than allowed;
 * - `model`: the model that made it could not be had;
 * - `network`: the code or the model could not be fetched;
 * - `unsupported`: this browser, or the page's Content-Security-Policy, does not run the decoder;
 * - `internal`: the decoder stopped.
 */
export type ErrorCode = "damaged" | "limit" | "model" | "network" | "unsupported" | "internal";
