/**
 * The publisher's durable store: releases in LMDB, one transaction each, on disk before anybody hears of
 * them.
 *
 *   releases   [epoch, version] -> length and work of the delta, entries, rules: f64 each | signatures | manifest
 *   notes      [epoch, version] -> what made the release and what it changed, JSON; nothing depends on it
 *   deltas     [epoch, version] -> delta from the release before
 *   snapshots  [epoch, version] -> snapshot of that release (a delta from nothing)
 *   meta       "head"           -> [epoch, version] as two u64
 *              "begun"          -> [epoch of the first release, 1 if the store took the place of another], from
 *                                 when it was made
 *              "behind"         -> [epoch, version] that a subscriber proved and this store lacks; gone once
 *                                 it is here, or an epoch above it is open
 *              "behind keys"    -> ids of the release keys that signed that; none where nobody knows
 *              "after"          -> [epoch, version] of the last release of the store that was set aside for this one
 *              "rules"          -> what was taken last of the rules file, and which parts that gave it, JSON
 *              "blocks"         -> the rows of blocks/, JSON; absent: none
 *              "form"           -> the form that all of this is in
 *              "changed"        -> f64 each: epoch and version of the head, and by part of the head, in the
 *                                 catalogue's order, the version that gave it its content
 *              "changed PART"   -> such rows, one a part, an older program has left; they go with the next commit
 *   subscribers  name           -> what is known of it, JSON; nothing depends on it
 *
 * A release costs its own delta. A snapshot is added when the deltas since the last one outweigh two or are
 * many, so that a bounded amount is replayed. The same deltas are the chains that are sent, kept by bytes,
 * and with the snapshots the history, kept by age, from which any release kept is rebuilt (retention.ts).
 * LMDB has no checksums: whatever is loaded or rebuilt is digested and compared with its signed manifest
 * before it is used. Within a transaction nobody awaits what a single write gives: it settles with the
 * transaction, whose own outcome is what is looked at.
 *
 *   snapshot ─▶ delta ─▶ release …  snapshot ─▶ delta ─▶ [ release ─▶ release ─▶ snapshot, release ─▶
 * release = head ]   └─ the last of a day or week    └─ kept as long as a release needs them      └─ what is
 * sent; all are listed and rolled back to
 *
 * docs/explain/design.md "The publisher".
 */

import type { Identity } from '@rulecast/program/identity';
import {
  type Catalogue,
  capabilitiesFor,
  catalogueOf,
  cataloguePieces,
  decodeManifest,
  deltaPieces,
  entriesIn,
  hexOf,
  KEY_ID_BYTES,
  type Manifest,
  manifestHash,
  type PartId,
  PartKind,
  ProtocolError,
  partText,
  stepWorkLeast,
  type Totals,
  verifyRuleSet,
} from '@rulecast/protocol';
import { atOnce, EMPTY_RULE_SET, type Pieces, type RuleSet } from '@rulecast/rules';
import type { SessionRelease } from '@rulecast/sessions';
import { baseOf } from '../blocks/compile.ts';
import { decodeRows, encodeRows, type Rows } from '../blocks/rows.ts';
import { type Database, type Databases, openDatabases } from './databases.ts';
import { FORM, formFault, type StoreLegacy } from './form.ts';
import { PartVersions } from './part-versions.ts';
import { gapsOf, ReleaseIndex } from './release-index.ts';
import { Replay } from './replay.ts';
import { type Retention, retained, retentionOf, type StoreOptions } from './retention.ts';
import {
  compareKeys,
  decodeChanged,
  decodeKey,
  decodeNotes,
  decodeStored,
  encodeChanged,
  encodeKey,
  encodeNotes,
  encodeStored,
  type HistoryEntry,
  historyEntry,
  keyOf,
  ownManifest,
  type ReleaseKey,
  type ReleaseNotes,
  type StoredRelease,
  StoreError,
} from './stored.ts';
import { decodeTaken, encodeTaken, partsContent, type TakenRules } from './taken-rules.ts';

export type { StoreOptions } from './retention.ts';
export { type ReleaseNotes, StoreError } from './stored.ts';

/** A release with everything that proves it. */
export interface Release extends SessionRelease {
  readonly ruleSet: RuleSet;
}

/** A release that is kept, without its content. */
export interface PastRelease {
  readonly manifest: Manifest;
  /** Hex. */
  readonly hash: string;
  readonly deltaBytes: number;
  /** The number of entries of all lists, or of rules of all policies. */
  readonly entries: number;
  readonly rules: number;
  readonly notes: ReleaseNotes;
}

/** Everything that a release is rebuilt from. Plain data, for a worker thread. */
export interface ReleaseRecipe {
  readonly version: number;
  /** A snapshot first, or the first delta of all; the release last. */
  readonly deltas: readonly Uint8Array[];
  readonly manifestBytes: Uint8Array;
}

/** Rows written in the transaction of a release. */
export interface NotedWithRelease {
  /** The note about the rules file. */
  readonly taken?: TakenRules | undefined;
  /** Absent: as they are. */
  readonly rows?: Rows | undefined;
}

/** Stores the records of subscribers, by name. */
export interface SubscriberStore {
  storedSubscribers(): Iterable<readonly [string, string]>;
  /** Resolves when it is on disk; undefined removes one. */
  storeSubscribers(changed: ReadonlyMap<string, string | undefined>): Promise<void>;
}

/** The key ids in a sequence of them. */
const KEY_ID = new RegExp(`.{${2 * KEY_ID_BYTES}}`, 'g');

export class Store implements SubscriberStore {
  readonly #databases: Databases;
  readonly #limits: Retention;
  #index = new ReleaseIndex();
  #parts = new PartVersions();
  #taken: TakenRules | undefined | 'unread' = 'unread';
  /** The catalogue of the head's pushed part. */
  #pushed: Catalogue | undefined;
  #rows: Rows | undefined;
  /** Cache of `hasTakenParts`, which each status asks for. */
  #compared: { readonly head: Catalogue; readonly taken: TakenRules; readonly isSame: boolean } | undefined;
  /** Some of the parts' versions are in rows of their own still. */
  #hasChangedRows = false;
  #damagedCount = 0;
  readonly #replayed = new Replay();

  /** Opens or makes the store in a directory. Throws StoreError. */
  constructor(directory: string, options: StoreOptions = {}, openAt = openDatabases) {
    this.#limits = retentionOf(options);
    try {
      this.#databases = openAt(directory);
    } catch (cause) {
      throw new StoreError(`cannot open the store in ${directory}`, { cause });
    }
    const fault = this.isNew ? undefined : formFault(this.#databases.meta, directory);
    if (fault === undefined) return;
    void this.#databases.close();
    throw new StoreError(fault);
  }

  /** Size on disk; undefined if that is unknown. */
  get bytes(): number | undefined {
    return this.#databases.bytes;
  }

  /** Whether nothing was ever written to it. */
  get isNew(): boolean {
    return this.firstEpoch === undefined && !this.hasReleases;
  }

  get hasReleases(): boolean {
    return this.#databases.meta.get('head') !== undefined;
  }

  /**
   * Marks a new store as one that has begun, and whose first release opens that epoch; `isOver`: for an
   * identity that had another store. On disk when it returns. Throws StoreError.
   */
  begin(epoch: number, isOver = false): void {
    this.#putMeta({ begun: encodeKey([epoch, isOver ? 1 : 0]) });
  }

  /** Likewise, to go on in the epoch of the store that was set aside, above its last release. */
  beginAfter(legacy: StoreLegacy): void {
    const [epoch] = decodeKey(legacy.after);
    this.#putMeta({ ...legacy, begun: encodeKey([epoch, 1]) });
  }

  /** The last release of the store that was set aside for this one; undefined where none was. */
  get after(): ReleaseKey | undefined {
    const bytes = this.#databases.meta.get('after');
    return bytes === undefined ? undefined : decodeKey(bytes);
  }

  /**
   * Whether it was begun for an identity that had released before, and has no release yet. A store older than
   * this flag is recognised by its epoch.
   */
  get isStartedOver(): boolean {
    const begun = this.#databases.meta.get('begun');
    if (begun === undefined || this.hasReleases) return false;
    const [epoch, isOver] = decodeKey(begun);
    return epoch > 1 || isOver !== 0;
  }

  /** The epoch that the first release opens; undefined before the store has begun. */
  get firstEpoch(): number | undefined {
    const begun = this.#databases.meta.get('begun');
    return begun === undefined ? undefined : decodeKey(begun)[0] || undefined;
  }

  /** The newest release that was proved and is not here; undefined if there is none. */
  get behind(): ReleaseKey | undefined {
    const bytes = this.#databases.meta.get('behind');
    return bytes === undefined ? undefined : decodeKey(bytes);
  }

  /** Ids of the keys that signed it, hex; undefined if they are unknown. */
  get behindKeys(): readonly string[] | undefined {
    const bytes = this.#databases.meta.get('behind keys');
    return bytes === undefined ? undefined : (hexOf(bytes).match(KEY_ID) ?? []);
  }

  /**
   * Notes a release that was proved, by the keys that signed it, and is not here; on disk when it returns.
   * Throws StoreError.
   */
  noteBehind(key: ReleaseKey, keys?: readonly string[]): void {
    this.#putMeta({ behind: encodeKey(key), 'behind keys': keys && Buffer.from(keys.join(''), 'hex') });
  }

  /** The rules file's content released last; undefined if there is none, or if the note is damaged. */
  get takenRules(): TakenRules | undefined {
    if (this.#taken === 'unread') this.#taken = decodeTaken(this.#databases.meta.get('rules'));
    return this.#taken;
  }

  /** Whether the head has the parts of the rules file as they were when it was taken. */
  get hasTakenParts(): boolean {
    const [taken, head] = [this.takenRules, this.#pushed];
    if (taken?.content === undefined || head === undefined) return true;
    if (this.#compared?.head !== head || this.#compared.taken !== taken)
      this.#compared = { head, taken, isSame: partsContent(head, taken.parts) === taken.content };
    return this.#compared.isSame;
  }

  /** Stores the note on the rules file when no release goes with it. Throws StoreError. */
  noteRules(taken: TakenRules | undefined): void {
    if (taken === undefined && this.takenRules === undefined) return;
    const whole = taken && withContent(taken, this.#pushed);
    this.#putMeta({ rules: whole && encodeTaken(whole) });
    this.#taken = whole;
  }

  /** The rows of blocks/. Throws StoreError where they are damaged. */
  get rows(): Rows {
    if (this.#rows !== undefined) return this.#rows;
    try {
      this.#rows = decodeRows(this.#databases.meta.get('blocks'));
    } catch (cause) {
      throw new StoreError('the rows of rulectl blocks are damaged in the store: restore it from a backup', {
        cause,
      });
    }
    return this.#rows;
  }

  /** Writes rows where that makes no release. Throws StoreError. */
  putRows(rows: Rows): void {
    this.#putMeta({ blocks: encodeRows(rows) });
    this.#rows = rows;
  }

  #putMeta(values: Readonly<Record<string, Uint8Array | undefined>>): void {
    const { meta } = this.#databases;
    try {
      this.#databases.transactionSync(() => {
        void meta.put('form', FORM);
        for (const [name, value] of Object.entries(values))
          void (value === undefined ? meta.remove(name) : meta.put(name, value));
      });
    } catch (cause) {
      throw new StoreError('cannot write to the store; is the disk full?', { cause });
    }
  }

  /** The index of the kept releases. */
  get index(): ReleaseIndex {
    return this.#index;
  }

  // ── Load ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Replays and verifies the head. Undefined if nothing was ever released. Throws StoreError if the stored
   * bytes are not those that this identity signed. A damaged older release is left out: only a rollback to it
   * needs it, and a subscriber that holds it is sent a snapshot.
   */
  load(identity: Identity): Release | undefined {
    return atOnce(this.loadPieces(identity));
  }

  /** The same in pieces: a million names take seconds. */
  *loadPieces(identity: Identity): Pieces<Release | undefined> {
    // Find damage in these rows now, and not in a session.
    for (const name of ['begun', 'behind', 'after'])
      decodeKey(this.#databases.meta.get(name) ?? encodeKey([0, 0]));
    void this.rows;
    const headBytes = this.#databases.meta.get('head');
    if (headBytes === undefined) return undefined;
    const head = decodeKey(headBytes);
    try {
      // Copied one by one, as LMDB may reuse the memory of its values.
      const all = Array.from(this.#databases.releases.getRange({}), ({ key, value }) =>
        readEntry(keyOf(key), value),
      );
      const history = all.filter((entry) => entry !== undefined);
      this.#damagedCount = all.length - history.length;
      this.#index = new ReleaseIndex(history);
      if (this.#index.head === undefined || compareKeys(this.#index.head.key, head) !== 0) {
        throw new StoreError('it is not the newest release there');
      }
      return yield* this.#replay(head, identity);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StoreError(`release ${head.join('/')} in the store does not verify: ${reason}`, { cause });
    }
  }

  /** Releases of the history that were damaged when it was loaded. */
  get damagedCount(): number {
    return this.#damagedCount;
  }

  *#replay(head: ReleaseKey, identity: Identity): Pieces<Release> {
    const { deltas, startsFromSnapshot } = this.#deltasTo(head);
    const ruleSet = yield* deltaPieces(EMPTY_RULE_SET, deltas);
    for (const [i, delta] of deltas.entries()) {
      if (i === 0 && startsFromSnapshot) this.#replayed.addSnapshot(delta.length);
      else this.#replayed.addDelta(delta.length);
    }
    const last = decodeStored(this.#bytesAt(this.#databases.releases, head));
    const manifest = ownManifest(last, identity);
    const catalogue = yield* cataloguePieces(ruleSet);
    verifyRuleSet(manifest, ruleSet);
    this.#parts = new PartVersions(catalogue, this.#storedVersions(head, catalogue.records));
    this.#pushed = yield* cataloguePieces(baseOf(ruleSet), ruleSet);
    return {
      ruleSet,
      manifest,
      manifestBytes: last.manifestBytes,
      signatures: last.signatures,
      hash: manifestHash(last.manifestBytes),
      capabilities: capabilitiesFor(ruleSet),
    };
  }

  #storedVersions(head: ReleaseKey, records: Catalogue['records']): Float64Array {
    const { meta } = this.#databases;
    const changed = decodeChanged(meta.get('changed'), head, records.length);
    this.#hasChangedRows = changed === undefined;
    if (changed !== undefined) return changed;
    return Float64Array.from(records, (part) => {
      const row = meta.get(changedKey(part));
      return row === undefined ? head[1] : decodeKey(row)[1];
    });
  }

  /** The newest snapshot up to a release and the deltas from there to it, or all deltas up to it. */
  #deltasTo(key: ReleaseKey): {
    readonly deltas: readonly Uint8Array[];
    readonly startsFromSnapshot: boolean;
  } {
    const start = this.#snapshotUpTo(key);
    const deltas = start === undefined ? [] : [this.#bytesAt(this.#databases.snapshots, start)];
    for (const entry of this.#databases.deltas.getRange(start === undefined ? {} : { start: [...start] })) {
      const at = keyOf(entry.key);
      if (start !== undefined && compareKeys(at, start) === 0) continue;
      if (compareKeys(at, key) > 0) break;
      deltas.push(Uint8Array.from(entry.value)); // LMDB may reuse the memory of its values
    }
    return { deltas, startsFromSnapshot: start !== undefined };
  }

  // ── Commit ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds a release as the new head, in one transaction, and resolves when it is on disk. `snapshot` is called
   * only if the store wants one; `taken` is noted with it, where the rules file made it, and `rows`, where
   * they change. Throws StoreError; then the head is what it was.
   */
  async commit(
    release: Release,
    delta: Uint8Array,
    notes: ReleaseNotes,
    snapshot: () => Promise<Uint8Array>,
    { taken, rows = this.rows }: NotedWithRelease = {},
  ): Promise<void> {
    const { manifest, manifestBytes, signatures } = release;
    const key: ReleaseKey = [manifest.epoch, manifest.version];
    const catalogue = catalogueOf(release.ruleSet);
    const stored: StoredRelease = {
      manifestBytes,
      signatures,
      deltaBytes: delta.length,
      stepWork: stepWorkLeast(this.#parts.catalogue, catalogue),
      ...countsOf(catalogue),
    };
    const parts = this.#parts.next(catalogue, key, this.#index.head?.key);
    const oldRows = this.#hasChangedRows ? (this.#parts.catalogue?.records ?? []) : [];
    const pushed = catalogueOf(baseOf(release.ruleSet), release.ruleSet);
    const isDue = this.#replayed.wantsSnapshot(delta.length, entriesIn(manifest));
    const snapshotBytes = isDue ? await snapshot() : undefined;
    const history = [...this.#index.entries, historyEntry(key, stored, manifest)];
    const kept = retained(history, manifest.createdAtMs, this.#limits);
    const keyBytes = encodeKey(key);
    const whole = taken && withContent(taken, pushed);
    try {
      this.#databases.transactionSync(() => {
        this.#checkHead();
        void this.#databases.releases.put([...key], encodeStored(stored));
        void this.#databases.notes.put([...key], encodeNotes(notes));
        void this.#databases.deltas.put([...key], delta);
        if (snapshotBytes !== undefined) void this.#databases.snapshots.put([...key], snapshotBytes);
        this.#prune(history, kept);
        for (const part of oldRows) void this.#databases.meta.remove(changedKey(part));
        void this.#databases.meta.put('changed', encodeChanged(key, parts.versions));
        if (whole !== undefined) void this.#databases.meta.put('rules', encodeTaken(whole));
        if (rows !== this.rows) void this.#databases.meta.put('blocks', encodeRows(rows));
        void this.#databases.meta.put('form', FORM);
        void this.#databases.meta.put('head', keyBytes);
        if (this.behind !== undefined && compareKeys(this.behind, key) <= 0)
          void this.#databases.meta.remove('behind');
      });
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      throw new StoreError('cannot write the release to the store; is the disk full?', { cause });
    }
    this.#index = new ReleaseIndex(kept);
    this.#parts = parts;
    this.#pushed = pushed;
    this.#rows = rows;
    if (whole !== undefined) this.#taken = whole;
    this.#hasChangedRows = false;
    if (snapshotBytes === undefined) this.#replayed.addDelta(delta.length);
    else this.#replayed.addSnapshot(snapshotBytes.length);
  }

  /** The version that gave a part of the head its content; of a new epoch it is that of the epoch's first. */
  changedVersionOf(part: PartId): number {
    return this.#parts.of(part) ?? this.#index.head?.key[1] ?? 0;
  }

  /**
   * Throws StoreError, within a commit, if another process has written to the store: no version is given
   * twice.
   */
  #checkHead(): void {
    const stored = this.#databases.meta.get('head');
    const last = this.#index.head?.key;
    const isOurs =
      stored === undefined
        ? last === undefined
        : last !== undefined && compareKeys(decodeKey(stored), last) === 0;
    if (!isOurs)
      throw new StoreError('another publisher writes to this store; stop it, then start this one again');
  }

  /**
   * Within a commit: removes releases that are kept no more, and the snapshots and deltas that nothing kept
   * needs.
   */
  #prune(history: readonly HistoryEntry[], kept: readonly HistoryEntry[]): void {
    if (kept.length === history.length) return;
    const keeping = new Set(kept);
    for (const entry of history) {
      if (keeping.has(entry)) continue;
      void this.#databases.releases.remove([...entry.key]);
      void this.#databases.notes.remove([...entry.key]);
    }
    for (const [from, to] of gapsOf(kept)) this.#pruneGap(from, to);
  }

  /**
   * Removes the releases between a kept one, or the beginning, and the snapshot from which the next kept one
   * is rebuilt.
   */
  #pruneGap(from: ReleaseKey | undefined, to: ReleaseKey): void {
    const start = this.#snapshotUpTo(to);
    if (start === undefined || (from !== undefined && compareKeys(start, from) <= 0)) return;
    const range = from === undefined ? { end: [...start] } : { start: [...from], end: [...start] };
    const isBetween = (key: number[]): boolean => from === undefined || compareKeys(keyOf(key), from) > 0;
    for (const database of [this.#databases.snapshots, this.#databases.deltas]) {
      for (const key of [...database.getKeys(range)]) if (isBetween(key)) void database.remove(key);
    }
    void this.#databases.deltas.remove([...start]);
  }

  // ── Chains ───────────────────────────────────────────────────────────────────────────────────────────────

  /** The deltas of ReleaseIndex.stepsFrom, oldest first. */
  chainFrom(hash: string, limitBytes: number): readonly Uint8Array[] | undefined {
    const steps = this.#index.stepsFrom(hash, limitBytes);
    return steps?.map(({ key }) => this.#bytesAt(this.#databases.deltas, key));
  }

  // ── History ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Every release kept, the newest first; of the state in which the iteration began. */
  *pastReleases(): Generator<PastRelease> {
    for (const { key, hash, deltaBytes } of this.#index.entries.toReversed()) {
      const stored = this.#databases.releases.get([...key]);
      if (stored === undefined) return; // pruned meanwhile, and so is what is older
      const { manifestBytes, entries, rules } = decodeStored(stored);
      const notes = decodeNotes(this.#databases.notes.get([...key]));
      yield { manifest: decodeManifest(manifestBytes), hash, deltaBytes, entries, rules, notes };
    }
  }

  /**
   * The recipe of a version; undefined if there never was one, or it is no longer kept. Throws StoreError.
   */
  recipe(version: number): ReleaseRecipe | undefined {
    return this.#recipe(this.#index.ofVersion(version));
  }

  /** The same of the release with that hash (hex). */
  recipeOf(hash: string): ReleaseRecipe | undefined {
    return this.#recipe(this.#index.ofHash(hash));
  }

  #recipe(entry: HistoryEntry | undefined): ReleaseRecipe | undefined {
    if (entry === undefined) return undefined;
    const { manifestBytes } = decodeStored(this.#bytesAt(this.#databases.releases, entry.key));
    return { version: entry.key[1], deltas: this.#deltasTo(entry.key).deltas, manifestBytes };
  }

  /** The newest snapshot, with the hash (hex) and totals of its release; undefined if there is none. */
  newestSnapshot():
    | { readonly hash: string; readonly totals: Totals; readonly bytes: Uint8Array }
    | undefined {
    const head = this.#index.head?.key;
    const key = head && this.#snapshotUpTo(head);
    const entry = key && this.#index.entries.findLast((one) => compareKeys(one.key, key) === 0);
    if (key === undefined || entry === undefined) return undefined; // its release was pruned
    return { hash: entry.hash, totals: entry.totals, bytes: this.#bytesAt(this.#databases.snapshots, key) };
  }

  /** The key of the newest snapshot that is not newer than a release. */
  #snapshotUpTo(key: ReleaseKey): ReleaseKey | undefined {
    for (const found of this.#databases.snapshots.getKeys({ start: [...key], reverse: true, limit: 1 })) {
      return keyOf(found);
    }
    return undefined;
  }

  #bytesAt(database: Database<Uint8Array, number[]>, key: ReleaseKey): Uint8Array {
    const bytes = database.get([...key]);
    if (bytes === undefined) throw new StoreError(`release ${key.join('/')} is missing`);
    return Uint8Array.from(bytes); // LMDB may reuse the memory of its values
  }

  // ── Subscribers ──────────────────────────────────────────────────────────────────────────────────────────

  *storedSubscribers(): Generator<readonly [string, string]> {
    for (const { key, value } of this.#databases.subscribers.getRange({})) yield [key, value];
  }

  async storeSubscribers(changed: ReadonlyMap<string, string | undefined>): Promise<void> {
    await this.#databases.transaction(() => {
      for (const [name, text] of changed) {
        if (text === undefined) void this.#databases.subscribers.remove(name);
        else void this.#databases.subscribers.put(name, text);
      }
    });
  }

  // ── Reports ──────────────────────────────────────────────────────────────────────────────────────────────

  /** The stored reports by name, at most `most`, after the name `after`. */
  storedReports(after: string, most: number): readonly (readonly [string, Uint8Array])[] {
    const some = this.#databases.reports.getRange({ start: after, limit: most + 1 });
    return Array.from(some, ({ key, value }) => [key, Uint8Array.from(value)] as const).filter(
      ([name]) => name !== after,
    );
  }

  async storeReports(changed: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
    const { reports } = this.#databases;
    await this.#databases.transaction(() => {
      for (const [name, row] of changed)
        void (row === undefined ? reports.remove(name) : reports.put(name, row));
    });
  }

  async close(): Promise<void> {
    await this.#databases.close();
  }
}

/** A stored release; undefined if it is damaged, or under another release's number. */
function readEntry(key: ReleaseKey, value: Uint8Array): HistoryEntry | undefined {
  try {
    const stored = decodeStored(value);
    const manifest = decodeManifest(stored.manifestBytes);
    const isThis = compareKeys([manifest.epoch, manifest.version], key) === 0;
    return isThis ? historyEntry(key, stored, manifest) : undefined;
  } catch (error) {
    if (error instanceof StoreError || error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function changedKey(part: PartId): string {
  return `changed ${partText(part)}`;
}

/** The number of entries in all lists, and of rules in all policies. */
function countsOf({ records }: Catalogue): { readonly entries: number; readonly rules: number } {
  let entries = 0;
  let rules = 0;
  for (const { kind, count } of records) {
    if (kind === PartKind.policy) rules += count;
    else if (kind === PartKind.prefixList || kind === PartKind.nameList) entries += count;
  }
  return { entries, rules };
}

/** The note with the digest of its parts now, unless it has one. */
function withContent(taken: TakenRules, catalogue: Catalogue | undefined): TakenRules {
  return { ...taken, content: taken.content ?? (catalogue && partsContent(catalogue, taken.parts)) };
}
