/**
 * The name sets of a table: which qubes may have openings in them, and which openings move to the next table.
 */

import type { Family, Names, Prefixes } from '@rulecast/rules';
import {
  canonicalPrefixes,
  isLeft,
  isNetworkAddress,
  isPrivateAddress,
  memberContaining,
  NAME_ADDRESSES_MAX,
  PrefixBuilder,
  strideOf,
} from '@rulecast/rules/columns';
import { LABELS_KNOWN_MAX } from '../limits.ts';
import type { ColumnInBody, LeftInBody, NameSet } from '../plan/change.ts';
import { isReadable, type NameLabel, parseNameSetName } from '../plan/name-set.ts';
import type { Key } from '../plan/plan.ts';
import { type Book, type Entry, wordsOf } from './book.ts';

/** A name set of a table. */
export interface ListSet {
  readonly set: string;
  /** Its name. */
  readonly list: string;
  readonly isPrivate: boolean;
  readonly family: Family;
  readonly version: string;
  readonly qubes: Prefixes;
  /** Qubes that may hold something. */
  readonly most: number;
  /** For a list whose names changed: which names of the former state remain. */
  readonly left: Remainder | undefined;
}

/** Tells of an opening made under the former state whether its name is still in the list. */
interface Remainder {
  /** Null: of whichever. */
  readonly from: Key | null;
  has(label: NameLabel): boolean;
}

export interface NameTable {
  readonly name: string;
  /** By list and family. */
  readonly places: ReadonlyMap<string, ListSet>;
  /** By a qube's address the one of its other family, in hex digits, from the release. */
  readonly others: ReadonlyMap<string, string>;
}

export function tableOf(name: string, sets: readonly NameSet[], body: Uint8Array): NameTable {
  const places = sets.flatMap(({ set, list, isPrivate, qubes, left }) => {
    const parsed = parseNameSetName(set);
    if (parsed === undefined) return [];
    const { key, family, size, version } = parsed;
    const column = new PrefixBuilder(family, qubes.length);
    for (const { address, length } of qubes) column.push(wordsOf(Buffer.from(address, 'hex')), 0, length);
    const most = Math.max(1, Math.floor(size / NAME_ADDRESSES_MAX));
    const place: ListSet = {
      set,
      list,
      isPrivate,
      family,
      version,
      qubes: canonicalPrefixes(column.build()),
      most,
      left: left && leftIn(left, body),
    };
    return [[`${key}_${family}`, place] as const];
  });
  const others = sets.flatMap(({ pairs }) =>
    pairs.flatMap(([four, six]) => [[four, six] as const, [six, four] as const]),
  );
  return { name, places: new Map(places), others: new Map(others) };
}

/** Reads which names of a list remain; each name is looked up once. */
function leftIn({ from, isOfGone, names, exceptions }: LeftInBody, body: Uint8Array): Remainder {
  const column = ({ at, byteCount }: ColumnInBody): Names => ({
    count: byteCount, // not used
    bytes: body.subarray(at, at + byteCount),
  });
  const left = { isOfGone, names: { names: column(names), exceptions: column(exceptions) } };
  const known = new Map<NameLabel, boolean>();
  return {
    from,
    has(label) {
      let is = known.get(label);
      if (is === undefined) {
        is = isReadable(label) && isLeft(left, label);
        if (known.size >= LABELS_KNOWN_MAX) known.clear();
        known.set(label, is);
      }
      return is;
    },
  };
}

/** Whether a request made under state `said` of a list counts in the state in force. */
export function isSaidOf({ version, left }: ListSet, said: Key, label: NameLabel): boolean {
  return version === said || (left?.from === said && left.has(label));
}

/** Whether a name that one set is of is in the list of the next, too, which may open its address. */
export function isStillIn(was: ListSet, next: ListSet, { key, label }: Entry): boolean {
  const { version, left } = next;
  if (was.version === version) return true;
  if (!isOpenable(next, key)) return false;
  return left !== undefined && (left.from === null || left.from === was.version) && left.has(label);
}

/** Forgets the openings that were not copied from one set to the next. */
export function keepCarried(held: Book, was: ListSet, place: ListSet): void {
  for (const [qube, mine] of held) {
    const [one] = mine.values();
    if (one === undefined || !isOf(place, one.key)) held.delete(qube);
    else if (was.version !== place.version)
      for (const [address, entry] of mine) if (!isStillIn(was, place, entry)) mine.delete(address);
    if (mine.size === 0) held.delete(qube);
  }
}

export function isOf({ qubes }: ListSet, key: Uint32Array): boolean {
  return memberContaining(qubes, key) >= 0; // which begins with the address of the qube
}

/**
 * Whether an address may be opened: never a link-local or loopback one, and a private one only for a list
 * that allows it.
 */
export function isOpenable({ family, isPrivate }: ListSet, key: Uint32Array): boolean {
  const address = { family, words: key.subarray(strideOf(family)) };
  return !isPrivateAddress(address) || (isPrivate && isNetworkAddress(address));
}
