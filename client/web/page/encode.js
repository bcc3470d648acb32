/**
 * What the server made of a picture.
 * @typedef {object} Encoded
 * @property {Uint8Array<ArrayBuffer>} code
 * @property {number} milliseconds From the last byte that was sent to the answer's first.
 */

/** The server's refusal, as a sentence. */
export class RefusedError extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    /** HTTP status code. */
    this.status = status;
  }
}

/**
 * Has the server encode a picture. An XMLHttpRequest, since `fetch` does not tell how far an upload is.
 * @param {Blob} picture
 * @param {Record<string, string>} query
 * @param {AbortSignal} signal
 * @param {(part: number | undefined) => void} onProgress Part of the upload, 0 to 1; undefined once it is complete.
 * @returns {Promise<Encoded>}
 */
export function encode(picture, query, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    signal.addEventListener('abort', abort);
    request.open('POST', `/v1/encode?${new URLSearchParams(query)}`);
    request.responseType = 'arraybuffer';
    let sent = performance.now();
    let answered = 0;
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.upload.onload = () => {
      sent = performance.now();
      onProgress(undefined);
    };
    request.onreadystatechange = () => {
      if (request.readyState === XMLHttpRequest.HEADERS_RECEIVED) answered = performance.now();
    };
    request.onloadend = () => signal.removeEventListener('abort', abort);
    request.onabort = () => reject(signal.reason);
    request.onerror = () => reject(new Error('The server cannot be reached. Is it still running?'));
    request.onload = () => {
      if (request.status === 200) resolve({ code: new Uint8Array(request.response), milliseconds: answered - sent });
      else reject(new RefusedError(request.status, detail(request)));
    };
    request.send(picture);
  });
}

/**
 * The sentence of a problem document (RFC 9457); of whatever else answered, the status.
 * @param {XMLHttpRequest} request
 */
function detail(request) {
  try {
    const problem = JSON.parse(new TextDecoder().decode(request.response));
    if (typeof problem.detail === 'string' && problem.detail) return problem.detail;
  } catch {
    // No problem document: a proxy's page, most likely.
  }
  return `the server answered ${request.status} ${request.statusText}`.trim();
}
