// The page at / in Chromium, as a person uses it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeNatively, startBrowser, startServer, worstDifference } from './harness.mjs';

const CAT = fileURLToPath(new URL('../../client/pictures/cat.png', import.meta.url));

describe('the page', () => {
  let server, browser, context, page, complaints;

  before(async () => {
    server = await startServer();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });

  /** Opens the page; whatever a browser complains about on the way is an error of ours. */
  async function open(options = {}) {
    context = await browser.newContext(options);
    page = await context.newPage();
    complaints = [];
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(`${error}`));
    page.on('request', (request) => {
      if (!/^(blob:|data:)/.test(request.url()) && new URL(request.url()).origin !== server.url) {
        complaints.push(`a request to ${request.url()}`);
      }
    });
    await page.goto(server.url);
  }
  afterEach(() => context.close());

  /** The figures of the picture that is shown, once all are there. */
  async function settled() {
    const all = () => !document.querySelector('.pending') && !document.getElementById('row-jpeg').textContent.includes('–');
    await page.waitForFunction(all, null, { timeout: 120_000 });
    return page.locator('.panel').innerText();
  }

  /** RGBA of what is shown right of the divider. */
  async function shown() {
    const base64 = await page.evaluate(async () => {
      const canvas = document.getElementById('after');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const url = await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(new Blob([data]));
      });
      return url.slice(url.indexOf(',') + 1);
    });
    return Buffer.from(base64, 'base64');
  }

  it('shows a sample at once, with the pixels of the native decoder', async () => {
    await open();
    const figures = await settled();
    assert.match(figures, /For the same PSNR of \d\d\.\d dB/);
    assert.match(await page.locator('#first-visit').innerText(), /fetches the decoder, 1\.\d\d\sMB/);
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download coffee.bnk' }).click();
    const file = await download;
    assert.equal(file.suggestedFilename(), 'coffee.bnk');
    const native = decodeNatively(readFileSync(await file.path()));
    assert.deepEqual([native.width, native.height], [600, 400]);
    const worst = worstDifference(await shown(), native.rgb);
    assert.ok(worst <= 1, `a pixel differs by ${worst}`);
    assert.deepEqual(complaints, []);
  });

  it('takes a picture of the user’s, and another quality by keyboard', async () => {
    await open();
    await page.setInputFiles('#file', CAT);
    await settled();
    assert.deepEqual(await page.evaluate(() => [after.width, after.height]), [920, 286]);
    const finer = await page.locator('#row-code .bytes').innerText();
    await page.locator('#quality').focus();
    await page.keyboard.press('Home');
    await page.waitForFunction((finer) => !['–', finer].includes(document.querySelector('#row-code .bytes').textContent), finer);
    assert.ok(parseFloat(await page.locator('#row-code .bytes').innerText()) < parseFloat(finer));
    await settled();
    assert.deepEqual(complaints, []);
  });

  it('moves the divider and zooms by keyboard', async () => {
    await open();
    await settled();
    const divider = page.getByRole('slider', { name: /Divider/ });
    await divider.focus();
    for (let i = 0; i < 5; i += 1) await page.keyboard.press('ArrowRight');
    assert.equal(await divider.getAttribute('aria-valuenow'), '60');
    const box = await page.locator('#viewport').boundingBox();
    const line = await divider.boundingBox();
    assert.ok(Math.abs((line.x + line.width / 2 - box.x) / box.width - 0.6) < 0.01, 'the divider is at 60 %');
    await page.keyboard.press('Home');
    assert.equal(await divider.getAttribute('aria-valuenow'), '0');

    const zoom = async () => parseInt(await page.locator('#zoom').innerText(), 10);
    const fitted = await zoom();
    await page.locator('#viewport').focus();
    await page.keyboard.press('+');
    assert.ok((await zoom()) > fitted);
    const place = () => page.locator('#after').evaluate((canvas) => canvas.style.transform);
    const before = await place();
    await page.keyboard.press('ArrowRight');
    assert.notEqual(await place(), before);
    await page.keyboard.press('0');
    assert.equal(await zoom(), fitted);
  });

  it('drags the divider, and the picture once it is zoomed', async () => {
    await open();
    await settled();
    const box = await page.locator('#viewport').boundingBox();
    const at = (x) => [box.x + box.width * x, box.y + box.height * 0.3];
    await page.mouse.move(...at(0.5));
    await page.mouse.down();
    await page.mouse.move(...at(0.25), { steps: 4 });
    await page.mouse.up();
    assert.equal(await page.getByRole('slider', { name: /Divider/ }).getAttribute('aria-valuenow'), '25');
    await page.getByRole('button', { name: 'Zoom in' }).click();
    const place = () => page.locator('#before').evaluate((canvas) => canvas.style.transform);
    const before = await place();
    await page.mouse.move(...at(0.6));
    await page.mouse.down();
    await page.mouse.move(...at(0.5), { steps: 4 });
    await page.mouse.up();
    assert.notEqual(await place(), before);
    assert.equal(await page.getByRole('slider', { name: /Divider/ }).getAttribute('aria-valuenow'), '25');
  });

  it('says in a sentence what is wrong with a file, and goes on', async () => {
    await open();
    await settled();
    await page.setInputFiles('#file', { name: 'words.txt', mimeType: 'text/plain', buffer: Buffer.from('just some words') });
    await page.getByRole('alert').waitFor();
    assert.match(await page.getByRole('alert').innerText(), /^The file words\.txt is not a picture .*\.$/);
    await page.getByRole('button', { name: 'Cat' }).click();
    await settled();
    assert.equal(await page.getByRole('alert').isVisible(), false);
  });

  it('shows the server’s refusal', async () => {
    await open();
    await settled();
    const problem = { type: 'about:blank', title: 'Too Many Requests', status: 429, detail: 'the queue is full: try again shortly' };
    await page.route('**/v1/encode*', (route) => route.fulfill({ status: 429, contentType: 'application/problem+json', json: problem }));
    await page.getByRole('button', { name: 'Cat' }).click();
    await page.getByRole('alert').waitFor();
    assert.equal(await page.getByRole('alert').innerText(), 'The queue is full: try again shortly.');
  });

  it('shows a damaged code as such, and stays usable', async () => {
    await open();
    await settled();
    await page.route('**/v1/encode*', async (route) => {
      const answer = await route.fetch();
      const code = await answer.body();
      await route.fulfill({ response: answer, body: code.subarray(0, code.length - 100) });
    });
    await page.getByRole('button', { name: 'Cat' }).click();
    await page.getByRole('alert').waitFor();
    assert.match(await page.getByRole('alert').innerText(), /^Checksum: .* the code is damaged or cut short, fetch it again\.$/);
    await page.unroute('**/v1/encode*');
    await page.getByRole('button', { name: 'Raccoon' }).click();
    await settled();
    assert.equal(await page.getByRole('alert').isVisible(), false);
  });

  it('shows progress of what takes long, and ends it on request', async () => {
    await open();
    await settled();
    await page.route('**/v1/encode*', () => {}); // Never answered.
    await page.getByRole('button', { name: 'Cat' }).click();
    await page.getByRole('progressbar').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await page.getByRole('progressbar').isVisible(), false);
    assert.match(await page.getByRole('alert').innerText(), /^Cancelled/);
    await page.unroute('**/v1/encode*');
    await page.getByRole('button', { name: 'Coffee' }).click();
    await settled();
  });

  it('aims at a size where the server can, and says so where it cannot', async () => {
    await open();
    await settled();
    await page.getByLabel('A size').check({ force: true });
    await page.getByLabel('Target size in kilobytes').fill('5');
    await page.getByRole('button', { name: 'Encode', exact: true }).click();
    const size = page.waitForFunction(() => parseFloat(document.querySelector('#row-code .bytes').textContent) <= 5.02);
    const refusal = page.getByText('This server cannot aim at a size.').waitFor();
    await Promise.any([size, refusal]);
    Promise.allSettled([size, refusal]);
  });

  it('changes the times with the link', async () => {
    await open();
    await settled();
    const transfer = () => page.locator('#step-transfer').innerText();
    const before = await transfer();
    await page.getByLabel('0.4', { exact: true }).check({ force: true });
    assert.notEqual(await transfer(), before);
    assert.match(await page.locator('#step-speed').innerText(), /0\.4 Mbit\/s/);
  });

  it('fits a phone', async () => {
    await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: 'dark', reducedMotion: 'reduce' });
    await settled();
    assert.ok((await page.evaluate(() => document.scrollingElement.scrollWidth)) <= 390, 'nothing is wider than the screen');
    const small = await page.evaluate(() =>
      [...document.querySelectorAll('button, .button, .choose')].filter((node) => node.offsetParent && node.getBoundingClientRect().height < 34).map((node) => node.id || node.textContent));
    assert.deepEqual(small, [], 'buttons that a finger misses');
    assert.deepEqual(complaints, []);
  });
});
