/**
 * Canonical bytes: the unique byte string of each part of a rule set. Words and lengths stand in columns.
 * CONTENT.md "Canonical bytes".
 *
 *   RCP1  prefix list   v4 count u32 | v6 count u32 | v4 words | v4 lengths | v6 words | v6 lengths
 *   RCN2  name list     resolve u8 | entries u32 | exceptions u32 | keys of entries | keys of exceptions
 *   RCQ1  policy        base u8 | prefix set | egress runs | ingress runs
 *   RCQ2  with exceptions   the same | egress exceptions | ingress exceptions, not both empty
 *   RCA1  resolutions   count u32 | (length u8, name, prefix set)…
 *   RCU1  unmatched     action u8
 */

import {
  atOnce,
  compareHostNames,
  type DirectedRuns,
  KeyByte,
  type List,
  type NameList,
  nameSetPieces,
  type Pieces,
  type Policy,
  type PrefixSet,
  prefixListOf,
} from '@rulecast/rules';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode } from '../error.ts';
import { type Part, type PartId, PartKind, partText, type Resolutions } from './part.ts';
import {
  RuleBounds,
  readAction,
  readDirectedRuns,
  readHostName,
  readPolicy,
  runsLength,
  writeAction,
  writeDirectedRuns,
  writePolicy,
} from './policy.ts';
import {
  type ColumnForm,
  PLAIN_COLUMNS,
  PLANE_COLUMNS,
  prefixSetLength,
  readPrefixSet,
  writePrefixSet,
} from './prefix.ts';
import { Work } from './work.ts';

const TAGS = {
  [PartKind.prefixList]: 'RCP1',
  [PartKind.nameList]: 'RCN2',
  [PartKind.policy]: 'RCQ1',
  [PartKind.resolutions]: 'RCA1',
  [PartKind.unmatched]: 'RCU1',
} as const satisfies Record<PartKind, string>;
/** The tag of a policy with exceptions. */
const EXCEPTIONS_TAG = 'RCQ2';
const TAG_BYTES = 4;

/** The canonical bytes of a part, in memory of their own. */
export function canonicalBytes(part: Part): Uint8Array {
  if (part.kind === PartKind.policy) return policyBytes(part.policy, PLAIN_COLUMNS);
  const writer = new ByteWriter(canonicalLength(part));
  writer.ascii(TAGS[part.kind]);
  if (part.kind === PartKind.resolutions) writeResolutions(writer, part.resolutions);
  else if (part.kind === PartKind.unmatched) writeAction(writer, part.unmatched);
  else if (part.list.kind === 'names') {
    const { names, exceptions, resolve } = part.list;
    writer.u8(resolveCode(resolve));
    writer.u32(names.count);
    writer.u32(exceptions.count);
    writer.bytes(names.bytes);
    writer.bytes(exceptions.bytes);
  } else writePrefixSet(writer, part.list);
  return writer.take();
}

/** The length of those bytes, as counted in records. */
export function canonicalLength(part: Part): number {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList: {
      const { list } = part;
      if (list.kind === 'prefixes') return TAG_BYTES + prefixSetLength(list);
      return TAG_BYTES + 1 + 4 + 4 + list.names.bytes.length + list.exceptions.bytes.length;
    }
    case PartKind.policy: {
      const { policy } = part;
      const { exceptions } = policy;
      const own = TAG_BYTES + 1 + prefixSetLength(policy.prefixes) + directedLength(policy);
      return hasExceptions(policy) ? own + directedLength(exceptions) : own;
    }
    case PartKind.resolutions: {
      let bytes = TAG_BYTES + 4;
      for (const [name, set] of part.resolutions) bytes += 1 + name.length + prefixSetLength(set);
      return bytes;
    }
    case PartKind.unmatched:
      return TAG_BYTES + 1;
  }
}

function directedLength({ egress, ingress }: DirectedRuns): number {
  return runsLength(egress) + runsLength(ingress);
}

function hasExceptions({ exceptions: { egress, ingress } }: Policy): boolean {
  return egress.count + ingress.count > 0;
}

/**
 * The bytes of a policy for travel: canonical, but for the form of its runs' columns. `decodeCanonical` reads
 * them with that form.
 */
export function travelBytes(policy: Policy): Uint8Array {
  return policyBytes(policy, PLANE_COLUMNS);
}

function policyBytes(policy: Policy, columns: ColumnForm): Uint8Array {
  const writer = new ByteWriter();
  const isLong = hasExceptions(policy);
  writer.ascii(isLong ? EXCEPTIONS_TAG : TAGS[PartKind.policy]);
  writePolicy(writer, policy, columns);
  if (isLong) writeDirectedRuns(writer, policy.exceptions, columns);
  return writer.take();
}

/**
 * The part that canonical bytes say. Throws ProtocolError `bad-canonical` for any other bytes, and the error
 * of `room` for more rules than there is room for.
 */
export function decodeCanonical(
  id: PartId,
  bytes: Uint8Array,
  columns: ColumnForm = PLAIN_COLUMNS,
  bounds: RuleBounds = new RuleBounds(),
): Part {
  return atOnce(canonicalPieces(id, bytes, columns, bounds));
}

/** The same in pieces for a list of names: it may have millions. */
export function* canonicalPieces(
  id: PartId,
  bytes: Uint8Array,
  columns: ColumnForm = PLAIN_COLUMNS,
  bounds: RuleBounds = new RuleBounds(),
): Pieces<Part> {
  const reader = new ByteReader(bytes, ErrorCode.badCanonical, partText(id));
  const tag = reader.text(4);
  const isLong = id.kind === PartKind.policy && tag === EXCEPTIONS_TAG;
  if (tag !== TAGS[id.kind] && !isLong) throw reader.error(`the tag is not ${TAGS[id.kind]}`);
  const part =
    id.kind === PartKind.nameList
      ? { kind: id.kind, name: id.name, list: yield* nameListPieces(reader) }
      : readPart(reader, { kind: id.kind, name: id.name }, columns, bounds, isLong);
  reader.end();
  return part;
}

function readPart(
  reader: ByteReader,
  id: PartId & { readonly kind: Exclude<PartKind, typeof PartKind.nameList> },
  columns: ColumnForm,
  bounds: RuleBounds,
  isLong: boolean,
): Part {
  switch (id.kind) {
    case PartKind.prefixList:
      return { kind: id.kind, name: id.name, list: prefixListOf(readPrefixSet(reader)) };
    case PartKind.policy:
      return {
        kind: id.kind,
        name: id.name,
        policy: isLong
          ? readPolicyWithExceptions(reader, id.name, columns, bounds)
          : readPolicy(reader, id.name, columns, bounds),
      };
    case PartKind.resolutions:
      return { kind: id.kind, name: '', resolutions: readResolutions(reader, bounds) };
    case PartKind.unmatched:
      return { kind: id.kind, name: '', unmatched: readAction(reader) };
  }
}

function readPolicyWithExceptions(
  reader: ByteReader,
  name: string,
  columns: ColumnForm,
  bounds: RuleBounds,
): Policy {
  const policy = readPolicy(reader, name, columns, bounds);
  const exceptions = readDirectedRuns(reader, columns, bounds);
  if (exceptions.egress.count + exceptions.ingress.count === 0) {
    throw reader.error(`no exceptions under the tag ${EXCEPTIONS_TAG}`);
  }
  return { ...policy, exceptions };
}

function* nameListPieces(reader: ByteReader): Pieces<List> {
  const resolve = readResolve(reader);
  const [entryCount, exceptionCount] = [reader.u32(), reader.u32()];
  const keys = reader.bytes(reader.remaining);
  const end = endOfKeys(keys, entryCount);
  if (end === undefined) throw reader.error(`fewer names than ${entryCount} announced`);
  const set = yield* nameSetPieces(keys.slice(0, end), keys.slice(end));
  if ('reason' in set) throw reader.error(`${set.of} ${set.index} ${set.reason}`, set.index);
  const { count } = set.exceptions;
  if (count !== exceptionCount) throw reader.error(`${count} exceptions, and ${exceptionCount} announced`);
  return { kind: 'names', ...set, resolve };
}

/** The end of so many keys; undefined if there are fewer. */
function endOfKeys(bytes: Uint8Array, count: number): number | undefined {
  let at = 0;
  for (let left = count; left > 0; at++) {
    if (at === bytes.length) return undefined;
    if (bytes[at]! < KeyByte.separator) left--; // at < length
  }
  return at;
}

/** The resolvers of a list's names, by code: none, the publisher, the firewall in either way. */
const RESOLVE_WORDS: readonly (NameList['resolve'] | undefined)[] = [
  false,
  true,
  'firewall',
  'firewall-private',
];

/** The code of who resolves the names of a list. */
export function resolveCode(resolve: NameList['resolve']): number {
  return RESOLVE_WORDS.indexOf(resolve);
}

/** Reads the resolver of a list's names. */
export function readResolve(reader: ByteReader): NameList['resolve'] {
  const code = reader.u8();
  const resolve = RESOLVE_WORDS[code];
  if (resolve === undefined) throw reader.error(`${code} where who resolves was expected`);
  return resolve;
}

/** A u8 that is 0 or 1. */
export function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw reader.error(`${value} where 0 or 1 was expected`);
  return value === 1;
}

/** Appends resolutions, sorted by name: the body of `RCA1`. */
export function writeResolutions(writer: ByteWriter, resolutions: Resolutions): void {
  writer.u32(resolutions.size);
  for (const [name, set] of sortedResolutions(resolutions)) {
    writer.shortText(name);
    writePrefixSet(writer, set);
  }
}

/** The names and their addresses, sorted by name. */
export function sortedResolutions(resolutions: Resolutions): readonly (readonly [string, PrefixSet])[] {
  return [...resolutions].sort(([a], [b]) => compareHostNames(a, b));
}

function readResolutions(reader: ByteReader, bounds: RuleBounds): Resolutions {
  const count = reader.count(10); // a name of one character, and two counts
  bounds.take(reader, count);
  bounds.meter.spend(count * Work.name);
  const resolutions = new Map<string, PrefixSet>();
  let last = '';
  for (let i = 0; i < count; i++) {
    const name = readHostName(reader, i);
    if (i > 0 && compareHostNames(last, name) >= 0)
      throw reader.error(`name ${i} is not above the one before`, i);
    resolutions.set(name, readPrefixSet(reader));
    last = name;
  }
  return resolutions;
}
