/**
 * Outlines: the programs of a rule set, and the predicate of each of their runs in an environment. Making an
 * outline registers every predicate; programs are made once classes exist.
 */

import {
  type Action,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type Direction,
  type Environment,
  FIRST_POLICY,
  formAt,
  isForAllQubes,
  type Policy,
  type RuleSet,
  type Runs,
  timeFor,
} from '@rulecast/rules';
import { ALL_PROTOS, checksOf } from '../classes/match-checks.ts';
import { ANY_ADDRESS, NO_ADDRESS, type Predicates, spanOf } from '../classes/predicate.ts';
import { DIRECTIONS } from './program.ts';

/** The runs of one policy in one block and direction, in an environment. */
export interface Block {
  readonly policy: number;
  /** A block of the policy's own, as the rules of `common` belong to `common`. */
  readonly block: 'exceptions' | 'own';
  readonly direction: Direction;
  readonly runs: Runs;
  /** By run: a predicate, ANY_ADDRESS or NO_ADDRESS. */
  readonly predicates: Int32Array;
}

/** A program before its rows. */
export interface ProgramOutline {
  /** Undefined: it judges egress of qubes that no policy does. */
  readonly policy: Policy | undefined;
  readonly direction: Direction;
  /** The action if no run matches. */
  readonly otherwise: Action | 'none';
  /** Blocks, or -1. */
  readonly exceptions: number;
  readonly common: number;
  readonly own: number;
}

/** The blocks of a program in the order in which they are judged. */
export function blocksOf({ exceptions, common, own }: ProgramOutline): readonly number[] {
  return [exceptions, common, own];
}

/**
 * The predicates of the runs of a policy in one direction; negative for those that ask about no address or
 * match none.
 */
export interface BlockPredicates {
  readonly policy: string;
  readonly block: Block['block'];
  readonly direction: Direction;
  readonly predicates: Int32Array;
}

/** The programs of a rule set before classes exist; making one registers every predicate. */
export class ProgramOutlines {
  readonly all: ProgramOutline[] = [];
  readonly blocks: Block[] = [];
  readonly policies: readonly Policy[];
  /** NO_ADDRESS if the environment has none. */
  readonly dnsPredicate: number;
  readonly #environment: Environment;
  readonly #predicates: Predicates;

  constructor(ruleSet: RuleSet, environment: Environment, predicates: Predicates) {
    this.#environment = environment;
    this.#predicates = predicates;
    const { unmatched } = ruleSet;
    const policies = [...ruleSet.policies.values()];
    this.policies = policies;
    this.dnsPredicate = predicates.ofDns(environment.dns);
    const first = policies.find(({ name }) => name === FIRST_POLICY);
    const common = policies.find(({ name }) => name === COMMON_POLICY);
    for (const direction of DIRECTIONS) {
      if (first !== undefined && first[direction].count > 0) {
        const own = this.#block(first, direction);
        this.all.push({ policy: first, direction, otherwise: 'none', exceptions: -1, common: -1, own });
      }
      const commonBlock = common === undefined ? -1 : this.#block(common, direction);
      for (const policy of policies) {
        if (isForAllQubes(policy.name)) continue;
        const exceptions = policy.exceptions[direction].count;
        const judgesIngress = policy.name !== DEFAULT_POLICY && exceptions + policy.ingress.count > 0;
        if (direction === 'ingress' && !judgesIngress) continue;
        this.all.push({
          policy,
          direction,
          otherwise: policy.defaultAction,
          exceptions: exceptions > 0 ? this.#block(policy, direction, 'exceptions') : -1,
          common: commonBlock,
          own: this.#block(policy, direction),
        });
      }
      const isUnmatched = unmatched !== undefined && !policies.some(({ name }) => name === DEFAULT_POLICY);
      if (direction === 'egress' && isUnmatched) {
        const otherwise = unmatched === 'accept' ? 'none' : 'drop';
        this.all.push({
          policy: undefined,
          direction,
          otherwise,
          exceptions: -1,
          common: commonBlock,
          own: -1,
        });
      }
    }
  }

  #block(policy: Policy, direction: Direction, block: Block['block'] = 'own'): number {
    const { [direction]: runs } = block === 'own' ? policy : policy.exceptions;
    const predicates = new Int32Array(runs.count);
    for (let run = 0; run < runs.count; run++) predicates[run] = this.#predicateOf(runs, run);
    return (
      this.blocks.push({ policy: this.policies.indexOf(policy), block, direction, runs, predicates }) - 1
    );
  }

  #predicateOf(runs: Runs, run: number): number {
    const { match, remote } = formAt(runs, run);
    const isOver = match.expire !== undefined && timeFor(match.action, this.#environment) >= match.expire;
    if (isOver || (checksOf(match) & ALL_PROTOS) === 0) return NO_ADDRESS;
    switch (remote.kind) {
      case 'prefixes':
        return this.#predicates.ofPrefixes(spanOf(runs, run, remote.family));
      case 'name':
        return this.#predicates.ofName(remote.name);
      case 'list':
        return this.#predicates.ofList(remote.list);
      case 'any':
        return match.dns ? this.dnsPredicate : ANY_ADDRESS;
    }
  }
}
