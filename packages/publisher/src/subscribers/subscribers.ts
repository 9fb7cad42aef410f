/**
 * What the publisher knows of each subscriber, by name: O(1) a subscriber, and a bounded number of them. What `rulectl status` shows
 * and what a push waits for.
 */

import { EventEmitter } from 'node:events';
import { type ListenerLogger, Listeners } from '@rulecast/program/listeners';
import { type ControlRecordOf, hexOf, type SubscriberState } from '@rulecast/protocol';
import type { Release, Store } from '../store/store.ts';

/** A release a subscriber says it has in force. */
export interface HeldRelease {
  readonly hash: Uint8Array;
  readonly epoch: number;
  readonly version: number;
}

/** Why a subscriber takes something not. */
export interface Reason {
  readonly code: string;
  readonly text: string;
  readonly atMs: number;
}

/** A release that a subscriber refused for good. */
export interface Refusal extends Reason {
  /** Hex. */
  readonly hash: string;
}

/** Mutable: a session writes it, the status reads it. */
export interface SubscriberEntry {
  readonly name: string;
  connectedSinceMs: number | undefined;
  lastSeenMs: number;
  held: HeldRelease | undefined;
  /** A transfer is under way, or being applied. */
  receiving: boolean;
  /** It claimed a release above the head and could not prove it. */
  diverged: boolean;
  appliedAtMs: number | undefined;
  applyMs: number | undefined;
  persisted: boolean | undefined;
  bytesSent: number;
  lastError: Reason | undefined;
  /** What it refuses for good; the newest last, a bounded number. */
  refused: readonly Refusal[];
  /** It applied a release of this lineage, now or ever before. */
  hasApplied: boolean;
  /** It was heard of since the publisher started. */
  isBack: boolean;
}

/** What is kept of an entry over a restart, as JSON. */
export interface StoredSubscriber {
  readonly lastSeenMs: number;
  readonly hasApplied: boolean;
  /** `hash` in hex. */
  readonly held?: { readonly hash: string; readonly epoch: number; readonly version: number } | undefined;
  readonly appliedAtMs?: number | undefined;
  readonly applyMs?: number | undefined;
  readonly persisted?: boolean | undefined;
  readonly lastError?: SubscriberEntry['lastError'];
  readonly refused?: SubscriberEntry['refused'] | undefined;
}

/** What became of one release at one subscriber. */
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

/** Remembered subscribers; beyond it the one unseen for longest is forgotten. */
const ENTRIES_MAX = 1024;
/** Remembered refusals of one subscriber. */
const REFUSED_MAX = 32;
/** Of a refusal that was not heard here. */
const UNTOLD = {
  code: 'refused-before',
  text: 'it refused this release before; its own log says why',
} as const;

export class Subscribers extends EventEmitter<{ outcome: [Outcome]; change: [] }> {
  readonly #entries = new Map<string, SubscriberEntry>();
  readonly #listeners: Listeners<{ outcome: [Outcome]; change: [] }>;
  #configured: ReadonlySet<string> | undefined;
  #boundOf: (name: string) => readonly string[] | undefined = () => undefined;

  /** What listeners throw goes to the log. */
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

  /** One that never applied anything goes first: whoever may connect may take any name. */
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

  // ── Expected ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Those of a configuration are expected from now on; undefined or none: all that ever applied a release and were not forgotten. */
  expect(names: Iterable<string> | undefined): void {
    const configured = new Set(names);
    this.#configured = configured.size === 0 ? undefined : configured;
    this.changed();
  }

  /** From now on the status says what names are bound to. */
  showBindings(boundOf: (name: string) => readonly string[] | undefined): void {
    this.#boundOf = boundOf;
    this.changed();
  }

  /** Names of those that have to apply a release before it is in force as it should be. */
  expected(): ReadonlySet<string> {
    if (this.#configured !== undefined) return this.#configured;
    return new Set(
      [...this.#entries.values()].filter(({ hasApplied }) => hasApplied).map(({ name }) => name),
    );
  }

  /** Whether a configuration says who is expected. */
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

  // ── Kept ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What of each is to be kept over a restart. */
  *known(): Iterable<readonly [string, StoredSubscriber]> {
    for (const { name, lastSeenMs, hasApplied, held, ...entry } of this.#entries.values()) {
      const { appliedAtMs, applyMs, persisted, lastError, refused } = entry;
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
          lastError,
          refused: refused.length === 0 ? undefined : refused,
        },
      ];
    }
  }

  /** Takes up what was kept of one that is not connected yet. */
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

  /** Takes what a subscriber says that it refuses, in place of all that was known of it: it may have been reset, or have another name's past. */
  takeRefusals(entry: SubscriberEntry, hashes: readonly string[], nowMs: number): void {
    const known = new Map(entry.refused.map((refusal) => [refusal.hash, refusal]));
    entry.refused = hashes
      .slice(-REFUSED_MAX)
      .map((hash) => known.get(hash) ?? { hash, ...UNTOLD, atMs: nowMs });
  }

  /** Something of what the status shows is another than before. */
  changed(): void {
    this.#listeners.tell('change');
  }

  /** Tells what became of a release. */
  settle(outcome: Outcome): void {
    this.#listeners.tell('outcome', outcome);
    this.changed();
  }

  /** Names of those connected now. */
  connected(): readonly string[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.connectedSinceMs !== undefined)
      .map((entry) => entry.name);
  }

  /** Status records, by name; of those that are expected and were never seen too. */
  records(head: Release | undefined, store: Store, nowMs: number): readonly ControlRecordOf<'subscriber'>[] {
    const expected = this.expected();
    const missing = [...expected].filter((name) => !this.#entries.has(name)).map((name) => newEntry(name, 0));
    return [...this.#entries.values(), ...missing]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((entry) => ({
        ...recordOf(entry, head, store, nowMs),
        expected: expected.has(entry.name),
        bound: this.#boundOf(entry.name)?.slice(),
      }));
  }
}

function newEntry(name: string, nowMs: number): SubscriberEntry {
  return {
    name,
    connectedSinceMs: undefined,
    lastSeenMs: nowMs,
    held: undefined,
    receiving: false,
    diverged: false,
    appliedAtMs: undefined,
    applyMs: undefined,
    persisted: undefined,
    bytesSent: 0,
    lastError: undefined,
    refused: [],
    hasApplied: false,
    isBack: false,
  };
}

function isForgottenBefore(a: SubscriberEntry, b: SubscriberEntry): boolean {
  return a.hasApplied === b.hasApplied ? a.lastSeenMs < b.lastSeenMs : b.hasApplied;
}

function recordOf(
  entry: SubscriberEntry,
  head: Release | undefined,
  store: Store,
  nowMs: number,
): Omit<ControlRecordOf<'subscriber'>, 'expected' | 'bound'> {
  const matches = isHead(entry, head);
  const newer = matches ? undefined : store.newerThan(entry.held?.epoch ?? 0, entry.held?.version ?? 0);
  return {
    record: 'subscriber',
    name: entry.name,
    state: stateOf(entry, head, matches),
    epoch: entry.held?.epoch,
    version: entry.held?.version,
    hash: entry.held === undefined ? undefined : hexOf(entry.held.hash),
    matches,
    lagVersions: newer?.count ?? 0,
    lagMs: newer?.sinceMs === undefined ? 0 : Math.max(0, nowMs - newer.sinceMs),
    connectedSinceMs: entry.connectedSinceMs,
    lastSeenMs: entry.lastSeenMs,
    appliedAtMs: entry.appliedAtMs,
    applyMs: entry.applyMs,
    bytesSent: entry.bytesSent,
    lastError: entry.lastError,
    refusal: reasonOf(head === undefined ? undefined : refusalOf(entry, head.hash)),
    persisted: entry.persisted,
  };
}

/** Why a subscriber refuses a release for good; undefined where it does not. */
export function refusalOf(entry: SubscriberEntry, hash: Uint8Array): Refusal | undefined {
  const hex = hexOf(hash);
  return entry.refused.find((refusal) => refusal.hash === hex);
}

function reasonOf(refusal: Refusal | undefined): Reason | undefined {
  if (refusal === undefined) return undefined;
  const { code, text, atMs } = refusal;
  return { code, text, atMs };
}

/** Whether a subscriber has the head in force; with no head, whether it has nothing. */
function isHead(entry: SubscriberEntry, head: Release | undefined): boolean {
  if (head === undefined || entry.held === undefined) return head === undefined && entry.held === undefined;
  return Buffer.from(entry.held.hash).equals(head.hash);
}

function stateOf(entry: SubscriberEntry, head: Release | undefined, matches: boolean): SubscriberState {
  if (entry.connectedSinceMs === undefined) return 'disconnected';
  if (matches) return 'synced';
  if (entry.receiving) return 'receiving';
  if (head !== undefined && refusalOf(entry, head.hash) !== undefined) return 'refused';
  return entry.diverged ? 'diverged' : 'behind';
}
