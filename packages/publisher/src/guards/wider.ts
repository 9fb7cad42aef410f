/**
 * Finds lists whose entries grow wider: `n` becomes `.n` or `*.n`, or an exception is gone. A rewritten file
 * or a better reader of a format can cause it. For a block list that is a warning. A list that rules accept
 * would open names that nobody has reviewed, so it needs a permit. Pure.
 */

import {
  entryCount,
  type List,
  namesOfFirewall,
  openedLists,
  type Pieces,
  type RuleSet,
  type WiderNames,
  widerPieces,
} from '@rulecast/rules';
import type { DeliveryRefusal } from '@rulecast/sources';

export const WIDER = 'wider';

export interface WiderList extends WiderNames {
  /** Whether rules accept by the list, so that more would be open. */
  readonly isAccepted: boolean;
}

/**
 * Those of some lists, as they are to be, that are wider than in `before`, by name. With `isFirst`, the first
 * suffixes of a list count as well: a version before this one did not read them.
 */
export function* widerLists(
  before: RuleSet,
  changed: ReadonlyMap<string, List | undefined>,
  policies: RuleSet['policies'],
  { isFirst }: { readonly isFirst: boolean },
): Pieces<ReadonlyMap<string, WiderList>> {
  const wider = new Map<string, WiderList>();
  for (const [name, list] of changed) {
    const earlier = before.lists.get(name);
    const later = namesOfFirewall(list);
    if (later === undefined || list === earlier || earlier?.kind !== 'names') continue;
    const found = yield* widerPieces(earlier, later, isFirst && entryCount(earlier) > 0);
    if (found !== undefined && list !== undefined) {
      const isAccepted = openedLists({ policies, lists: new Map([[name, list]]) }).has(name);
      wider.set(name, { ...found, isAccepted });
    }
  }
  return wider;
}

/** For people: the change of a list. */
export function widerText({ count, first }: WiderList): string {
  const entries = count === 1 ? '1 of its entries stands' : `${count} of its entries stand`;
  return `${entries} for more names than before, first ${first}`;
}

/**
 * Refusals for lists of sources that rules accept, by name, with advice; a list cut from a table needs other
 * advice.
 */
export function openingRefusals(wider: ReadonlyMap<string, WiderList>): ReadonlyMap<string, DeliveryRefusal> {
  const opening = [...wider].filter(([, { isAccepted }]) => isAccepted);
  return new Map(
    opening.map(([name, found]) => {
      const reason = `say suffixes: below, or rulectl lists refresh ${name} --permit wider, if it is meant: ${widerText(found)}, and rules accept it (suffixes: as-names keeps to the names)`;
      return [name, { code: WIDER, reason }];
    }),
  );
}

/** Lists that a release changes, for its history: those that are wider first, for that is bounded. */
export function widerDetail(names: readonly string[], wider: ReadonlyMap<string, WiderList>): string {
  const first = [...names].sort((a, b) => Number(wider.has(b)) - Number(wider.has(a)));
  const shown = first.map((name) => {
    const count = wider.get(name)?.count;
    return count === undefined ? name : `${name} (${count} ${count === 1 ? 'entry' : 'entries'} wider)`;
  });
  return shown.join(', ');
}
