/**
 * Finds the smallest JPEG and WebP that this browser's own encoders make of a picture at a given PSNR.
 * @typedef {{ type: 'picture', rgba: Uint8ClampedArray<ArrayBuffer>, width: number }} PictureMessage
 * @typedef {{ type: 'target', run: number, decoded: Uint8ClampedArray<ArrayBuffer> }} TargetMessage
 * @typedef {{ type: 'cancel', run: number }} CancelMessage
 *
 * @typedef {{ run: number, type: 'psnr', psnr: number }} PsnrAnswer
 * @typedef {{ run: number, type: 'found', format: string, bytes: number, quality: number, psnr: number, reached: boolean }} FoundAnswer
 * @typedef {{ run: number, type: 'missing', format: string }} MissingAnswer
 * @typedef {{ run: number, type: 'step' } | { run: number, type: 'done' }} StepAnswer
 * @typedef {PsnrAnswer | FoundAnswer | MissingAnswer | StepAnswer} RivalAnswer
 */

/** @param {RivalAnswer} answer */
const post = (answer) => self.postMessage(answer);

/** @type {ImageData} */
let picture;
/** @type {OffscreenCanvas} */
let canvas;
/** @type {Map<string, Promise<Measure | undefined>>} What was encoded of this picture already. */
let measured = new Map();
let latest = 0;

/** @typedef {{ bytes: number, mse: number }} Measure */

/**
 * Mean squared error over R, G and B.
 * @param {Uint8ClampedArray} a
 * @param {Uint8ClampedArray} b
 */
function mse(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 4) {
    const red = a[i] - b[i];
    const green = a[i + 1] - b[i + 1];
    const blue = a[i + 2] - b[i + 2];
    sum += red * red + green * green + blue * blue;
  }
  return sum / ((a.length / 4) * 3);
}

/** @param {number} error */
const psnr = (error) => 10 * Math.log10((255 * 255) / error);

/**
 * @param {string} format
 * @param {number} quality 0 to 100
 * @returns {Promise<Measure | undefined>} undefined where the browser has no encoder
 */
async function encode(format, quality) {
  const blob = await canvas.convertToBlob({ type: format, quality: quality / 100 });
  if (blob.type !== format) return undefined;
  const bitmap = await createImageBitmap(blob);
  const back = new OffscreenCanvas(picture.width, picture.height);
  const context = back.getContext('2d', { willReadFrequently: true });
  context?.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context?.getImageData(0, 0, picture.width, picture.height);
  return pixels && { bytes: blob.size, mse: mse(picture.data, pixels.data) };
}

/**
 * @param {string} format
 * @param {number} quality
 */
function measure(format, quality) {
  const key = `${format} ${quality}`;
  const known = measured.get(key) ?? encode(format, quality);
  measured.set(key, known);
  return known;
}

/**
 * The lowest quality that reaches `target`, by bisection: the error falls as the quality rises.
 * @param {string} format
 * @param {number} target
 * @param {number} run
 */
async function search(format, target, run) {
  // Encoders change their ways at 100 (WebP: lossless in some browsers), so it is tried last.
  let [low, high] = [0, 100];
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = await measure(format, middle);
    if (run !== latest) return;
    post({ run, type: 'step' });
    if (!found) return void post({ run, type: 'missing', format });
    if (found.mse <= target) high = middle;
    else low = middle + 1;
  }
  const best = await measure(format, high);
  if (run !== latest || !best) return;
  const reached = best.mse <= target;
  post({ run, type: 'found', format, bytes: best.bytes, quality: high, psnr: psnr(best.mse), reached });
}

self.onmessage = async (/** @type {MessageEvent<PictureMessage | TargetMessage | CancelMessage>} */ { data }) => {
  if (data.type === 'picture') {
    picture = new ImageData(data.rgba, data.width);
    canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext('2d')?.putImageData(picture, 0, 0);
    measured = new Map();
    return;
  }
  const { run } = data;
  latest = run;
  if (data.type === 'cancel') return;
  const target = mse(picture.data, data.decoded);
  post({ run, type: 'psnr', psnr: psnr(target) });
  for (const format of ['image/webp', 'image/jpeg']) await search(format, target, run);
  if (run === latest) post({ run, type: 'done' });
};
