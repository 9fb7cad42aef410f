/**
 * What tells of a name that one set had whether the next one has it too, where neither is at hand: the names
 * that left, which are a set; or the next set as a whole, where the one before is not known.
 */

import { type NameSet, namesStandFor, subtractNames } from './name-set.ts';

export interface NamesLeft {
  /** `names` are those that are gone; else all that are there. */
  readonly isOfGone: boolean;
  readonly names: NameSet;
}

/** Whether a name in normal form, which the former set had, is among those that are left. */
export function isLeft({ isOfGone, names }: NamesLeft, name: string): boolean {
  return namesStandFor(names, name) !== isOfGone;
}

/**
 * What is left of `before` in `after`; `before` is undefined where it is not known. Undefined where that
 * takes more than so many bytes. Linear in both.
 */
export function leftBetween(
  before: NameSet | undefined,
  after: NameSet,
  mostBytes: number,
): NamesLeft | undefined {
  const left =
    before === undefined
      ? { isOfGone: false, names: after }
      : { isOfGone: true, names: subtractNames(before, after) };
  return bytesOfLeft(left) <= mostBytes ? left : undefined;
}

export function bytesOfLeft({ names: { names, exceptions } }: NamesLeft): number {
  return names.bytes.length + exceptions.bytes.length;
}
