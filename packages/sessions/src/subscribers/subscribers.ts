/**
 * The records of subscribers, by name: of constant size, and bounded in number. `rulectl status` shows them,
 * and a push waits for them.
 */

import { EventEmitter } from 'node:events';
import { type ListenerLogger, Listeners } from '@rulecast/program/listeners';
import { hexOf, REFUSED_MAX } from '@rulecast/protocol';
import {
  type HeldRelease,
  newEntry,
  type Reason,
  type StoredSubscriber,
  type SubscriberEntry,
} from './entry.ts';

/** The outcome of one release at one subscriber. */
export interface Outcome {
  readonly subscriber: string;
  readonly state: 'applied' | 'refused' | 'disconnected';
  readonly epoch: number;
  readonly version: number;
  /** Sent to it for this release. */
  readonly bytes: number;
  readonly code?: string;
  readonly text?: string;
  readonly persisted?: boolean;
}

/** A subscriber, as it was when it last connected. */
export interface Firewall {
  readonly name: string;
  readonly capabilities: readonly string[];
  /** A release has to reach it: its name is bound, or the request has it in `require`. */
  readonly isRequired: boolean;
}

/** Remembered subscribers; beyond it the one unseen for longest is forgotten. */
const ENTRIES_MAX = 4096;
/** A refusal from before this process, without its reason. */
const UNTOLD = {
  code: 'refused-before',
  text: 'it refused this release before; its own log says why',
} as const;

export class Subscribers extends EventEmitter<{ outcome: [Outcome]; change: [] }> {
  readonly #entries = new Map<string, SubscriberEntry>();
  readonly #listeners: Listeners<{ outcome: [Outcome]; change: [] }>;
  #configured: ReadonlySet<string> | undefined;
  #boundOf: (name: string) => readonly string[] | undefined = () => undefined;
  readonly #elsewhere: ((name: string) => boolean)[] = [];

  /** Errors of listeners go to the log. */
  constructor(logger: ListenerLogger) {
    super();
    this.#listeners = new Listeners(this, logger);
    this.setMaxListeners(0); // one listener a waiting push or watcher; both are bounded by the control endpoint
  }

  /** The entry of a name, made if there is none. */
  entry(name: string, nowMs: number): SubscriberEntry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = newEntry(name, nowMs);
      this.#entries.set(name, entry);
      this.#forgetOldest();
    }
    return entry;
  }

  /** Forgets a subscriber that never applied anything first: any client may take any free name. */
  #forgetOldest(): void {
    if (this.#entries.size <= ENTRIES_MAX) return;
    let oldest: SubscriberEntry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.connectedSinceMs !== undefined) continue;
      if (oldest === undefined || isForgottenBefore(entry, oldest)) oldest = entry;
    }
    if (oldest !== undefined) this.#entries.delete(oldest.name);
  }

  /** The entry of a name, if there is one. */
  find(name: string): SubscriberEntry | undefined {
    return this.#entries.get(name);
  }

  // ── Expected ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Those of a configuration are expected from now on; undefined or none: all that ever applied a release and
   * were not forgotten.
   */
  expect(names: Iterable<string> | undefined): void {
    const configured = new Set(names);
    this.#configured = configured.size === 0 ? undefined : configured;
    this.changed();
  }

  /** Shows the bindings of names in the status from now on. */
  showBindings(boundOf: (name: string) => readonly string[] | undefined): void {
    this.#boundOf = boundOf;
    this.changed();
  }

  /** Names that report in other ways are expected only while they are connected. */
  leaveOut(isElsewhere: (name: string) => boolean): void {
    this.#elsewhere.push(isElsewhere);
    this.changed();
  }

  /** Names of those that have to apply a release before it is in force as it should be. */
  expected(): ReadonlySet<string> {
    const applied = [...this.#entries.values()].filter(({ hasApplied }) => hasApplied);
    const names = [...(this.#configured ?? applied.map(({ name }) => name))];
    return new Set(
      names.filter((name) => this.#isConnected(name) || !this.#elsewhere.some((is) => is(name))),
    );
  }

  #isConnected(name: string): boolean {
    return this.find(name)?.connectedSinceMs !== undefined;
  }

  /**
   * Subscribers that ever sent their capabilities; a release must reach the bound and the `required` ones.
   */
  firewalls(required: readonly string[] = []): readonly Firewall[] {
    return [...this.#entries.values()].flatMap(({ name, capabilities }) => {
      if (capabilities === undefined) return [];
      return [
        { name, capabilities, isRequired: this.#boundOf(name) !== undefined || required.includes(name) },
      ];
    });
  }

  /** Whether the configuration lists the expected subscribers. */
  get isConfigured(): boolean {
    return this.#configured !== undefined;
  }

  /** Forgets a subscriber that is not connected. */
  forget(name: string): 'forgotten' | 'unknown' | 'connected' | 'configured' {
    if (this.#configured?.has(name) === true) return 'configured';
    const entry = this.#entries.get(name);
    if (entry === undefined) return 'unknown';
    if (entry.connectedSinceMs !== undefined) return 'connected';
    this.#entries.delete(name);
    this.changed();
    return 'forgotten';
  }

  // ── Kept ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** The part of each entry that is kept over a restart. */
  *known(): Iterable<readonly [string, StoredSubscriber]> {
    for (const { name, lastSeenMs, hasApplied, held, ...entry } of this.#entries.values()) {
      const { appliedAtMs, applyMs, persisted, capabilities, lastError, refused } = entry;
      const hash = held === undefined ? undefined : hexOf(held.hash);
      yield [
        name,
        {
          lastSeenMs,
          hasApplied,
          held: held === undefined || hash === undefined ? undefined : { ...held, hash },
          appliedAtMs,
          applyMs,
          persisted,
          capabilities,
          lastError,
          refused: refused.length === 0 ? undefined : refused,
        },
      ];
    }
  }

  /** Restores the stored entry of a subscriber that is not connected yet. */
  resume(name: string, stored: StoredSubscriber): void {
    const { held, ...rest } = stored;
    const entry = Object.assign(newEntry(name, stored.lastSeenMs), rest);
    if (held !== undefined) entry.held = { ...held, hash: Uint8Array.from(Buffer.from(held.hash, 'hex')) };
    this.#entries.set(name, entry);
  }

  /** Notes a refusal for good. */
  refuse(entry: SubscriberEntry, hash: string, reason: Reason): void {
    const others = entry.refused.filter((other) => other.hash !== hash);
    entry.refused = [...others, { hash, ...reason }].slice(-REFUSED_MAX);
  }

  /**
   * Replaces the recorded refusals by those that a subscriber sends: it may have been reset, or have taken
   * over a name.
   */
  takeRefusals(entry: SubscriberEntry, hashes: readonly string[], nowMs: number): void {
    const known = new Map(entry.refused.map((refusal) => [refusal.hash, refusal]));
    entry.refused = hashes
      .slice(-REFUSED_MAX)
      .map((hash) => known.get(hash) ?? { hash, ...UNTOLD, atMs: nowMs });
  }

  /** Reports a change of the status. */
  changed(): void {
    this.#listeners.tell('change');
  }

  /** Reports the outcome of a release. */
  settle(outcome: Outcome): void {
    this.#listeners.tell('outcome', outcome);
    this.changed();
  }

  /** Names of the connected subscribers. */
  connected(): readonly string[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.connectedSinceMs !== undefined)
      .map((entry) => entry.name);
  }

  /** The releases in force at connected subscribers; without those that claimed one they could not prove. */
  holding(): readonly { readonly name: string; readonly held: HeldRelease }[] {
    return [...this.#entries.values()].flatMap(({ name, held, connectedSinceMs, diverged }) =>
      held === undefined || connectedSinceMs === undefined || diverged ? [] : [{ name, held }],
    );
  }

  /** All entries, in no order. */
  entries(): Iterable<SubscriberEntry> {
    return this.#entries.values();
  }

  /** The bindings of a name, for people; undefined: none. */
  boundOf(name: string): readonly string[] | undefined {
    return this.#boundOf(name);
  }
}

function isForgottenBefore(a: SubscriberEntry, b: SubscriberEntry): boolean {
  return a.hasApplied === b.hasApplied ? a.lastSeenMs < b.lastSeenMs : b.hasApplied;
}
