/**
 * Canonical bytes: the one byte string that each part of a rule set has, and its digest. Words and lengths stand in columns, so
 * that a list is hashed where it lies in memory. PROTOCOL.md "Canonical bytes and digests".
 *
 *   RCP1  prefix list   v4 count u32 | v6 count u32 | v4 words | v4 lengths | v6 words | v6 lengths
 *   RCN1  name list     resolve u8 | count u32 | (length u8, name)…
 *   RCQ1  policy        default action u8 | prefix set | egress runs | ingress runs
 *   RCA1  resolutions   count u32 | (length u8, name, prefix set)…
 */

import { createHash } from 'node:crypto';
import { type List, type NameList, type Policy, type PrefixSet, prefixListOf } from '@rulecast/rules';
import { ByteReader, ByteWriter, bytesOfWords } from './bytes.ts';
import { ErrorCode } from './error.ts';
import { type Part, type PartId, PartKind, partText, type Resolutions } from './part.ts';
import { readHostName, readPolicy, writePolicy } from './policy-codec.ts';
import {
  type ColumnForm,
  PLAIN_COLUMNS,
  PLANE_COLUMNS,
  readPrefixSet,
  writePrefixSet,
} from './prefix-codec.ts';

const TAGS = {
  [PartKind.prefixList]: 'RCP1',
  [PartKind.nameList]: 'RCN1',
  [PartKind.policy]: 'RCQ1',
  [PartKind.resolutions]: 'RCA1',
} as const satisfies Record<PartKind, string>;

/** Digests of the immutable values they belong to: a list, a policy, or a map of resolutions. */
const digests = new WeakMap<object, Uint8Array>();

/**
 * SHA-256 of a part's canonical bytes, 32 bytes, not to be written to. It is computed once for each list, policy or map of
 * resolutions, which therefore must not change afterwards.
 */
export function digestOf(part: Part): Uint8Array {
  const content = contentOf(part);
  const known = digests.get(content);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  for (const chunk of canonicalChunks(part)) hash.update(chunk);
  const digest = new Uint8Array(hash.digest());
  digests.set(content, digest);
  return digest;
}

/** The immutable value that a part carries: unchanged exactly if it is the same object, or has the same digest. */
export function contentOf(part: Part): object {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList:
      return part.list;
    case PartKind.policy:
      return part.policy;
    case PartKind.resolutions:
      return part.resolutions;
  }
}

/** The canonical bytes in pieces. Columns of lists are views of the part's own memory: read them, and do not write. */
export function canonicalChunks(part: Part): readonly Uint8Array[] {
  const writer = new ByteWriter();
  writer.ascii(TAGS[part.kind]);
  if (part.kind === PartKind.policy) writePolicy(writer, part.policy, PLAIN_COLUMNS);
  else if (part.kind === PartKind.resolutions) writeResolutions(writer, part.resolutions);
  else if (part.list.kind === 'names') writeNames(writer, part.list);
  else {
    const { v4, v6 } = part.list;
    writer.u32(v4.lengths.length);
    writer.u32(v6.lengths.length);
    return [writer.take(), bytesOfWords(v4.words), v4.lengths, bytesOfWords(v6.words), v6.lengths];
  }
  return [writer.take()];
}

/** The canonical bytes in one piece, in memory of their own. */
export function canonicalBytes(part: Part): Uint8Array {
  const writer = new ByteWriter();
  for (const chunk of canonicalChunks(part)) writer.bytes(chunk);
  return writer.take();
}

/**
 * The bytes of a policy for travel: canonical, but for the form of its runs' columns. `decodeCanonical` reads them with that form.
 */
export function travelBytes(policy: Policy): Uint8Array {
  const writer = new ByteWriter();
  writer.ascii(TAGS[PartKind.policy]);
  writePolicy(writer, policy, PLANE_COLUMNS);
  return writer.take();
}

/** The part that canonical bytes say. Throws ProtocolError `bad-canonical` for any other bytes. */
export function decodeCanonical(id: PartId, bytes: Uint8Array, columns: ColumnForm = PLAIN_COLUMNS): Part {
  const reader = new ByteReader(bytes, ErrorCode.badCanonical, partText(id));
  const tag = reader.text(4);
  if (tag !== TAGS[id.kind]) throw reader.error(`the tag is not ${TAGS[id.kind]}`);
  const part = readPart(reader, id, columns);
  reader.end();
  return part;
}

function readPart(reader: ByteReader, id: PartId, columns: ColumnForm): Part {
  switch (id.kind) {
    case PartKind.prefixList:
      return { kind: id.kind, name: id.name, list: prefixListOf(readPrefixSet(reader)) };
    case PartKind.nameList:
      return { kind: id.kind, name: id.name, list: readNames(reader) };
    case PartKind.policy:
      return { kind: id.kind, name: id.name, policy: readPolicy(reader, id.name, columns) };
    case PartKind.resolutions:
      return { kind: id.kind, name: '', resolutions: readResolutions(reader) };
  }
}

function writeNames(writer: ByteWriter, list: NameList): void {
  writer.u8(list.resolve ? 1 : 0);
  writer.u32(list.names.length);
  for (const name of list.names) writer.shortText(name);
}

function readNames(reader: ByteReader): List {
  const resolve = readFlag(reader);
  const count = reader.count(2); // a name of one character
  const names: string[] = [];
  let last = '';
  for (let i = 0; i < count; i++) {
    const name = readHostName(reader, i);
    if (name <= last) throw reader.error(`name ${i} is not above the one before`, i);
    names.push(name);
    last = name;
  }
  return { kind: 'names', names, resolve };
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

/** The names and what they stand for, sorted by name. */
export function sortedResolutions(resolutions: Resolutions): readonly (readonly [string, PrefixSet])[] {
  return [...resolutions].sort(([a], [b]) => (a < b ? -1 : 1));
}

export function readResolutions(reader: ByteReader): Resolutions {
  const count = reader.count(10); // a name of one character, and two counts
  const resolutions = new Map<string, PrefixSet>();
  let last = '';
  for (let i = 0; i < count; i++) {
    const name = readHostName(reader, i);
    if (name <= last) throw reader.error(`name ${i} is not above the one before`, i);
    resolutions.set(name, readPrefixSet(reader));
    last = name;
  }
  return resolutions;
}
