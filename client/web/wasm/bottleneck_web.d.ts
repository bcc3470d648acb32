/* tslint:disable */
/* eslint-disable */

/**
 * What is decoded, and how large it may be.
 */
export class Code {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Checks `bytes` (header, checksum, sizes) against limits in bytes and pixels, and keeps a copy.
     *
     * # Errors
     * Those of [`Container::parse`]; a picture wider than [`MAX_WIDTH`].
     */
    constructor(bytes: Uint8Array, max_bytes: number, max_pixels: number);
    /**
     * The model that made the code: 16 hexadecimal digits.
     */
    readonly model: string;
}

/**
 * A model, ready to decode.
 */
export class Decoder {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Decodes `code`: calls `start(width, height)`, then `rows(rgba)` for each strip from the top.
     *
     * # Errors
     * Those of [`decode_container`]; what `start` or `rows` throws.
     */
    decode(code: Code, start: Function, rows: Function): void;
    /**
     * Reads a decoder file and verifies that it is the model `id`.
     *
     * # Errors
     * Bytes that are not a model file, or that are another model.
     */
    constructor(file: Uint8Array | number[], id: string);
    /**
     * The integer latents of all strips in coding order: the conformance tests compare them.
     *
     * # Errors
     * Those of [`symbols`].
     */
    symbols(code: Code): Int16Array;
}

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_code_free: (a: number, b: number) => void;
    readonly __wbg_decoder_free: (a: number, b: number) => void;
    readonly code_model: (a: number) => [number, number];
    readonly code_new: (a: any, b: number, c: number) => [number, number, number];
    readonly decoder_decode: (a: number, b: number, c: any, d: any) => [number, number];
    readonly decoder_new: (a: number, b: number, c: number, d: number) => [number, number, number];
    readonly decoder_symbols: (a: number, b: number) => [number, number, number, number];
    readonly __wbindgen_exn_store: (a: number) => void;
    readonly __externref_table_alloc: () => number;
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __externref_table_dealloc: (a: number) => void;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path?: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
