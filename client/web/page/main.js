import { decode, prepare } from '../js/index.js';
import { RefusedError, encode } from './encode.js';
import { show } from './figures.js';
import { Rivals, STEPS } from './rivals.js';
import { Viewer } from './viewer.js';
import { WorkLine } from './work.js';

/** @import { Measured } from './figures.js' */

/**
 * @template {HTMLElement} E
 * @param {string} id
 * @param {new () => E} type
 * @returns {E}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

const quality = element('quality', HTMLInputElement);
const qualityValue = element('quality-value', HTMLOutputElement);
const size = element('size', HTMLInputElement);
const zoom = element('zoom', HTMLOutputElement);
const download = element('download', HTMLAnchorElement);
const drop = element('drop', HTMLElement);

const samples = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.thumb'));

const viewer = new Viewer(element('viewport', HTMLElement), (scale) => {
  zoom.textContent = `${Math.round(scale * 100)}\u00a0%`;
});
const work = new WorkLine(element('work', HTMLElement), element('message', HTMLElement), () => cancel());
const rivals = new Rivals();

/** @typedef {{ blob: Blob, name: string, width: number, height: number }} Picture */

/** @type {Picture | undefined} */
let picture;
/** @type {Measured} */
let measured = {};
let running = new AbortController();

const speed = () => Number(checked('speed'));
const refresh = () => show(measured, speed());

/** @param {string} name */
function checked(name) {
  return document.querySelector(`input[name="${name}"]:checked`)?.getAttribute('value') ?? '';
}

function cancel() {
  begin();
  work.tell('Cancelled. Change the quality or choose a photograph to go on.');
  refresh();
}

/** Ends what is going on, and gives the signal of what comes next. */
function begin() {
  document.body.classList.remove('pending');
  running.abort();
  rivals.cancel();
  work.done();
  running = new AbortController();
  return running.signal;
}

/**
 * Takes a picture, and goes on to encode it.
 * @param {Promise<Blob> | Blob} source
 * @param {string} name
 * @param {HTMLElement} [sample] The button that stands for it.
 */
async function choose(source, name, sample) {
  const signal = begin();
  document.body.classList.add('pending');
  work.show('Opening the picture…');
  try {
    const blob = await source;
    const bitmap = await createImageBitmap(blob).catch(() => {
      throw new Error(`the file ${name} is not a picture that this browser can open: JPEG, PNG and WebP work`);
    });
    if (signal.aborted) return;
    const { width, height } = bitmap;
    picture = { blob, name, width, height };
    for (const thumb of samples) thumb.setAttribute('aria-pressed', `${thumb === sample}`);
    measured = {
      original: blob.size,
      originalFormat: blob.type.replace('image/', '').toUpperCase(),
      pixels: width * height,
      decoder: measured.decoder,
    };
    refresh();
    viewer.original(bitmap, width, height);
    rivals.picture(pixels(bitmap));
    bitmap.close();
  } catch (error) {
    if (signal.aborted) return;
    document.body.classList.remove('pending');
    work.fail(text(error));
    return;
  }
  await encodeAndShow();
}

/** @param {ImageBitmap} bitmap */
function pixels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('the picture is too large for this browser');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function encodeAndShow() {
  if (!picture) return;
  const signal = begin();
  const { blob, width, height } = picture;
  // The figures of the code before this one stay until there is a code.
  document.body.classList.add('pending');
  try {
    work.show('Sending the picture to the server…', 0);
    // The decoder is loaded meanwhile.
    prepare();
    const { code, milliseconds } = await encode(blob, query(), signal, (part) => {
      if (part === undefined) work.show('The server encodes…');
      else work.show('Sending the picture to the server…', part);
    });
    const { original, originalFormat, pixels, decoder } = measured;
    measured = { original, originalFormat, pixels, decoder, code: code.length, encode: milliseconds };
    offer(code);
    const decoded = await decodeAndShow(code, signal);
    if (decoded.width !== width || decoded.height !== height) {
      throw new Error(`the server read ${decoded.width}×${decoded.height} pixels, this browser ${width}×${height}`);
    }
    document.body.classList.remove('pending');
    refresh();
    compare(decoded);
    // Where it fails, the page has a figure less.
    countDecoder(code).then(refresh, () => {});
  } catch (error) {
    if (signal.aborted) return;
    document.body.classList.remove('pending');
    if (error instanceof RefusedError && error.status === 422 && /unknown parameter "target_size"/.test(error.message)) {
      refuseSizes();
    } else {
      work.fail(text(error));
    }
  }
  refresh();
}

/**
 * @param {Uint8Array} code
 * @param {AbortSignal} signal
 */
function decodeAndShow(code, signal) {
  work.show('Decoding…');
  return decode(code, {
    signal,
    onProgress: (progress) => {
      if (progress.phase === 'model') {
        work.show('Fetching the decoder’s weights, once…', progress.total && progress.loaded / progress.total);
      } else if (progress.phase === 'strip') {
        viewer.rows(progress.strip, progress.y);
        work.show('Decoding…', progress.done / progress.total);
      } else {
        measured.decode = progress.decodeMilliseconds;
      }
    },
  });
}

/** @returns {Record<string, string>} */
function query() {
  if (checked('aim') === 'quality') return { q: quality.value };
  return { target_size: `${Math.round(Number(size.value) * 1000)}` };
}

/** @param {ImageData} decoded */
function compare(decoded) {
  let steps = 0;
  rivals.search(decoded, (answer) => {
    if (answer.type === 'psnr') measured.psnr = answer.psnr;
    else if (answer.type === 'done') return work.done();
    else if (answer.type === 'step') {
      return work.show('Looking for JPEG and WebP of the same PSNR…', Math.min(1, (steps += 1) / STEPS));
    } else {
      const rival = answer.type === 'missing' ? 'missing' : answer;
      if (answer.format === 'image/webp') measured.webp = rival;
      else measured.jpeg = rival;
    }
    refresh();
  });
}

/**
 * What a first visit fetches: weights, and the module as it crosses the network.
 * @param {Uint8Array} code
 */
async function countDecoder(code) {
  if (measured.decoder) return;
  const id = [...code.subarray(4, 12)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const wasm = new URL('../wasm/bottleneck_web_bg.wasm', import.meta.url).href;
  const [models] = await Promise.all([
    fetch('/v1/models').then((answer) => answer.json()),
    fetch(wasm).then((answer) => answer.arrayBuffer()),
  ]);
  const weights = models.find((/** @type {{ id: string }} */ model) => model.id === id)?.decoder_bytes;
  const timing = performance.getEntriesByName(wasm).at(-1);
  if (weights && timing instanceof PerformanceResourceTiming) {
    measured.decoder = weights + timing.encodedBodySize;
  }
}

/** @param {Uint8Array<ArrayBuffer>} code */
function offer(code) {
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(new Blob([code], { type: 'image/vnd.bottleneck' }));
  download.download = `${picture?.name.replace(/\.[^.]*$/, '')}.bnk`;
  download.textContent = `Download ${download.download}`;
  download.hidden = false;
}

/** For servers that encode at a quality only. */
function refuseSizes() {
  const [byQuality, bySize] = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name="aim"]'));
  bySize.disabled = true;
  byQuality.checked = true;
  aim();
  work.fail('This server cannot aim at a size. Choose a quality instead');
}

function aim() {
  const sizes = checked('aim') === 'size';
  element('aim-quality', HTMLElement).hidden = sizes;
  element('aim-size', HTMLElement).hidden = !sizes;
}

/** @param {unknown} error */
function text(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {Iterable<File> | undefined} files */
function chooseFile(files) {
  const [file] = files ?? [];
  if (file) choose(file, file.name);
}

/** @param {HTMLElement} thumb */
function chooseSample(thumb) {
  const name = thumb.dataset.sample ?? '';
  const fetched = fetch(new URL(`samples/${name}`, import.meta.url)).then((answer) => {
    if (!answer.ok) throw new Error('The sample cannot be fetched');
    return answer.blob();
  });
  choose(fetched, name, thumb);
}

quality.addEventListener('input', () => (qualityValue.value = quality.value));
quality.addEventListener('change', encodeAndShow);
for (const radio of document.querySelectorAll('input[name="aim"]')) {
  radio.addEventListener('change', () => (aim(), checked('aim') === 'quality' && encodeAndShow()));
}
element('aim-size', HTMLFormElement).addEventListener('submit', (event) => (event.preventDefault(), encodeAndShow()));
element('speeds', HTMLElement).addEventListener('change', refresh);
element('zoom-in', HTMLElement).addEventListener('click', () => viewer.zoomBy(1.5));
element('zoom-out', HTMLElement).addEventListener('click', () => viewer.zoomBy(1 / 1.5));
element('zoom-fit', HTMLElement).addEventListener('click', () => viewer.fit());
element('zoom-one', HTMLElement).addEventListener('click', () => viewer.oneToOne());
const file = element('file', HTMLInputElement);
file.addEventListener('change', () => {
  chooseFile(file.files ?? undefined);
  // So that the same file can be chosen again.
  file.value = '';
});
document.addEventListener('paste', (event) => chooseFile(event.clipboardData?.files));
document.addEventListener('dragover', (event) => (event.preventDefault(), (drop.hidden = false)));
document.addEventListener('dragleave', (event) => event.relatedTarget ?? (drop.hidden = true));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  drop.hidden = true;
  chooseFile(event.dataTransfer?.files);
});
for (const thumb of samples) thumb.addEventListener('click', () => chooseSample(thumb));
element('curl', HTMLElement).textContent = `curl --data-binary @photo.jpg \\\n  '${location.origin}/v1/encode?q=75' -o photo.bnk`;

aim();
qualityValue.value = quality.value;
refresh();
chooseSample(samples[0]);
