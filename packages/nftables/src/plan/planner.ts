/**
 * From a rule set and an environment to the plan of what the kernel is to hold: the meaning of docs/design.md
 * "Meaning of a rule set", by the means of nftables.
 *
 * What depends on the environment is decided here: expired rules are left out, and `specialtarget=dns`
 * becomes the DNS addresses that the rule's own remote side holds.
 */

import {
  type Action,
  type Address,
  bitsOf,
  COMMON_POLICY,
  canonicalPrefixes,
  classesIn,
  columnFor,
  columnOf,
  commonEnds,
  DEFAULT_POLICY,
  type Direction,
  diffPrefixes,
  type Environment,
  type Family,
  FIREWALL_CHAINS_MAX,
  FIREWALL_RULES_MAX,
  IpProtocol,
  isOf,
  isOfPrivateNames,
  isUnconditional,
  judgesIngress,
  type ListChange,
  type ListChanges,
  type MatchClasses,
  memberContaining,
  namesOpenedBy,
  nameTexts,
  openedLists,
  type Policy,
  PrefixBuilder,
  type Prefixes,
  type PrefixesDelta,
  type RuleBlock,
  type RuleMatch,
  type RuleSet,
  type Run,
  type RunRemote,
  resolutionOf,
  runRuleCount,
  runsOf,
  segmentsOf,
  timeFor,
} from '@rulecast/rules';
import { IN_PLACE_SHARE, SMALL_MEMBERS_MAX } from '../limits.ts';
import { classMapsOf, type LoadedMaps } from './class-maps.ts';
import { fitsLayout, layoutOf } from './layout.ts';
import { nameSetFor } from './name-set.ts';
import {
  type AddressSet,
  type ClassMap,
  entryChain,
  hexAt,
  type Key,
  keyOf,
  mapName,
  type Plan,
  type PlannedNameSet,
  type PlanRemote,
  type PlanRule,
  partChain,
  policyChain,
  type Step,
  setKey,
  versionOf,
} from './plan.ts';

/** Where the counters of one block of a policy in one direction are, for reading them back. */
export interface CounterIndex {
  /** Undefined: of qubes that no policy judges. */
  readonly policy: string | undefined;
  readonly block: RuleBlock;
  readonly direction: Direction;
  /** By run that is counted by itself; undefined: it is expired. */
  readonly runs: readonly (string | undefined)[];
  /** By such a run: the number of its first rule in the block, from 1. */
  readonly numbers: readonly number[];
  /** By such a run: its list. */
  readonly lists: readonly (string | undefined)[];
  /** Counters of the runs that are looked up by class, one for accepted and one for dropped packets. */
  readonly together: readonly string[];
  /** Undefined for common, whose default action is unused, and for exceptions, which others come after. */
  readonly defaultAction: string | undefined;
}

export interface Planned {
  readonly plan: Plan;
  readonly counters: readonly CounterIndex[];
  readonly basis: Basis;
}

/** What the next plan builds on. */
export interface Basis {
  /** By policy, direction and block. */
  readonly runs: ReadonlyMap<string, readonly Run[]>;
  /**
   * Where rules are asked by the class of the address: the classes, and the maps for them that were loaded
   * whole. By direction, family, policy and block.
   */
  readonly places: ReadonlyMap<string, { readonly classes: MatchClasses; readonly loaded: LoadedMaps }>;
}

/** A set that is in the kernel: its members, if they are known. */
export type KnownSet = Pick<AddressSet, 'layout' | 'version'> & { readonly members: Prefixes | undefined };
/** The set of some key that is in the kernel. */
export type KnownSets = (setKey: string) => KnownSet | undefined;

const FAMILIES = [4, 6] as const;
const DIRECTIONS = ['egress', 'ingress'] as const;
const PORT_PROTOCOLS = [IpProtocol.tcp, IpProtocol.udp];

/**
 * Plans a rule set. What is in the kernel is built on where that is less: sets that are `known`, and the
 * `basis` of the plan in force; it means the same. `changes` spare comparing. Throws RangeError where it goes
 * beyond what we load into a kernel.
 */
export function planOf(
  ruleSet: RuleSet,
  environment: Environment,
  known: KnownSets,
  changes?: ListChanges,
  basis?: Basis,
): Planned {
  try {
    return new Planner(ruleSet, environment, known, changes, basis).run();
  } catch (error) {
    // Maps that are built on lead to chains that nothing else needs any more: from nothing there are fewer.
    if (basis === undefined || !(error instanceof RangeError)) throw error;
    return planOf(ruleSet, environment, known, changes);
  }
}

/** Stands for the name of a policy where none judges; no policy can have it. */
const NO_POLICY = '';

/** One run that can decide anything now. */
interface ReadyRun {
  readonly run: Run;
  readonly counter: string;
}

/** The runs of one block of a policy, ready for any of its chains. */
interface ReadyBlock {
  /** Of which policy, and which block. */
  readonly name: string;
  readonly runs: readonly Run[];
  /** By run, 1: it is counted together with others, in both families. */
  readonly gathered: Uint8Array;
  /** By run; those of others, if they have not expired. */
  readonly counters: ReadonlyMap<number, string>;
  /** Of what is counted together, by action. */
  readonly together: Readonly<Record<Action, string>>;
  /** Nothing but the rules themselves decides what becomes of them: no list, name, address of DNS or time. */
  readonly isPlain: boolean;
}

const NO_BLOCK: ReadyBlock = {
  name: '',
  runs: [],
  gathered: new Uint8Array(0),
  counters: new Map(),
  together: { accept: '', drop: '' },
  isPlain: true,
};

/** Rules that judge some qubes, ready for their chains. */
interface Judging {
  readonly policy: string;
  readonly exceptions: ReadyBlock;
  readonly common: ReadyBlock;
  readonly own: ReadyBlock;
  /** Where none of them matches. */
  readonly end: Step;
}

/**
 * A part of a chain: steps one after the other, or runs of which the class of the address says which to ask.
 */
type Part = Step | Gathered;

interface Gathered {
  readonly kind: 'classes';
  /** Among those of `Basis`. */
  readonly place: string;
  readonly classes: MatchClasses;
  readonly block: ReadyBlock;
}

/** Makes one plan. What it hands out are plain values: a planner holds the plan before its own. */
class Planner {
  readonly sets = new Map<string, AddressSet>();
  readonly nameSets = new Map<string, PlannedNameSet>();
  readonly maps = new Map<string, Map<string, string>>();
  readonly classMaps = new Map<string, ClassMap>();
  readonly chains = new Map<string, readonly Step[]>();
  readonly counters = new Set<string>();
  readonly indices: CounterIndex[] = [];
  readonly runs = new Map<string, readonly Run[]>();
  readonly places = new Map<string, { classes: MatchClasses; loaded: LoadedMaps }>();
  readonly #ruleSet: RuleSet;
  readonly #environment: Environment;
  readonly #known: KnownSets;
  readonly #changes: ListChanges | undefined;
  readonly #before: Basis | undefined;
  readonly #columns = new Map<string, Prefixes>(); // of lists
  readonly #opened: ReturnType<typeof openedLists>;
  readonly #dispatches = new Map<string, Map<string, string>>(); // by direction, family and length
  #ruleTotal = 0;

  constructor(
    ruleSet: RuleSet,
    environment: Environment,
    known: KnownSets,
    changes: ListChanges | undefined,
    before: Basis | undefined,
  ) {
    this.#ruleSet = ruleSet;
    this.#environment = environment;
    this.#known = known;
    this.#changes = changes;
    this.#before = before;
    this.#opened = openedLists(ruleSet);
  }

  run(): Planned {
    const common = this.#ruleSet.policies.get(COMMON_POLICY);
    for (const direction of DIRECTIONS) {
      const commonRuns = common === undefined ? NO_BLOCK : this.#ready(common, direction, 'common');
      for (const family of FAMILIES) this.#planCommon(direction, family, commonRuns);
      for (const policy of this.#ruleSet.policies.values()) {
        if (policy.name === COMMON_POLICY) continue;
        if (direction === 'ingress' && !judgesIngress(policy)) continue;
        this.#planPolicy(policy, direction, commonRuns);
      }
      if (direction === 'egress') this.#planUnmatched(commonRuns);
      for (const family of FAMILIES) this.#planEntry(direction, family);
    }
    const { sets, nameSets, maps, classMaps, chains, counters, runs, places } = this;
    const plan = { sets, nameSets, maps, classMaps, chains, counters };
    return { plan, counters: this.indices, basis: { runs, places } };
  }

  // ── Runs and counters ────────────────────────────────────────────────────────────────────────────────────

  /**
   * The runs of a policy that can decide anything now. A counter stays with its run when others come or go
   * before it.
   */
  #ready(policy: Policy, direction: Direction, block: RuleBlock): ReadyBlock {
    const runs = runsOf(policy, direction, block);
    const place = `${policy.name} ${direction} ${block === 'exceptions' ? 'exceptions ' : ''}`;
    const known = readyBlocks.get(runs);
    if (known?.place === place) {
      this.runs.set(place, runs);
      for (const name of known.block.counters.values()) this.counters.add(name);
      if (known.index.defaultAction !== undefined) this.counters.add(known.index.defaultAction);
      this.indices.push(known.index);
      return known.block;
    }
    const gathered = new Uint8Array(runs.length);
    const seen = new Map<string, number>();
    const counters = new Map<number, string>();
    const own = {
      runs: [] as (string | undefined)[],
      numbers: [] as number[],
      lists: [] as (string | undefined)[],
    };
    let number = 1;
    const before = this.#before?.runs.get(place);
    if (before !== undefined) commonEnds(before, runs);
    const ofBoth = segmentsOf(runs, 6);
    this.runs.set(place, runs);
    for (const [at, { first, end, rules, gathered: isGathered }] of segmentsOf(runs, 4).entries()) {
      if (isGathered || ofBoth[at]?.gathered) {
        gathered.fill(1, first, end);
        number += rules;
        continue;
      }
      for (let index = first; index < end; index++) {
        const run = runs[index]!; // within the runs
        const { action, expire } = run.match;
        const name = counterOf(run, place, seen);
        const live = expire === undefined || timeFor(action, this.#environment) < expire;
        if (live) counters.set(index, this.#counted(name));
        own.runs.push(live ? name : undefined);
        own.numbers.push(number);
        own.lists.push(run.remote.kind === 'list' ? run.remote.list : undefined);
        number += runRuleCount(run);
      }
    }
    const names =
      counters.size === runs.length || !gathered.includes(1)
        ? []
        : (['accept', 'drop'] as const).map((action) => this.#counter(`${place}together ${action}`));
    const defaultAction = block === 'own' ? this.#counter(defaultText(policy, direction)) : undefined;
    const index = { policy: policy.name, block, direction, ...own, together: names, defaultAction };
    this.indices.push(index);
    const together = { accept: names[0] ?? '', drop: names[1] ?? '' };
    const isPlain = !gathered.includes(1) && runs.every(isPlainRun);
    const ready = { name: `${policy.name} ${block}`, runs, gathered, counters, together, isPlain };
    if (isPlain) readyBlocks.set(runs, { place, block: ready, index });
    return ready;
  }

  #counter(text: string): string {
    return this.#counted(counterName(text));
  }

  #counted(name: string): string {
    this.counters.add(name);
    return name;
  }

  // ── Chains ───────────────────────────────────────────────────────────────────────────────────────────────

  #planCommon(direction: Direction, family: Family, block: ReadyBlock): void {
    if (block.runs.length === 0) return;
    const parts = this.#partsOf(block, direction, family);
    this.#addParts(policyChain(direction, family, COMMON_POLICY), parts, direction, family);
  }

  #planPolicy(policy: Policy, direction: Direction, common: ReadyBlock): void {
    const own = this.#ready(policy, direction, 'own');
    const hasExceptions = runsOf(policy, direction, 'exceptions').length > 0;
    const exceptions = hasExceptions ? this.#ready(policy, direction, 'exceptions') : NO_BLOCK;
    const end: PlanRule = {
      ...ANY_PACKET,
      action: policy.defaultAction,
      counter: this.#counter(defaultText(policy, direction)),
    };
    for (const family of FAMILIES) {
      const column = columnFor(policy.prefixes, family);
      const isDefault = policy.name === DEFAULT_POLICY && direction === 'egress';
      if (column.lengths.length === 0 && !isDefault) continue;
      const name = this.#planJudging(
        { policy: policy.name, exceptions, common, own, end },
        direction,
        family,
      );
      for (let i = 0; i < column.lengths.length; i++) {
        this.#dispatch(direction, family, column.lengths[i]!, hexAt(column.words, i, family), name); // i < length
      }
    }
  }

  /** What is said of egress that no policy judges; nothing is planned where nothing is said. */
  #planUnmatched(common: ReadyBlock): void {
    const { unmatched, policies } = this.#ruleSet;
    if (unmatched === undefined || policies.has(DEFAULT_POLICY)) return;
    let end: Step = { kind: 'pass' };
    if (unmatched !== 'accept') {
      const counter = this.#counter(UNMATCHED_COUNTER);
      end = { ...ANY_PACKET, action: 'drop', counter };
      const index = {
        policy: undefined,
        direction: 'egress',
        runs: [],
        numbers: [],
        lists: [],
        together: [],
      } as const;
      this.indices.push({ ...index, block: 'own', defaultAction: counter });
    }
    const judging = { policy: NO_POLICY, exceptions: NO_BLOCK, common, own: NO_BLOCK, end };
    for (const family of FAMILIES) this.#planJudging(judging, 'egress', family);
  }

  /** The chain of a policy in one family; returns its name. */
  #planJudging(
    { policy, exceptions, common, own, end }: Judging,
    direction: Direction,
    family: Family,
  ): string {
    const name = policyChain(direction, family, policy);
    const chain = policyChain(direction, family, COMMON_POLICY);
    const jump: Step[] = common.runs.length > 0 ? [{ kind: 'jump', chain }] : [];
    const known = plainChains.get(own)?.[family];
    const basis = JSON.stringify([name, jump, end]);
    if (known?.basis === basis && known.exceptions === exceptions) {
      for (const [key, set] of known.sets) this.sets.set(key, set);
      this.#addChain(name, known.steps);
      return name;
    }
    const before = this.#partsOf(exceptions, direction, family);
    const parts = [...before, ...jump, ...this.#partsOf(own, direction, family), end];
    this.#addParts(name, parts, direction, family);
    const steps = this.chains.get(name) ?? [];
    if (own.isPlain && exceptions.isPlain) {
      const chain = { basis, exceptions, steps, sets: this.#setsOf(steps) };
      plainChains.set(own, { ...plainChains.get(own), [family]: chain });
    }
    return name;
  }

  #setsOf(steps: readonly Step[]): readonly (readonly [string, AddressSet])[] {
    return steps.flatMap((step) => {
      const key = step.kind === 'rule' && step.remote.kind === 'set' ? step.remote.set : '';
      const set = this.sets.get(key);
      return set === undefined ? [] : [[key, set] as const];
    });
  }

  #addChain(name: string, steps: readonly Step[]): void {
    if (this.chains.has(name)) return; // of the same class
    this.#ruleTotal += steps.length;
    this.chains.set(name, steps);
    if (this.#ruleTotal > FIREWALL_RULES_MAX || this.chains.size > FIREWALL_CHAINS_MAX) {
      throw new RangeError(
        `the release needs more than ${FIREWALL_RULES_MAX} rules or ${FIREWALL_CHAINS_MAX} chains of nftables: gather destinations in lists`,
      );
    }
  }

  /**
   * Parts of a chain as steps. Where the rules for a class of addresses end without a verdict, what comes
   * after them is asked, which then is a chain of its own; so the last parts come first.
   */
  #addParts(name: string, parts: readonly Part[], direction: Direction, family: Family): void {
    let steps: Step[] = [];
    let after = 0; // parts of classes
    for (const part of [...parts].reverse()) {
      if (part.kind !== 'classes') {
        steps.unshift(part);
        continue;
      }
      const rest = steps;
      const falls = part.classes.classes.some((matches) => !endsAlways(matches));
      if (falls && rest.length > 0) {
        const chain = partChain(direction, family, `${name} rest ${after++}`);
        this.#addChain(chain, rest);
        steps = [{ kind: 'goto', chain }];
      }
      steps = this.#classify(part, direction, family, falls ? steps[0] : undefined);
    }
    this.#addChain(name, steps);
  }

  /**
   * The lookups that find the class of an address, and the chains of the classes. `rest`: what is asked where
   * these decide nothing.
   */
  #classify(
    { place, classes, block }: Gathered,
    direction: Direction,
    family: Family,
    rest: Step | undefined,
  ): Step[] {
    const before = this.#before?.places.get(place)?.loaded;
    const inUse = new Uint8Array(classes.classes.length);
    markUsed(inUse, classes.classOf);
    if (before?.classes.classes === classes.classes) markUsed(inUse, before.classes.classOf); // its maps lead there
    const chains = classes.classes.map((matches, own) => {
      if (inUse[own] === 0) return '';
      if (matches.length === 0 && rest?.kind === 'goto') return rest.chain;
      const { chain, steps } = this.#classChain(matches, block, direction, family, rest);
      this.#addChain(chain, steps);
      return chain;
    });
    const { maps, otherwise, loaded } = classMapsOf(classes, chains, before);
    this.places.set(place, { classes, loaded });
    for (const { name, map } of maps) this.classMaps.set(name, map);
    const lookups = maps.map(({ name }): Step => ({ kind: 'classify', map: name }));
    return [...lookups, { kind: 'goto', chain: otherwise }];
  }

  /** The chain of a class; computed once for each in its place. */
  #classChain(
    matches: readonly RuleMatch[],
    { together }: ReadyBlock,
    direction: Direction,
    family: Family,
    rest: Step | undefined,
  ): ClassChain {
    const context = JSON.stringify([direction, family, together, rest]);
    const known = classChains.get(matches);
    if (known?.context === context) return known;
    const steps: Step[] = matches.flatMap((match): Step[] => {
      const rule = this.#matchRule(match, family);
      if (rule === undefined) return [];
      return [{ ...rule, remote: { kind: 'any' }, original: false, counter: together[match.action] }];
    });
    if (rest !== undefined && !endsAlways(matches)) steps.push(rest);
    const made = { context, chain: partChain(direction, family, JSON.stringify(steps)), steps };
    classChains.set(matches, made);
    return made;
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
   * The longest source prefix decides: maps from the longest to the shortest, then prefix 0, then `default`,
   * then what is said of unmatched qubes.
   */
  #planEntry(direction: Direction, family: Family): void {
    const steps: Step[] = [];
    for (let length = bitsOf(family); length > 0; length--) {
      const keys = this.#dispatches.get(`${direction}${family} ${length}`);
      if (keys === undefined) continue;
      const map = mapName(direction, family, length, keys);
      this.maps.set(map, keys);
      steps.push({ kind: 'dispatch', map });
    }
    const everything = [...(this.#dispatches.get(`${direction}${family} 0`)?.values() ?? [])][0];
    const otherwise = [DEFAULT_POLICY, NO_POLICY]
      .map((policy) => policyChain(direction, family, policy))
      .find((chain) => direction === 'egress' && this.chains.has(chain));
    const last = everything ?? otherwise;
    steps.push(last === undefined ? { kind: 'pass' } : { kind: 'goto', chain: last });
    this.#addChain(entryChain(direction, family), steps);
  }

  // ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────

  #partsOf(block: ReadyBlock, direction: Direction, family: Family): Part[] {
    return segmentsOf(block.runs, family).flatMap((segment, index): Part[] => {
      const { first, end, count, gathered } = segment;
      if (gathered) {
        const place = `${direction} ${family} ${block.name} ${index}`;
        const classes = classesIn(block.runs, segment, this.#before?.places.get(place)?.classes);
        return [{ kind: 'classes', place, classes, block }];
      }
      if (count === 0) return [];
      return block.runs.slice(first, end).flatMap((run, place): Step[] => {
        const own = block.counters.get(first + place);
        const counter = block.gathered[first + place] === 1 ? block.together[run.match.action] : own;
        return counter === undefined || !isOf(run, family)
          ? []
          : this.#rulesOf({ run, counter }, direction, family);
      });
    });
  }

  #rulesOf(ready: ReadyRun, direction: Direction, family: Family): Step[] {
    const { match } = ready.run;
    const rule = this.#matchRule(match, family);
    if (rule === undefined) return [];
    const base = { ...rule, counter: ready.counter };
    return this.#remotesOf(ready, family).flatMap((remote) => [
      { ...base, remote, original: false },
      // After DNAT the packet goes to the resolver; the qube asked one of the DNS addresses.
      ...(match.dns && direction === 'egress' ? [{ ...base, remote, original: true }] : []),
    ]);
  }

  /** What a match asks besides the remote side; undefined: it matches nothing. */
  #matchRule(
    match: RuleMatch,
    family: Family,
  ): Omit<PlanRule, 'remote' | 'original' | 'counter'> | undefined {
    if (contradicts(match)) return undefined;
    const ports = match.dns ? dnsPorts(match.ports) : match.ports;
    if (match.dns && ports === undefined) return undefined; // a range without port 53
    return {
      kind: 'rule',
      protocols: protocolsOf(match, family),
      ports: ports === undefined ? undefined : [ports.first, ports.last],
      icmpType: match.icmpType,
      action: match.action,
    };
  }

  /** What a run says of the remote side in one family: nothing, one predicate, or one per hash set. */
  #remotesOf(ready: ReadyRun, family: Family): readonly PlanRemote[] {
    const { run } = ready;
    if (run.remote.kind === 'any' && !run.match.dns) return [{ kind: 'any' }];
    if (run.remote.kind === 'prefixes' && run.remote.prefixes.lengths.length === 1 && !run.match.dns)
      return [onlyPrefix(run.remote.prefixes)];
    const told = run.remote.kind === 'list' ? this.#toldBy(run.remote.list, run.match, family) : undefined;
    if (told !== undefined) return told;
    const text = remoteText(run.remote, ready);
    const key = run.match.dns ? `dns ${text}` : text;
    const whole = this.#column(run.remote, family, `${text} ${family}`);
    const column = run.match.dns ? this.#dnsWithin(whole, run.remote, family) : whole;
    const count = column.lengths.length;
    if (count === 0) return [];
    if (count === 1 && run.remote.kind !== 'list') return [onlyPrefix(column)];
    const change = run.remote.kind === 'list' ? this.#changes?.get(run.remote.list) : undefined;
    return [{ kind: 'set', set: this.#addSet(keyOf(key), column, change), except: [] }];
  }

  /**
   * What a rule with a list of names that the firewall's own DNS knows says of addresses; undefined for any
   * other list. One that drops stops questions, and no packet.
   */
  #toldBy(list: string, { action, dns }: RuleMatch, family: Family): readonly PlanRemote[] | undefined {
    const names = namesOpenedBy(this.#ruleSet.lists, list);
    if (names === undefined) return undefined;
    const opened = this.#opened.get(list);
    const qubes = opened?.[`v${family}`];
    if (action !== 'accept' || dns || qubes === undefined || qubes.lengths.length === 0) return [];
    const isPrivate = isOfPrivateNames(this.#ruleSet.lists.get(list));
    const set = nameSetFor(list, names, isPrivate, qubes);
    const pairs = family === 4 ? (opened?.pairs ?? []) : [];
    this.nameSets.set(set, { list, names, isPrivate, qubes, pairs });
    return [{ kind: 'told', set }];
  }

  #addSet(key: Key, members: Prefixes, change: ListChange | undefined): string {
    const name = setKey(key, members.family);
    if (!this.sets.has(name)) {
      const known = this.#known(name);
      const kept = known === undefined ? undefined : keptSet(key, members, known, change);
      this.sets.set(name, kept ?? newSet(key, members));
    }
    return name;
  }

  /** The canonical column of a remote side in one family. */
  #column(remote: RunRemote, family: Family, key: string): Prefixes {
    switch (remote.kind) {
      case 'any':
        return columnOf([], family);
      case 'prefixes':
        return remote.prefixes.family === family ? canonicalOf(remote.prefixes) : columnOf([], family);
      case 'name':
        return columnFor(resolutionOf(this.#ruleSet, remote.name), family);
      case 'list': {
        let column = this.#columns.get(key);
        if (column === undefined) {
          column = this.#listColumn(remote.list, family);
          this.#columns.set(key, column);
        }
        return column;
      }
    }
  }

  #listColumn(name: string, family: Family): Prefixes {
    const list = this.#ruleSet.lists.get(name);
    if (list === undefined || (list.kind === 'names' && list.resolve !== true)) return columnOf([], family);
    if (list.kind === 'prefixes') return columnFor(list, family);
    const union = new PrefixBuilder(family);
    for (const host of nameTexts(list.names)) {
      const column = columnFor(resolutionOf(this.#ruleSet, host), family);
      for (let i = 0; i < column.lengths.length; i++) union.push(column.words, i, column.lengths[i]!); // i < length
    }
    return canonicalPrefixes(union.build());
  }

  /** The DNS addresses of a family that a remote side holds. */
  #dnsWithin(column: Prefixes, remote: RunRemote, family: Family): Prefixes {
    const within = (address: Address): boolean =>
      address.family === family && (remote.kind === 'any' || memberContaining(column, address.words) >= 0);
    const prefixes = this.#environment.dns
      .filter(within)
      .map((address) => ({ ...address, length: bitsOf(family) }));
    return canonicalPrefixes(columnOf(prefixes, family));
  }
}

const ANY_PACKET = {
  kind: 'rule',
  remote: { kind: 'any' },
  original: false,
  protocols: [],
  ports: undefined,
  icmpType: undefined,
} as const;

/** A remote side of one prefix, in a chain of its family. */
function onlyPrefix(column: Prefixes): PlanRemote {
  const [length = 0] = column.lengths;
  return length === 0
    ? { kind: 'any' }
    : { kind: 'prefix', address: hexAt(column.words, 0, column.family), length };
}

/** A set that is to be loaded; computed once for an immutable column under the same key. */
export function newSet(key: Key, members: Prefixes): AddressSet {
  const known = newSets.get(members);
  if (known?.key === key) return known;
  const { words, lengths } = members;
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const version = versionOf(bytes, lengths);
  const made = { key, members, layout: layoutOf(members), version, delta: undefined };
  newSets.set(members, made);
  return made;
}

const newSets = new WeakMap<Prefixes, AddressSet>();

/** Blocks that are plain, by their runs, in the place that they were last in. */
const readyBlocks = new WeakMap<
  readonly Run[],
  { readonly place: string; readonly block: ReadyBlock; readonly index: CounterIndex }
>();

/** A chain of plain blocks, and what it depends on besides its own. */
interface PlainChain {
  readonly basis: string;
  readonly exceptions: ReadyBlock;
  readonly steps: readonly Step[];
  readonly sets: readonly (readonly [string, AddressSet])[];
}

/** By the block of own rules and the family: of a thousand policies, one changes. */
const plainChains = new WeakMap<ReadyBlock, Partial<Readonly<Record<Family, PlainChain>>>>();

/** Whether nothing but a run itself decides what becomes of it: its addresses are its own, and few. */
function isPlainRun({ match, remote }: Run): boolean {
  const isOwn = remote.kind === 'any' || remote.kind === 'prefixes';
  const isFew = remote.kind !== 'prefixes' || remote.prefixes.lengths.length <= SMALL_MEMBERS_MAX;
  return isOwn && isFew && !match.dns && match.expire === undefined;
}

/**
 * The set that is there, changed in place; undefined if it is too small for that to be worth it, too full, or
 * too different.
 */
function keptSet(
  key: Key,
  members: Prefixes,
  known: KnownSet,
  change: ListChange | undefined,
): AddressSet | undefined {
  const { layout, version } = known;
  if (members.lengths.length <= SMALL_MEMBERS_MAX || !fitsLayout(members, layout)) return undefined;
  if (known.members === undefined || known.members === members)
    return { key, members, layout, version, delta: undefined };
  const delta = deltaBetween(known.members, members, change);
  const changed = delta.removed.length + delta.added.lengths.length;
  if (changed > members.lengths.length * IN_PLACE_SHARE) return undefined;
  const removed = new PrefixBuilder(members.family, delta.removed.length);
  for (const index of delta.removed) {
    removed.push(known.members.words, index, known.members.lengths[index]!); // an index of that column
  }
  const made = { removed: removed.build(), added: delta.added };
  return { key, members, layout, version, delta: changed === 0 ? undefined : made };
}

/** What turns one column into another: as `change` says if it is of these very columns, else compared. */
function deltaBetween(before: Prefixes, after: Prefixes, change: ListChange | undefined): PrefixesDelta {
  const { family } = after;
  const isOfThese =
    change !== undefined &&
    columnFor(change.before, family) === before &&
    columnFor(change.after, family) === after;
  return isOfThese ? change[`v${family}`] : diffPrefixes(before, after);
}

function markUsed(inUse: Uint8Array, classOf: Uint32Array): void {
  for (let at = 0; at < classOf.length; at++) inUse[classOf[at]!] = 1; // at < length; an iterator is slow until it is compiled
}

interface ClassChain {
  /** What it depends on besides the class. */
  readonly context: string;
  readonly chain: string;
  readonly steps: Step[];
}

const classChains = new WeakMap<readonly RuleMatch[], ClassChain>();

/** Whether some rules end in one without a condition. */
function endsAlways(matches: readonly RuleMatch[]): boolean {
  const last = matches.at(-1);
  return last !== undefined && isUnconditional(last);
}

const canonicals = new WeakMap<Prefixes, Prefixes>();

/** The canonical form of a run's own prefixes; computed once for each immutable column. */
function canonicalOf(prefixes: Prefixes): Prefixes {
  let canonical = canonicals.get(prefixes);
  if (canonical === undefined) {
    canonical = canonicalPrefixes(prefixes);
    canonicals.set(prefixes, canonical);
  }
  return canonical;
}

function counterName(text: string): string {
  return `c${keyOf(text)}`;
}

const counterNames = new WeakMap<Run, { readonly text: string; readonly name: string }>();

/**
 * The counter of a run, told from those of the same text before it; computed once for each immutable run in
 * its place.
 */
function counterOf(run: Run, place: string, seen: Map<string, number>): string {
  const whole = `${place}${runText(run)}`;
  const before = seen.get(whole) ?? 0;
  seen.set(whole, before + 1);
  const text = `${whole} ${before}`;
  let known = counterNames.get(run);
  if (known?.text !== text) {
    known = { text, name: counterName(text) };
    counterNames.set(run, known);
  }
  return known.name;
}

/** What makes a run the same run in the next release, though its own prefixes may have changed. */
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

/** What a column of addresses is for; own prefixes are for their run. */
function remoteText(remote: RunRemote, ready: ReadyRun): string {
  switch (remote.kind) {
    case 'any':
      return 'any';
    case 'prefixes':
      return `run ${ready.counter}`;
    case 'name':
      return `name ${remote.name}`;
    case 'list':
      return `list ${remote.list}`;
  }
}

function defaultText(policy: Policy, direction: Direction): string {
  return `${policy.name} ${direction} default`;
}

/** Counts what is dropped because no policy judges it. */
const UNMATCHED_COUNTER = 'unmatched';

function protocolsOf(match: RuleMatch, family: Family): readonly number[] {
  const icmp = family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
  if (match.proto === 'icmp') return [icmp];
  if (match.proto !== undefined) return [IpProtocol[match.proto]];
  if (match.dns || match.ports !== undefined) return PORT_PROTOCOLS;
  return match.icmpType === undefined ? [] : [icmp];
}

/** Whether a rule asks for what its protocol does not have, and so matches nothing. */
function contradicts({ proto, dns, ports, icmpType }: Run['match']): boolean {
  const asksPorts = dns || ports !== undefined;
  if (icmpType !== undefined && (asksPorts || (proto !== undefined && proto !== 'icmp'))) return true;
  return asksPorts && proto === 'icmp';
}

/** Port 53, if a range of ports has it. */
function dnsPorts(ports: Run['match']['ports']): Run['match']['ports'] {
  const dns = { first: 53, last: 53 };
  return ports === undefined || (ports.first <= 53 && ports.last >= 53) ? dns : undefined;
}
