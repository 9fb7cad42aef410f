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
  FIRST_POLICY,
  formAt,
  formatPrefixAt,
  isNarrowed,
  type List,
  membersMeeting,
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

/** Rules that are looked at in a turn: some milliseconds, where all hold it. */
const PIECE_RULES = 1024;
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
  /** The prefix, if it is one. */
  readonly #asked: Prefixes | undefined;

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

  /** Whether rules of a policy's own, and not those for anything, hold it. */
  *isOf(policy: Policy): Pieces<boolean> {
    let isHeld = false;
    for (const direction of ['egress', 'ingress'] as const)
      for (const block of ['exceptions', 'own'] as const)
        yield* this.#rules(policy, direction, block, ({ rule }) => {
          isHeld ||= rule.remote.kind !== 'any';
        });
    return isHeld;
  }

  /** Tells the rules that hold it for qubes of a policy, or for those that none names, in their order. */
  *steps(policy: Policy | undefined, direction: Direction, onStep: (step: Step) => void): Pieces<void> {
    let isDecided = false;
    for (const [source, block] of this.#blocks(policy, direction))
      yield* this.#rules(source, direction, block, (found) => {
        const { rule, holding } = found;
        const isOver = rule.expire !== undefined && timeFor(rule.action, { now: this.#now }) >= rule.expire;
        const isWhole = holding.how === 'all' && !isNarrowed(rule);
        const decides = isDecided || isOver ? 'nothing' : isWhole ? 'rest' : 'some';
        if (decides === 'rest') isDecided = true;
        onStep({ policy: source.name, block, ...found, decides });
      });
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
    onRule: (rule: Pick<Step, 'index' | 'rule' | 'holding'>) => void,
  ): Pieces<void> {
    const runs = runsOf(policy, direction, block);
    const tell = (index: number, holding: Holding | undefined): void => {
      if (holding !== undefined) onRule({ index, rule: ruleAt(runs, index), holding });
    };
    let looked = 0;
    for (let run = 0, index = 0; run < runs.count; run++) {
      const form = formAt(runs, run);
      if (++looked % PIECE_RULES === 0) yield;
      const end = runs.starts[run + 1] ?? 0; // one more than runs
      if (form.remote.kind !== 'prefixes') tell(index, this.#ofForm(form));
      else if (form.remote.family === this.#asked?.family) {
        const column = prefixesIn(runs, run, form.remote.family);
        for (let i = 0; i < end - index; i++) {
          if (++looked % PIECE_RULES === 0) yield;
          tell(index + i, memberHolding(column, i, this.#asked));
        }
      }
      index = end;
    }
  }

  /** How a rule without a prefix holds it. */
  #ofForm({ match, remote }: RuleForm): Holding | undefined {
    const subject = this.#subject;
    if (remote.kind === 'list') {
      const holding = this.list(remote.list);
      if (holding?.how !== 'excepted') return holding;
      return holding.count > 0 ? { ...holding, how: 'below' } : undefined;
    }
    if (remote.kind === 'name')
      return subject.kind === 'prefix'
        ? setHolding(resolutionOf(this.#ruleSet, remote.name), subject.prefix)
        : nameOf(remote.name, subject.name);
    // What is for the firewall's own resolvers alone is about none of these.
    return subject.kind === 'prefix' && !match.dns ? ANYTHING : undefined;
  }
}

function nameOf(name: string, asked: string): Holding | undefined {
  if (name === asked) return { ...ANYTHING, entry: name };
  return name.endsWith(`.${asked}`)
    ? { how: 'below', entry: undefined, count: 1, examples: [name] }
    : undefined;
}

/** How one member of a column holds the prefix that is alone in another. */
function memberHolding(column: Prefixes, i: number, asked: Prefixes): Holding | undefined {
  const isWide = (column.lengths[i] ?? 0) <= (asked.lengths[0] ?? 0);
  if (isWide && containsAt(column, i, asked.words, 0))
    return { ...ANYTHING, entry: formatPrefixAt(column, i) };
  if (isWide || !containsAt(asked, 0, column.words, i)) return undefined;
  return { how: 'part', entry: undefined, count: 1, examples: [formatPrefixAt(column, i)] };
}
