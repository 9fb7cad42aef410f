/**
 * The rules of a policy in one direction, ready for its chains: the runs that can decide anything now, and
 * their counters. A counter stays with its run when other runs are added or removed before it.
 */

import {
  type Action,
  type Direction,
  type Environment,
  eachRun,
  FIRST_POLICY,
  NO_RULES,
  type Policy,
  type RuleBlock,
  type Run,
  type Runs,
  runAt,
  runRuleCount,
  runsOf,
  segmentsOf,
  timeFor,
} from '@rulecast/rules';
import { SMALL_MEMBERS_MAX } from '../limits.ts';
import { keyOf } from './plan.ts';

/** The counters of one block of a policy in one direction, for reading them back. */
export interface CounterIndex {
  /** Undefined: of qubes that no policy judges. */
  readonly policy: string | undefined;
  readonly block: RuleBlock;
  readonly direction: Direction;
  /** By run that is counted by itself; undefined: it is expired. */
  readonly runs: readonly (string | undefined)[];
  /** By run: the number of its first rule in the block, from 1. */
  readonly numbers: readonly number[];
  /** By run: its list. */
  readonly lists: readonly (string | undefined)[];
  /** By run: its action. */
  readonly actions: readonly Action[];
  /** Counters of the runs that are looked up by class, one for accepted and one for dropped packets. */
  readonly together: readonly string[];
  /**
   * The counter of the default action; undefined for blocks without one: exceptions, `common` and `first`.
   */
  readonly defaultAction: string | undefined;
  /** The action of the default, counted by its counter. */
  readonly base: Action;
}

/** The runs of one block of a policy, for any of its chains. */
export interface BlockPlan {
  /** The policy and the block. */
  readonly name: string;
  readonly runs: Runs;
  /** By run, 1: it is counted together with others, in both families. */
  readonly gathered: Uint8Array;
  /** The counter of each run that has not expired. */
  readonly counters: ReadonlyMap<number, string>;
  /** The common counters, by action. */
  readonly together: Readonly<Record<Action, string>>;
  /** Whether its verdicts depend on the rules alone: not on lists, names, DNS addresses or time. */
  readonly isPlain: boolean;
}

/** A block, with data that the next plan reuses. */
export interface BlockBasis {
  readonly plan: BlockPlan;
  readonly index: CounterIndex;
  /** Counters of runs that are counted by themselves, by what makes a run the same in the next release. */
  readonly names: ReadonlyMap<string, string>;
}

export const NO_BLOCK: BlockPlan = {
  name: '',
  runs: NO_RULES,
  gathered: new Uint8Array(0),
  counters: new Map(),
  together: { accept: '', drop: '' },
  isPlain: true,
};

/** Counts what is dropped because no policy judges it. */
const UNMATCHED_COUNTER = 'unmatched';

export class Blocks {
  readonly counters = new Set<string>();
  readonly indices: CounterIndex[] = [];
  /** By policy, direction and block. */
  readonly basis = new Map<string, BlockBasis>();
  readonly #environment: Environment;
  readonly #before: ReadonlyMap<string, BlockBasis> | undefined;

  constructor(environment: Environment, before: ReadonlyMap<string, BlockBasis> | undefined) {
    this.#environment = environment;
    this.#before = before;
  }

  /** A plain block of the same runs is the very one of the plan before. */
  plan(policy: Policy, direction: Direction, block: RuleBlock): BlockPlan {
    const runs = runsOf(policy, direction, block);
    const place = `${policy.name} ${direction} ${block === 'exceptions' ? 'exceptions ' : ''}`;
    const before = this.#before?.get(place);
    const isKnown = before?.plan.runs === runs && before.plan.isPlain;
    const basis = isKnown ? before : this.#new(policy, direction, block, place, before);
    const { plan, index } = basis;
    this.basis.set(place, basis);
    for (const name of plan.counters.values()) this.counters.add(name);
    for (const name of index.together) this.counters.add(name);
    if (index.defaultAction !== undefined) this.counters.add(index.defaultAction);
    this.indices.push(index);
    return plan;
  }

  #new(
    policy: Policy,
    direction: Direction,
    block: RuleBlock,
    place: string,
    before: BlockBasis | undefined,
  ): BlockBasis {
    const runs = runsOf(policy, direction, block);
    const gathered = new Uint8Array(runs.count);
    const seen = new Map<string, number>();
    const names = new Map<string, string>();
    const counters = new Map<number, string>();
    const own = {
      runs: [] as (string | undefined)[],
      numbers: [] as number[],
      lists: [] as (string | undefined)[],
      actions: [] as Action[],
    };
    let number = 1;
    const ofBoth = segmentsOf(runs, 6);
    for (const [at, { first, end, rules, gathered: isGathered }] of segmentsOf(runs, 4).entries()) {
      if (isGathered || ofBoth[at]?.gathered) {
        gathered.fill(1, first, end);
        number += rules;
        continue;
      }
      for (let index = first; index < end; index++) {
        const run = runAt(runs, index);
        const { action, expire } = run.match;
        const text = counterText(run, place, seen);
        const counter = before?.names.get(text) ?? counterName(text);
        names.set(text, counter);
        const live = expire === undefined || timeFor(action, this.#environment) < expire;
        if (live) counters.set(index, counter);
        own.runs.push(live ? counter : undefined);
        own.numbers.push(number);
        own.lists.push(run.remote.kind === 'list' ? run.remote.list : undefined);
        own.actions.push(action);
        number += runRuleCount(run);
      }
    }
    const together =
      counters.size === runs.count || !gathered.includes(1)
        ? []
        : (['accept', 'drop'] as const).map((action) => counterName(`${place}together ${action}`));
    const hasDefault = block === 'own' && policy.name !== FIRST_POLICY;
    const defaultAction = hasDefault ? defaultCounter(policy, direction) : undefined;
    const base = policy.defaultAction;
    const index = { policy: policy.name, block, direction, ...own, together, defaultAction, base };
    const plan = {
      name: `${policy.name} ${block}`,
      runs,
      gathered,
      counters,
      together: { accept: together[0] ?? '', drop: together[1] ?? '' },
      isPlain: !gathered.includes(1) && [...eachRun(runs)].every(isPlainRun),
    };
    return { plan, index, names };
  }

  /** The counter of packets dropped because no policy judges them. */
  countUnmatched(): string {
    const counter = counterName(UNMATCHED_COUNTER);
    this.counters.add(counter);
    const none = { runs: [], numbers: [], lists: [], actions: [], together: [] };
    this.indices.push({
      policy: undefined,
      block: 'own',
      direction: 'egress',
      ...none,
      defaultAction: counter,
      base: 'drop',
    });
    return counter;
  }
}

/** The counter of packets that a policy's default action decides. */
export function defaultCounter(policy: Policy, direction: Direction): string {
  return counterName(`${policy.name} ${direction} default`);
}

/** Whether a run depends on nothing else: its addresses are its own, and few. */
function isPlainRun({ match, remote }: Run): boolean {
  const isOwn = remote.kind === 'any' || remote.kind === 'prefixes';
  const isFew = remote.kind !== 'prefixes' || remote.prefixes.lengths.length <= SMALL_MEMBERS_MAX;
  return isOwn && isFew && !match.dns && match.expire === undefined;
}

function counterName(text: string): string {
  return `c${keyOf(text)}`;
}

/** A text that identifies a run, also among runs with the same text before it. */
function counterText(run: Run, place: string, seen: Map<string, number>): string {
  const whole = `${place}${runText(run)}`;
  const before = seen.get(whole) ?? 0;
  seen.set(whole, before + 1);
  return `${whole} ${before}`;
}

/** The identity of a run across releases, though its own prefixes may change. */
function runText(run: Run): string {
  const { action, proto, dns, ports, icmpType, expire, comment = '', isPrivate } = run.match;
  const { remote } = run;
  const target =
    remote.kind === 'list'
      ? remote.list
      : remote.kind === 'name'
        ? remote.name
        : remote.kind === 'prefixes'
          ? remote.prefixes.family
          : '';
  const { first, last } = ports ?? {};
  // Names have no space, and the comment is the last.
  return `${action} ${proto} ${dns} ${first} ${last} ${icmpType} ${expire} ${remote.kind}${isPrivate === true ? '!' : ''} ${target} ${comment}`;
}
