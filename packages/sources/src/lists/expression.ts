/**
 * List expressions: union, intersection and subtraction, of addresses or of names. A list of addresses is a
 * set of addresses here: subtracting a part of a prefix leaves several smaller prefixes. A list of names is a
 * set of names: subtracting from a suffix adds an exception to it.
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
  sameNameSet,
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

/** Why an expression has no value. */
export interface UnsayableExpression {
  readonly kind: 'unsayable';
  readonly code: 'mixed-list';
  readonly reason: string;
}

/** The list of an expression with at least one operand. */
export function evaluateExpression(expression: Expression): List | UnsayableExpression {
  const { operator, operands, minus, aggregate } = expression;
  if (new Set([...operands, ...minus].map(({ kind }) => kind)).size > 1) {
    const reason = 'it is made of lists of addresses and lists of names: keep them apart';
    return { kind: 'unsayable', code: 'mixed-list', reason };
  }
  const joined = operator === 'union' ? unionLists(operands) : operands.reduce(intersectLists);
  if (minus.length === 0) return aggregate ? aggregatedList(joined) : joined;
  const list = subtractLists(joined, unionLists(minus));
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
  return { ...a, ...unionNames(a, b), resolve: joinedResolve(a, b) };
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

/** `a` without `b`, a list of the same kind. */
export function subtractLists(a: List, b: List): List {
  if (a.kind === 'prefixes' && b.kind === 'prefixes')
    return prefixListOf(combineSets(subtractPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return a;
  return { ...a, ...subtractNames(a, b) };
}

function intersectLists(a: List, b: List): List {
  if (a.kind === 'prefixes' && b.kind === 'prefixes')
    return prefixListOf(combineSets(intersectPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return a;
  return { ...a, ...intersectNames(a, b) };
}

/** Whether two lists hold the same. */
export function sameList(a: List | undefined, b: List | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  if (a.kind === 'names' || b.kind === 'names') {
    if (a.kind !== 'names' || b.kind !== 'names') return false;
    return a.resolve === b.resolve && sameNameSet(a, b);
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
