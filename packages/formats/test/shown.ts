/** What an import gave, in a form that tests compare. */

import { formatPrefixAt, type List, nameTexts } from '@rulecast/rules';
import type { ImportedList } from '../src/list/import.ts';

export function textsOf(list: List): readonly string[] {
  if (list.kind === 'names')
    return [...nameTexts(list.names), ...Array.from(nameTexts(list.exceptions), (text) => `!${text}`)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => formatPrefixAt(column, index)),
  );
}

/** What was imported, what was skipped as `code:count`, and the rejects as `line:column code`. */
export function shown(imported: ImportedList): readonly (readonly string[])[] {
  const { list, skipped, rejects } = imported;
  return [
    textsOf(list),
    skipped.map(({ code, count }) => `${code}:${count}`),
    rejects.map(({ line, column, code }) => `${line}:${column} ${code}`),
  ];
}
