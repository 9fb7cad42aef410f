/** Looks names up in a set of names, whose meaning name-set.ts has. */

import { KeyByte, keyOf, type Names, scopeIn } from './names.ts';

/** A canonical set of names. */
export interface NameSet {
  /** Entries; one may lie below another. */
  readonly names: Names;
  readonly exceptions: Names;
}

/** An entry's scope as bits: the value of the key's end, plus one. */
export const SELF = KeyByte.self + 1;
export const BELOW = KeyByte.below + 1;
export const BOTH = SELF | BELOW;

/** Whether a set has a name in normal form. Looks where its entries and exceptions would be. */
export function namesStandFor({ names, exceptions }: NameSet, name: string): boolean {
  for (let at = 0; at >= 0; at = name.indexOf('.', at) + 1 || -1) {
    const key = keyOf(name.slice(at), KeyByte.self);
    const asked = at > 0 ? BELOW : SELF;
    if ((bitsIn(exceptions, key) & asked) !== 0) return false;
    if ((bitsIn(names, key) & asked) !== 0) return true;
  }
  return false;
}

export function bitsIn(names: Names, key: Uint8Array): number {
  return (scopeIn(names, key) ?? -1) + 1;
}

/**
 * Tells, for a name of the former set, whether the next set still has it, without either set. It is the set
 * of names that left; or the whole next set if the former one is not known.
 */
export interface NamesLeft {
  /** `names` are those that are gone; else all that are there. */
  readonly isOfGone: boolean;
  readonly names: NameSet;
}

/** Whether a name in normal form, which the former set had, is among those that are left. */
export function isLeft({ isOfGone, names }: NamesLeft, name: string): boolean {
  return namesStandFor(names, name) !== isOfGone;
}

export function bytesOfLeft({ names: { names, exceptions } }: NamesLeft): number {
  return names.bytes.length + exceptions.bytes.length;
}
