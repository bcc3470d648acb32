/**
 * One decode.
 */
export type Job = {
    bytes: Uint8Array;
    /**
     * URL of the collection of models
     */
    models: string;
    maxBytes: number;
    maxPixels: number;
};
/**
 * What is answered to a job: `model`* `start` `rows`* `done`, or `error` at any point.
 */
export type Answer = ({
    type: "model";
    loaded: number;
    total: number | undefined;
} | {
    type: "start";
    width: number;
    height: number;
} | {
    type: "rows";
    rgba: Uint8ClampedArray<ArrayBuffer>;
} | {
    type: "done";
    decodeMilliseconds: number;
} | {
    type: "error";
    code: import("./error.js").ErrorCode;
    message: string;
});
