/**
 * The difference between two rule sets, part by part: names that join and leave a list, everything else
 * whole. Both are portions of checked rule sets, so a change is small, and cheap to follow.
 */

import {
  canonicalBytes,
  comparePartIds,
  ErrorCode,
  type Part,
  type PartId,
  PartKind,
  ProtocolError,
  partsOf,
  partText,
} from '@rulecast/protocol';
import {
  EMPTY_RULE_SET,
  editPieces,
  isOfPrivateNames,
  type List,
  type NameSet,
  type Names,
  namesOfFirewall,
  type Pieces,
  type RuleSet,
  sameNameSet,
} from '@rulecast/rules';
import { type NamesEdit, type SetEdit, setEditOf } from '../match/matcher.ts';

export type PartStep =
  | { readonly op: 'remove'; readonly id: PartId }
  | { readonly op: 'put'; readonly part: Part }
  /** A change to a list that the firewall's DNS has before and after. */
  | ({ readonly op: 'edit'; readonly list: string } & SetEdit);

/** The steps from one portion to another. Linear in both. */
export function stepsBetween(before: RuleSet, after: RuleSet): readonly PartStep[] {
  const [old, next] = [partsOf(before), partsOf(after)];
  const removals: PartStep[] = [];
  const steps: PartStep[] = [];
  let at = 0;
  for (const part of next) {
    for (; at < old.length && comparePartIds(old[at]!, part) < 0; at++) removals.push(removal(old[at]!)); // at < length
    const was = old[at];
    if (was === undefined || comparePartIds(was, part) !== 0) steps.push({ op: 'put', part });
    else {
      at++;
      steps.push(...stepsOf(was, part));
    }
  }
  return [...removals, ...old.slice(at).map(removal), ...steps];
}

function removal({ kind, name }: PartId): PartStep {
  return { op: 'remove', id: { kind, name } };
}

function stepsOf(before: Part, after: Part): readonly PartStep[] {
  const [old, next] = [namesIn(before), namesIn(after)];
  if (old === undefined || next === undefined || isOfPrivate(before) !== isOfPrivate(after)) {
    const isSame = Buffer.compare(canonicalBytes(before), canonicalBytes(after)) === 0;
    return isSame ? [] : [{ op: 'put', part: after }];
  }
  if (old === next) return [];
  if (sameNameSet(old, next)) return [];
  return [{ op: 'edit', list: after.name, ...setEditOf(old, next) }];
}

function isOfPrivate(part: Part): boolean {
  return part.kind === PartKind.nameList && isOfPrivateNames(part.list);
}

function namesIn(part: Part): NameSet | undefined {
  return part.kind === PartKind.nameList ? namesOfFirewall(part.list) : undefined;
}

/** The result of a change to a portion. */
export interface Changed {
  readonly ruleSet: RuleSet;
  /** The edit of each list in both, if the change has one. */
  readonly edits: ReadonlyMap<string, SetEdit>;
}

/** In pieces. Throws ProtocolError for steps that do not fit, or say two things of one part. */
export function* changedPieces(before: RuleSet, steps: readonly PartStep[]): Pieces<Changed> {
  const lists = new Map(before.lists);
  const policies = new Map(before.policies);
  const edits = new Map<string, SetEdit>();
  const given = new Set<string>();
  const give = (what: string): void => {
    if (given.has(what)) throw misfit(`${what} is given twice`);
    given.add(what);
  };
  let { unmatched } = before;
  for (const step of steps) {
    if (step.op === 'edit') {
      const { list, names, exceptions } = step;
      give(`list ${list}`);
      lists.set(list, yield* editedPieces(lists.get(list), step));
      edits.set(list, { names, exceptions });
      continue;
    }
    const { kind, name } = step.op === 'put' ? step.part : step.id;
    if (step.op === 'put') give('list' in step.part ? `list ${name}` : partText(step.part));
    if (kind === PartKind.unmatched) unmatched = undefined;
    else if (!(kind === PartKind.policy ? policies : lists).delete(name) && step.op === 'remove')
      throw misfit(`${partText({ kind, name })} cannot be removed: it does not exist`);
    if (step.op === 'remove') continue;
    const { part } = step;
    if (part.kind === PartKind.policy) policies.set(name, part.policy);
    else if (part.kind === PartKind.unmatched) unmatched = part.unmatched;
    else if ('list' in part) lists.set(name, part.list);
  }
  return { ruleSet: { ...EMPTY_RULE_SET, lists, policies, unmatched }, edits };
}

function* editedPieces(list: List | undefined, edit: SetEdit): Pieces<List> {
  if (list?.kind !== 'names' || namesOfFirewall(list) === undefined)
    throw misfit('an edit of a list that DNS does not have');
  const names = yield* editedColumn(list.names, edit.names);
  return { ...list, names, exceptions: yield* editedColumn(list.exceptions, edit.exceptions) };
}

function* editedColumn(before: Names, { removed, added }: NamesEdit): Pieces<Names> {
  const names = yield* editPieces(before, removed, added);
  if (names === undefined) throw misfit('an edit that removes a missing entry, or adds a present one');
  return names;
}

function misfit(reason: string): ProtocolError {
  return new ProtocolError(ErrorCode.badBase, reason);
}
