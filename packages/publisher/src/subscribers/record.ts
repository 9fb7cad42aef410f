/** Subscribers, as `rulectl status` shows them. Pure. */

import { Capability, type ControlRecordOf, hexOf, type SubscriberState } from '@rulecast/protocol';
import {
  newEntry,
  type Reason,
  refusalOf,
  type SubscriberEntry,
  type SubscriberRefusal,
  type Subscribers,
} from '@rulecast/sessions';
import type { Release, Store } from '../store/store.ts';

/** Older than every release. */
const NONE = { epoch: 0, version: 0 };

/** By name; of those that are expected and were never seen too. */
export function subscriberRecords(
  subscribers: Subscribers,
  head: Release | undefined,
  store: Store,
  nowMs: number,
): readonly ControlRecordOf<'subscriber'>[] {
  const expected = subscribers.expected();
  const missing = [...expected].filter((name) => subscribers.find(name) === undefined);
  return [...subscribers.entries(), ...missing.map((name) => newEntry(name, 0))]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((entry) => ({
      ...recordOf(entry, head, store, nowMs),
      expected: expected.has(entry.name),
      bound: subscribers.boundOf(entry.name)?.slice(),
    }));
}

/** The status record of one subscriber, without the fields that need all subscribers. */
function recordOf(
  entry: SubscriberEntry,
  head: Release | undefined,
  store: Store,
  nowMs: number,
): Omit<ControlRecordOf<'subscriber'>, 'expected' | 'bound'> {
  const matches = isHead(entry, head);
  const newer = matches ? undefined : store.index.newerThan(entry.held ?? NONE);
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
    // A restart of such a firewall opens nothing: that it keeps nothing is no trouble that could end.
    persisted: entry.capabilities?.includes(Capability.startsClosed) ? undefined : entry.persisted,
  };
}

function reasonOf(refusal: SubscriberRefusal | undefined): Reason | undefined {
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
