/**
 * From a rule set and an environment to the plan of what the kernel is to hold: the meaning of DESIGN "Meaning of a rule set", by the
 * means of nftables.
 *
 * What depends on the environment is decided here: expired rules are left out, and `specialtarget=dns` becomes the DNS
 * addresses that the rule's own remote side holds.
 */

import {
  type Address,
  bitsOf,
  COMMON_POLICY,
  canonicalPrefixes,
  columnFor,
  columnOf,
  DEFAULT_POLICY,
  type Direction,
  diffPrefixes,
  type Environment,
  type Family,
  IpProtocol,
  judgesIngress,
  type ListChange,
  type ListChanges,
  memberContaining,
  type Policy,
  PrefixBuilder,
  type Prefixes,
  type PrefixesDelta,
  type RuleBlock,
  type RuleSet,
  type Run,
  type RunRemote,
  resolutionOf,
  runsOf,
  strideOf,
  timeFor,
} from '@rulecast/rules';
import { fitsLayout, layoutOf } from './layout.ts';
import { IN_PLACE_SHARE, RULES_MAX, SMALL_MEMBERS_MAX } from './limits.ts';
import {
  type AddressSet,
  entryChain,
  type Key,
  keyOf,
  mapName,
  type Plan,
  type PlanRemote,
  type PlanRule,
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
  /** By run; undefined: the run is expired, or can match nothing. */
  readonly runs: readonly (string | undefined)[];
  /** By run: its list. */
  readonly lists: readonly (string | undefined)[];
  /** Undefined for common, whose default action is unused, and for exceptions, which others come after. */
  readonly defaultAction: string | undefined;
}

export interface Planned {
  readonly plan: Plan;
  readonly counters: readonly CounterIndex[];
}

/** A set that is in the kernel: its members, if they are known. */
export type KnownSet = Pick<AddressSet, 'layout' | 'version'> & { readonly members: Prefixes | undefined };
/** The set of some key that is in the kernel. */
export type KnownSets = (setKey: string) => KnownSet | undefined;

const FAMILIES = [4, 6] as const;
const DIRECTIONS = ['egress', 'ingress'] as const;
const PORT_PROTOCOLS = [IpProtocol.tcp, IpProtocol.udp];

/** Plans a rule set; `changes` spare comparing. Throws RangeError where it goes beyond what we load into a kernel. */
export function planOf(
  ruleSet: RuleSet,
  environment: Environment,
  known: KnownSets,
  changes?: ListChanges,
): Planned {
  const planner = new Planner(ruleSet, environment, known, changes);
  planner.run();
  return { plan: planner, counters: planner.indices };
}

/** Stands for the name of a policy where none judges; no policy can have it. */
const NO_POLICY = '';

/** One run, ready for any of its chains. */
interface ReadyRun {
  readonly run: Run;
  readonly counter: string;
}

/** Rules that judge some qubes, ready for their chains. */
interface Judging {
  readonly policy: string;
  readonly exceptions: readonly ReadyRun[];
  readonly common: readonly ReadyRun[];
  readonly own: readonly ReadyRun[];
  /** Where none of them matches. */
  readonly end: Step;
}

class Planner implements Plan {
  readonly sets = new Map<string, AddressSet>();
  readonly maps = new Map<string, Map<string, string>>();
  readonly chains = new Map<string, Step[]>();
  readonly counters = new Set<string>();
  readonly indices: CounterIndex[] = [];
  private readonly ruleSet: RuleSet;
  private readonly environment: Environment;
  private readonly known: KnownSets;
  private readonly changes: ListChanges | undefined;
  private readonly columns = new Map<string, Prefixes>(); // of lists
  private readonly dispatches = new Map<string, Map<string, string>>(); // by direction, family and length
  private ruleTotal = 0;

  constructor(
    ruleSet: RuleSet,
    environment: Environment,
    known: KnownSets,
    changes: ListChanges | undefined,
  ) {
    this.ruleSet = ruleSet;
    this.environment = environment;
    this.known = known;
    this.changes = changes;
  }

  run(): void {
    const common = this.ruleSet.policies.get(COMMON_POLICY);
    for (const direction of DIRECTIONS) {
      const commonRuns = common === undefined ? [] : this.ready(common, direction, 'common');
      for (const family of FAMILIES) this.planCommon(direction, family, commonRuns);
      for (const policy of this.ruleSet.policies.values()) {
        if (policy.name === COMMON_POLICY) continue;
        if (direction === 'ingress' && !judgesIngress(policy)) continue;
        this.planPolicy(policy, direction, commonRuns);
      }
      if (direction === 'egress') this.planUnmatched(commonRuns);
      for (const family of FAMILIES) this.planEntry(direction, family);
    }
  }

  // ── Runs and counters ──────────────────────────────────────────────────────────────────────────────────────────────

  /** The runs of a policy that can decide anything now. A counter stays with its run when others come or go before it. */
  private ready(policy: Policy, direction: Direction, block: RuleBlock): readonly ReadyRun[] {
    const seen = new Map<string, number>();
    const ready: ReadyRun[] = [];
    const counters: (string | undefined)[] = [];
    const runs = runsOf(policy, direction, block);
    for (const run of runs) {
      const { action, expire } = run.match;
      const text = `${policy.name} ${direction} ${block === 'exceptions' ? 'exceptions ' : ''}${runText(run)}`;
      const before = seen.get(text) ?? 0;
      seen.set(text, before + 1);
      const live = expire === undefined || timeFor(action, this.environment) < expire;
      const counter = live ? this.counter(`${text} ${before}`) : undefined;
      counters.push(counter);
      if (counter !== undefined) ready.push({ run, counter });
    }
    this.indices.push({
      policy: policy.name,
      block,
      direction,
      runs: counters,
      lists: runs.map(({ remote }) => (remote.kind === 'list' ? remote.list : undefined)),
      defaultAction: block === 'own' ? this.counter(defaultText(policy, direction)) : undefined,
    });
    return ready;
  }

  private counter(text: string): string {
    const name = `c${keyOf(text)}`;
    this.counters.add(name);
    return name;
  }

  // ── Chains ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private planCommon(direction: Direction, family: Family, runs: readonly ReadyRun[]): void {
    if (runs.length === 0) return;
    this.addChain(policyChain(direction, family, COMMON_POLICY), this.rulesOf(runs, direction, family));
  }

  private planPolicy(policy: Policy, direction: Direction, common: readonly ReadyRun[]): void {
    const own = this.ready(policy, direction, 'own');
    const hasExceptions = runsOf(policy, direction, 'exceptions').length > 0;
    const exceptions = hasExceptions ? this.ready(policy, direction, 'exceptions') : [];
    const end: PlanRule = {
      ...ANY_PACKET,
      action: policy.defaultAction,
      counter: this.counter(defaultText(policy, direction)),
    };
    for (const family of FAMILIES) {
      const column = columnFor(policy.prefixes, family);
      const isDefault = policy.name === DEFAULT_POLICY && direction === 'egress';
      if (column.lengths.length === 0 && !isDefault) continue;
      const name = this.planJudging({ policy: policy.name, exceptions, common, own, end }, direction, family);
      for (let i = 0; i < column.lengths.length; i++) {
        this.dispatch(direction, family, column.lengths[i]!, hexAt(column, i), name); // i < length
      }
    }
  }

  /** What is said of egress that no policy judges; nothing is planned where nothing is said. */
  private planUnmatched(common: readonly ReadyRun[]): void {
    const { unmatched, policies } = this.ruleSet;
    if (unmatched === undefined || policies.has(DEFAULT_POLICY)) return;
    let end: Step = { kind: 'pass' };
    if (unmatched !== 'accept') {
      const counter = this.counter(UNMATCHED_COUNTER);
      end = { ...ANY_PACKET, action: 'drop', counter };
      const index = { policy: undefined, direction: 'egress', runs: [], lists: [] } as const;
      this.indices.push({ ...index, block: 'own', defaultAction: counter });
    }
    const judging = { policy: NO_POLICY, exceptions: [], common, own: [], end };
    for (const family of FAMILIES) this.planJudging(judging, 'egress', family);
  }

  /** The chain of a policy in one family; returns its name. */
  private planJudging(
    { policy, exceptions, common, own, end }: Judging,
    direction: Direction,
    family: Family,
  ): string {
    const name = policyChain(direction, family, policy);
    const chain = policyChain(direction, family, COMMON_POLICY);
    const jump: Step[] = common.length > 0 ? [{ kind: 'jump', chain }] : [];
    const before = this.rulesOf(exceptions, direction, family);
    this.addChain(name, [...before, ...jump, ...this.rulesOf(own, direction, family), end]);
    return name;
  }

  private addChain(name: string, steps: Step[]): void {
    this.ruleTotal += steps.length;
    if (this.ruleTotal > RULES_MAX) {
      throw new RangeError(
        `the release needs more than ${RULES_MAX} nftables rules: gather destinations in lists`,
      );
    }
    this.chains.set(name, steps);
  }

  private dispatch(
    direction: Direction,
    family: Family,
    length: number,
    address: string,
    chain: string,
  ): void {
    const place = `${direction}${family} ${length}`;
    let map = this.dispatches.get(place);
    if (map === undefined) {
      map = new Map();
      this.dispatches.set(place, map);
    }
    if (!map.has(address)) map.set(address, chain); // no sound rule set has two; the first one judges
  }

  /** The longest source prefix decides: maps from the longest to the shortest, then prefix 0, then `default`, then what is said of unmatched qubes. */
  private planEntry(direction: Direction, family: Family): void {
    const steps: Step[] = [];
    for (let length = bitsOf(family); length > 0; length--) {
      const keys = this.dispatches.get(`${direction}${family} ${length}`);
      if (keys === undefined) continue;
      const map = mapName(direction, family, length, keys);
      this.maps.set(map, keys);
      steps.push({ kind: 'dispatch', map });
    }
    const everything = [...(this.dispatches.get(`${direction}${family} 0`)?.values() ?? [])][0];
    const otherwise = [DEFAULT_POLICY, NO_POLICY]
      .map((policy) => policyChain(direction, family, policy))
      .find((chain) => direction === 'egress' && this.chains.has(chain));
    const last = everything ?? otherwise;
    steps.push(last === undefined ? { kind: 'pass' } : { kind: 'goto', chain: last });
    this.addChain(entryChain(direction, family), steps);
  }

  // ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  private rulesOf(runs: readonly ReadyRun[], direction: Direction, family: Family): Step[] {
    const steps: Step[] = [];
    for (const ready of runs) {
      const { match } = ready.run;
      if (contradicts(match)) continue;
      const ports = match.dns ? dnsPorts(match.ports) : match.ports;
      if (match.dns && ports === undefined) continue; // a range without port 53
      const base = {
        kind: 'rule',
        protocols: protocolsOf(ready.run, family),
        ports: ports === undefined ? undefined : ([ports.first, ports.last] as const),
        icmpType: match.icmpType,
        action: match.action,
        counter: ready.counter,
      } as const;
      for (const remote of this.remotesOf(ready, family)) {
        steps.push({ ...base, remote, original: false });
        // After DNAT the packet goes to the resolver; the qube asked one of the DNS addresses.
        if (match.dns && direction === 'egress') steps.push({ ...base, remote, original: true });
      }
    }
    return steps;
  }

  /** What a run says of the remote side in one family: nothing, one predicate, or one per hash set. */
  private remotesOf(ready: ReadyRun, family: Family): readonly PlanRemote[] {
    const { run } = ready;
    if (run.remote.kind === 'any' && !run.match.dns) return [{ kind: 'any' }];
    const key = run.match.dns ? `dns ${remoteText(run.remote, ready)}` : remoteText(run.remote, ready);
    const whole = this.column(run.remote, family, `${remoteText(run.remote, ready)} ${family}`);
    const column = run.match.dns ? this.dnsWithin(whole, run.remote, family) : whole;
    const count = column.lengths.length;
    if (count === 0) return [];
    if (count === 1 && run.remote.kind !== 'list') {
      if (column.lengths[0] === 0) return [{ kind: 'any' }]; // the chain is of this family only
      return [{ kind: 'prefix', address: hexAt(column, 0), length: column.lengths[0]! }]; // count is 1
    }
    const change = run.remote.kind === 'list' ? this.changes?.get(run.remote.list) : undefined;
    return [{ kind: 'set', set: this.addSet(keyOf(key), column, change), except: [] }];
  }

  private addSet(key: Key, members: Prefixes, change: ListChange | undefined): string {
    const name = setKey(key, members.family);
    if (!this.sets.has(name)) {
      const known = this.known(name);
      const kept = known === undefined ? undefined : keptSet(key, members, known, change);
      this.sets.set(name, kept ?? newSet(key, members));
    }
    return name;
  }

  /** The canonical column of a remote side in one family. */
  private column(remote: RunRemote, family: Family, key: string): Prefixes {
    switch (remote.kind) {
      case 'any':
        return columnOf([], family);
      case 'prefixes':
        return remote.prefixes.family === family ? canonicalOf(remote.prefixes) : columnOf([], family);
      case 'name':
        return columnFor(resolutionOf(this.ruleSet, remote.name), family);
      case 'list': {
        let column = this.columns.get(key);
        if (column === undefined) {
          column = this.listColumn(remote.list, family);
          this.columns.set(key, column);
        }
        return column;
      }
    }
  }

  private listColumn(name: string, family: Family): Prefixes {
    const list = this.ruleSet.lists.get(name);
    if (list === undefined || (list.kind === 'names' && !list.resolve)) return columnOf([], family);
    if (list.kind === 'prefixes') return columnFor(list, family);
    const union = new PrefixBuilder(family);
    for (const host of list.names) {
      const column = columnFor(resolutionOf(this.ruleSet, host), family);
      for (let i = 0; i < column.lengths.length; i++) union.push(column.words, i, column.lengths[i]!); // i < length
    }
    return canonicalPrefixes(union.build());
  }

  /** The DNS addresses of a family that a remote side holds. */
  private dnsWithin(column: Prefixes, remote: RunRemote, family: Family): Prefixes {
    const within = (address: Address): boolean =>
      address.family === family && (remote.kind === 'any' || memberContaining(column, address.words) >= 0);
    const prefixes = this.environment.dns
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

/** A set that is to be loaded. */
export function newSet(key: Key, members: Prefixes): AddressSet {
  const { words, lengths } = members;
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return { key, members, layout: layoutOf(members), version: versionOf(bytes, lengths), delta: undefined };
}

/** The set that is there, changed in place; undefined if it is too small for that to be worth it, too full, or too different. */
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

/** What makes a run the same run in the next release, though its own prefixes may have changed. */
function runText(run: Run): string {
  const { action, proto, dns, ports, icmpType, expire, comment } = run.match;
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
  return JSON.stringify([
    action,
    proto,
    dns,
    first,
    last,
    icmpType,
    expire,
    comment,
    remote.kind,
    String(target),
  ]);
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

function protocolsOf({ match }: Run, family: Family): readonly number[] {
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

/** An address of a column as 8 or 32 hex digits. */
function hexAt(column: Prefixes, index: number): string {
  const stride = strideOf(column.family);
  let hex = '';
  for (let w = index * stride; w < (index + 1) * stride; w++) {
    hex += (column.words[w] ?? 0).toString(16).padStart(8, '0');
  }
  return hex;
}
