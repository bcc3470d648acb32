/**
 * `<bottleneck-img src="photo.bnk" alt="…" width="…" height="…" fallback="photo.webp">`: a picture.
 *
 * Fires `load`, `error` (its `detail` is the error), and `progress` (its `detail` is a `Progress`, or
 * `{phase: 'code', loaded, total}`); none of them bubbles, as with `<img>`.
 */
export class BottleneckImage extends HTMLElement {
    static observedAttributes: string[];
    set src(value: string);
    /** URL of the code. */
    get src(): string;
    set alt(value: string);
    /** What the picture shows, in words. Empty for decoration. */
    get alt(): string;
    set fallback(value: string);
    /** URL of a picture in a format that every browser shows, for browsers that do not run the decoder. */
    get fallback(): string;
    set models(value: string);
    /** URL that models are fetched from; `/v1/models` of the code's origin where it is not given. */
    get models(): string;
    /** Whether the picture is there, the fallback included. */
    get complete(): boolean;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /**
     * @param {string} name
     * @param {string | null} before
     * @param {string | null} value
     */
    attributeChangedCallback(name: string, before: string | null, value: string | null): void;
    #private;
}
