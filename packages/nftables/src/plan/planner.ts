/**
 * From a rule set and an environment to the plan of what the kernel is to hold: the meaning of
 * docs/explain/design.md "Meaning of a rule set", by the means of nftables.
 *
 * Everything that depends on the environment is decided here: expired rules are left out, and
 * `specialtarget=dns` becomes the DNS addresses that the rule's own remote side holds.
 */

import {
  bitsOf,
  COMMON_POLICY,
  classesIn,
  columnFor,
  DEFAULT_POLICY,
  type Direction,
  type Family,
  FIRST_POLICY,
  firstPolicyOf,
  formAt,
  isForAllQubes,
  isOf,
  judgesIngress,
  type Policy,
  type RuleSet,
  type Runs,
  runsOf,
  segmentsOf,
} from '@rulecast/rules';
import {
  type BlockBasis,
  type BlockPlan,
  Blocks,
  type CounterIndex,
  defaultCounter,
  NO_BLOCK,
} from './blocks.ts';
import { Chains, type ClassBasis, type Part } from './chains.ts';
import { kernelChains } from './lowering.ts';
import { ANY_PACKET, matchRule } from './matches.ts';
import {
  type AddressSet,
  entryChain,
  hexAt,
  mapName,
  type Plan,
  type PlanSource,
  policyChain,
  type Step,
} from './plan.ts';
import { type KnownSets, type RemoteBasis, Remotes } from './remotes.ts';

export interface Planned {
  readonly plan: Plan;
  readonly counters: readonly CounterIndex[];
  readonly basis: Basis;
}

/**
 * Results that the next plan reuses, so that unchanged parts cost next to nothing. It holds no more than the
 * plan itself used, and ends with it.
 */
export interface Basis extends Pick<RemoteBasis, 'canonicals'> {
  readonly plan: Plan;
  /** By policy, direction and block. */
  readonly blocks: ReadonlyMap<string, BlockBasis>;
  /** By direction, family, policy and block. */
  readonly classes: ReadonlyMap<string, ClassBasis>;
  /** The chains of policies that depend on their rules alone: of a thousand policies, one changes. */
  readonly plain: ReadonlyMap<string, PlainChain>;
}

/** A chain of plain blocks, and all that it depends on. */
interface PlainChain {
  readonly own: BlockPlan;
  readonly exceptions: BlockPlan;
  /** The text for the steps between and after them. */
  readonly between: string;
  readonly steps: readonly Step[];
  readonly sets: readonly (readonly [string, AddressSet])[];
}

const FAMILIES = [4, 6] as const;
const DIRECTIONS = ['egress', 'ingress'] as const;

/**
 * Plans a rule set. It reuses what is in the kernel if that is less work, the sets that are `known` and the
 * `basis` of the plan in force; the meaning is the same. Throws RangeError beyond our limits for a kernel.
 */
export function planOf(source: PlanSource, known: KnownSets, basis?: Basis): Planned {
  try {
    return new Planner(source, known, basis).run();
  } catch (error) {
    // Maps that are built on lead to chains that nothing else needs any more: from nothing there are fewer.
    if (basis === undefined || !(error instanceof RangeError)) throw error;
    return planOf(source, known);
  }
}

/** The name used if no policy judges; no policy can have it. */
const NO_POLICY = '';

/** Rules that judge some qubes. */
interface Judgement {
  readonly policy: string;
  readonly exceptions: BlockPlan;
  readonly common: BlockPlan;
  readonly own: BlockPlan;
  /** The step if none of them matches. */
  readonly end: Step;
}

/** Makes one plan. The result is plain values, as a planner holds on to the plan before. */
class Planner {
  readonly #ruleSet: RuleSet;
  readonly #before: Basis | undefined;
  readonly #blocks: Blocks;
  readonly #remotes: Remotes;
  readonly #chains: Chains;
  readonly #plain = new Map<string, PlainChain>();
  readonly #maps = new Map<string, Map<string, string>>();
  readonly #dispatches = new Map<string, Map<string, string>>(); // by direction, family and length

  constructor(source: PlanSource, known: KnownSets, before: Basis | undefined) {
    this.#ruleSet = source.ruleSet;
    this.#before = before;
    this.#blocks = new Blocks(source.environment, before?.blocks);
    const remotes = before && { nameSets: before.plan.nameSets, canonicals: before.canonicals };
    this.#remotes = new Remotes(source, known, remotes);
    this.#chains = new Chains(before?.classes);
  }

  run(): Planned {
    const { policies } = this.#ruleSet;
    const first = firstPolicyOf(policies);
    for (const direction of DIRECTIONS) {
      this.#planForAll(first, direction, 'own');
      const commonRuns = this.#planForAll(policies.get(COMMON_POLICY), direction, 'common');
      for (const policy of policies.values()) {
        if (isForAllQubes(policy.name)) continue;
        if (direction === 'ingress' && !judgesIngress(policy)) continue;
        this.#planPolicy(policy, direction, commonRuns);
      }
      if (direction === 'egress') this.#planUnmatched(commonRuns);
      for (const family of FAMILIES) this.#planEntry(direction, family);
    }
    const { sets, nameSets, canonicals } = this.#remotes;
    const { all: chains, classMaps, basis: classes } = this.#chains;
    const { counters, indices, basis: blocks } = this.#blocks;
    const lowered = kernelChains({ chains, sets }, this.#before?.plan);
    const plan = { sets, nameSets, maps: this.#maps, classMaps, chains, kernelChains: lowered, counters };
    return { plan, counters: indices, basis: { plan, blocks, classes, canonicals, plain: this.#plain } };
  }

  /** Rules for all qubes: a chain that others jump to, in each family. */
  #planForAll(policy: Policy | undefined, direction: Direction, stands: 'own' | 'common'): BlockPlan {
    if (policy === undefined) return NO_BLOCK;
    const block = this.#blocks.plan(policy, direction, stands);
    for (const family of block.runs.count === 0 ? [] : FAMILIES) {
      const parts = this.#partsOf(block, direction, family);
      this.#chains.addParts(policyChain(direction, family, policy.name), parts, direction, family);
    }
    return block;
  }

  #planPolicy(policy: Policy, direction: Direction, common: BlockPlan): void {
    const own = this.#blocks.plan(policy, direction, 'own');
    const hasExceptions = runsOf(policy, direction, 'exceptions').count > 0;
    const exceptions = hasExceptions ? this.#blocks.plan(policy, direction, 'exceptions') : NO_BLOCK;
    const end = { ...ANY_PACKET, action: policy.defaultAction, counter: defaultCounter(policy, direction) };
    for (const family of FAMILIES) {
      const column = columnFor(policy.prefixes, family);
      const isDefault = policy.name === DEFAULT_POLICY && direction === 'egress';
      if (column.lengths.length === 0 && !isDefault) continue;
      const judgement = { policy: policy.name, exceptions, common, own, end };
      const name = this.#planJudgement(judgement, direction, family);
      for (let i = 0; i < column.lengths.length; i++) {
        this.#dispatch(direction, family, column.lengths[i]!, hexAt(column.words, i, family), name); // i < length
      }
    }
  }

  /** Plans egress of qubes that no policy judges; nothing if the rule set has no action for it. */
  #planUnmatched(common: BlockPlan): void {
    const { unmatched, policies } = this.#ruleSet;
    if (unmatched === undefined || policies.has(DEFAULT_POLICY)) return;
    const end: Step =
      unmatched === 'accept'
        ? { kind: 'pass' }
        : { ...ANY_PACKET, action: 'drop', counter: this.#blocks.countUnmatched() };
    const judgement = { policy: NO_POLICY, exceptions: NO_BLOCK, common, own: NO_BLOCK, end };
    for (const family of FAMILIES) this.#planJudgement(judgement, 'egress', family);
  }

  /** The chain of a policy in one family; returns its name. */
  #planJudgement(
    { policy, exceptions, common, own, end }: Judgement,
    direction: Direction,
    family: Family,
  ): string {
    const name = policyChain(direction, family, policy);
    const chain = policyChain(direction, family, COMMON_POLICY);
    const jump: Step[] = common.runs.count > 0 ? [{ kind: 'jump', chain }] : [];
    const between = JSON.stringify([jump, end]);
    const known = this.#before?.plain.get(name);
    if (known?.own === own && known.exceptions === exceptions && known.between === between) {
      for (const [key, set] of known.sets) this.#remotes.sets.set(key, set);
      this.#chains.add(name, known.steps);
      this.#plain.set(name, known);
      return name;
    }
    const before = this.#partsOf(exceptions, direction, family);
    const parts = [...before, ...jump, ...this.#partsOf(own, direction, family), end];
    const steps = this.#chains.addParts(name, parts, direction, family);
    if (own.isPlain && exceptions.isPlain)
      this.#plain.set(name, { own, exceptions, between, steps, sets: this.#setsOf(steps) });
    return name;
  }

  #setsOf(steps: readonly Step[]): readonly (readonly [string, AddressSet])[] {
    return steps.flatMap((step) => {
      const key = step.kind === 'rule' && step.remote.kind === 'set' ? step.remote.set : '';
      const set = this.#remotes.sets.get(key);
      return set === undefined ? [] : [[key, set] as const];
    });
  }

  #dispatch(direction: Direction, family: Family, length: number, address: string, chain: string): void {
    const place = `${direction}${family} ${length}`;
    let map = this.#dispatches.get(place);
    if (map === undefined) {
      map = new Map();
      this.#dispatches.set(place, map);
    }
    if (!map.has(address)) map.set(address, chain); // no sound rule set has two; the first one judges
  }

  /**
   * Plans the entry of a direction: the policy `first`, whose chain drops or returns; then the longest source
   * prefix, by maps from the longest to the shortest, then prefix 0, then `default`, then the action for
   * unmatched qubes.
   */
  #planEntry(direction: Direction, family: Family): void {
    const first = policyChain(direction, family, FIRST_POLICY);
    const steps: Step[] = this.#chains.all.has(first) ? [{ kind: 'jump', chain: first }] : [];
    for (let length = bitsOf(family); length > 0; length--) {
      const keys = this.#dispatches.get(`${direction}${family} ${length}`);
      if (keys === undefined) continue;
      const map = mapName(direction, family, length, keys);
      this.#maps.set(map, keys);
      steps.push({ kind: 'dispatch', map });
    }
    const everything = [...(this.#dispatches.get(`${direction}${family} 0`)?.values() ?? [])][0];
    const otherwise = [DEFAULT_POLICY, NO_POLICY]
      .map((policy) => policyChain(direction, family, policy))
      .find((chain) => direction === 'egress' && this.#chains.all.has(chain));
    const last = everything ?? otherwise;
    steps.push(last === undefined ? { kind: 'pass' } : { kind: 'goto', chain: last });
    this.#chains.add(entryChain(direction, family), steps);
  }

  #partsOf(block: BlockPlan, direction: Direction, family: Family): Part[] {
    return segmentsOf(block.runs, family).flatMap((segment, index): Part[] => {
      const { first, end, count, gathered } = segment;
      if (gathered) {
        const place = `${direction} ${family} ${block.name} ${index}`;
        const classes = classesIn(block.runs, segment, this.#before?.classes.get(place)?.classes);
        return [{ kind: 'classes', place, classes, together: block.together }];
      }
      if (count === 0) return [];
      return Array.from({ length: end - first }, (_, place) => first + place).flatMap((at): Step[] => {
        const form = formAt(block.runs, at);
        const own = block.counters.get(at);
        const counter = block.gathered[at] === 1 ? block.together[form.match.action] : own;
        return counter === undefined || !isOf(form, family)
          ? []
          : this.#rulesOf(block.runs, at, counter, direction, family);
      });
    });
  }

  #rulesOf(runs: Runs, index: number, counter: string, direction: Direction, family: Family): Step[] {
    const { match } = formAt(runs, index);
    const rule = matchRule(match, family);
    if (rule === undefined) return [];
    const base = { ...rule, counter };
    return this.#remotes.of(runs, index, counter, family).flatMap((remote) => [
      { ...base, remote, original: false },
      // After DNAT the packet goes to the resolver, but the qube sent it to one of the DNS addresses.
      ...(match.dns && direction === 'egress' ? [{ ...base, remote, original: true }] : []),
    ]);
  }
}
