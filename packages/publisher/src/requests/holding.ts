/**
 * Finds the lists and rules that contain an address, a prefix or a name, and the verdict: rule by rule, in
 * the order in which a qube's packets are judged. Ports are not given, so a rule with ports decides only a
 * part. Pure.
 */

import { type ControlRecordOf, HOLDING_ENTRIES_MAX } from '@rulecast/protocol';
import {
  COMMON_POLICY,
  columnFor,
  contains,
  type Direction,
  FIRST_POLICY,
  firstFrom,
  formatPrefix,
  formatPrefixAt,
  isNarrowed,
  judgesIngress,
  type List,
  memberContaining,
  nameTermsOf,
  nameTexts,
  type Pieces,
  type Policy,
  type Prefix,
  type PrefixSet,
  prefixAt,
  RULE_BLOCKS,
  type Rule,
  type RuleBlock,
  type RuleSet,
  resolutionOf,
  rulesIn,
  runsOf,
  standingOf,
  timeFor,
} from '@rulecast/rules';

/** The subject of the search; a name is in normal form. */
export type Subject = Prefix | string;

/**
 * How a list or rule contains the subject; `part`: its entries cover a part of it. One entry more than the
 * limit means that there are more.
 */
export interface Holding extends Pick<ControlRecordOf<'holder'>, 'how'> {
  readonly entries: readonly string[];
}

/** A rule that holds it. */
export interface Step extends Pick<ControlRecordOf<'step'>, 'block' | 'decides'> {
  readonly policy: string;
  /** From 0. */
  readonly index: number;
  readonly rule: Rule;
  readonly holding: Holding;
}

/** The rules that hold it. */
interface Found {
  count: number;
  /** Whether any of them is more specific than `any`. */
  isNamed: boolean;
  /** The first of these rules, and the one that decides. */
  readonly steps: Step[];
}

/** The verdict for qubes of a policy. */
export type Judgement = Readonly<Found> & Pick<ControlRecordOf<'decision'>, 'action' | 'by'>;

const STEPS_KEPT_MAX = 32;
/** Rules examined in a turn: some milliseconds, if all contain the subject. */
const PIECE_RULES = 256;
/** One more than are shown. */
const ENTRIES_MAX = HOLDING_ENTRIES_MAX + 1;

/**
 * How a list contains the subject; undefined: not at all. For addresses, a list of names has those that the
 * publisher resolved.
 */
export function holdingOf(list: List, subject: Subject, ruleSet: RuleSet): Holding | undefined {
  if (typeof subject === 'string')
    return list.kind === 'names' ? standingOf(list, subject, ENTRIES_MAX) : undefined;
  if (list.kind === 'prefixes') return setHolding(list, subject);
  const hosts = list.resolve === true ? [...nameTexts(list.names)] : [];
  const found = hosts.flatMap((host) => {
    const one = setHolding(resolutionOf(ruleSet, host), subject);
    return one === undefined ? [] : [{ ...one, entries: one.entries.map((entry) => `${host} (${entry})`) }];
  });
  const whole = found.find(({ how }) => how === 'all');
  if (whole !== undefined || found.length === 0) return whole;
  return { how: 'part', entries: found.flatMap(({ entries }) => entries).slice(0, ENTRIES_MAX) };
}

function setHolding(set: PrefixSet, prefix: Prefix): Holding | undefined {
  const column = columnFor(set, prefix.family);
  const around = memberContaining(column, prefix.words);
  if (around >= 0 && prefixAt(column, around).length <= prefix.length)
    return { how: 'all', entries: [formatPrefixAt(column, around)] };
  const { length } = column.lengths;
  const entries: string[] = [];
  for (let i = firstFrom(column, 0, length, prefix.words); i < length && entries.length < ENTRIES_MAX; i++) {
    if (!contains(prefix, prefixAt(column, i))) break;
    entries.push(formatPrefixAt(column, i));
  }
  return entries.length === 0 ? undefined : { how: 'part', entries };
}

/**
 * Finds everything in a rule set that contains one subject. Visits each list, and each block of rules, once.
 */
export class Holder {
  readonly #ruleSet: RuleSet;
  readonly #subject: Subject;
  /** Seconds since 1970. */
  readonly #now: number;
  readonly #lists = new Map<string, Holding | undefined>();
  readonly #blocks = new Map<string, Found>();
  #looked = 0;

  constructor(ruleSet: RuleSet, subject: Subject, now: number) {
    this.#ruleSet = ruleSet;
    this.#subject = subject;
    this.#now = now;
  }

  /** How the list of that name contains the subject. */
  list(name: string): Holding | undefined {
    if (!this.#lists.has(name)) {
      const list = this.#ruleSet.lists.get(name);
      this.#lists.set(name, list && holdingOf(list, this.#subject, this.#ruleSet));
    }
    return this.#lists.get(name);
  }

  /** For qubes of a policy, or for those that none names: their packets, or those to them. */
  *judge(policy: Policy | undefined, direction: Direction): Pieces<Judgement> {
    const all: Found = { count: 0, isNamed: false, steps: [] };
    let decided: Step | undefined;
    for (const [source, block] of this.#blocksFor(policy, direction)) {
      const { count, isNamed, steps } = yield* this.#found(source, block, direction);
      all.count += count;
      all.isNamed ||= isNamed;
      for (const step of steps) {
        keep(all, decided === undefined ? step : { ...step, decides: 'nothing' });
        if (step.decides === 'rest') decided ??= step;
      }
    }
    if (decided !== undefined) return { ...all, action: decided.rule.action, by: 'rule' };
    return { ...all, ...this.#otherwise(policy, direction) };
  }

  /** Whether anything but `first` judges: ingress is judged only by a policy with rules for it. */
  isJudged(policy: Policy | undefined, direction: Direction): boolean {
    if (direction === 'ingress') return policy !== undefined && judgesIngress(policy);
    return (policy ?? this.#ruleSet.unmatched) !== undefined;
  }

  /** The verdict if no rule matches. */
  #otherwise(policy: Policy | undefined, direction: Direction): Pick<Judgement, 'action' | 'by'> {
    const { policies, unmatched } = this.#ruleSet;
    if (!this.isJudged(policy, direction)) return { action: 'none', by: 'nobody' };
    if (typeof this.#subject === 'string') {
      const { unlisted } = nameTermsOf(policies, policy);
      return { action: unlisted === 'answer' ? 'accept' : 'drop', by: 'unlisted' };
    }
    if (policy !== undefined) return { action: policy.defaultAction, by: 'default' };
    return { action: unmatched === 'drop' ? 'drop' : 'none', by: 'unmatched' };
  }

  /** The blocks of rules that apply, in order. */
  *#blocksFor(
    policy: Policy | undefined,
    direction: Direction,
  ): Generator<readonly [Policy | undefined, RuleBlock]> {
    const { policies } = this.#ruleSet;
    yield [policies.get(FIRST_POLICY), 'own'];
    if (!this.isJudged(policy, direction)) return;
    for (const block of RULE_BLOCKS) yield [block === 'common' ? policies.get(COMMON_POLICY) : policy, block];
  }

  /** The rules of a block that contain the subject, as if no other block came before. */
  *#found(policy: Policy | undefined, block: RuleBlock, direction: Direction): Pieces<Found> {
    const found: Found = { count: 0, isNamed: false, steps: [] };
    if (policy === undefined) return found;
    const key = `${policy.name} ${block} ${direction}`;
    const known = this.#blocks.get(key);
    if (known !== undefined) return known;
    let index = -1;
    let isDecided = false;
    for (const rule of rulesIn(runsOf(policy, direction, block))) {
      if (++this.#looked % PIECE_RULES === 0) yield;
      index++;
      const holding = this.#ofRule(rule);
      if (holding === undefined) continue;
      const isOver = rule.expire !== undefined && timeFor(rule.action, { now: this.#now }) >= rule.expire;
      const isWhole = holding.how === 'all' && !isNarrowed(rule);
      const decides: Step['decides'] = isDecided || isOver ? 'nothing' : isWhole ? 'rest' : 'some';
      isDecided ||= decides === 'rest';
      found.count++;
      found.isNamed ||= rule.remote.kind !== 'any';
      keep(found, { policy: policy.name, block, index, rule, holding, decides });
    }
    this.#blocks.set(key, found);
    return found;
  }

  #ofRule({ remote, dns }: Rule): Holding | undefined {
    const subject = this.#subject;
    if (remote.kind === 'list') {
      const holding = this.list(remote.list);
      return holding?.how === 'excepted' ? undefined : holding;
    }
    if (typeof subject === 'string') {
      if (remote.kind !== 'name') return undefined;
      if (remote.name === subject) return { how: 'all', entries: [remote.name] };
      return remote.name.endsWith(`.${subject}`) ? { how: 'below', entries: [remote.name] } : undefined;
    }
    if (remote.kind === 'any') return dns ? undefined : { how: 'all', entries: [] }; // dns: resolvers
    if (remote.kind === 'name') return setHolding(resolutionOf(this.#ruleSet, remote.name), subject);
    const { prefix } = remote;
    const how = prefix.length <= subject.length ? 'all' : 'part';
    if (!(how === 'all' ? contains(prefix, subject) : contains(subject, prefix))) return undefined;
    return { how, entries: [formatPrefix(prefix)] };
  }
}

function keep({ steps }: Found, step: Step): void {
  if (steps.length < STEPS_KEPT_MAX || step.decides === 'rest') steps.push(step);
}
