/**
 * The decoder of model `id`: from memory, from the browser's cache, or from a server. Its bytes are verified by
 * the id wherever they come from.
 * @param {string} id 16 hexadecimal digits
 * @param {string} base URL of the collection of models
 * @param {(loaded: number, total: number | undefined) => void} onProgress told of bytes from the network only
 * @returns {Promise<Decoder>}
 */
export function decoderOf(id: string, base: string, onProgress: (loaded: number, total: number | undefined) => void): Promise<Decoder>;
import { Decoder } from '../wasm/bottleneck_web.js';
