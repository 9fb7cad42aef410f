/**
 * Releases that were refused for good: they are refused again without being looked at, and the next HELLO
 * names them.
 */

import { hexOf, type MessageOf } from '@rulecast/protocol';

type Nack = MessageOf<'nack'>;

/** Remembers refusals for good, the newest `capacity` of them. */
export class RefusalMemory {
  readonly #nacks = new Map<string, Nack>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(hash: Uint8Array, nack: Nack): void {
    this.#nacks.delete(hexOf(hash));
    this.#nacks.set(hexOf(hash), nack);
    const oldest = this.#nacks.keys().next().value;
    if (this.#nacks.size > this.#capacity && oldest !== undefined) this.#nacks.delete(oldest);
  }

  get(hash: Uint8Array): Nack | undefined {
    return this.#nacks.get(hexOf(hash));
  }

  hashes(): readonly Uint8Array[] {
    return [...this.#nacks.keys()].map((hash) => new Uint8Array(Buffer.from(hash, 'hex')));
  }
}
