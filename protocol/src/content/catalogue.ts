/**
 * The catalogue: a record of each part of a release, sorted, and cut into leaves like any other part. Its
 * digest and totals are what a manifest signs, and what a rule set is checked by. CONTENT.md "Catalogue".
 *
 *   RDC1 | count u32 | leaves u32 | hashes         leaf: RLC1 | count u32 | record …
 *   record   kind u8 | name text8 | count u32 | bytes u64 | digest 32
 */

import { atOnce, Pace, type Pieces, type RuleSet } from '@rulecast/rules';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import { canonicalLength } from './canonical.ts';
import { digestOf, leavesBy, root, sha256 } from './digest.ts';
import { byteKeys, cutSorted, LEAF_ENTRIES } from './leaf.ts';
import type { Manifest, ReleaseIdentity, Totals } from './manifest.ts';
import { comparePartIds, type Part, type PartId, PartKind, partCount, partsOf, partText } from './part.ts';

/** The record of one part in a release. */
export interface PartRecord extends PartId {
  /** As `partCount` counts. */
  readonly count: number;
  /** The length of its canonical bytes. */
  readonly bytes: number;
  /** 32 bytes. */
  readonly digest: Uint8Array;
}

export interface Catalogue extends Totals {
  /** By kind, then name. */
  readonly items: readonly Part[];
  /** The records of the parts, in the same order. */
  readonly records: readonly PartRecord[];
  /** 32 bytes. */
  readonly digest: Uint8Array;
}

/** Cached by rule set, which is immutable. */
const catalogues = new WeakMap<RuleSet, Catalogue>();

/**
 * The catalogue of a rule set, made once. Records of parts that are those of `before` are taken from there.
 */
export function catalogueOf(ruleSet: RuleSet, before?: RuleSet): Catalogue {
  return atOnce(cataloguePieces(ruleSet, before));
}

/** The same in pieces: the digests of ten thousand policies take half a second. */
export function* cataloguePieces(ruleSet: RuleSet, before?: RuleSet): Pieces<Catalogue> {
  const known = catalogues.get(ruleSet);
  if (known !== undefined) return known;
  const old = before === undefined ? undefined : catalogueOf(before);
  const catalogue = yield* made(partsOf(ruleSet), old);
  catalogues.set(ruleSet, catalogue);
  return catalogue;
}

/** The manifest of a rule set; what is known of `before`, which it was made of, is not computed again. */
export function manifestFor(ruleSet: RuleSet, identity: ReleaseIdentity, before?: RuleSet): Manifest {
  const { parts, prefixes, others, bytes, digest: catalogue } = catalogueOf(ruleSet, before);
  const { lineage, epoch, version, previousVersion, createdAtMs } = identity;
  return { lineage, epoch, version, previousVersion, createdAtMs, parts, prefixes, others, bytes, catalogue };
}

/**
 * Checks that a rule set, made from `before`, matches a manifest. Throws ProtocolError: `bad-rule-set` for
 * another number of parts, `bad-count` for other totals, `bad-digest` for another catalogue, with the part if
 * only one differs from `before`.
 */
export function verifyRuleSet(manifest: Manifest, ruleSet: RuleSet, before?: RuleSet): void {
  const catalogue = catalogueOf(ruleSet, before);
  checkTotals(manifest, catalogue);
  if (Buffer.compare(catalogue.digest, manifest.catalogue) === 0) return;
  const known = new Set(before && catalogueOf(before).records);
  const [part, ...others] = catalogue.records.filter((record) => !known.has(record));
  if (part !== undefined && others.length === 0) {
    const text = 'is not what the manifest says it is';
    throw new ProtocolError(ErrorCode.badDigest, text, { part: partText(part) });
  }
  throw new ProtocolError(ErrorCode.badDigest, 'the parts are not those of the manifest');
}

/** Whether totals are those of a manifest. Throws ProtocolError `bad-rule-set` or `bad-count`. */
export function checkTotals(manifest: Totals, totals: Totals): void {
  for (const key of ['parts', 'prefixes', 'others', 'bytes'] as const) {
    if (totals[key] === manifest[key]) continue;
    throw new ProtocolError(
      key === 'parts' ? ErrorCode.badRuleSet : ErrorCode.badCount,
      `${totals[key]} ${TOTAL_WORDS[key]} where the manifest says ${manifest[key]}`,
    );
  }
}

function* made(items: readonly Part[], old: Catalogue | undefined): Pieces<Catalogue> {
  const records: PartRecord[] = [];
  let at = 0;
  const pace = new Pace();
  for (const part of items) {
    if (pace.isOver) yield;
    pace.take(partCount(part));
    while (old !== undefined && at < old.items.length && comparePartIds(old.items[at]!, part) < 0) at++; // at < length
    const record = old?.records[at];
    const isThere = record !== undefined && comparePartIds(record, part) === 0;
    records.push(recordOf(part, isThere ? record : undefined, isThere ? old?.items[at] : undefined));
  }
  yield;
  return { items, records, ...totalsOf(records), digest: catalogueDigest(records) };
}

/** The record of a part: the very one it had, if nothing of it is another. */
function recordOf(part: Part, old: PartRecord | undefined, before: Part | undefined): PartRecord {
  const digest = digestOf(part, before);
  if (old !== undefined && Buffer.compare(old.digest, digest) === 0) return old;
  const { kind, name } = part;
  return { kind, name, count: partCount(part), bytes: canonicalLength(part), digest };
}

/** The sums of some records. */
export function totalsOf(records: readonly Omit<PartRecord, 'digest'>[]): Totals {
  let prefixes = 0;
  let others = 0;
  let bytes = 0;
  for (const record of records) {
    if (record.kind === PartKind.prefixList) prefixes += record.count;
    else others += record.count;
    bytes += record.bytes;
  }
  return { parts: records.length, prefixes, others, bytes };
}

/** The digest of sorted records. */
export function catalogueDigest(
  records: readonly PartRecord[],
  most: number = LEAF_ENTRIES.records,
): Uint8Array {
  const keys = byteKeys(records.length, (i) => recordKey(records[i]!)); // i < length
  const leaves = leavesBy(cutSorted(keys, most), (start, end) => leafHash(records.slice(start, end)));
  return root('RDC1', [records.length], [leaves]);
}

function leafHash(records: readonly PartRecord[]): Uint8Array {
  const writer = new ByteWriter(64 * records.length);
  writer.ascii('RLC1');
  writer.u32(records.length);
  for (const { kind, name, count, bytes, digest } of records) {
    writer.u8(kind);
    writer.shortText(name);
    writer.u32(count);
    writer.u64(bytes);
    writer.bytes(digest);
  }
  return sha256(writer.take());
}

function recordKey({ kind, name }: PartId): Uint8Array {
  return Buffer.from(`${String.fromCharCode(kind)}${name}`, 'latin1');
}

const TOTAL_WORDS = {
  parts: 'parts',
  prefixes: 'entries of prefix lists',
  others: 'rules and names',
  bytes: 'canonical bytes',
} as const satisfies Record<keyof Totals, string>;
