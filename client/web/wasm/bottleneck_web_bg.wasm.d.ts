/* tslint:disable */
/* eslint-disable */
export const memory: WebAssembly.Memory;
export const __wbg_code_free: (a: number, b: number) => void;
export const __wbg_decoder_free: (a: number, b: number) => void;
export const code_model: (a: number) => [number, number];
export const code_new: (a: any, b: number, c: number) => [number, number, number];
export const decoder_decode: (a: number, b: number, c: any, d: any) => [number, number];
export const decoder_new: (a: number, b: number, c: number, d: number) => [number, number, number];
export const decoder_symbols: (a: number, b: number) => [number, number, number, number];
export const __wbindgen_exn_store: (a: number) => void;
export const __externref_table_alloc: () => number;
export const __wbindgen_externrefs: WebAssembly.Table;
export const __wbindgen_free: (a: number, b: number, c: number) => void;
export const __externref_table_dealloc: (a: number) => void;
export const __wbindgen_malloc: (a: number, b: number) => number;
export const __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
export const __wbindgen_start: () => void;
