/**
 * The refusals and warnings of a draft. Calls the guards of guards/ with the state that they need of this
 * publisher: its head, its firewalls and its names.
 */

import type { IngestNote, MustReach } from '@rulecast/formats';
import { PartKind, type Turn } from '@rulecast/protocol';
import {
  checkRuleSet,
  inTurns,
  type RuleSet,
  type RuleSetProblem,
  RuleSetProblemCode,
} from '@rulecast/rules';
import type { Subscribers } from '@rulecast/sessions';
import { baseOf } from '../blocks/compile.ts';
import { isCutPolicy } from '../blocks/mark.ts';
import { bareText, newBareDrops, type ResolvedRuleSet } from '../guards/bare-drop.ts';
import { unreachable } from '../guards/must-reach.ts';
import { pushRefusals } from '../guards/push.ts';
import type { GuardedPush, GuardRefusal } from '../guards/refusal.ts';
import { asks, type Way } from '../guards/table.ts';
import { misfits } from '../guards/unsupported.ts';
import { WIDER, widerLists, widerText } from '../guards/wider.ts';
import type { Names } from '../names/names.ts';
import type { Committer, ReleaseDraft } from './commit.ts';
import type { PushOptions, ReleaseRequest } from './request.ts';

/** The sources, as owner of lists that nobody may push. */
export interface ListOwner {
  /** Whether this list belongs to a source or a file, so that pushes may not change it. */
  owns(list: string): boolean;
  /** Whether another list is made of this one: then it has a use without a rule. */
  isOperand(list: string): boolean;
}

/** Advice to a person whose push would drop a packet that must get through. */
const PUSH_ADVICE = 'look at what you push';
/** The guard of drop rules without an address. */
const UNRESOLVED = 'unresolved';

/** Ways that change rows only, and leave the pushed rules alone. */
const WAYS_OF_ROWS: ReadonlySet<Way> = new Set(['block', 'allow', 'cut', 'unblock', 'ended']);

/**
 * The push as it is once all rows (of block, allow and cut) have ended, which may be at any time: it must not
 * open a qube that only a cut closes now. Undefined: there are no rows.
 */
function behindRows<P extends Pick<GuardedPush, 'before' | 'after'>>(push: P): P | undefined {
  const [before, after] = [baseOf(push.before), baseOf(push.after)];
  return before === push.before && after === push.after ? undefined : { ...push, before, after };
}

export interface DraftGuardsOptions {
  readonly committer: Committer;
  readonly names: Names;
  readonly subscribers: Subscribers;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly turn: Turn;
  readonly mustReach: readonly MustReach[];
}

export class DraftGuards {
  /** Packets that no release may drop. */
  mustReach: readonly MustReach[];
  owner: ListOwner | undefined;
  readonly #options: DraftGuardsOptions;

  constructor(options: DraftGuardsOptions) {
    this.#options = options;
    this.mustReach = options.mustReach;
  }

  /** The guards for a way to a release. A new epoch that only repeats the head uses the way `epoch`. */
  of(
    asked: Way,
    { role = 'admin', asNewEpoch, require }: PushOptions,
    advice = PUSH_ADVICE,
  ): ReleaseRequest['guards'] {
    const { subscribers } = this.#options;
    return async (draft, before) => {
      const isSame = draft.changes.every(({ kind }) => kind === PartKind.resolutions);
      const way = isSame && asNewEpoch === true ? 'epoch' : asked;
      const push = {
        before,
        after: draft.ruleSet,
        way,
        role,
        isOfSource: (list: string) => this.isOfSource(list),
        firewalls: subscribers.firewalls(require),
        now: this.#now(),
      };
      const found = await this.#refusals(push, advice);
      const behind = behindRows(push);
      if (behind === undefined || WAYS_OF_ROWS.has(way)) return found;
      const known = new Set(found.map(({ guard, part }) => `${guard} ${part}`));
      const more = await this.#refusals(behind, advice);
      return [...found, ...more.filter(({ guard, part }) => !known.has(`${guard} ${part}`))];
    };
  }

  async #refusals(push: GuardedPush, advice: string): Promise<readonly GuardRefusal[]> {
    const { before, after, way, role } = push;
    return [
      ...(await inTurns(pushRefusals(push), this.#options.turn)),
      ...(asks('unresolved', way, role) ? await this.#bareRefusals(before, after) : []),
      ...(asks('mustReach', way, role) ? await this.cutOff({ ruleSet: after }, advice, before) : []),
    ];
  }

  isOfSource(list: string): boolean {
    return this.owner?.owns(list) === true;
  }

  /** Refusals for packets of `must-reach:` that the draft would drop. */
  async cutOff(
    { ruleSet: after }: { readonly ruleSet: RuleSet },
    advice: string,
    before = this.#options.committer.ruleSet,
  ): Promise<readonly GuardRefusal[]> {
    const { committer, turn } = this.#options;
    const judging = { now: this.#now(), advice, turn };
    const isFirst = committer.head === undefined;
    const found = await unreachable(isFirst ? undefined : before, after, this.mustReach, judging);
    const behind = behindRows({ before, after });
    if (found.length > 0 || behind === undefined) return found;
    return unreachable(isFirst ? undefined : behind.before, behind.after, this.mustReach, judging);
  }

  /** A rule set with the addresses that its names have now. */
  withResolutions(ruleSet: RuleSet): ResolvedRuleSet {
    return { ...ruleSet, ...this.#options.names.resolved(ruleSet) };
  }

  /** Policies with a drop rule that has no address, and is new or has one in the head. */
  async #bareRefusals(before: RuleSet, ruleSet: RuleSet): Promise<readonly GuardRefusal[]> {
    const { turn } = this.#options;
    const bare = await inTurns(newBareDrops(before, this.withResolutions(ruleSet)), turn);
    const policies = [...new Set(bare.map(({ policy }) => policy))];
    return policies.flatMap((policy) => {
      const [first, ...others] = bare.filter((drop) => drop.policy === policy);
      if (first === undefined) return [];
      const more = others.length > 0 ? ` (and ${others.length} more rules)` : '';
      const reason = `${bareText(first)}${more}`;
      const after = 1 + others.length;
      return [{ guard: UNRESOLVED, part: `policy ${policy}`, before: 0, after, reason }];
    });
  }

  /** Notes on lists of a pushed rule set whose entries come to match more names. */
  async widerNotes({ lists, policies }: RuleSet): Promise<readonly IngestNote[]> {
    const { committer, turn } = this.#options;
    const found = await inTurns(widerLists(committer.ruleSet, lists, policies, { isFirst: false }), turn);
    return [...found].map(([part, wider]) => ({
      code: WIDER,
      part,
      reason: `list ${part}: ${widerText(wider)}`,
    }));
  }

  /** Warnings about firewalls that are not required and cannot take the release. */
  misfitNotes(ruleSet: RuleSet, { require }: PushOptions): readonly IngestNote[] {
    const others = this.#options.subscribers.firewalls(require).filter(({ isRequired }) => !isRequired);
    return misfits(ruleSet, others).map(({ firewall, code, text }) => ({
      code,
      part: `subscriber ${firewall}`,
      reason: `${text}, or it keeps what it has`,
    }));
  }

  /** Warnings about the rule set in force. */
  warnings(): readonly RuleSetProblem[] {
    return checkRuleSet(this.#options.committer.ruleSet).filter((problem) => this.#isOdd(problem));
  }

  /** A draft without the warnings of unused lists that other lists are made of. */
  withoutOperands(draft: ReleaseDraft): ReleaseDraft {
    return { ...draft, warnings: draft.warnings.filter((problem) => this.#isOdd(problem)) };
  }

  #isOdd({ code, part }: RuleSetProblem): boolean {
    // the operator who cut it was told
    if (code === RuleSetProblemCode.oneFamily && isCutPolicy(part)) return false;
    return code !== RuleSetProblemCode.unusedList || this.owner?.isOperand(part) !== true;
  }

  #now(): number {
    return Math.floor(this.#options.nowMs() / 1000);
  }
}
