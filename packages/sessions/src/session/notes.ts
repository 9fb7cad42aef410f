/** Writes a session's notes into the entry of its subscriber. */

import type { SubscriberEntry } from '../subscribers/entry.ts';
import type { Subscribers } from '../subscribers/subscribers.ts';
import type { EffectOf } from './state.ts';

export class SubscriberNotes {
  readonly #subscribers: Subscribers;
  #entry: SubscriberEntry | undefined; // from the moment that the name is held

  constructor(subscribers: Subscribers) {
    this.#subscribers = subscribers;
  }

  /** The subscriber's name, once the session holds it. */
  get name(): string | undefined {
    return this.#entry?.name;
  }

  take(effect: EffectOf<'enter' | 'note' | 'refuse' | 'well' | 'changed' | 'settle'>): void {
    const subscribers = this.#subscribers;
    switch (effect.kind) {
      case 'enter':
        this.#entry = subscribers.entry(effect.name, effect.atMs);
        return subscribers.takeRefusals(this.#entry, effect.refused, effect.atMs);
      case 'note':
        if (this.#entry !== undefined) Object.assign(this.#entry, effect.note);
        return;
      case 'refuse':
        if (this.#entry !== undefined) subscribers.refuse(this.#entry, effect.hash, effect.reason);
        return;
      case 'well':
        if (this.#entry?.lastError === undefined) return;
        this.#entry.lastError = undefined;
        return subscribers.changed();
      case 'changed':
        return subscribers.changed();
      case 'settle':
        return subscribers.settle(effect.outcome);
    }
  }
}
