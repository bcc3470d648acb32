// What the browser tests stand on: the server, the command line and Debian's Chromium.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from '../../client/web/node_modules/playwright-core/index.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const built = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** A program that `cargo build --workspace` made. */
export function program(name) {
  const path = join(built, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run cargo build --workspace --features bottleneck-model/train`);
  return path;
}

/** Starts a server on a free port; resolves to its URL and a way to end it. */
export async function startServer() {
  const server = spawn(program('bottleneck-server'), ['--listen', '127.0.0.1:0', '--store', 'memory'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let printed = '';
  for await (const chunk of server.stdout) {
    printed += chunk;
    const url = printed.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];
    if (!url) continue;
    server.stdout.resume();
    while ((await fetch(`${url}/readyz`)).status !== 200) await new Promise((wake) => setTimeout(wake, 100));
    return { url, stop: () => server.kill() };
  }
  throw new Error(`the server ended: ${printed}`);
}

/** Chromium; the tests fail where there is none. */
export function startBrowser() {
  // A sandbox needs privileges that containers lack; the pages are our own.
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}

/** The picture that the native decoder makes of a code: RGB, 3 bytes a pixel. */
export function decodeNatively(code) {
  const folder = mkdtempSync(join(tmpdir(), 'bottleneck-'));
  try {
    const [input, output] = ['in.bnk', 'out.ppm'].map((name) => join(folder, name));
    writeFileSync(input, code);
    execFileSync(program('bottleneck'), ['decode', input, output], { stdio: 'pipe' });
    const ppm = readFileSync(output);
    const [head, width, height] = ppm.toString('latin1', 0, 64).match(/^P6\s(\d+)\s(\d+)\s255\s/);
    return { width: Number(width), height: Number(height), rgb: ppm.subarray(head.length) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A report of `bottleneck compare` on the page's samples, against JPEG. */
export function makeReport(folder) {
  const samples = join(root, 'client/web/page/samples');
  const pictures = ['cat', 'coffee', 'raccoon'].map((name) => join(samples, `${name}.jpg`));
  const how = ['--codecs', 'bottleneck,jpeg', '--qualities', '10,50,100', '--timed', '1', '--crops', '2'];
  execFileSync(program('bottleneck'), ['compare', ...pictures, ...how, '--report', folder], { stdio: 'pipe' });
}

/** The native decoder's last words on a damaged code. */
export function nativeError(code) {
  try {
    execFileSync(program('bottleneck'), ['decode', '-', '-'], { input: code, stdio: 'pipe' });
  } catch (error) {
    return error.stderr.toString();
  }
  throw new Error('the code decodes');
}

/** Largest difference between RGBA pixels and RGB pixels, and the alpha if it is not opaque. */
export function worstDifference(rgba, rgb) {
  let worst = rgba.length / 4 === rgb.length / 3 ? 0 : Infinity;
  for (let i = 0; i < rgb.length; i += 3) {
    const at = (i / 3) * 4;
    for (let k = 0; k < 3; k += 1) worst = Math.max(worst, Math.abs(rgba[at + k] - rgb[i + k]));
    worst = Math.max(worst, 255 - rgba[at + 3]);
  }
  return worst;
}
