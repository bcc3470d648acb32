const MAX_SCALE = 16;
const KEY_STEP = 0.02;

/**
 * The original on the left of a divider and the decoded picture on the right, in one frame that zooms and pans.
 */
export class Viewer {
  #viewport;
  #frame;
  #tags;
  #divider;
  #clip;
  #before;
  #after;
  #onZoom;
  #width = 1;
  #height = 1;
  #split = 0.5;
  #scale = 1;
  #x = 0;
  #y = 0;
  #fitted = true;
  /** Until the first original there is nothing to zoom. */
  #empty = true;
  /** @type {Map<number, {x: number, y: number}>} Pointers that are down. */
  #pointers = new Map();
  #dragging = '';

  /**
   * @param {HTMLElement} viewport
   * @param {(scale: number) => void} onZoom
   */
  constructor(viewport, onZoom) {
    this.#viewport = viewport;
    this.#onZoom = onZoom;
    this.#frame = /** @type {HTMLElement} */ (viewport.parentElement);
    this.#tags = /** @type {HTMLElement[]} */ ([...viewport.querySelectorAll('.tag')]);
    this.#divider = /** @type {HTMLElement} */ (viewport.querySelector('.divider'));
    this.#clip = /** @type {HTMLElement} */ (viewport.querySelector('.clip'));
    [this.#before, this.#after] = /** @type {HTMLCanvasElement[]} */ ([...viewport.querySelectorAll('canvas')]);
    const resized = new ResizeObserver(() => this.#clamp());
    for (const node of [viewport, ...this.#tags]) resized.observe(node);
    viewport.addEventListener('pointerdown', (event) => this.#down(event));
    viewport.addEventListener('pointermove', (event) => this.#move(event));
    for (const type of /** @type {const} */ (['pointerup', 'pointercancel'])) {
      viewport.addEventListener(type, (event) => this.#up(event));
    }
    viewport.addEventListener('dblclick', (event) => {
      if (this.#fitted) this.#zoomAt(Math.max(1, this.#fit() * 3), event.clientX, event.clientY);
      else this.fit();
    });
    viewport.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    viewport.addEventListener('keydown', (event) => this.#key(event));
    this.#divider.addEventListener('keydown', (event) => this.#dividerKey(event));
  }

  /**
   * Shows a new original; the right side is bare until rows come.
   * @param {CanvasImageSource} picture
   * @param {number} width
   * @param {number} height
   */
  original(picture, width, height) {
    [this.#width, this.#height] = [width, height];
    this.#empty = false;
    this.#split = 0.5;
    for (const canvas of [this.#before, this.#after]) {
      canvas.width = width;
      canvas.height = height;
    }
    paint(this.#before, picture);
    this.#clip.classList.add('bare');
    // Between 1:2 and 3:1; beyond, there are borders.
    this.#frame.style.setProperty('--ratio', `${Math.min(3, Math.max(0.5, width / height))}`);
    this.fit();
  }

  /** @param {ImageData} strip @param {number} y */
  rows(strip, y) {
    this.#clip.classList.remove('bare');
    this.#after.getContext('2d')?.putImageData(strip, 0, y);
  }

  fit() {
    this.#fitted = true;
    this.#clamp();
  }

  /** One picture pixel for each pixel of the screen. */
  oneToOne() {
    this.#zoom(1 / devicePixelRatio);
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.#zoom(this.#scale * factor);
  }

  /** @param {number} scale */
  #zoom(scale) {
    const box = this.#viewport.getBoundingClientRect();
    this.#zoomAt(scale, box.left + box.width / 2, box.top + box.height / 2);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#viewport;
    return Math.min(clientWidth / this.#width, clientHeight / this.#height);
  }

  /**
   * Zooms so that what is under a point stays there.
   * @param {number} scale
   * @param {number} clientX
   * @param {number} clientY
   */
  #zoomAt(scale, clientX, clientY) {
    const fit = this.#fit();
    const next = Math.min(Math.max(scale, Math.min(fit, 1 / devicePixelRatio)), Math.max(MAX_SCALE, fit));
    const box = this.#viewport.getBoundingClientRect();
    const [px, py] = [clientX - box.left, clientY - box.top];
    this.#x = px - ((px - this.#x) * next) / this.#scale;
    this.#y = py - ((py - this.#y) * next) / this.#scale;
    this.#scale = next;
    this.#fitted = Math.abs(next - fit) < 1e-6;
    this.#clamp();
  }

  /** Keeps the picture in the frame: centred where it is smaller, without gaps where it is larger. */
  #clamp() {
    const { clientWidth, clientHeight } = this.#viewport;
    if (this.#fitted) this.#scale = this.#fit();
    const inside = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ frame) =>
      size <= frame ? (frame - size) / 2 : Math.min(0, Math.max(frame - size, at));
    this.#x = inside(this.#x, this.#width * this.#scale, clientWidth);
    this.#y = inside(this.#y, this.#height * this.#scale, clientHeight);
    this.#draw();
  }

  #draw() {
    const transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    this.#before.style.transform = transform;
    this.#after.style.transform = transform;
    const percent = Math.round(this.#split * 100);
    const line = this.#split * this.#viewport.clientWidth;
    this.#viewport.style.setProperty('--split', `${line}px`);
    this.#divider.setAttribute('aria-valuenow', `${percent}`);
    this.#divider.setAttribute('aria-valuetext', `${percent} % original, ${100 - percent} % Bottleneck`);
    this.#viewport.classList.toggle('zoomed', this.#movable());
    this.#viewport.classList.toggle('pixels', this.#scale * devicePixelRatio >= 3);
    // A tag that the line crosses would name both sides.
    const [left, right] = this.#tags;
    left.classList.toggle('faint', line < left.offsetLeft + left.offsetWidth);
    right.classList.toggle('faint', line > right.offsetLeft);
    if (!this.#empty) this.#onZoom(this.#scale * devicePixelRatio);
  }

  #movable() {
    return this.#scale > this.#fit() * 1.001;
  }

  /** @param {number} split */
  #splitAt(split) {
    this.#split = Math.min(1, Math.max(0, split));
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #splitTo(event) {
    const box = this.#viewport.getBoundingClientRect();
    this.#splitAt((event.clientX - box.left) / box.width);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    this.#viewport.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const onDivider = event.target instanceof Node && this.#divider.contains(event.target);
    this.#dragging = onDivider || !this.#movable() ? 'split' : 'pan';
    if (this.#dragging === 'split') this.#splitTo(event);
    this.#viewport.classList.add('dragging');
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (other) {
      const spread = (/** @type {{x: number, y: number}} */ p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
      this.#zoomAt((this.#scale * spread(now)) / spread(last), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (this.#dragging === 'split') {
      this.#splitTo(event);
    } else {
      this.#pan(now.x - last.x, now.y - last.y);
    }
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#pointers.size === 0) this.#viewport.classList.remove('dragging');
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  #pan(dx, dy) {
    this.#x += dx;
    this.#y += dy;
    this.#clamp();
  }

  /**
   * A pinch on a touchpad comes as a wheel with ctrl. A wheel alone scrolls the page, unless the picture is zoomed.
   * @param {WheelEvent} event
   */
  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !this.#movable()) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.#zoomAt(this.#scale * Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
    else this.#pan(-event.deltaX, -event.deltaY);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.#viewport || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 40;
    /** @type {Record<string, () => void>} */
    const actions = {
      '+': () => this.zoomBy(1.5),
      '=': () => this.zoomBy(1.5),
      '-': () => this.zoomBy(1 / 1.5),
      0: () => this.fit(),
      1: () => this.oneToOne(),
      ArrowLeft: () => this.#pan(step, 0),
      ArrowRight: () => this.#pan(-step, 0),
      ArrowUp: () => this.#pan(0, step),
      ArrowDown: () => this.#pan(0, -step),
    };
    const moves = event.key.startsWith('Arrow');
    // Where there is nowhere to go, arrows scroll the page.
    if (!actions[event.key] || (moves && !this.#movable())) return;
    event.preventDefault();
    actions[event.key]();
  }

  /** @param {KeyboardEvent} event */
  #dividerKey(event) {
    const step = event.shiftKey ? 5 * KEY_STEP : KEY_STEP;
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: this.#split - step,
      ArrowDown: this.#split - step,
      ArrowRight: this.#split + step,
      ArrowUp: this.#split + step,
      PageDown: this.#split - 0.1,
      PageUp: this.#split + 0.1,
      Home: 0,
      End: 1,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    this.#splitAt(places[event.key]);
  }
}

/**
 * Paints over white, on which the server lays transparent pixels too.
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasImageSource} picture
 */
function paint(canvas, picture) {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) return;
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
}
