/**
 * What of a rule set holds an address, a prefix or a name, and what decides: rule by rule, in the order in
 * which a qube's packets are judged. Of ports nothing is asked, so a rule that names some decides some of it.
 * Pure.
 */

import { type ControlRecordOf, HOLDING_ENTRIES_MAX } from '@rulecast/protocol';
import {
  COMMON_POLICY,
  columnFor,
  columnOf,
  containsAt,
  type Direction,
  FIRST_POLICY,
  formAt,
  formatPrefixAt,
  isForAllQubes,
  isNarrowed,
  judgesIngress,
  type List,
  membersMeeting,
  type NameStanding,
  nameTermsOf,
  nameTexts,
  type Pieces,
  type Policy,
  type Prefix,
  type Prefixes,
  type PrefixSet,
  prefixesIn,
  RULE_BLOCKS,
  type Rule,
  type RuleBlock,
  type RuleForm,
  type RuleSet,
  resolutionOf,
  ruleAt,
  runsOf,
  standingOf,
  timeFor,
} from '@rulecast/rules';

/** What is looked for. */
export type Subject =
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  /** In normal form. */
  | { readonly kind: 'name'; readonly name: string };

/** How something holds it; `part`: entries are for a part of it. */
export interface Holding extends Omit<NameStanding, 'how'> {
  readonly how: NameStanding['how'] | 'part';
}

/** A rule that holds it. */
export interface Step {
  readonly policy: string;
  readonly block: RuleBlock;
  /** From 0. */
  readonly index: number;
  readonly rule: Rule;
  readonly holding: Holding;
  /** What it decides: all that is left, some of that, or nothing, for it is behind, or has expired. */
  readonly decides: 'rest' | 'some' | 'nothing';
}

/** What is decided for qubes of a policy. */
export interface Judgement extends Pick<ControlRecordOf<'decision'>, 'action' | 'by'> {
  /** Rules that hold it, and the first of them with the one that decides. */
  readonly count: number;
  readonly steps: readonly Step[];
  /** Where rules that hold it say more than `any`: in the policy, or in those for all qubes. */
  readonly named: 'own' | 'all' | undefined;
}

/** The rules of a block that hold it, as if no other block came before. */
interface Found {
  count: number;
  isNamed: boolean;
  readonly steps: Step[];
}

const STEPS_KEPT_MAX = 32;
/** Rules that are looked at in a turn: some milliseconds, where all hold it. */
const PIECE_RULES = 1024;
const ANYTHING: Holding = { how: 'all', entries: [], count: 0 };

/** How a list holds it; undefined: not at all. A list of names holds what the publisher resolved them to. */
export function holdingOf(list: List, subject: Subject, ruleSet: RuleSet): Holding | undefined {
  if (list.kind === 'prefixes')
    return subject.kind === 'prefix' ? setHolding(list, subject.prefix) : undefined;
  if (subject.kind === 'name') return standingOf(list, subject.name, HOLDING_ENTRIES_MAX);
  const hosts = list.resolve === true ? [...nameTexts(list.names)] : [];
  const found = hosts.flatMap((host) => {
    const one = setHolding(resolutionOf(ruleSet, host), subject.prefix);
    return one === undefined ? [] : [{ ...one, entries: one.entries.map((entry) => `${host} (${entry})`) }];
  });
  const whole = found.find(({ how }) => how === 'all');
  if (whole !== undefined || found.length === 0) return whole;
  const entries = found.flatMap((one) => one.entries).slice(0, HOLDING_ENTRIES_MAX);
  return { how: 'part', entries, count: found.reduce((sum, { count }) => sum + count, 0) };
}

function setHolding(set: PrefixSet, prefix: Prefix): Holding | undefined {
  const column = columnFor(set, prefix.family);
  const { from, to, hasAll } = membersMeeting(column, prefix);
  if (from === to) return undefined;
  const shown = Array.from({ length: Math.min(HOLDING_ENTRIES_MAX, to - from) }, (_, i) => from + i);
  const entries = shown.map((index) => formatPrefixAt(column, index));
  return { how: hasAll ? 'all' : 'part', entries, count: to - from };
}

/** What of a rule set holds one subject. Looks once at each list, and at the rules for all qubes. */
export class Holder {
  readonly #ruleSet: RuleSet;
  readonly #subject: Subject;
  /** Seconds since 1970. */
  readonly #now: number;
  readonly #lists = new Map<string, Holding | undefined>();
  readonly #forAll = new Map<string, Found>();
  /** The prefix, if it is one. */
  readonly #asked: Prefixes | undefined;
  #looked = 0;

  constructor(ruleSet: RuleSet, subject: Subject, now: number) {
    this.#ruleSet = ruleSet;
    this.#subject = subject;
    this.#now = now;
    this.#asked = subject.kind === 'prefix' ? columnOf([subject.prefix], subject.prefix.family) : undefined;
  }

  /** How the list of that name holds it. */
  list(name: string): Holding | undefined {
    if (!this.#lists.has(name)) {
      const list = this.#ruleSet.lists.get(name);
      this.#lists.set(name, list && holdingOf(list, this.#subject, this.#ruleSet));
    }
    return this.#lists.get(name);
  }

  /** For qubes of a policy, or for those that none names: their packets, or those to them. */
  *judge(policy: Policy | undefined, direction: Direction): Pieces<Judgement> {
    const steps: Step[] = [];
    let count = 0;
    let named: Judgement['named'];
    let decided: Step | undefined;
    for (const [source, block] of this.#blocks(policy, direction)) {
      const found = yield* this.#found(source, direction, block);
      if (found.isNamed && named !== 'own') named = source === policy ? 'own' : 'all';
      count += found.count;
      for (const step of found.steps) {
        const isLast = decided === undefined && step.decides === 'rest';
        if (steps.length < STEPS_KEPT_MAX || isLast)
          steps.push(decided === undefined ? step : { ...step, decides: 'nothing' });
        if (isLast) decided = step;
      }
    }
    if (decided !== undefined) return { action: decided.rule.action, by: 'rule', count, steps, named };
    return { ...this.#otherwise(policy, direction), count, steps, named };
  }

  /** Nobody but `first` judges what goes to qubes of a policy without rules for that. */
  #isJudged(policy: Policy | undefined, direction: Direction): boolean {
    if (direction === 'ingress') return policy !== undefined && judgesIngress(policy);
    return (policy ?? this.#ruleSet.unmatched) !== undefined;
  }

  /** What decides where no rule does. */
  #otherwise(policy: Policy | undefined, direction: Direction): Pick<Judgement, 'action' | 'by'> {
    const { policies, unmatched } = this.#ruleSet;
    if (!this.#isJudged(policy, direction)) return { action: 'none', by: 'nobody' };
    if (this.#subject.kind === 'name') {
      const { unlisted } = nameTermsOf(policies, policy);
      return { action: unlisted === 'answer' ? 'accept' : 'drop', by: 'unlisted' };
    }
    if (policy !== undefined) return { action: policy.defaultAction, by: 'default' };
    return { action: unmatched === 'drop' ? 'drop' : 'none', by: 'unmatched' };
  }

  /** The blocks of rules that are asked, in their order. */
  *#blocks(policy: Policy | undefined, direction: Direction): Generator<readonly [Policy, RuleBlock]> {
    const { policies } = this.#ruleSet;
    const first = policies.get(FIRST_POLICY);
    if (first !== undefined) yield [first, 'own'];
    if (!this.#isJudged(policy, direction)) return;
    for (const block of RULE_BLOCKS) {
      const source = block === 'common' ? policies.get(COMMON_POLICY) : policy;
      if (source !== undefined) yield [source, block];
    }
  }

  *#found(policy: Policy, direction: Direction, block: RuleBlock): Pieces<Found> {
    const key = `${policy.name} ${direction}`;
    const known = this.#forAll.get(key);
    if (known !== undefined) return known;
    const found: Found = { count: 0, isNamed: false, steps: [] };
    const runs = runsOf(policy, direction, block);
    let isDecided = false;
    const take = (index: number, { match, remote }: RuleForm, holding: Holding): void => {
      const isOver = match.expire !== undefined && timeFor(match.action, { now: this.#now }) >= match.expire;
      const isWhole = holding.how === 'all' && !isNarrowed(match);
      const decides = isDecided || isOver ? 'nothing' : isWhole ? 'rest' : 'some';
      if (decides === 'rest') isDecided = true;
      found.count++;
      found.isNamed ||= remote.kind !== 'any';
      if (found.steps.length < STEPS_KEPT_MAX || decides === 'rest')
        found.steps.push({ policy: policy.name, block, index, rule: ruleAt(runs, index), holding, decides });
    };
    for (let run = 0, index = 0; run < runs.count; run++) {
      const form = formAt(runs, run);
      const end = runs.starts[run + 1] ?? 0; // one more than runs
      if (++this.#looked % PIECE_RULES === 0) yield;
      if (form.remote.kind !== 'prefixes') {
        const holding = this.#ofForm(form);
        if (holding !== undefined) take(index, form, holding);
      } else if (form.remote.family === this.#asked?.family) {
        const column = prefixesIn(runs, run, form.remote.family);
        for (let i = 0; i < end - index; i++) {
          if (++this.#looked % PIECE_RULES === 0) yield;
          const holding = memberHolding(column, i, this.#asked);
          if (holding !== undefined) take(index + i, form, holding);
        }
      }
      index = end;
    }
    if (isForAllQubes(policy.name)) this.#forAll.set(key, found);
    return found;
  }

  /** How a rule without a prefix holds it. */
  #ofForm({ match, remote }: RuleForm): Holding | undefined {
    const subject = this.#subject;
    if (remote.kind === 'list') {
      const holding = this.list(remote.list);
      return holding?.how === 'excepted' ? undefined : holding;
    }
    if (remote.kind !== 'name') return subject.kind === 'prefix' && !match.dns ? ANYTHING : undefined; // dns: resolvers
    if (subject.kind === 'prefix')
      return setHolding(resolutionOf(this.#ruleSet, remote.name), subject.prefix);
    if (remote.name !== subject.name && !remote.name.endsWith(`.${subject.name}`)) return undefined;
    return { how: remote.name === subject.name ? 'all' : 'below', entries: [remote.name], count: 1 };
  }
}

/** How one member of a column holds the prefix that is alone in another. */
function memberHolding(column: Prefixes, i: number, asked: Prefixes): Holding | undefined {
  if (!containsAt(column, i, asked.words, 0) && !containsAt(asked, 0, column.words, i)) return undefined;
  const hasAll = (column.lengths[i] ?? 0) <= (asked.lengths[0] ?? 0);
  return { how: hasAll ? 'all' : 'part', entries: [formatPrefixAt(column, i)], count: 1 };
}
