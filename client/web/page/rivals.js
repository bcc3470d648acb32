/** @import { RivalAnswer } from './rivals-worker.js' */

/** Steps of the two bisections over 0 to 100: seven each. */
export const STEPS = 14;

/** The worker that encodes JPEG and WebP. It keeps what it has encoded of a picture while the quality changes. */
export class Rivals {
  /** @type {Worker | undefined} */
  #worker;
  #run = 0;
  /** @type {(answer: RivalAnswer) => void} */
  #on = () => {};

  /** @param {ImageData} picture which is moved, not copied */
  picture(picture) {
    this.#worker?.terminate();
    this.#worker = new Worker(new URL('./rivals-worker.js', import.meta.url), { type: 'module' });
    this.#worker.onmessage = (/** @type {MessageEvent<RivalAnswer>} */ { data }) => {
      if (data.run === this.#run) this.#on(data);
    };
    this.#worker.postMessage({ type: 'picture', rgba: picture.data, width: picture.width }, [picture.data.buffer]);
  }

  /**
   * Searches for files of the PSNR of `decoded`; a search before it ends.
   * @param {ImageData} decoded
   * @param {(answer: RivalAnswer) => void} on
   */
  search(decoded, on) {
    this.#run += 1;
    this.#on = on;
    this.#worker?.postMessage({ type: 'target', run: this.#run, decoded: decoded.data }, [decoded.data.buffer]);
  }

  /** Ends the search. */
  cancel() {
    this.#run += 1;
    this.#on = () => {};
    this.#worker?.postMessage({ type: 'cancel', run: this.#run });
  }
}
