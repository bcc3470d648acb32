// decode() and <bottleneck-img> in Chromium, under the strict Content-Security-Policy of the server's own page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { decodeNatively, nativeError, startBrowser, startServer, worstDifference } from './harness.mjs';

const CAT = readFileSync(new URL('../../client/pictures/cat.png', import.meta.url));
const FALLBACK = '/fallback.png';

describe('the element and decode()', () => {
  let server, browser, context, page, code, complaints, modelRequests;
  /** Where pages come from. */
  let site;
  /** Codes that the pages may fetch, by path. */
  const codes = {};

  before(async () => {
    server = await startServer();
    site = server.url;
    browser = await startBrowser();
    const answer = await fetch(`${server.url}/v1/encode?q=30`, { method: 'POST', body: CAT });
    code = Buffer.from(await answer.arrayBuffer());
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });

  async function open(prepare) {
    context = await browser.newContext();
    await visit(prepare);
  }

  /** Another page of the same browser profile. */
  async function visit(prepare = async () => {}) {
    page = await context.newPage();
    complaints = [];
    modelRequests = 0;
    page.on('console', (message) => /Content Security Policy/.test(message.text()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(`${error}`));
    page.on('request', (request) => (modelRequests += Number(/decoder$/.test(request.url()))));
    for (const [path, body] of Object.entries(codes)) await page.route(`**${path}`, (route) => route.fulfill({ body }));
    await page.route(`**${FALLBACK}`, (route) => route.fulfill({ body: CAT, contentType: 'image/png' }));
    await prepare();
    // An empty page with the policy of the real one, which is where the modules are.
    const real = await (await fetch(site, { headers: { accept: 'text/html' } })).text();
    const policy = (await fetch(site, { headers: { accept: 'text/html' } })).headers.get('content-security-policy');
    const modules = new URL(real.match(/src="(\/assets\/[^"]*\/)page\/main\.js"/)[1], site).href;
    await page.route(`${site}/empty`, (route) =>
      route.fulfill({ body: '<!doctype html><title>Empty</title>', contentType: 'text/html', headers: { 'content-security-policy': policy } }));
    await page.goto(`${site}/empty`);
    await page.evaluate(async (modules) => {
      window.bottleneck = await import(`${modules}js/index.js`);
      await import(`${modules}js/element.js`);
      // Adds an element, and tells how it ended.
      window.add = (attributes) => {
        const element = document.createElement('bottleneck-img');
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
        element.ended = new Promise((done) => {
          element.addEventListener('load', () => done('load'));
          element.addEventListener('error', ({ detail }) => done(`${detail.code}: ${detail.message}`));
        });
        document.body.append(element);
        return element;
      };
      window.box = (element) => [element.offsetWidth, element.offsetHeight];
    }, modules);
  }
  afterEach(() => context.close());

  it('shows the native decoder’s pixels, at the picture’s size, with its alt', async () => {
    codes['/cat.bnk'] = code;
    await open();
    const native = decodeNatively(code);
    const found = await page.evaluate(async () => {
      const element = add({ src: '/cat.bnk', alt: 'A cat, three times' });
      const phases = new Set();
      element.addEventListener('progress', ({ detail }) => phases.add(detail.phase));
      const ended = await element.ended;
      const canvas = element.shadowRoot.querySelector('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return { ended, box: box(element), data: [...data], phases: [...phases], complete: element.complete };
    });
    assert.equal(found.ended, 'load');
    assert.ok(found.complete);
    assert.deepEqual(found.box, [native.width, native.height]);
    assert.deepEqual(found.phases, ['code', 'model', 'strip', 'done']);
    const worst = worstDifference(found.data, native.rgb);
    assert.ok(worst <= 1, `a pixel differs by ${worst}`);
    await page.getByRole('img', { name: 'A cat, three times' }).waitFor();
    assert.deepEqual(complaints, []);
  });

  it('shows what a server keeps, although it is busy and then breaks off', async () => {
    const kept = await fetch(`${server.url}/v1/images?q=30`, { method: 'POST', body: CAT });
    const { url } = (await kept.json()).images[0];
    const asked = [];
    let broken = false;
    let arrived;
    const received = new Promise((resolve) => (arrived = resolve));
    // Sits between, says once that it is busy, and once breaks off.
    const proxy = createServer(async ({ url: path, headers }, answer) => {
      const found = await fetch(new URL(path, server.url), { headers: { ...headers, 'accept-encoding': 'identity' } });
      const body = Buffer.from(await found.arrayBuffer());
      const told = Object.fromEntries([...found.headers].filter(([name]) => !['connection', 'transfer-encoding', 'keep-alive'].includes(name)));
      if (path === url) asked.push([headers.accept, headers.range, found.headers.get('etag') === headers['if-range']]);
      if (path === url && asked.length === 1) answer.writeHead(503, { 'retry-after': '0' }).end();
      else if (path === url && asked.length === 2) {
        answer.writeHead(found.status, told);
        answer.write(body.subarray(0, 1000));
        broken = true;
        // A browser throws away what it has not handed on yet when a connection ends.
        await received;
        answer.socket.end();
      } else answer.writeHead(found.status, told).end(body);
    });
    await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
    try {
      site = `http://127.0.0.1:${proxy.address().port}`;
      await open();
      const network = await page.context().newCDPSession(page);
      await network.send('Network.enable');
      network.on('Network.dataReceived', () => broken && arrived());
      const native = decodeNatively(code);
      const found = await page.evaluate(async (src) => {
        const element = add({ src, alt: 'A cat' });
        const ended = await element.ended;
        const canvas = element.shadowRoot.querySelector('canvas');
        return { ended, data: [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data] };
      }, url);
      assert.equal(found.ended, 'load');
      assert.ok(worstDifference(found.data, native.rgb) <= 1);
      const type = 'image/vnd.bottleneck';
      assert.deepEqual(asked, [[type, undefined, false], [type, undefined, false], [type, 'bytes=1000-', true]]);
    } finally {
      site = server.url;
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  it('keeps its place before the data has come, and scales as an image', async () => {
    codes['/cat.bnk'] = code;
    let send;
    const held = new Promise((release) => (send = release));
    await open(() => page.route('**/late.bnk', async (route) => {
      await held;
      await route.fulfill({ body: code });
    }));
    const boxes = () => page.evaluate(() => [...document.querySelectorAll('bottleneck-img')].map(box));
    await page.evaluate(() => {
      window.late = add({ src: '/late.bnk', width: '460', height: '143' });
      add({ src: '/late.bnk', width: '230', height: '143' }).style.cssText = 'width: 100px; height: auto';
    });
    assert.deepEqual((await boxes())[0], [460, 143]);
    assert.deepEqual((await boxes())[1], [100, 62]);
    send();
    assert.equal(await page.evaluate(() => late.ended), 'load');
    assert.deepEqual((await boxes())[0], [460, 143]);
    assert.deepEqual(complaints, []);
  });

  it('shows rows as strips arrive', async () => {
    // 1,600 rows are four strips.
    const tall = await browser.newPage();
    const png = await tall.evaluate(async () => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [64, 1600];
      const context = canvas.getContext('2d');
      for (let y = 0; y < 1600; y += 8) {
        context.fillStyle = `hsl(${y / 5} 60% 50%)`;
        context.fillRect(0, y, 64, 8);
      }
      return canvas.toDataURL().split(',')[1];
    });
    await tall.close();
    const answer = await fetch(`${server.url}/v1/encode`, { method: 'POST', body: Buffer.from(png, 'base64') });
    codes['/tall.bnk'] = Buffer.from(await answer.arrayBuffer());
    await open();
    const done = await page.evaluate(async () => {
      const bytes = new Uint8Array(await (await fetch('/tall.bnk')).arrayBuffer());
      const done = [];
      const image = await bottleneck.decode(bytes, { onProgress: (p) => p.phase === 'strip' && done.push([p.y, p.done, p.total]) });
      return [...done, [image.width, image.height]];
    });
    // The last rows of a strip come with the next, which they depend on.
    assert.deepEqual(done.pop(), [64, 1600]);
    assert.equal(done.length, 4);
    assert.deepEqual(done.map(([y]) => y), [0, ...done.slice(0, 3).map(([, end]) => end)]);
    assert.ok(done.every(([y, end, total], i) => y < end && end <= Math.min(512 * (i + 1), 1600) && total === 1600));
    assert.equal(done[3][1], 1600);
  });

  it('gives the native decoder’s error for damage, and goes on', async () => {
    const flipped = Buffer.from(code);
    flipped[500] ^= 1;
    codes['/cat.bnk'] = code;
    codes['/cut.bnk'] = code.subarray(0, 1000);
    codes['/flipped.bnk'] = flipped;
    codes['/foreign.bnk'] = CAT;
    codes['/nothing.bnk'] = Buffer.alloc(0);
    await open();
    for (const path of ['/cut.bnk', '/flipped.bnk', '/foreign.bnk', '/nothing.bnk']) {
      const ended = await page.evaluate((src) => add({ src, alt: 'A cat' }).ended, path);
      const [, kind, text] = ended.match(/^(\w+): (.*)$/);
      assert.equal(kind, 'damaged');
      assert.ok(nativeError(codes[path]).includes(text), `${path}: ${text}`);
    }
    assert.equal(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), 'load');
    assert.equal(await page.evaluate(() => document.querySelector('bottleneck-img').shadowRoot.textContent), 'A cat');
  });

  it('refuses what is too large before it is copied or decoded', async () => {
    codes['/cat.bnk'] = code;
    await open();
    const failures = await page.evaluate(async () => {
      const bytes = new Uint8Array(await (await fetch('/cat.bnk')).arrayBuffer());
      const fail = (bytes, options) => bottleneck.decode(bytes, options).then(() => 'decodes', (e) => `${e.name} ${e.code}: ${e.message}`);
      return [await fail(bytes, { maxPixels: 1000 }), await fail(new Uint8Array(65 << 20))];
    });
    assert.match(failures[0], /^BottleneckError limit: picture size: found 920×286 = 263120 pixels, allowed 1000/);
    assert.match(failures[1], /^BottleneckError limit: stream length: found 68157440 bytes, allowed 67108864/);
  });

  it('ends a decode that is aborted, running or waiting, and decodes the next', async () => {
    codes['/cat.bnk'] = code;
    await open();
    const outcome = await page.evaluate(async () => {
      const bytes = new Uint8Array(await (await fetch('/cat.bnk')).arrayBuffer());
      const [running, waiting] = [new AbortController(), new AbortController()];
      const name = (promise) => promise.then(() => 'decodes', (error) => error.name);
      const first = name(bottleneck.decode(bytes, { signal: running.signal, onProgress: () => running.abort() }));
      const second = name(bottleneck.decode(bytes, { signal: waiting.signal }));
      const third = name(bottleneck.decode(bytes));
      waiting.abort();
      const thrown = name(bottleneck.decode(bytes, { onProgress: () => { throw new RangeError('mine'); } }));
      return Promise.all([first, second, third, thrown, name(bottleneck.decode(bytes))]);
    });
    assert.deepEqual(outcome, ['AbortError', 'AbortError', 'decodes', 'RangeError', 'decodes']);
  });

  it('verifies the model, and keeps it', async () => {
    codes['/cat.bnk'] = code;
    let tampered = true;
    await open(() => context.route('**/decoder', async (route) => {
      const answer = await route.fetch();
      const body = await answer.body();
      if (tampered) body[body.length - 1] ^= 1;
      await route.fulfill({ response: answer, body });
    }));
    assert.match(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), /^model: /);
    tampered = false;
    assert.equal(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), 'load');
    assert.equal(modelRequests, 2);
    // Another page and another worker: the model is in the cache.
    await visit();
    assert.equal(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), 'load');
    assert.equal(modelRequests, 0);
    // What has been damaged there is fetched anew.
    await page.evaluate(async () => {
      const cache = await caches.open('bottleneck-models');
      for (const key of await cache.keys()) await cache.put(key, new Response('damaged'));
    });
    await visit();
    assert.equal(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), 'load');
    assert.equal(modelRequests, 1);
  });

  it('says which model is missing', async () => {
    codes['/cat.bnk'] = code;
    await open(() => context.route('**/decoder', (route) => route.fulfill({ status: 404, body: '' })));
    const id = code.subarray(4, 12).toString('hex');
    const ended = await page.evaluate(() => add({ src: '/cat.bnk' }).ended);
    assert.match(ended, new RegExp(`^model: this code was made by model ${id}, which could not be had: .*404`));
  });

  it('falls back where WebAssembly is missing, or the code cannot be had', async () => {
    codes['/cat.bnk'] = code;
    await open(() => page.addInitScript(() => delete window.WebAssembly));
    const shown = await page.evaluate(async (fallback) => {
      const element = add({ src: '/cat.bnk', alt: 'A cat', fallback });
      const ended = await element.ended;
      const image = element.shadowRoot.querySelector('img');
      return [ended, image.naturalWidth, image.alt, ...box(element)];
    }, FALLBACK);
    assert.deepEqual(shown, ['load', 920, 'A cat', 920, 286]);
    assert.match(await page.evaluate(() => add({ src: '/cat.bnk' }).ended), /^unsupported: this browser has no WebAssembly/);
  });
});
