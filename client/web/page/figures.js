import { formatBytes, formatTime } from './format.js';

/**
 * What is known of one encode; fields are undefined until they are measured.
 * @typedef {object} Measured
 * @property {number} [original] Bytes of the file that was chosen.
 * @property {string} [originalFormat]
 * @property {number} [pixels]
 * @property {number} [code] Bytes of the code.
 * @property {number} [psnr] In dB, over RGB.
 * @property {number} [encode] Milliseconds.
 * @property {number} [decode] Milliseconds.
 * @property {Rival} [webp]
 * @property {Rival} [jpeg]
 * @property {number} [decoder] Bytes that a first visit fetches besides.
 */

/** @typedef {{ bytes: number, quality: number, reached: boolean, psnr: number } | 'missing'} Rival */

const NONE = '–';

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * Writes the figures into the page.
 * @param {Measured} measured
 * @param {number} speed of the link, in Mbit/s
 */
export function show(measured, speed) {
  const transfer = (/** @type {number | undefined} */ bytes) => bytes && (bytes * 8) / (speed * 1000);
  const { code, decode, webp, jpeg } = measured;
  const sent = transfer(code);
  const rivals = [webp, jpeg].map((rival) => (rival && rival !== 'missing' ? rival.bytes : 0));
  const widest = Math.max(code ?? 0, ...rivals);

  row('row-code', code, sent && sent + (decode ?? 0), widest);
  rivalRow('row-webp', webp, transfer, widest);
  rivalRow('row-jpeg', jpeg, transfer, widest);
  row('row-original', measured.original, transfer(measured.original), 0);
  note('row-original', measured.originalFormat ?? '');

  element('psnr').textContent = measured.psnr ? ` of ${measured.psnr.toFixed(1)} dB` : '';
  element('tag-code').textContent = code ? formatBytes(code) : '';
  element('tag-original').textContent = measured.original ? formatBytes(measured.original) : '';
  element('step-encode').textContent = measured.encode === undefined ? NONE : formatTime(measured.encode);
  element('step-speed').textContent = `at ${speed} Mbit/s`;
  element('step-transfer').textContent = sent ? formatTime(sent) : NONE;
  element('step-decode').textContent = decode === undefined ? NONE : formatTime(decode);
  headline(measured);

  const first = element('first-visit');
  first.hidden = !measured.decoder;
  if (measured.decoder) {
    first.textContent = `The first visit also fetches the decoder, ${formatBytes(measured.decoder)}: ${formatTime(
      transfer(measured.decoder) ?? 0,
    )} at this speed. The browser keeps it.`;
  }
}

/** @param {Measured} measured */
function headline({ code, pixels, webp, jpeg }) {
  const [strong, text] = [element('headline-bytes'), element('headline-text')];
  if (!code || !pixels) {
    strong.textContent = NONE;
    text.textContent = '\u00a0';
    return;
  }
  const size = `${formatBytes(code)}, ${((code * 8) / pixels).toFixed(2)} bits a pixel`;
  const against = (/** @type {Rival | undefined} */ rival) =>
    rival && rival !== 'missing' && rival.reached ? 1 - code / rival.bytes : undefined;
  const [overJpeg, overWebp] = [against(jpeg), against(webp)];
  if (overJpeg === undefined || overJpeg < 0.005) {
    strong.textContent = formatBytes(code);
    text.textContent = overJpeg === undefined ? `${((code * 8) / pixels).toFixed(2)} bits a pixel` : `${percent(overJpeg)} than JPEG at the same PSNR`;
    return;
  }
  strong.textContent = percent(overJpeg);
  const webpToo = overWebp === undefined ? '' : ` and ${percent(overWebp)} than WebP`;
  text.textContent = `than JPEG${webpToo} at the same PSNR: ${size}`;
}

/** @param {number} part */
function percent(part) {
  const rounded = Math.round(Math.abs(part) * 100);
  if (rounded === 0) return 'no smaller';
  return `${rounded}\u00a0% ${part > 0 ? 'smaller' : 'larger'}`;
}

/**
 * @param {string} id
 * @param {number | undefined} bytes
 * @param {number | undefined} milliseconds
 * @param {number} widest bytes that fill the bar
 */
function row(id, bytes, milliseconds, widest) {
  const row = element(id);
  /** @type {HTMLElement} */ (row.querySelector('.bytes')).textContent = bytes ? formatBytes(bytes) : NONE;
  /** @type {HTMLElement} */ (row.querySelector('.time')).textContent = milliseconds ? formatTime(milliseconds) : NONE;
  row.style.setProperty('--share', bytes && widest ? `${(bytes / widest) * 100}%` : '0%');
}

/**
 * @param {string} id
 * @param {Rival | undefined} rival
 * @param {(bytes: number | undefined) => number | undefined} transfer
 * @param {number} widest
 */
function rivalRow(id, rival, transfer, widest) {
  if (!rival || rival === 'missing') {
    row(id, undefined, undefined, widest);
    note(id, rival ? 'this browser has no encoder' : '');
    return;
  }
  row(id, rival.bytes, transfer(rival.bytes), widest);
  note(id, rival.reached ? `quality ${rival.quality}` : `reaches ${rival.psnr.toFixed(1)} dB at most`);
}

/**
 * @param {string} id
 * @param {string} text
 */
function note(id, text) {
  const small = element(id).querySelector('small');
  if (small) small.textContent = text;
}
