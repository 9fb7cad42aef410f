/**
 * Looks now and then whether the root in force is to be renewed: the publisher for whoever can do that, a
 * subscriber also for what it enforces. Where a root has no date no timer runs.
 */

import { type ClockReadings, type Renewal, renewalOf, renewalText } from '../content/renewal.ts';
import type { Root } from '../content/root.ts';
import type { After } from './clock.ts';

/** A date is days away, and no timer runs through suspend or notices that a clock was set. */
const LOOK_MS = 60_000;
/** The next root may follow at once, and none between is worth a word. */
const SETTLE_MS = 1000;

export interface RootWatchOptions {
  readonly after: After;
  readonly readings: () => ClockReadings;
  /** The one in force; undefined before the first. */
  readonly root: () => Root | undefined;
  /** It stands otherwise than before, which was `good` at first; `text` says it to people. */
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

  /** Why somebody has to do something now, for people; undefined where nobody has. */
  get trouble(): string | undefined {
    const { root, readings } = this.#options;
    const current = root();
    const renewal = current === undefined ? 'good' : renewalOf(current, readings());
    return current === undefined || renewal === 'good' ? undefined : renewalText(current, renewal);
  }

  /** Looks now, and from then on. */
  look(): void {
    if (this.#isClosed) return;
    const root = this.#options.root();
    const renewal = root === undefined ? 'good' : renewalOf(root, this.#options.readings());
    this.#lookIn(LOOK_MS);
    if (root === undefined || renewal === this.#renewal) return;
    this.#renewal = renewal;
    this.#options.onChange(renewal, renewalText(root, renewal));
  }

  /** Another root is in force: what was told of the one before may be over at once. */
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
