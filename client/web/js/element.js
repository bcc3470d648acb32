import { BottleneckError, decode, prepare } from './index.js';
import { fetchBytes } from './fetch.js';

// Constructed style sheets need no permission of a Content-Security-Policy; inline styles would.
const shared = new CSSStyleSheet();
shared.replaceSync(`
  :host { display: inline-block; max-width: 100%; vertical-align: bottom; overflow: hidden; }
  :host([hidden]) { display: none; }
  canvas, img { display: block; width: 100%; height: 100%; object-fit: inherit; }
  canvas[hidden] { display: none; }
`);

/** What a server that keeps images is asked for: it would send a JPEG to those who do not name it. */
const CODE = 'image/vnd.bottleneck';
/** Bytes of the header up to and with the picture's size (FORMAT.md, section 2.1). */
const SIZE_END = 16;

/**
 * `<bottleneck-img src="photo.bnk" alt="…" width="…" height="…" fallback="photo.webp">`: a picture.
 *
 * Fires `load`, `error` (its `detail` is the error), and `progress` (its `detail` is a `Progress`, or
 * `{phase: 'code', loaded, total}`); none of them bubbles, as with `<img>`.
 */
export class BottleneckImage extends HTMLElement {
  static observedAttributes = ['src', 'alt', 'width', 'height', 'fallback', 'models'];

  #canvas = document.createElement('canvas');
  #box = new CSSStyleSheet();
  #root = this.attachShadow({ mode: 'open' });
  /** @type {AbortController | undefined} */
  #loading;
  /** @type {HTMLImageElement | Text | undefined} */
  #substitute;
  #complete = false;
  #scheduled = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [shared, this.#box];
    this.#canvas.setAttribute('part', 'image');
    this.#root.append(this.#canvas);
    this.#describe();
  }

  /** URL of the code. */
  get src() { return this.getAttribute('src') ?? ''; }
  set src(value) { this.setAttribute('src', value); }

  /** What the picture shows, in words. Empty for decoration. */
  get alt() { return this.getAttribute('alt') ?? ''; }
  set alt(value) { this.setAttribute('alt', value); }

  /** URL of a picture in a format that every browser shows, for browsers that do not run the decoder. */
  get fallback() { return this.getAttribute('fallback') ?? ''; }
  set fallback(value) { this.setAttribute('fallback', value); }

  /** URL that models are fetched from; `/v1/models` of the code's origin where it is not given. */
  get models() { return this.getAttribute('models') ?? ''; }
  set models(value) { this.setAttribute('models', value); }

  /** Whether the picture is there, the fallback included. */
  get complete() { return this.#complete; }

  connectedCallback() { this.#load(); }

  disconnectedCallback() { this.#loading?.abort(); }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} value
   */
  attributeChangedCallback(name, before, value) {
    if (name === 'alt') this.#describe();
    else if (name === 'width' || name === 'height') this.#size(0, 0);
    else if (before !== value && this.isConnected) this.#load();
  }

  /** Several attributes set in a row are one load. */
  #load() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.isConnected) this.#show();
    });
  }

  async #show() {
    this.#loading?.abort();
    const { signal } = (this.#loading = new AbortController());
    this.#complete = false;
    this.#substituteWith(undefined);
    if (!this.src) return;
    try {
      await this.#decode(signal);
    } catch (error) {
      if (signal.aborted) return;
      await this.#fail(error, signal);
      return;
    }
    if (signal.aborted) return;
    this.#complete = true;
    this.dispatchEvent(new Event('load'));
  }

  /** @param {AbortSignal} signal */
  async #decode(signal) {
    if (typeof WebAssembly !== 'object') {
      throw new BottleneckError('unsupported', 'this browser has no WebAssembly');
    }
    // The decoder is loaded while the code comes.
    prepare();
    const url = new URL(this.src, document.baseURI);
    let sized = false;
    const bytes = await fetchBytes(url.href, signal, (loaded, total, first) => {
      if (!sized && first.length >= SIZE_END) {
        sized = true;
        this.#peek(first);
      }
      this.#progress({ phase: 'code', loaded, total });
    }, CODE);
    const models = this.models || new URL('/v1/models', url.protocol.startsWith('http') ? url : document.baseURI);
    const context = this.#canvas.getContext('2d');
    await decode(bytes, {
      signal,
      models,
      onProgress: (progress) => {
        if (progress.phase === 'strip') {
          if (progress.y === 0) this.#begin(progress.strip.width, progress.total);
          context?.putImageData(progress.strip, 0, progress.y);
        }
        this.#progress(progress);
      },
    });
  }

  /**
   * Takes the size from the header, before the rest of the code has come. It is checked later.
   * @param {Uint8Array} bytes
   */
  #peek(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (view.getUint8(0) === 0x42 && view.getUint8(1) === 0x4e && view.getUint8(2) === 0x4b) {
      this.#size(view.getUint16(12, true), view.getUint16(14, true));
    }
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #begin(width, height) {
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#size(width, height);
  }

  /**
   * The box, as `<img>` has it: the attributes where there are both, else the picture's ratio.
   * @param {number} width
   * @param {number} height
   */
  #size(width, height) {
    const [w, h] = ['width', 'height'].map((name) => Number.parseInt(this.getAttribute(name) ?? '', 10));
    width ||= this.#canvas.width;
    height ||= this.#canvas.height;
    const boxWidth = w > 0 ? w : h > 0 ? (h * width) / height : width;
    const ratio = w > 0 && h > 0 ? w / h : width / height;
    this.#box.replaceSync(`:host { width: ${boxWidth}px; aspect-ratio: ${ratio}; }`);
  }

  /**
   * @param {unknown} error
   * @param {AbortSignal} signal
   */
  async #fail(error, signal) {
    if (this.fallback) {
      const image = new Image();
      image.alt = this.alt;
      image.src = this.fallback;
      const shown = await image.decode().then(() => true, () => false);
      if (signal.aborted) return;
      if (shown) {
        this.#size(image.naturalWidth, image.naturalHeight);
        this.#substituteWith(image);
        this.#complete = true;
        this.dispatchEvent(new Event('load'));
        return;
      }
    }
    this.#substituteWith(document.createTextNode(this.alt));
    this.dispatchEvent(new CustomEvent('error', { detail: error }));
  }

  /** @param {HTMLImageElement | Text | undefined} node */
  #substituteWith(node) {
    this.#substitute?.remove();
    this.#substitute = node;
    this.#canvas.hidden = node !== undefined;
    if (node) this.#root.append(node);
  }

  #describe() {
    if (this.#substitute instanceof Image) this.#substitute.alt = this.alt;
    else if (this.#substitute) this.#substitute.data = this.alt;
    if (this.alt) {
      this.#canvas.setAttribute('role', 'img');
      this.#canvas.setAttribute('aria-label', this.alt);
    } else {
      this.#canvas.setAttribute('role', 'presentation');
      this.#canvas.removeAttribute('aria-label');
    }
  }

  /** @param {object} detail */
  #progress(detail) {
    this.dispatchEvent(new CustomEvent('progress', { detail }));
  }
}

if (!customElements.get('bottleneck-img')) customElements.define('bottleneck-img', BottleneckImage);
