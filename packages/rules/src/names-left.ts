/**
 * A small record that tells, for a name of the former set, whether the next set still has it, without either
 * set. It is the set of names that left; or the whole next set if the former one is not known.
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
 * The record between `before` and `after`; `before` is undefined if it is not known. Returns undefined if the
 * record takes more than `mostBytes`. Linear in both.
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
