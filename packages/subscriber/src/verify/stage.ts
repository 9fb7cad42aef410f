/**
 * A stream on its way in: room for what was announced, filled by CHUNKs, closed by END, and kept over a cut.
 * None of it is trusted until it is verified.
 */

export class Stage {
  /** The whole stream, once all announced bytes have come. */
  readonly stream: Uint8Array;
  #received = 0;

  /** @param bytes The length of the whole stream; throws RangeError if that cannot be allocated. */
  constructor(bytes: number) {
    this.stream = new Uint8Array(bytes);
  }

  /** Appends bytes, for which there is room, as a copy. */
  push(bytes: Uint8Array): void {
    this.stream.set(bytes, this.#received);
    this.#received += bytes.length;
  }
}

/** Incoming streams, over connections: a stream that was cut may continue on the next one. */
export class Staging {
  #stage: Stage | undefined;

  /** Makes room for a stream of which nothing is here. Throws as Stage does. */
  begin(bytes: number): void {
    this.#stage = undefined; // to free its memory
    this.#stage = new Stage(bytes);
  }

  push(bytes: Uint8Array): void {
    this.#stage?.push(bytes);
  }

  /** Takes the whole stream out; undefined if none was begun. */
  take(): Uint8Array | undefined {
    const stream = this.#stage?.stream;
    this.#stage = undefined;
    return stream;
  }
}
