/** The encoding of values in the store's databases: keys, releases and notes, to bytes and back. */

import type { Identity } from '@rulecast/program/identity';
import {
  decodeManifest,
  hexOf,
  type Manifest,
  manifestHash,
  RELEASE_CAUSES,
  type ReleaseCause,
  splitSigned,
  type Totals,
  wasSignedBy,
} from '@rulecast/protocol';

/** The store cannot be opened, read or written; nothing was changed. */
export class StoreError extends Error {
  readonly code = 'store';
}

/** The place of a release in the store's order. */
export type ReleaseKey = readonly [epoch: number, version: number];

/** The stored record of one release besides its content. */
export interface StoredRelease {
  /** As signed; never re-encoded. */
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly deltaBytes: number;
  /** The least work of its delta as a step of a transfer. CONTENT.md "Budget". */
  readonly stepWork: number;
  /** The number of entries of all lists, or of rules of all policies. */
  readonly entries: number;
  readonly rules: number;
}

/** Changed parts that are noted of a release: some 100 kB of one that changes all. Our choice. */
export const CHANGED_PARTS_KEPT = 4096;

/** The cause and the changes of a release, for people: `rulectl history` shows them. */
export interface ReleaseNotes {
  readonly cause: ReleaseCause;
  /** More about the cause, at most 512 bytes of UTF-8; may be empty. */
  readonly detail: string;
  /** The caller, if any. */
  readonly by?: string | undefined;
  /** Why, in their words; at most MESSAGE_MAX_BYTES of UTF-8. */
  readonly message?: string | undefined;
  /** The first CHANGED_PARTS_KEPT changed parts, as `partText` prints them. */
  readonly changedParts: readonly string[];
  readonly changedCount: number;
  /** Entries and rules added, over all parts. */
  readonly added: number;
  readonly removed: number;
}

/** One release of the history, as kept in memory. */
export interface HistoryEntry {
  readonly key: ReleaseKey;
  /** Hex. */
  readonly hash: string;
  readonly deltaBytes: number;
  /** Manifest, signature and delta. */
  readonly bytes: number;
  readonly createdAtMs: number;
  /** As in its manifest; 0: it is the first of its epoch. */
  readonly previousVersion: number;
  /** Its cost in the budget of a transfer, and that of its delta as a step, at least. CONTENT.md "Budget". */
  readonly totals: Totals;
  readonly stepWork: number;
}

/** Length of the delta, its work, entries and rules. */
const NUMBERS_BYTES = 4 * 8;
const KEY_BYTES = 16;
const NO_NOTES: ReleaseNotes = {
  cause: 'unknown',
  detail: '',
  changedParts: [],
  changedCount: 0,
  added: 0,
  removed: 0,
};

export function historyEntry(key: ReleaseKey, stored: StoredRelease, manifest: Manifest): HistoryEntry {
  const { manifestBytes, signatures, deltaBytes, stepWork } = stored;
  const { createdAtMs, previousVersion } = manifest;
  return {
    key,
    hash: hexOf(manifestHash(manifestBytes)),
    deltaBytes,
    bytes: signatures.length + manifestBytes.length + deltaBytes,
    createdAtMs,
    previousVersion,
    totals: manifest,
    stepWork,
  };
}

export function compareKeys(a: ReleaseKey, b: ReleaseKey): number {
  return a[0] - b[0] || a[1] - b[1];
}

/** A key as returned by the database. */
export function keyOf(key: readonly number[]): ReleaseKey {
  return [key[0] ?? 0, key[1] ?? 0];
}

export function encodeKey(key: ReleaseKey): Uint8Array {
  const bytes = Buffer.alloc(KEY_BYTES);
  bytes.writeBigUInt64LE(BigInt(key[0]), 0);
  bytes.writeBigUInt64LE(BigInt(key[1]), 8);
  return bytes;
}

/** Throws StoreError. */
export function decodeKey(bytes: Uint8Array): ReleaseKey {
  if (bytes.length !== KEY_BYTES) throw new StoreError('the head of the store is damaged');
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const key: ReleaseKey = [Number(view.readBigUInt64LE(0)), Number(view.readBigUInt64LE(8))];
  if (!key.every(Number.isSafeInteger)) throw new StoreError('a number in the store is damaged');
  return key;
}

/** For the parts of the head: the version that gave each its content. */
export function encodeChanged(head: ReleaseKey, changed: Float64Array): Uint8Array {
  return Buffer.from(Float64Array.of(...head, ...changed).buffer);
}

/**
 * For people, and not signed: undefined where it is missing, damaged, or of another release than the head,
 * which a program from before has made.
 */
export function decodeChanged(
  bytes: Uint8Array | undefined,
  head: ReleaseKey,
  parts: number,
): Float64Array | undefined {
  if (bytes?.length !== (2 + parts) * 8) return undefined;
  const numbers = new Float64Array(Uint8Array.from(bytes).buffer);
  const changed = numbers.slice(2);
  const isOfHead = numbers[0] === head[0] && numbers[1] === head[1];
  const isWhole = changed.every(
    (version) => Number.isSafeInteger(version) && version > 0 && version <= head[1],
  );
  return isOfHead && isWhole ? changed : undefined;
}

export function encodeStored(stored: StoredRelease): Uint8Array {
  const { deltaBytes, stepWork, entries, rules, signatures, manifestBytes } = stored;
  const numbers = Float64Array.of(deltaBytes, stepWork, entries, rules);
  return Buffer.concat([Buffer.from(numbers.buffer), signatures, manifestBytes]);
}

/** Copies the bytes. Throws StoreError and ProtocolError. */
export function decodeStored(bytes: Uint8Array): StoredRelease {
  const own = Uint8Array.from(bytes);
  if (own.length < NUMBERS_BYTES) throw new StoreError('a release in the store is damaged');
  const { signatures, content } = splitSigned(own.subarray(NUMBERS_BYTES));
  const [deltaBytes = 0, stepWork = 0, entries = 0, rules = 0] = new Float64Array(own.buffer, 0, 4);
  return {
    deltaBytes,
    stepWork,
    entries,
    rules,
    signatures,
    manifestBytes: content,
  };
}

/** The manifest of a release. Throws StoreError unless this identity signed it. */
export function ownManifest(
  { manifestBytes, signatures }: Pick<StoredRelease, 'manifestBytes' | 'signatures'>,
  { lineage, roots }: Identity,
): Manifest {
  const manifest = decodeManifest(manifestBytes);
  if (!Buffer.from(manifest.lineage).equals(lineage))
    throw new StoreError('it is of another lineage: this store belongs to another identity file');
  if (!wasSignedBy(roots, 'release', { signatures, content: manifestBytes }))
    throw new StoreError('it is not signed by this identity');
  return manifest;
}

export function encodeNotes(notes: ReleaseNotes): Uint8Array {
  return Buffer.from(JSON.stringify(notes));
}

/** Notes are for people and not signed: damaged or missing ones are unknown, and refuse nothing. */
export function decodeNotes(bytes: Uint8Array | undefined): ReleaseNotes {
  if (bytes === undefined) return NO_NOTES;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return NO_NOTES;
  }
  return isNotes(value) ? value : NO_NOTES;
}

function isNotes(value: unknown): value is ReleaseNotes {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const counts = [fields['changedCount'], fields['added'], fields['removed']];
  const parts = fields['changedParts'];
  return (
    RELEASE_CAUSES.some((cause) => cause === fields['cause']) &&
    typeof fields['detail'] === 'string' &&
    ['by', 'message'].every((name) => ['string', 'undefined'].includes(typeof fields[name])) &&
    counts.every((count) => typeof count === 'number' && Number.isSafeInteger(count) && count >= 0) &&
    Array.isArray(parts) &&
    parts.length <= CHANGED_PARTS_KEPT &&
    parts.every((part) => typeof part === 'string')
  );
}
