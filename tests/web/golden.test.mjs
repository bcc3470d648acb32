// Golden streams in the wasm decoder: symbols exactly, pixels within 1/255, errors word by word.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Code, Decoder, initSync } from '../../client/web/wasm/bottleneck_web.js';

const data = (name) => readFileSync(new URL(`../data/${name}`, import.meta.url));

const exports = initSync({ module: readFileSync(new URL('../../client/web/wasm/bottleneck_web_bg.wasm', import.meta.url)) });
const LIMITS = [1 << 20, 200_000];

const GOLDEN = data('golden.txt').toString().trim().split('\n').map((line) => line.split(' '));
const idOf = (stream) => stream.subarray(4, 12).toString('hex');
const tiny = new Decoder(data('tiny.safetensors'), idOf(data(`${GOLDEN[0][0]}.bnk`)));

/** FNV-1a over the little-endian symbols, as tests/tests/golden.rs has it. */
function hash(symbols) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new Uint8Array(symbols.buffer, symbols.byteOffset, symbols.byteLength)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}

/** CRC-32 (IEEE), bit by bit. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function decode(bytes, limits = LIMITS) {
  const picture = { rgb: [] };
  const code = new Code(bytes, ...limits);
  try {
    const start = (width, height) => Object.assign(picture, { width, height });
    tiny.decode(code, start, (rgba) => picture.rgb.push(...rgba.filter((_, i) => i % 4 < 3)));
  } finally {
    code.free();
  }
  return picture;
}

for (const [name, symbols] of GOLDEN) {
  test(name, () => {
    const stream = data(`${name}.bnk`);
    assert.equal(hash(tiny.symbols(new Code(stream, ...LIMITS))), symbols);
    const picture = decode(stream);
    const [, width, height] = name.match(/(\d+)x(\d+)/).map(Number);
    assert.deepEqual([picture.width, picture.height], [width, height]);
    const expected = data(`${name}.rgb`);
    assert.equal(picture.rgb.length, expected.length);
    const worst = picture.rgb.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i])), 0);
    assert.ok(worst <= 1, `a pixel differs by ${worst}`);
  });
}

test('damaged streams give the texts of the native decoder', () => {
  for (const line of data('damaged.txt').toString().trimEnd().split('\n')) {
    const [hex, expected] = line.split('\t');
    const bytes = hex.endsWith('*00') ? Buffer.alloc(parseInt(hex, 10)) : Buffer.from(hex, 'hex');
    let found = 'decodes';
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(['damaged', 'limit', 'model'].includes(error.code), `${error}`);
      found = error.message;
    }
    assert.equal(found, expected, hex.slice(0, 80));
  }
});

test('a picture that is too wide is refused before anything is decoded', () => {
  const wide = Buffer.from(data('golden-70x45-0.bnk'));
  wide.writeUInt16LE(8_193, 12);
  wide.writeUInt16LE(1, 14);
  wide.writeUInt32LE(crc32(Buffer.concat([wide.subarray(0, 18), wide.subarray(22)])), 18);
  assert.throws(() => decode(wide), { code: 'limit', message: /found 8193 pixels, allowed 8192/ });
});

test('memory ends at 1 GiB', () => {
  const { memory } = exports;
  const pages = memory.buffer.byteLength / 65536;
  assert.throws(() => memory.grow(16384 - pages + 1), RangeError);
});

test('a file that is another model is refused', () => {
  assert.throws(() => new Decoder(data('tiny.safetensors'), '0123456789abcdef'), {
    code: 'model',
    message: `the file sent as model 0123456789abcdef is model ${idOf(data('golden-70x45-0.bnk'))}`,
  });
});

test('what a callback throws ends the decode and comes out', () => {
  const code = new Code(data('golden-33x600-45000.bnk'), ...LIMITS);
  let calls = 0;
  const failing = () => {
    calls += 1;
    throw new TypeError('no');
  };
  assert.throws(() => tiny.decode(code, () => {}, failing), TypeError);
  assert.equal(calls, 1);
});
