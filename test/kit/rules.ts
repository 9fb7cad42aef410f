/** Runs and prefix sets from their text, for tests: text that does not parse throws. */

import {
  bitsOf,
  type Direction,
  type Prefix,
  type Prefixes,
  type PrefixSet,
  parsePrefix,
  parseRule,
  prefixAt,
  prefixSetOf,
  RunBuilder,
  type Runs,
} from '@rulecast/rules';

/** @param now Seconds since 1970, which `expire=+` counts from. */
export function runsFrom(direction: Direction, lines: readonly string[], now = 0): Runs {
  const builder = new RunBuilder();
  for (const line of lines) {
    const result = parseRule(line, direction, now);
    if (result.kind === 'fault') throw new TypeError(`${line}: ${result.reason}`);
    builder.push(result.rule);
  }
  return builder.build();
}

export function prefixFrom(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (typeof prefix === 'string') throw new TypeError(`${text}: ${prefix}`);
  return prefix;
}

export function prefixSetFrom(texts: readonly string[]): PrefixSet {
  return prefixSetOf(texts.map(prefixFrom));
}

/** The last address of entry `index` of a column, in words of its own. */
export function lastAddressAt(column: Prefixes, index: number): Uint32Array {
  const prefix = prefixAt(column, index);
  const last = prefix.words.slice();
  for (let bit = prefix.length; bit < bitsOf(column.family); bit = (bit & ~31) + 32) {
    last[bit >> 5]! |= (bit & 31) === 0 ? 0xffffffff : 0xffffffff >>> (bit & 31); // bit < bits of the family
  }
  return last;
}
