/**
 * The publisher's durable store: releases in LMDB, one transaction each, on disk before anybody hears of them.
 *
 *   releases   [epoch, version] -> length of the delta u32 | signature 64 | manifest
 *   deltas     [epoch, version] -> delta from the release before
 *   snapshots  [epoch, version] -> snapshot of that release (a delta from nothing)
 *   meta       "head"           -> [epoch, version] as two u64
 *
 * A release costs its own delta. A snapshot is added when the deltas since the last one outweigh it or are many, so
 * that a start replays a bounded amount. LMDB has no checksums: whatever is loaded is replayed, digested and compared with the signed manifest before
 * it is used. DESIGN "Protocol in short", publisher.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  applyDelta,
  decodeManifest,
  hexOf,
  type Manifest,
  manifestHash,
  SIGNATURE_BYTES,
  STEPS_MAX,
  verifyRuleSet,
  verifySignature,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';
import { type Database, open, type RootDatabase } from 'lmdb';
import { dataFileFault } from './data-file.ts';
import type { Identity } from './identity.ts';

/** A release with everything that proves it. */
export interface Release {
  readonly ruleSet: RuleSet;
  readonly manifest: Manifest;
  /** As signed; never re-encoded. */
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly hash: Uint8Array;
}

/** What the store keeps of one release besides its rule set and its delta. */
interface StoredRelease {
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly deltaBytes: number;
}

/** Where a release stands in the store's order. */
type ReleaseKey = readonly [epoch: number, version: number];

/** The wire history: what of the stored releases a transfer can be made of. */
interface HistoryEntry {
  readonly key: ReleaseKey;
  readonly hash: string;
  readonly deltaBytes: number;
  readonly createdAtMs: number;
}

/** The store cannot be opened, read or written; nothing was changed. */
export class StoreError extends Error {
  readonly code = 'store';
}

export interface StoreOptions {
  /**
   * Deltas of old releases are kept up to this many bytes (default 256 MiB) and as far back as one transfer can reach,
   * and at least since the last snapshot.
   */
  readonly historyBytes?: number;
}

/** How many bytes of deltas may gather before a snapshot is worth its place, whatever its size. */
const SNAPSHOT_AFTER_BYTES = 1 << 20;
const HISTORY_BYTES = 256 * 2 ** 20;
/** The head, and as many before it as one transfer has deltas: nobody can be sent a longer chain. */
const HISTORY_RELEASES = STEPS_MAX + 1;

export class Store {
  private readonly root: RootDatabase<Uint8Array, string>;
  private readonly releases: Database<Uint8Array, number[]>;
  private readonly deltas: Database<Uint8Array, number[]>;
  private readonly snapshots: Database<Uint8Array, number[]>;
  private readonly historyLimitBytes: number;
  /** In order, oldest first; the last is the head. */
  private history: HistoryEntry[] = [];
  private deltaBytesSinceSnapshot = 0;
  private deltasSinceSnapshot = 0;
  private lastSnapshotBytes = 0;

  /** Opens or makes the store in a directory. Throws StoreError. */
  constructor(directory: string, options: StoreOptions = {}) {
    this.historyLimitBytes = options.historyBytes ?? HISTORY_BYTES;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const fault = dataFileFault(join(directory, 'data.mdb'));
      if (fault !== undefined)
        throw new Error(`${fault}; restore it from a backup, or move it away to start an empty store`);
      this.root = open<Uint8Array, string>({
        path: directory,
        encoding: 'binary',
        noSubdir: false,
        cache: false,
        overlappingSync: false, // a commit that returns is on disk
      });
      this.releases = this.root.openDB<Uint8Array, number[]>({ name: 'releases', encoding: 'binary' });
      this.deltas = this.root.openDB<Uint8Array, number[]>({ name: 'deltas', encoding: 'binary' });
      this.snapshots = this.root.openDB<Uint8Array, number[]>({ name: 'snapshots', encoding: 'binary' });
    } catch (cause) {
      throw new StoreError(`cannot open the store in ${directory}`, { cause });
    }
  }

  /**
   * Replays and verifies the head. Undefined where nothing was ever released. Throws StoreError where what is stored
   * is not what was signed by this identity.
   */
  load(identity: Identity): Release | undefined {
    const headBytes = this.root.get('head');
    if (headBytes === undefined) return undefined;
    const head = decodeKey(headBytes);
    this.history = [];
    try {
      for (const { key, value } of this.releases.getRange({})) {
        this.history.push(historyEntry(keyOf(key), decodeStored(value)));
      }
      return this.replay(head, identity);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StoreError(`release ${head.join('/')} in the store does not verify: ${reason}`, { cause });
    }
  }

  private replay(head: ReleaseKey, identity: Identity): Release {
    const start = this.lastSnapshotKey();
    let ruleSet: RuleSet = EMPTY_RULE_SET;
    if (start !== undefined) {
      const snapshot = this.bytesAt(this.snapshots, start);
      ruleSet = applyDelta(ruleSet, snapshot);
      this.lastSnapshotBytes = snapshot.length;
    }
    for (const entry of this.history) {
      if (start !== undefined && compareKeys(entry.key, start) <= 0) continue;
      ruleSet = applyDelta(ruleSet, this.bytesAt(this.deltas, entry.key));
      this.account(entry.deltaBytes);
    }
    const last = decodeStored(this.bytesAt(this.releases, head));
    const manifest = decodeManifest(last.manifestBytes);
    if (!Buffer.from(manifest.lineage).equals(identity.lineage)) {
      throw new StoreError('it is of another lineage: this store belongs to another identity file');
    }
    if (!verifySignature(last.manifestBytes, last.signature, identity.publicKey)) {
      throw new StoreError('it is not signed by this identity');
    }
    verifyRuleSet(manifest, ruleSet);
    return {
      ruleSet,
      manifest,
      manifestBytes: last.manifestBytes,
      signature: last.signature,
      hash: manifestHash(last.manifestBytes),
    };
  }

  /** Counts a delta that a load has to replay. The first of all is a snapshot: it starts from nothing. */
  private account(deltaBytes: number): void {
    if (this.lastSnapshotBytes === 0) {
      this.lastSnapshotBytes = deltaBytes;
      return;
    }
    this.deltaBytesSinceSnapshot += deltaBytes;
    this.deltasSinceSnapshot += 1;
  }

  /**
   * Adds a release as the new head, in one transaction, and resolves when it is on disk. `snapshot` is called only if
   * the store wants one. Throws StoreError; then the head is what it was.
   */
  async commit(release: Release, delta: Uint8Array, snapshot: () => Promise<Uint8Array>): Promise<void> {
    const { manifest, manifestBytes, signature } = release;
    const stored: StoredRelease = { manifestBytes, signature, deltaBytes: delta.length };
    const key: ReleaseKey = [manifest.epoch, manifest.version];
    const snapshotBytes = this.wantsSnapshot(delta.length) ? await snapshot() : undefined;
    const entry = historyEntry(key, stored);
    const pruned = this.prunable(entry, snapshotBytes === undefined ? this.lastSnapshotKey() : key);
    try {
      this.root.transactionSync(() => {
        this.checkHead();
        this.releases.put([...key], encodeStored(stored));
        this.deltas.put([...key], delta);
        if (snapshotBytes !== undefined) {
          for (const old of this.snapshots.getKeys({})) this.snapshots.remove(old);
          this.snapshots.put([...key], snapshotBytes);
        }
        for (const old of pruned) {
          this.releases.remove([...old.key]);
          this.deltas.remove([...old.key]);
        }
        this.root.put('head', encodeKey(key));
      });
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      throw new StoreError('cannot write the release to the store; is the disk full?', { cause });
    }
    this.history = [...this.history.slice(pruned.length), entry];
    if (snapshotBytes === undefined) this.account(delta.length);
    else {
      this.lastSnapshotBytes = snapshotBytes.length;
      this.deltaBytesSinceSnapshot = 0;
      this.deltasSinceSnapshot = 0;
    }
  }

  /** Throws StoreError, within a commit, if another process has written to the store: no version is given twice. */
  private checkHead(): void {
    const stored = this.root.get('head');
    const last = this.history.at(-1)?.key;
    const isOurs =
      stored === undefined
        ? last === undefined
        : last !== undefined && compareKeys(decodeKey(stored), last) === 0;
    if (!isOurs)
      throw new StoreError('another publisher writes to this store; stop it, then start this one again');
  }

  /** Whether the deltas since the last snapshot, with one more, outweigh it, or are more than the history keeps. */
  private wantsSnapshot(deltaBytes: number): boolean {
    if (this.history.length === 0) return false;
    const gathered = this.deltaBytesSinceSnapshot + deltaBytes;
    const outweigh = gathered > Math.max(SNAPSHOT_AFTER_BYTES, this.lastSnapshotBytes);
    return outweigh || this.deltasSinceSnapshot >= STEPS_MAX;
  }

  /** The oldest entries beyond the history limits, none of which a load needs. */
  private prunable(next: HistoryEntry, snapshotKey: ReleaseKey | undefined): readonly HistoryEntry[] {
    if (snapshotKey === undefined) return [];
    let bytes = next.deltaBytes;
    for (const entry of this.history) bytes += entry.deltaBytes;
    let count = 0;
    for (const entry of this.history) {
      const isWithin = bytes <= this.historyLimitBytes && this.history.length + 1 - count <= HISTORY_RELEASES;
      if (isWithin || compareKeys(entry.key, snapshotKey) >= 0) break;
      bytes -= entry.deltaBytes;
      count++;
    }
    return this.history.slice(0, count);
  }

  /**
   * The deltas from the release with that hash (hex) to the head, oldest first, or undefined where the history does
   * not reach back to it or they outweigh `limitBytes`.
   */
  chainFrom(hash: string, limitBytes: number): readonly Uint8Array[] | undefined {
    const from = this.history.findLastIndex((entry) => entry.hash === hash);
    if (from < 0) return undefined;
    const entries = this.history.slice(from + 1);
    let bytes = 0;
    for (const entry of entries) bytes += entry.deltaBytes;
    if (bytes > limitBytes) return undefined;
    return entries.map((entry) => this.bytesAt(this.deltas, entry.key));
  }

  /** The hash (hex) of the release that chains lead to; undefined before the first. */
  get headHash(): string | undefined {
    return this.history.at(-1)?.hash;
  }

  /** Whether the release with that hash (hex) is in the history. */
  knows(hash: string): boolean {
    return this.history.some((entry) => entry.hash === hash);
  }

  /** How many releases of the history are newer than one, and when the oldest of those was made. */
  newerThan(
    epoch: number,
    version: number,
  ): { readonly count: number; readonly sinceMs: number | undefined } {
    const newer = this.history.filter((entry) => compareKeys(entry.key, [epoch, version]) > 0);
    return { count: newer.length, sinceMs: newer[0]?.createdAtMs };
  }

  private lastSnapshotKey(): ReleaseKey | undefined {
    for (const key of this.snapshots.getKeys({ reverse: true, limit: 1 })) return keyOf(key);
    return undefined;
  }

  private bytesAt(database: Database<Uint8Array, number[]>, key: ReleaseKey): Uint8Array {
    const bytes = database.get([...key]);
    if (bytes === undefined) throw new StoreError(`release ${key.join('/')} is missing`);
    return Uint8Array.from(bytes); // what LMDB hands out may be reused by it
  }

  async close(): Promise<void> {
    await this.root.close();
  }
}

function historyEntry(key: ReleaseKey, stored: StoredRelease): HistoryEntry {
  const hash = hexOf(manifestHash(stored.manifestBytes));
  const { createdAtMs } = decodeManifest(stored.manifestBytes);
  return { key, hash, deltaBytes: stored.deltaBytes, createdAtMs };
}

function compareKeys(a: ReleaseKey, b: ReleaseKey): number {
  return a[0] - b[0] || a[1] - b[1];
}

function keyOf(key: readonly number[]): ReleaseKey {
  return [key[0] ?? 0, key[1] ?? 0];
}

function encodeKey(key: ReleaseKey): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(key[0]), 0);
  bytes.writeBigUInt64LE(BigInt(key[1]), 8);
  return bytes;
}

function decodeKey(bytes: Uint8Array): ReleaseKey {
  if (bytes.length !== 16) throw new StoreError('the head of the store is damaged');
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return [Number(view.readBigUInt64LE(0)), Number(view.readBigUInt64LE(8))];
}

function encodeStored(stored: StoredRelease): Uint8Array {
  const deltaBytes = Buffer.alloc(4);
  deltaBytes.writeUInt32LE(stored.deltaBytes);
  return Buffer.concat([deltaBytes, stored.signature, stored.manifestBytes]);
}

function decodeStored(bytes: Uint8Array): StoredRelease {
  const own = Uint8Array.from(bytes);
  const manifestAt = 4 + SIGNATURE_BYTES;
  if (own.length < manifestAt) throw new StoreError('a release in the store is damaged');
  return {
    deltaBytes: new DataView(own.buffer).getUint32(0, true),
    signature: own.subarray(4, manifestAt),
    manifestBytes: own.subarray(manifestAt),
  };
}
