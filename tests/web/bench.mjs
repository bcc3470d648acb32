// How long one code takes to decode: WebAssembly in Node.js against the command line on one thread.
//
//   node tests/web/bench.mjs photo.bnk [path of bottleneck]
//
// Processor time, the least of eight rounds, so that other work on the machine disturbs little. The command line
// also starts, reads its model and writes the picture.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Code, Decoder, initSync } from '../../client/web/wasm/bottleneck_web.js';

const [input, native = 'target/release/bottleneck'] = process.argv.slice(2);
const folder = new URL('../../', import.meta.url);
initSync({ module: readFileSync(new URL('client/web/wasm/bottleneck_web_bg.wasm', folder)) });
const code = new Code(readFileSync(input), 64 << 20, 50_000_000);
const decoder = new Decoder(readFileSync(new URL('model/weights/lite.decoder.safetensors', folder)), code.model);

function wasm() {
  const before = process.cpuUsage();
  decoder.decode(code, () => {}, () => {});
  return process.cpuUsage(before).user / 1e3;
}

function commandLine() {
  const before = childMilliseconds();
  const { status } = spawnSync(native, ['decode', input, '-', '--format', 'ppm'], {
    env: { ...process.env, RAYON_NUM_THREADS: '1' },
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`${native} decode ${input} failed`);
  return childMilliseconds() - before;
}

/** Processor time of the children that have ended (proc(5): cutime, in hundredths of a second). */
function childMilliseconds() {
  return Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ')[13]) * 10;
}

const best = { wasm: Infinity, native: Infinity };
for (let round = 0; round < 8; round += 1) {
  best.wasm = Math.min(best.wasm, wasm());
  best.native = Math.min(best.native, commandLine());
}
const ratio = best.wasm / best.native;
console.log(`wasm ${best.wasm.toFixed(0)} ms, native ${best.native.toFixed(0)} ms on one thread: ${ratio.toFixed(2)} times`);
