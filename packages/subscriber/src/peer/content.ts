/**
 * What is in force, as a publisher that lost it takes it back: signatures, manifest and a snapshot as one run
 * of bytes. It is made when it is asked for, once, and dropped when nobody has asked for a while. PROTOCOL.md
 * "QUERY".
 */

import { CHUNK_BYTES, joinSigned, type SteadyClock } from '@rulecast/protocol';
import type { Activator, ActiveRelease } from '../apply/activator.ts';

/** Whoever takes it asks several times a second, or again after some. */
const KEPT_MS = 60_000;

interface Made {
  readonly hash: Uint8Array;
  readonly bytes: Promise<Uint8Array>;
}

export class Content {
  readonly #activator: Pick<Activator, 'active' | 'snapshot'>;
  readonly #clock: Pick<SteadyClock, 'after'>;
  #made: Made | undefined;
  #cancelDrop: () => void = () => undefined;

  constructor(activator: Pick<Activator, 'active' | 'snapshot'>, clock: Pick<SteadyClock, 'after'>) {
    this.#activator = activator;
    this.#clock = clock;
  }

  /** The release in force, and how long its content is; undefined where none is. Rejects as encoding does. */
  async length(): Promise<{ readonly hash: Uint8Array; readonly bytes: number } | undefined> {
    const { active } = this.#activator;
    if (active === undefined) return undefined;
    const { hash, bytes } = this.#madeOf(active);
    return { hash, bytes: (await bytes).length };
  }

  /** The bytes from one on, as many as a frame holds; undefined of another release, or beyond the end. */
  async piece(hash: Uint8Array, from: number): Promise<Uint8Array | undefined> {
    const { active } = this.#activator;
    if (active === undefined || !Buffer.from(active.hash).equals(hash)) return undefined;
    const bytes = await this.#madeOf(active).bytes;
    return from < bytes.length ? bytes.subarray(from, from + CHUNK_BYTES) : undefined;
  }

  #madeOf(active: ActiveRelease): Made {
    this.#cancelDrop();
    this.#cancelDrop = this.#clock.after(KEPT_MS, () => this.close());
    if (this.#made !== undefined && Buffer.from(this.#made.hash).equals(active.hash)) return this.#made;
    const made: Made = { hash: active.hash, bytes: this.#encoded(active) };
    this.#made = made;
    made.bytes.catch(() => {
      if (this.#made === made) this.#made = undefined; // the next one who asks has it tried again
    });
    return made;
  }

  async #encoded({ signatures, manifestBytes, ruleSet }: ActiveRelease): Promise<Uint8Array> {
    const stream = await this.#activator.snapshot(ruleSet);
    const signed = joinSigned({ signatures, content: manifestBytes });
    const bytes = new Uint8Array(signed.length + stream.length);
    bytes.set(signed);
    bytes.set(stream, signed.length);
    return bytes;
  }

  /** Drops what was made; asked again it makes it again. */
  close(): void {
    this.#cancelDrop();
    this.#made = undefined;
  }
}
