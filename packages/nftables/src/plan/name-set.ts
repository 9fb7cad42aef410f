/**
 * Name sets: the addresses that DNS gave each qube for the names of one list, one set for each family. A key
 * is the qube's address and the opened one: an opening for one qube is none for another. The set's name
 * contains a digest of the list's names. So a changed list gets another set, which does not inherit openings.
 */

import { createHash } from 'node:crypto';
import type { Family, NameSet, Prefixes } from '@rulecast/rules';
import { NAME_ADDRESSES_MAX, NAME_QUBES_MAX, nameRoomOf } from '@rulecast/rules/columns';
import { type Key, keyOf } from './plan.ts';

/** The fields in the name of a name set. */
export interface NameSetName {
  readonly key: Key;
  readonly family: Family;
  /** Elements that it has room for. */
  readonly size: number;
  /** Digest of the list's names, 16 hex digits. */
  readonly version: Key;
}

/** The label of an element: the name, or a digest of one that cannot be written. */
export type NameLabel = string;

/** A byte that no key has. */
const BETWEEN = Uint8Array.of(0xff);
/** The largest name set: addresses of a qube times qubes. */
const SIZE_MAX = NAME_ADDRESSES_MAX * NAME_QUBES_MAX;
/** The longest comment of an element that the `nft` program reads again, without the zero behind it. */
const LABEL_MAX = 127;

/**
 * The keys of a list in the kernel: from its name, from its content, and from whether its names may resolve
 * to private addresses. Takes 3 ms for a megabyte of names.
 */
export function listKeys(
  list: string,
  { names, exceptions }: NameSet,
  isPrivate: boolean,
): Pick<NameSetName, 'key' | 'version'> {
  const hash = createHash('sha256').update(names.bytes);
  if (exceptions.count > 0) hash.update(BETWEEN).update(exceptions.bytes);
  const version = hash.digest('hex').slice(0, 16);
  return { key: listKey(list), version: isPrivate ? keyOf(`private ${version}`) : version };
}

/** The name of the set of a list in one family, for at least one qube. */
export function nameSetFor(list: string, version: Key, qubes: Prefixes): string {
  return nameSetName({ key: listKey(list), version, family: qubes.family, size: nameRoomOf(qubes) });
}

function listKey(list: string): Key {
  return keyOf(`names ${list}`);
}

export function nameSetName({ key, family, size, version }: NameSetName): string {
  return `n${key}_${family}_${size}_${version}`;
}

/** Reads the name of a name set; undefined if we would not name one so. */
export function parseNameSetName(name: string): NameSetName | undefined {
  const match = /^n([0-9a-f]{16})_([46])_([1-9]\d{0,6})_([0-9a-f]{16})$/.exec(name);
  if (match === null) return undefined;
  const [, key = '', familyText, sizeText, version = ''] = match;
  const size = Number(sizeText);
  return size <= SIZE_MAX ? { key, family: familyText === '4' ? 4 : 6, size, version } : undefined;
}

/**
 * The label of a name in the kernel. `nft` prints it unescaped, so a quote or a line end in it would become
 * rules in a saved rule set. Names with other letters, and long ones, are replaced by their digest. No name
 * equals a digest, since no label has 64 letters.
 */
export function nameLabelOf(name: string): NameLabel {
  return isNameLabel(name) ? name : createHash('sha256').update(name, 'latin1').digest('hex');
}

/** Whether a label is the name itself. */
export function isReadable(label: NameLabel): boolean {
  return !/^[0-9a-f]{64}$/.test(label);
}

export function isNameLabel(text: string): boolean {
  return text.length <= LABEL_MAX && /^[a-z0-9_.-]+$/.test(text);
}
