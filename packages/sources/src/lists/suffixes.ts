/** The names used from suffix entries (`.n`, `*.n`) under `suffixes: as-names`. */

import { type List, nameSetOf, plainNames } from '@rulecast/rules';

export interface NamesTaken {
  readonly list: List;
  /** The number of entries of which only the name itself is used. */
  readonly suffixCount: number;
}

/**
 * A list, or with `asNames` the names of its entries without those below them: `.n` is `n`, `*.n` nothing,
 * and there is nothing to except.
 */
export function namesTaken(list: List, asNames: boolean): NamesTaken {
  if (!asNames || list.kind !== 'names') return { list, suffixCount: 0 };
  const { names, suffixCount } = plainNames(list);
  return { list: { ...list, ...nameSetOf(names) }, suffixCount };
}
