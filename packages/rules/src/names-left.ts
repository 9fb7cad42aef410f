/**
 * What tells of a name that one column stood for whether the next one does too, where neither is at hand: the
 * entries that left, and those of the next that could stand for the same names.
 *
 *   before   .cdn.example   a.cdn.example   api.example
 *   after    *.cdn.example  a.cdn.example                news.example
 *   gone     .cdn.example                   api.example
 *   kept     *.cdn.example  a.cdn.example                news.example
 */

import {
  diffNames,
  entryOf,
  isWildcardEntry,
  type Names,
  namesAt,
  namesBelow,
  namesOf,
  namesStandFor,
  nameTexts,
  unionNames,
} from './names.ts';

export interface NamesLeft {
  /** Undefined: all that were. */
  readonly gone: Names | undefined;
  readonly kept: Names;
}

/** Whether a name in normal form, for which the former column stood, is among those that are left. */
export function isLeft({ gone, kept }: NamesLeft, name: string): boolean {
  return (gone !== undefined && !namesStandFor(gone, name)) || namesStandFor(kept, name);
}

/**
 * What is left of `before` in `after`; of a column that is not known, what it and `after` have in common.
 * Undefined where that takes more than so many bytes. Linear in both.
 */
export function leftBetween(
  before: Names | undefined,
  after: Names,
  mostBytes: number,
): NamesLeft | undefined {
  const left = before === undefined ? { gone: undefined, kept: after } : leftOf(before, after, mostBytes);
  return left !== undefined && bytesOfLeft(left) <= mostBytes ? left : undefined;
}

export function bytesOfLeft({ gone, kept }: NamesLeft): number {
  return (gone?.bytes.length ?? 0) + kept.bytes.length;
}

function leftOf(before: Names, after: Names, mostBytes: number): NamesLeft | undefined {
  const { removed, added } = diffNames(before, after);
  const gone = namesAt(before, removed);
  let left = mostBytes - gone.bytes.length - added.bytes.length;
  if (left < 0) return undefined;
  const beside = new Set<string>();
  for (const text of nameTexts(gone)) {
    const name = isWildcardEntry(text) ? text.slice(text.indexOf('.') + 1) : text;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const above = entryOf(after, name.slice(dot + 1));
      if (above !== undefined && isWildcardEntry(above)) beside.add(above);
    }
    if (name === text) continue;
    const below = namesBelow(after, name);
    left -= below.bytes.length;
    if (left < 0) return undefined;
    for (const each of nameTexts(below)) beside.add(each);
  }
  return { gone, kept: unionNames(added, namesOf(beside)) };
}
