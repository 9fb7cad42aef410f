/**
 * Bodies of changes: a whole part (put), or the change of its content (patch). CONTENT.md "Delta and
 * snapshot".
 *
 *   put    prefix list   v4 column | v6 column
 *          name list     packed: resolve u8 | keys
 *          policy        packed canonical bytes, but columns of runs as planes
 *          resolutions   packed canonical bytes
 *          unmatched     action u8
 *   patch  prefix list   v4 removed indices | v4 added column | v6 removed indices | v6 added column
 *          name list     packed: resolve u8 | removed indices | added keys
 *          policy        packed: flags u8 | (base u8, prefix set) | egress splices | ingress splices
 *                        | (egress, ingress splices of the exceptions)
 *          resolutions   packed: count u32 | (length u8, name, present u8, prefix set if present)…
 *          unmatched     none: it is put
 */

import {
  applyPrefixesDelta,
  compareHostNames,
  comparePrefixAt,
  compareWordsAt,
  containsAt,
  type DirectedRuns,
  type Family,
  isCanonical,
  type NameList,
  type Policy,
  type Prefixes,
  type PrefixesDelta,
  type PrefixList,
  type PrefixSet,
  strideOf,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { type PartBounds, uncountedOf } from '../content/budget.ts';
import { canonicalBytes, decodeCanonical, readFlag, travelBytes } from '../content/canonical.ts';
import { type Part, type PartId, PartKind, partCount, type Resolutions } from '../content/part.ts';
import { RuleBounds, readAction, readBase, readHostName, writeAction, writeBase } from '../content/policy.ts';
import { PLANE_COLUMNS, readPrefixSet, writePrefixSet } from '../content/prefix.ts';
import { Work } from '../content/work.ts';
import { ErrorCode } from '../error.ts';
import { readEntries, readIndices, writeEntries, writeSequence } from './entry.ts';
import { readNameEdit, readNameList, writeNameEdit, writeNameList } from './name-list.ts';
import { PackLevel, pack, unpack } from './packed.ts';
import { type PartEdits, sameHeader } from './part-edits.ts';
import { applySplices, writeSplices } from './rule-splice.ts';

/** Bits in the first byte of a policy's patch; the others are zero. */
const PolicyPatchFlag = { header: 1, exceptions: 2 } as const;
const POLICY_PATCH_FLAGS = 3;

/** A name of one character after its length, and whether it is present. */
const RESOLUTION_LEAST_BYTES = 3;

/** Looking up one prefix costs about as much as walking past so many. */
const LOOKUP_COST = 64;

/**
 * The weight of a part against the limit of a release: entries, rules, and the addresses that come with them.
 */
export function partWeight(part: Part): number {
  return partCount(part) + uncountedOf(part);
}

export function putBody(part: Part): Uint8Array {
  if (part.kind === PartKind.policy) return pack(travelBytes(part.policy));
  if (part.kind === PartKind.resolutions) return pack(canonicalBytes(part));
  const writer = new ByteWriter();
  if (part.kind === PartKind.unmatched) writeAction(writer, part.unmatched);
  else if (part.list.kind === 'prefixes') {
    writeEntries(writer, part.list.v4);
    writeEntries(writer, part.list.v6);
  } else {
    writeNameList(writer, part.list);
    return pack(writer.take(), PackLevel.names);
  }
  return writer.take();
}

/** Reads a put part, as far as there is room for it. Reads all of `reader`. */
export function readPut(reader: ByteReader, id: PartId, bounds: PartBounds): Part {
  switch (id.kind) {
    case PartKind.prefixList: {
      const v4 = readEntries(reader, 4, bounds);
      const v6 = readEntries(reader, 6, withEntries(bounds, bounds.entries - v4.lengths.length));
      return { kind: id.kind, name: id.name, list: { kind: 'prefixes', v4, v6 } };
    }
    case PartKind.nameList: {
      const raw = unpack(reader, bounds);
      const list = readNameList(raw, bounds);
      raw.end();
      return { kind: id.kind, name: id.name, list };
    }
    case PartKind.policy:
    case PartKind.resolutions: {
      const raw = unpack(reader, bounds);
      return decodeCanonical(id, raw.bytes(raw.remaining), PLANE_COLUMNS, ruleBounds(bounds));
    }
    case PartKind.unmatched:
      return { kind: id.kind, name: '', unmatched: readAction(reader) };
  }
}

function withEntries(bounds: PartBounds, entries: number): PartBounds {
  return { ...bounds, entries };
}

function ruleBounds({ entries, meter, code }: PartBounds): RuleBounds {
  return new RuleBounds(entries, meter, code);
}

/** The body of a patch; undefined where the part can only be put. */
export function patchBody(before: Part, after: Part, edits: PartEdits): Uint8Array | undefined {
  const writer = new ByteWriter();
  switch (edits.kind) {
    case 'prefixes':
      for (const { removed, added } of [edits.v4, edits.v6]) {
        writeSequence(writer, removed, 1);
        writeEntries(writer, added);
      }
      return writer.take();
    case 'names':
      if (!('list' in after) || after.list.kind !== 'names') return undefined;
      writeNameEdit(writer, edits, after.list.resolve);
      return pack(writer.take(), PackLevel.names);
    case 'policy':
      if ('policy' in before && 'policy' in after)
        writePolicyPatch(writer, before.policy, after.policy, edits);
      return pack(writer.take());
    case 'resolutions':
      writer.u32(edits.changes.length);
      for (const [name, set] of edits.changes) {
        writer.shortText(name);
        writer.u8(set === undefined ? 0 : 1);
        if (set !== undefined) writePrefixSet(writer, set);
      }
      return pack(writer.take());
    case 'unmatched':
      return undefined;
  }
}

function writePolicyPatch(
  writer: ByteWriter,
  before: Policy,
  after: Policy,
  { exceptions, egress, ingress }: PartEdits & { readonly kind: 'policy' },
): void {
  const hasHeader = !sameHeader(before, after);
  const hasExceptions = exceptions.egress.length + exceptions.ingress.length > 0;
  writer.u8((hasHeader ? PolicyPatchFlag.header : 0) | (hasExceptions ? PolicyPatchFlag.exceptions : 0));
  if (hasHeader) {
    writeBase(writer, after);
    writePrefixSet(writer, after.prefixes);
  }
  writeSplices(writer, egress);
  writeSplices(writer, ingress);
  if (!hasExceptions) return;
  writeSplices(writer, exceptions.egress);
  writeSplices(writer, exceptions.ingress);
}

/** The change of a patched list of prefixes, for both families. */
export interface ListPatch {
  readonly before: PrefixList;
  readonly after: PrefixList;
  readonly v4: PrefixesDelta;
  readonly v6: PrefixesDelta;
}

/** Called for each patched list of prefixes, once the result is known to be valid. */
export type OnListPatch = (name: string, patch: ListPatch) => void;

/**
 * The part that a patch makes of `before`, as far as there is room for it. Reads all of `reader`, or of its
 * packed content.
 */
export function readPatch(
  reader: ByteReader,
  before: Part,
  bounds: PartBounds,
  onListPatch: OnListPatch | undefined,
): Part {
  switch (before.kind) {
    case PartKind.prefixList:
    case PartKind.nameList: {
      const { kind, name, list } = before;
      const patched =
        list.kind === 'names'
          ? patchedNames(reader, list, bounds)
          : patchedPrefixes(reader, list, bounds, (patch) => onListPatch?.(name, patch));
      return { kind, name, list: patched };
    }
    case PartKind.policy: {
      const raw = unpack(reader, bounds);
      const policy = patchedPolicy(raw, before.policy, ruleBounds(bounds));
      raw.end();
      return { kind: before.kind, name: before.name, policy };
    }
    case PartKind.resolutions: {
      const raw = unpack(reader, bounds);
      const resolutions = patchedResolutions(raw, before.resolutions, ruleBounds(bounds));
      raw.end();
      return { kind: before.kind, name: '', resolutions };
    }
    case PartKind.unmatched:
      throw reader.error('a patch of what can only be put');
  }
}

function patchedNames(reader: ByteReader, before: NameList, bounds: PartBounds): NameList {
  const raw = unpack(reader, bounds);
  const list = readNameEdit(raw, before, bounds);
  raw.end();
  return list;
}

function patchedPrefixes(
  reader: ByteReader,
  before: PrefixList,
  bounds: PartBounds,
  onPatch: (patch: ListPatch) => void,
): PrefixList {
  const delta4 = readColumnDelta(reader, before.v4, bounds);
  const v4 = patchedColumn(reader, before.v4, delta4);
  const delta6 = readColumnDelta(reader, before.v6, withEntries(bounds, bounds.entries - v4.lengths.length));
  const v6 = patchedColumn(reader, before.v6, delta6);
  if (isIdle(delta4) && isIdle(delta6)) throw reader.error('a patch that changes nothing');
  const after: PrefixList = { kind: 'prefixes', v4, v6 };
  onPatch({ before, after, v4: delta4, v6: delta6 });
  return after;
}

function readColumnDelta(reader: ByteReader, before: Prefixes, bounds: PartBounds): PrefixesDelta {
  const family: Family = before.family;
  const removed = readIndices(reader, before.lengths.length, bounds.meter);
  const rest = boundsBeside(reader, before.lengths.length - removed.length, bounds);
  return { removed, added: readEntries(reader, family, rest) };
}

/** The room left beside the entries that are kept. */
function boundsBeside(reader: ByteReader, keptCount: number, bounds: PartBounds): PartBounds {
  const left = bounds.entries - keptCount;
  if (left < 0)
    throw reader.error(`more entries are kept than ${bounds.entries}, the most`, undefined, bounds.code);
  return withEntries(bounds, left);
}

function isIdle(delta: PrefixesDelta): boolean {
  return delta.removed.length === 0 && delta.added.lengths.length === 0;
}

function patchedColumn(reader: ByteReader, before: Prefixes, delta: PrefixesDelta): Prefixes {
  if (isIdle(delta)) return before;
  const column = applyPrefixesDelta(before, delta);
  if (!isCanonicalAround(column, delta.added)) {
    throw reader.error('an added prefix that lies within another, or holds one');
  }
  return column;
}

/**
 * Whether a column that a delta made is canonical. It is sorted, and the old column and the added one are
 * canonical, so that only an added prefix and its neighbours can be at odds: few of them are looked up, for
 * many the column is gone through.
 */
function isCanonicalAround(column: Prefixes, added: Prefixes): boolean {
  if (added.lengths.length * LOOKUP_COST > column.lengths.length) return isCanonical(column);
  for (let j = 0; j < added.lengths.length; j++) {
    const at = indexOfPrefix(column, added, j);
    if (!isInOrder(column, at - 1) || !isInOrder(column, at)) return false;
  }
  return true;
}

/** The first entry of a sorted column that is prefix j of `added`, which it holds. */
function indexOfPrefix(column: Prefixes, added: Prefixes, j: number): number {
  let low = 0;
  let high = column.lengths.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePrefixAt(column, middle, added, j) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether entry i and the next, if there are both, are in order and disjoint. */
function isInOrder(column: Prefixes, i: number): boolean {
  if (i < 0 || i + 1 >= column.lengths.length) return true;
  const { words, family } = column;
  return compareWordsAt(words, i, words, i + 1, strideOf(family)) < 0 && !containsAt(column, i, words, i + 1);
}

function patchedPolicy(reader: ByteReader, before: Policy, bounds: RuleBounds): Policy {
  const flags = reader.u8();
  if ((flags & ~POLICY_PATCH_FLAGS) !== 0) throw reader.error(`unknown flags ${flags}`);
  const hasExceptions = (flags & PolicyPatchFlag.exceptions) !== 0;
  const header =
    (flags & PolicyPatchFlag.header) !== 0
      ? { ...readBase(reader), prefixes: readPrefixSet(reader) }
      : baseOf(before);
  const own = patchedRuns(reader, before, bounds);
  const exceptions = hasExceptions ? patchedRuns(reader, before.exceptions, bounds) : before.exceptions;
  if (hasExceptions && sameRuns(exceptions, before.exceptions)) {
    throw reader.error('a patch of exceptions that changes none');
  }
  const policy = { name: before.name, ...header, exceptions, ...own };
  if (!hasExceptions && sameRuns(own, before) && sameHeader(before, policy)) {
    throw reader.error('a patch that changes nothing');
  }
  return policy;
}

/** All of a policy but its name and its rules. */
function baseOf({
  name: _,
  exceptions: _exceptions,
  egress,
  ingress,
  ...base
}: Policy): Omit<Policy, 'name' | 'exceptions' | 'egress' | 'ingress'> {
  return base;
}

function patchedRuns(reader: ByteReader, before: DirectedRuns, bounds: RuleBounds): DirectedRuns {
  const egress = applySplices(reader, before.egress, 'egress', bounds);
  return { egress, ingress: applySplices(reader, before.ingress, 'ingress', bounds) };
}

/** Whether no splice was applied. */
function sameRuns(a: DirectedRuns, b: DirectedRuns): boolean {
  return a.egress === b.egress && a.ingress === b.ingress;
}

function patchedResolutions(reader: ByteReader, before: Resolutions, bounds: RuleBounds): Resolutions {
  const count = reader.count(RESOLUTION_LEAST_BYTES);
  bounds.meter.spend(count * Work.name);
  if (count === 0) throw reader.error('a patch that changes nothing');
  const changes = new Map<string, PrefixSet | undefined>();
  let last = '';
  for (let i = 0; i < count; i++) {
    const name = readHostName(reader, i);
    if (i > 0 && compareHostNames(last, name) >= 0)
      throw reader.error(`name ${i} is not above the one before`, i);
    const present = readFlag(reader);
    if (!present && !before.has(name)) {
      throw reader.error(`name ${i} is removed, but is not resolved`, i, ErrorCode.badBase);
    }
    if (present) bounds.take(reader, 1);
    changes.set(name, present ? readPrefixSet(reader) : undefined);
    last = name;
  }
  const resolutions = new Map(before);
  for (const [name, set] of changes) {
    if (set === undefined) resolutions.delete(name);
    else resolutions.set(name, set);
  }
  return resolutions;
}
