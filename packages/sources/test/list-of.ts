/** Lists from the text of their entries. */

import { importList } from '@rulecast/formats';
import { formatPrefixAt, type List, nameTexts, type PrefixList } from '@rulecast/rules';
import type { UnsayableExpression } from '../src/lists/expression.ts';

export function listOf(...entries: readonly string[]): List {
  const read = importList('', Buffer.from(entries.join('\n')), {
    ...(entries.length === 0 ? { kind: 'prefixes' } : {}),
    format: 'plain',
  });
  if (read.rejectCount > 0) throw new Error(read.rejects[0]?.reason);
  return read.list;
}

export function prefixesOf(...entries: readonly string[]): PrefixList {
  const list = listOf(...entries);
  if (list.kind !== 'prefixes') throw new Error('these are names');
  return list;
}

/** Its entries as text, and its exceptions behind `!`; undefined for no list. */
export function entriesOf(list: List | UnsayableExpression | undefined): readonly string[] | undefined {
  if (list === undefined || list.kind === 'unsayable') return undefined;
  if (list.kind === 'names')
    return [...nameTexts(list.names), ...Array.from(nameTexts(list.exceptions), (text) => `!${text}`)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, i) => formatPrefixAt(column, i)),
  );
}

/** So many single IPv4 addresses, not adjacent, from `from` on. */
export function addresses(count: number, from = 0): readonly string[] {
  return Array.from({ length: count }, (_, i) => {
    const at = (from + i) * 2;
    return `198.18.${(at >> 8) & 255}.${at & 255}`;
  });
}
