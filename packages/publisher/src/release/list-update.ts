/**
 * Applies a batch of lists from sources to the rule set. A list that would make it unfit for release is left
 * out and reported, so that one bad feed does not hold up the others. Pure.
 */

import { ENTRIES_MAX, ErrorCode, PARTS_MAX, type PartChange, PartKind } from '@rulecast/protocol';
import {
  checkPieces,
  entryCount,
  exceptionCount,
  type List,
  type Pieces,
  policyRuleCount,
  type RuleSet,
  type RuleSetProblem,
  usedLists,
} from '@rulecast/rules';
import type { DeliveryRefusal, EntryCounts } from '@rulecast/sources';

export interface ListUpdate {
  readonly ruleSet: RuleSet;
  /** Lists that stay as they were, and why. */
  readonly refused: ReadonlyMap<string, DeliveryRefusal>;
}

/** A list that a rule needs outlives its source. */
const IN_USE = 'in-use';

/** The limits of a release. */
export interface ReleaseLimits {
  /** Entries and rules of all lists and policies. */
  readonly entries: number;
  /** Lists, policies, and one for the resolutions. */
  readonly parts: number;
}

const RELEASE_LIMITS: ReleaseLimits = { entries: ENTRIES_MAX, parts: PARTS_MAX };

/** Puts lists into a rule set; undefined removes one. In pieces. */
export function* withLists(
  current: RuleSet,
  batch: ReadonlyMap<string, List | undefined>,
  limits: ReleaseLimits = RELEASE_LIMITS,
): Pieces<ListUpdate> {
  const refused = new Map<string, DeliveryRefusal>();
  const used = usedLists(current.policies.values());
  const lists = new Map(current.lists);
  const placed = new Map<string, List>();
  for (const [name, list] of batch) {
    if (list !== undefined) placed.set(name, list);
    else if (used.has(name)) {
      const reason = `list ${name} has no source any more and stays as it is, for rules use it: remove dst=@${name}, or push the list yourself`;
      refused.set(name, { code: IN_USE, reason });
    } else lists.delete(name);
  }
  const before = new Set((yield* faultsOf(current)).map(({ reason }) => reason));
  const faultOf = function* (changed: ReadonlyMap<string, List>): Pieces<RuleSetProblem | undefined> {
    return (yield* faultsOf({ ...current, lists: changed })).find(({ reason }) => !before.has(reason));
  };
  const capacity = new Capacity(current, lists, limits);
  // Those that gain least go first, so that one huge list is left out and not all that come after it.
  const byGain = [...placed].sort(
    ([a, listA], [b, listB]) => capacity.gain(a, listA) - capacity.gain(b, listB),
  );
  const isOneByOne = (yield* faultOf(new Map([...lists, ...placed]))) !== undefined;
  for (const [name, list] of byGain) {
    const full = capacity.take(name, list);
    const fault = full ?? (isOneByOne ? yield* faultOf(new Map([...lists, [name, list]])) : undefined);
    if (fault === undefined) lists.set(name, list);
    else {
      refused.set(name, { code: fault.code, reason: fault.reason });
      if (full === undefined) capacity.giveBack(name, list);
    }
  }
  return { ruleSet: { ...current, lists }, refused };
}

/** Counts the entries and parts of a release. */
class Capacity {
  readonly #lists: ReadonlyMap<string, List>;
  readonly #limits: ReleaseLimits;
  #entries = 0;
  #parts: number;

  constructor({ policies, unmatched }: RuleSet, lists: ReadonlyMap<string, List>, limits: ReleaseLimits) {
    this.#lists = lists;
    this.#limits = limits;
    this.#parts = lists.size + policies.size + 1 + (unmatched === undefined ? 0 : 1);
    for (const list of lists.values()) this.#entries += weightOf(list);
    for (const policy of policies.values()) this.#entries += policyRuleCount(policy);
  }

  /** How many entries a list adds over the present one of its name. */
  gain(name: string, list: List): number {
    const before = this.#lists.get(name);
    return weightOf(list) - (before === undefined ? 0 : weightOf(before));
  }

  /** Counts a list in, or refuses it for lack of room. A list that shrinks always fits. */
  take(name: string, list: List): DeliveryRefusal | undefined {
    const gain = this.gain(name, list);
    const isNew = !this.#lists.has(name);
    if (gain > 0 && this.#entries + gain > this.#limits.entries) {
      const reason = `a release would have ${this.#entries + gain} entries and rules with list ${name}; the most is ${this.#limits.entries}`;
      return { code: ErrorCode.overLimit, reason };
    }
    if (isNew && this.#parts + 1 > this.#limits.parts) {
      const reason = `a release has at most ${this.#limits.parts} lists and policies, and list ${name} would be one more`;
      return { code: ErrorCode.overLimit, reason };
    }
    this.#entries += gain;
    this.#parts += isNew ? 1 : 0;
    return undefined;
  }

  /** A list that was counted in did not come in after all. */
  giveBack(name: string, list: List): void {
    this.#entries -= this.gain(name, list);
    this.#parts -= this.#lists.has(name) ? 0 : 1;
  }
}

function* faultsOf(ruleSet: RuleSet): Pieces<readonly RuleSetProblem[]> {
  return (yield* checkPieces(ruleSet)).filter(({ severity }) => severity === 'fault');
}

/** By how many entries each list changed, of the changes of a draft. */
export function listChanges(changes: readonly PartChange[]): ReadonlyMap<string, EntryCounts> {
  const counts = new Map<string, EntryCounts>();
  for (const { kind, name, addedCount, removedCount } of changes) {
    if (kind !== PartKind.prefixList && kind !== PartKind.nameList) continue;
    const { added, removed } = counts.get(name) ?? { added: 0, removed: 0 }; // addresses that become names are two changes
    counts.set(name, { added: added + addedCount, removed: removed + removedCount });
  }
  return counts;
}

function weightOf(list: List): number {
  return entryCount(list) + exceptionCount(list);
}
