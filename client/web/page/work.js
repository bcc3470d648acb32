import { sentence } from './format.js';

/** Work shorter than this is not worth a word. */
const PATIENCE_MILLISECONDS = 300;

/** Says what is going on, how far it is, and what went wrong. */
export class WorkLine {
  #box;
  #text;
  #bar;
  #message;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #delay;

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} message
   * @param {() => void} onCancel
   */
  constructor(box, message, onCancel) {
    this.#box = box;
    this.#text = /** @type {HTMLElement} */ (box.querySelector('[role="status"]'));
    this.#bar = /** @type {HTMLProgressElement} */ (box.querySelector('progress'));
    this.#message = message;
    box.querySelector('button')?.addEventListener('click', onCancel);
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !box.hidden) onCancel();
    });
  }

  /**
   * @param {string} text
   * @param {number} [part] 0 to 1; not given where it is not known
   */
  show(text, part) {
    this.#message.hidden = true;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    if (part === undefined) this.#bar.removeAttribute('value');
    else this.#bar.value = part;
    this.#delay ??= setTimeout(() => (this.#box.hidden = false), PATIENCE_MILLISECONDS);
  }

  done() {
    clearTimeout(this.#delay);
    this.#delay = undefined;
    this.#box.hidden = true;
    this.#text.textContent = '';
  }

  /** @param {string} text */
  fail(text) {
    this.tell(sentence(text));
    this.#message.classList.add('error');
  }

  /** @param {string} text */
  tell(text) {
    this.done();
    this.#message.classList.remove('error');
    this.#message.textContent = text;
    this.#message.hidden = false;
    this.#message.scrollIntoView({ block: 'nearest' });
  }
}
