// The lab's page in Chromium: trained models of a tiny set of pictures, as a lecturer would open it from a file.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { program, startBrowser } from './harness.mjs';

/** An IDX set of 8×8 pictures: a bright bar whose column is the label. */
function writeIdx(folder) {
  const header = (magic, sides) => {
    const bytes = Buffer.alloc(4 + 4 * sides.length);
    bytes.set([0, 0, 8, magic]);
    sides.forEach((side, at) => bytes.writeUInt32BE(side, 4 + 4 * at));
    return bytes;
  };
  for (const [set, count] of [['train', 120], ['t10k', 60]]) {
    const pictures = Buffer.alloc(count * 64);
    const labels = Buffer.alloc(count);
    for (let k = 0; k < count; k += 1) {
      labels[k] = k % 8;
      for (let row = 0; row < 8; row += 1) pictures[k * 64 + row * 8 + (k % 8)] = 255 - (k % 5) * 20;
    }
    writeFileSync(join(folder, `${set}-images-idx3-ubyte`), Buffer.concat([header(3, [count, 8, 8]), pictures]));
    writeFileSync(join(folder, `${set}-labels-idx1-ubyte`), Buffer.concat([header(1, [count]), labels]));
  }
}

describe("the lab's page", () => {
  const folder = mkdtempSync(join(tmpdir(), 'bottleneck-lab-'));
  const lab = (...words) => execFileSync(program('bottleneck-lab'), words, { stdio: 'pipe' });
  let browser, page;
  const complaints = [];

  before(async () => {
    writeIdx(folder);
    const runs = [['dense-ae', 2], ['dense-ae', 8], ['vae', 2], ['beta-vae', 4]].map(([model, size]) => {
      const out = join(folder, `${model}-${size}`);
      const words = ['--hidden', 16, '--epochs', 4, '--batch', 16, '--data', folder, '--out', out];
      lab('fit', '--model', model, '--bottleneck', size, ...words);
      return out;
    });
    const file = join(folder, 'report.html');
    lab('report', ...runs, '--out', file);
    browser = await startBrowser();
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(`${error}`));
    page.on('request', (request) => {
      if (!request.url().startsWith('data:') && request.url() !== `${pathToFileURL(file)}`) complaints.push(request.url());
    });
    await page.goto(`${pathToFileURL(file)}`);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  it('is whole in one file, without a complaint of the browser', async () => {
    assert.deepEqual(complaints, []);
    const pictures = await page.$$eval('img', (all) => all.map((img) => [img.complete, img.naturalWidth > 0, img.alt !== '']));
    assert.ok(pictures.length > 8, `${pictures.length} pictures`);
    assert.ok(pictures.flat().every(Boolean));
    assert.equal(await page.locator('.missing').count(), 0);
  });

  it('draws a dot for each test picture, in the colour of its class', async () => {
    const plane = page.locator('#plane svg').first();
    const paths = await plane.locator('path').evaluateAll((all) => all.map((path) => [path.getAttribute('stroke'), path.getAttribute('d')]));
    assert.equal(new Set(paths.map(([color]) => color)).size, 8);
    const dots = paths.map(([, d]) => d.split('M').length - 1).reduce((sum, more) => sum + more);
    assert.ok(dots > 50 && dots <= 60, `${dots} dots`);
    assert.equal(await plane.locator('text').count(), 8);
  });

  it('lays plane and manifold side by side, and fits a telephone', async () => {
    const [plane, manifold] = await page.locator('#plane .row').first().locator('figure').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().toJSON()));
    assert.ok(manifold.left >= plane.right && manifold.top === plane.top, JSON.stringify([plane, manifold]));
    await page.setViewportSize({ width: 390, height: 800 });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
  });
});
