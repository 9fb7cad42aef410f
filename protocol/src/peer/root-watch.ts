/**
 * Checks once a minute whether the root in force must be renewed. A publisher warns its owner; a subscriber
 * may also shut its firewall. No timer runs for a root without a date.
 */

import { type ClockReadings, type Renewal, renewalOf, renewalText } from '../content/renewal.ts';
import type { Root } from '../content/root.ts';
import type { After } from './clock.ts';

/** One timer for the date itself would stop in suspend, and would not notice that a clock was set. */
const LOOK_MS = 60_000;
/** Roots arrive one right after another, and only the last of them deserves a warning. */
const SETTLE_MS = 1000;

export interface RootWatchOptions {
  readonly after: After;
  readonly readings: () => ClockReadings;
  /** The root in force; undefined before the first has come. */
  readonly root: () => Root | undefined;
  /** Called with each change of the renewal, which is `good` at first; `text` is for people. */
  readonly onChange: (renewal: Renewal, text: string) => void;
}

export class RootWatch {
  #renewal: Renewal = 'good';
  #cancel: () => void = () => undefined;
  #isClosed = false;
  readonly #options: RootWatchOptions;

  constructor(options: RootWatchOptions) {
    this.#options = options;
  }

  get renewal(): Renewal {
    return this.#renewal;
  }

  /** A sentence for people, if the root is due or overdue now, judged anew at each call. */
  get trouble(): string | undefined {
    const { root, readings } = this.#options;
    const current = root();
    const renewal = current === undefined ? 'good' : renewalOf(current, readings());
    return current === undefined || renewal === 'good' ? undefined : renewalText(current, renewal);
  }

  /** Looks now, and once a minute from then on. */
  look(): void {
    if (this.#isClosed) return;
    const root = this.#options.root();
    const renewal = root === undefined ? 'good' : renewalOf(root, this.#options.readings());
    this.#lookIn(LOOK_MS);
    if (root === undefined || renewal === this.#renewal) return;
    this.#renewal = renewal;
    this.#options.onChange(renewal, renewalText(root, renewal));
  }

  /** Another root is in force: a warning of the one before is over at once. */
  replaced(): void {
    if (this.#isClosed) return;
    if (this.#renewal === 'good') this.#lookIn(SETTLE_MS);
    else this.look();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #lookIn(ms: number): void {
    this.#cancel();
    const isDated = this.#options.root()?.refreshBy !== undefined || this.#renewal !== 'good';
    if (isDated) this.#cancel = this.#options.after(ms, () => this.look());
  }
}
