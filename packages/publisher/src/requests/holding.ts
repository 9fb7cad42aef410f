/**
 * What of a rule set holds an address, a prefix or a name, and what decides: rule by rule, in the order in
 * which a qube's packets are judged. Of ports nothing is asked, so a rule that names some decides some of it.
 * Pure.
 */

import { HOLDING_EXAMPLES_MAX } from '@rulecast/protocol';
import {
  COMMON_POLICY,
  columnFor,
  columnOf,
  containsAt,
  type Direction,
  eachRun,
  FIRST_POLICY,
  formatPrefixAt,
  isNarrowed,
  type List,
  membersMeeting,
  nameTexts,
  type Policy,
  type Prefix,
  type Prefixes,
  type PrefixSet,
  RULE_BLOCKS,
  type Rule,
  type RuleBlock,
  type RuleSet,
  type Run,
  resolutionOf,
  ruleAt,
  runRuleCount,
  runsOf,
  standingOf,
  timeFor,
} from '@rulecast/rules';

/** What is looked for. */
export type Subject =
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  /** In normal form. */
  | { readonly kind: 'name'; readonly name: string };

/** How something holds it: all of it, a part, only names below it, or by an exception not at all. */
export interface Holding {
  readonly how: 'all' | 'part' | 'below' | 'excepted';
  /** What holds all of it, or excepts it; undefined where that is anything. */
  readonly entry: string | undefined;
  /** Entries that hold a part, or are below it; some of them. */
  readonly count: number;
  readonly examples: readonly string[];
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

const ANYTHING: Holding = { how: 'all', entry: undefined, count: 0, examples: [] };

/** How a list holds it; undefined: not at all. A list of names holds what the publisher resolved them to. */
export function holdingOf(list: List, subject: Subject, { resolutions }: RuleSet): Holding | undefined {
  if (subject.kind === 'name') return list.kind === 'names' ? nameHolding(list, subject.name) : undefined;
  if (list.kind === 'prefixes') return setHolding(list, subject.prefix);
  if (list.resolve !== true) return undefined;
  let found: Holding | undefined;
  for (const host of nameTexts(list.names)) {
    const set = resolutions.get(host);
    const one = set && setHolding(set, subject.prefix);
    if (one === undefined) continue;
    if (one.how === 'all') return { ...one, entry: `${host} (${one.entry})` };
    const examples = [...(found?.examples ?? []), `${host} (${one.examples[0]})`].slice(
      0,
      HOLDING_EXAMPLES_MAX,
    );
    found = { how: 'part', entry: undefined, count: (found?.count ?? 0) + one.count, examples };
  }
  return found;
}

function nameHolding(list: Extract<List, { kind: 'names' }>, name: string): Holding | undefined {
  const { nearest, belowCount: count, below: examples } = standingOf(list, name, HOLDING_EXAMPLES_MAX);
  if (nearest === undefined && count === 0) return undefined;
  const how = nearest === undefined ? 'below' : nearest.isException ? 'excepted' : 'all';
  return { how, entry: nearest?.text, count, examples };
}

/** How a set of prefixes holds one. */
export function setHolding(set: PrefixSet, prefix: Prefix): Holding | undefined {
  const column = columnFor(set, prefix.family);
  const { from, to, hasAll } = membersMeeting(column, prefix);
  if (from === to) return undefined;
  if (hasAll) return { ...ANYTHING, entry: formatPrefixAt(column, from) };
  const examples = Array.from({ length: Math.min(HOLDING_EXAMPLES_MAX, to - from) }, (_, i) =>
    formatPrefixAt(column, from + i),
  );
  return { how: 'part', entry: undefined, count: to - from, examples };
}

/** What of a rule set holds one subject. Looks at each list once. */
export class Holder {
  readonly #ruleSet: RuleSet;
  readonly #subject: Subject;
  /** Seconds since 1970. */
  readonly #now: number;
  readonly #lists = new Map<string, Holding | undefined>();

  constructor(ruleSet: RuleSet, subject: Subject, now: number) {
    this.#ruleSet = ruleSet;
    this.#subject = subject;
    this.#now = now;
  }

  /** How the list of that name holds it. */
  list(name: string): Holding | undefined {
    if (!this.#lists.has(name)) {
      const list = this.#ruleSet.lists.get(name);
      this.#lists.set(name, list && holdingOf(list, this.#subject, this.#ruleSet));
    }
    return this.#lists.get(name);
  }

  /** Whether rules of a policy's own, and not those for anything, hold it. */
  isOf(policy: Policy): boolean {
    const blocks = RULE_BLOCKS.filter((block) => block !== 'common');
    return (['egress', 'ingress'] as const).some((direction) =>
      blocks.some((block) => {
        for (const { rule } of this.#rules(policy, direction, block))
          if (rule.remote.kind !== 'any') return true;
        return false;
      }),
    );
  }

  /** The rules that hold it for qubes of a policy, or for those that none names, in their order. */
  *steps(policy: Policy | undefined, direction: Direction): Generator<Step> {
    let isDecided = false;
    for (const [source, block] of this.#blocks(policy, direction)) {
      for (const found of this.#rules(source, direction, block)) {
        const { rule, holding } = found;
        const isOver = rule.expire !== undefined && timeFor(rule.action, { now: this.#now }) >= rule.expire;
        const isWhole = holding.how === 'all' && !isNarrowed(rule);
        const decides = isDecided || isOver ? 'nothing' : isWhole ? 'rest' : 'some';
        if (decides === 'rest') isDecided = true;
        yield { policy: source.name, block, ...found, decides };
      }
    }
  }

  /** The blocks of rules that are asked, in their order; where nobody judges, `first` alone. */
  *#blocks(policy: Policy | undefined, direction: Direction): Generator<readonly [Policy, RuleBlock]> {
    const { policies, unmatched } = this.#ruleSet;
    const first = policies.get(FIRST_POLICY);
    if (first !== undefined) yield [first, 'own'];
    if (policy === undefined && (unmatched === undefined || direction === 'ingress')) return;
    for (const block of RULE_BLOCKS) {
      const source = block === 'common' ? policies.get(COMMON_POLICY) : policy;
      if (source !== undefined) yield [source, block];
    }
  }

  *#rules(
    policy: Policy,
    direction: Direction,
    block: RuleBlock,
  ): Generator<Pick<Step, 'index' | 'rule' | 'holding'>> {
    const runs = runsOf(policy, direction, block);
    let first = 0;
    for (const run of eachRun(runs)) {
      for (const [offset, holding] of this.#inRun(run)) {
        const index = first + offset;
        if (holding.how !== 'excepted') yield { index, rule: ruleAt(runs, index), holding };
        else if (holding.count > 0)
          yield { index, rule: ruleAt(runs, index), holding: { ...holding, how: 'below' } };
      }
      first += runRuleCount(run);
    }
  }

  /** The rules of a run that hold it, each counted from 0. */
  *#inRun({ match, remote }: Run): Generator<readonly [number, Holding]> {
    const subject = this.#subject;
    switch (remote.kind) {
      case 'any': // what is for the firewall's own resolvers alone is about none of these
        if (subject.kind === 'prefix' && !match.dns) yield [0, ANYTHING];
        return;
      case 'prefixes':
        if (subject.kind === 'prefix') yield* inColumn(remote.prefixes, subject.prefix);
        return;
      case 'list': {
        const holding = this.list(remote.list);
        if (holding !== undefined) yield [0, holding];
        return;
      }
      case 'name': {
        const holding =
          subject.kind === 'prefix'
            ? setHolding(resolutionOf(this.#ruleSet, remote.name), subject.prefix)
            : nameOf(remote.name, subject.name);
        if (holding !== undefined) yield [0, holding];
      }
    }
  }
}

function nameOf(name: string, asked: string): Holding | undefined {
  if (name === asked) return { ...ANYTHING, entry: name };
  return name.endsWith(`.${asked}`)
    ? { how: 'below', entry: undefined, count: 1, examples: [name] }
    : undefined;
}

/** The prefixes of a column in any order that have addresses of a prefix. */
function* inColumn(column: Prefixes, prefix: Prefix): Generator<readonly [number, Holding]> {
  if (column.family !== prefix.family) return;
  const asked = columnOf([prefix], prefix.family);
  for (let i = 0; i < column.lengths.length; i++) {
    if ((column.lengths[i] ?? 0) <= prefix.length) {
      if (containsAt(column, i, prefix.words, 0))
        yield [i, { ...ANYTHING, entry: formatPrefixAt(column, i) }];
    } else if (containsAt(asked, 0, column.words, i))
      yield [i, { how: 'part', entry: undefined, count: 1, examples: [formatPrefixAt(column, i)] }];
  }
}
