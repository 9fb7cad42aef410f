/**
 * A stream on its way in: room for what was announced, filled by CHUNKs, closed by END. Nothing of it is
 * believed until it has made its release.
 */

export class Stage {
  /** All of it, once as much has come as was announced. */
  readonly stream: Uint8Array;
  #received = 0;

  /** @param bytes Of the whole stream; throws RangeError where there is no room for so many. */
  constructor(bytes: number) {
    this.stream = new Uint8Array(bytes);
  }

  /** Takes the next bytes, for which there is room; copies them. */
  push(bytes: Uint8Array): void {
    this.stream.set(bytes, this.#received);
    this.#received += bytes.length;
  }
}
