// The report of `bottleneck compare` in Chromium: it loads nothing, sorts, slides, and fits a phone and paper.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { makeReport, startBrowser } from './harness.mjs';

let browser;
let folder;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bottleneck-report-'));
  makeReport(folder);
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

async function open(options) {
  const page = await browser.newPage(options);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && !request.isNavigationRequest()) wrong.push(request.url());
  });
  await page.goto(pathToFileURL(join(folder, 'index.html')).href);
  return { page, wrong };
}

test('losses are what is read first, and nothing is loaded', async () => {
  const { page, wrong } = await open({ viewport: { width: 1200, height: 900 } });
  assert.equal(await page.locator('main section').first().getAttribute('id'), 'losses');
  assert.ok((await page.locator('#losses li').count()) > 0);
  assert.equal(await page.locator('#curves svg').count(), 3);
  assert.deepEqual(wrong, []);
  await page.close();
});

test('the table of pictures sorts by any column, both ways, and keeps what is not known last', async () => {
  const { page } = await open({ viewport: { width: 1200, height: 900 } });
  const column = async () => {
    const cells = await page.$$eval('table.sortable tbody tr', (rows) => rows.map((row) => row.cells[3].textContent));
    const known = cells.filter((cell) => cell !== '–');
    assert.deepEqual(cells.slice(known.length).filter((cell) => cell !== '–'), []);
    return known.map((cell) => Number(cell.replaceAll(',', '')));
  };
  const head = page.locator('table.sortable th').nth(3);
  await head.locator('button').click();
  const up = await column();
  assert.ok(up.length >= 2 && up.every((value, at) => at === 0 || value > up[at - 1]), `${up}`);
  assert.equal(await head.getAttribute('aria-sort'), 'ascending');
  await head.locator('button').click();
  assert.deepEqual(await column(), up.toReversed());
  await page.close();
});

test('the slider uncovers one crop with another, each of its own codec', async () => {
  const { page } = await open({ viewport: { width: 1200, height: 900 } });
  const wall = page.locator('.wall').first();
  const covered = () => wall.locator('.slider img').nth(1).evaluate((image) => getComputedStyle(image).clipPath);
  await wall.locator('input[type=range]').evaluate((range) => {
    range.value = 20;
    range.dispatchEvent(new Event('input'));
  });
  assert.equal(await covered(), 'inset(0px 0px 0px 20%)');
  await wall.locator('select').nth(1).selectOption({ index: 0 });
  assert.equal(await wall.locator('.slider img').nth(1).getAttribute('alt'), 'original');
  const sizes = await wall.locator('img').evaluateAll((images) => images.map((image) => image.naturalWidth));
  assert.ok(sizes.every((width) => width === sizes[0] && width > 0), `${sizes}`);
  await page.close();
});

test('it fits a phone, in the dark as well, and print has no controls', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const { page } = await open({ viewport: { width: 360, height: 740 }, colorScheme });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `the page is ${width} pixels wide`);
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('.slider').first().isVisible(), false);
    assert.equal(await page.locator('.crops').first().isVisible(), true);
    await page.close();
  }
});
