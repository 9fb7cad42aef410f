/**
 * List expressions: union, intersection and subtraction, of addresses or of names. A list of addresses is a
 * set of addresses here: what is left of a prefix after a part of it is taken away is as many smaller
 * prefixes.
 */

import {
  aggregatePrefixes,
  combineSets,
  intersectNames,
  intersectPrefixes,
  joinedResolve,
  type List,
  type NameList,
  nameListOf,
  type PrefixList,
  prefixListOf,
  sameNames,
  subtractNames,
  subtractPrefixes,
  unionNames,
  unionPrefixes,
} from '@rulecast/rules';

export interface Expression {
  readonly operator: 'union' | 'intersect';
  /** At least one. */
  readonly operands: readonly List[];
  readonly minus: readonly List[];
  readonly aggregate: boolean;
}

/** What an expression stands for; undefined where its lists are not all of one kind. */
export function evaluateExpression(expression: Expression): List | undefined {
  const { operator, operands, minus, aggregate } = expression;
  const [first] = operands;
  if (first === undefined) return undefined;
  if ([...operands, ...minus].some((list) => list.kind !== first.kind)) return undefined;
  const joined = operator === 'union' ? unionLists(operands) : operands.reduce(intersectLists);
  const list = minus.reduce(subtractLists, joined);
  return aggregate ? aggregatedList(list) : list;
}

/** The same addresses with adjacent prefixes joined. */
export function aggregatedList(list: List): List {
  if (list.kind === 'names') return list;
  return { ...list, v4: aggregatePrefixes(list.v4), v6: aggregatePrefixes(list.v6) };
}

/** Members of any of some lists of one kind, at least one. */
export function unionLists(lists: readonly List[]): List {
  // By halves, so that joining many lists copies each entry as often as there are halvings, not as there are
  // lists.
  const names = lists.filter((list): list is NameList => list.kind === 'names');
  if (names.length > 0) return byHalves(names, unionNameLists) ?? nameListOf([], false);
  const prefixes = lists.filter((list): list is PrefixList => list.kind === 'prefixes');
  const union = (a: PrefixList, b: PrefixList): PrefixList => prefixListOf(combineSets(unionPrefixes, a, b));
  return byHalves(prefixes, union) ?? nameListOf([], false);
}

function unionNameLists(a: NameList, b: NameList): NameList {
  return { ...a, names: unionNames(a.names, b.names), resolve: joinedResolve(a, b) };
}

function byHalves<L>(lists: readonly L[], join: (a: L, b: L) => L): L | undefined {
  let joined = lists;
  while (joined.length > 1) {
    const next: L[] = [];
    for (let i = 0; i < joined.length; i += 2) {
      const [a, b] = [joined[i], joined[i + 1]];
      if (a !== undefined) next.push(b === undefined ? a : join(a, b));
    }
    joined = next;
  }
  return joined[0];
}

/** Members of `a` that are in no member of `b`, of the same kind. */
export function subtractLists(a: List, b: List): List {
  if (a.kind === 'prefixes' && b.kind === 'prefixes')
    return prefixListOf(combineSets(subtractPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return a;
  return { ...a, names: subtractNames(a.names, b.names) };
}

function intersectLists(a: List, b: List): List {
  if (a.kind === 'prefixes' && b.kind === 'prefixes')
    return prefixListOf(combineSets(intersectPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return a;
  return { ...a, names: intersectNames(a.names, b.names) };
}

/** Whether two lists hold the same. */
export function sameList(a: List | undefined, b: List | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  if (a.kind === 'names' || b.kind === 'names') {
    if (a.kind !== 'names' || b.kind !== 'names') return false;
    return a.resolve === b.resolve && sameNames(a.names, b.names);
  }
  return sameColumn(a.v4, b.v4) && sameColumn(a.v6, b.v6);
}

function sameColumn(a: PrefixList['v4'], b: PrefixList['v4']): boolean {
  return (
    a.lengths.length === b.lengths.length &&
    Buffer.compare(bytesOf(a.lengths), bytesOf(b.lengths)) === 0 &&
    Buffer.compare(bytesOf(a.words), bytesOf(b.words)) === 0
  );
}

function bytesOf(array: Uint8Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
