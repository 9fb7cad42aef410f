/** One subscriber, as the publisher knows it, and the part of that to store. */

import { hexOf } from '@rulecast/protocol';

export interface ReleaseNumber {
  readonly epoch: number;
  readonly version: number;
}

/** A release a subscriber says it has in force. */
export interface HeldRelease extends ReleaseNumber {
  readonly hash: Uint8Array;
}

/** An error of a subscriber, or its reason for a refusal. */
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
  /** Whether a transfer is under way, or being applied. */
  receiving: boolean;
  /** It claimed a release above the head and could not prove it. */
  diverged: boolean;
  appliedAtMs: number | undefined;
  applyMs: number | undefined;
  persisted: boolean | undefined;
  bytesSent: number;
  /** The capabilities in its last HELLO; undefined: it never connected. */
  capabilities: readonly string[] | undefined;
  lastError: Reason | undefined;
  /** Releases it refuses for good; the newest last, a bounded number. */
  refused: readonly Refusal[];
  /** It applied a release of this lineage, now or ever before. */
  hasApplied: boolean;
  /** It was heard of since the publisher started. */
  isBack: boolean;
}

/** The part of an entry that is kept over a restart, as JSON. */
export interface StoredSubscriber {
  readonly lastSeenMs: number;
  readonly hasApplied: boolean;
  /** `hash` in hex. */
  readonly held?: { readonly hash: string; readonly epoch: number; readonly version: number } | undefined;
  readonly appliedAtMs?: number | undefined;
  readonly applyMs?: number | undefined;
  readonly persisted?: boolean | undefined;
  readonly capabilities?: readonly string[] | undefined;
  readonly lastError?: SubscriberEntry['lastError'];
  readonly refused?: SubscriberEntry['refused'] | undefined;
}

/** The entry of an unknown subscriber. */
export function newEntry(name: string, nowMs: number): SubscriberEntry {
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
    capabilities: undefined,
    lastError: undefined,
    refused: [],
    hasApplied: false,
    isBack: false,
  };
}

/** Why a subscriber refuses a release for good; undefined where it does not. */
export function refusalOf(entry: SubscriberEntry, hash: Uint8Array): Refusal | undefined {
  const hex = hexOf(hash);
  return entry.refused.find((refusal) => refusal.hash === hex);
}
