/**
 * Longest match: rules for prefixes, of which the first that matches decides, as classes of addresses. The class of an address is that of
 * the longest prefix that holds it, and says which rules are left to be asked, by protocol and port, until one without a condition.
 *
 * A kernel that looks prefixes up by their length then asks a few rules, however many there are. How much a firewall has to load for that depends
 * on the rule set alone, so that a publisher can tell before it releases one.
 */

import { columnFor } from './list.ts';
import { COMMON_POLICY, DEFAULT_POLICY, judgesIngress, type Run, runsOf } from './policy.ts';
import { bitsOf, compareWordsAt, containsAt, type Family, type Prefixes, strideOf } from './prefix.ts';
import type { RuleMatch } from './rule.ts';
import type { RuleSet } from './rule-set.ts';

/** Fewer runs in a row are asked one after the other, which costs a packet less than the lookups. */
const GATHERED_MIN = 32;
/** Most rules that are listed while classes are made: beyond, their number is that of rules times that of prefixes. */
const LISTED_MAX = 4_194_304;

/** What a firewall loads at most: each chain and each rule is some hundred bytes of kernel memory. */
export const FIREWALL_CHAINS_MAX = 65_536;
export const FIREWALL_RULES_MAX = 262_144;

export interface MatchClasses {
  /** Ascending by address, the shorter one first; each once. */
  readonly prefixes: Prefixes;
  /** By prefix: the class of the addresses for which it is the longest. */
  readonly classOf: Uint32Array;
  /** What is asked in which order. Only the last has no condition; where there is none, the rules after all of these decide. */
  readonly classes: readonly (readonly RuleMatch[])[];
}

/** Consecutive runs [first, end) of some runs, as they are asked in one family. */
export interface Segment {
  readonly family: Family;
  readonly first: number;
  readonly end: number;
  /** They are asked by the class of the address, else one after the other. */
  readonly gathered: boolean;
}

/** Chains and rules of a kernel. */
export interface FirewallLoad {
  readonly chains: number;
  readonly rules: number;
}

type ByFamily = { [F in Family]?: readonly Segment[] };
const segmentsKnown = new WeakMap<readonly Run[], ByFamily>();
const classesKnown = new WeakMap<Segment, MatchClasses>();

/** The runs of a block as a firewall asks them in one family; told once for each immutable block. */
export function segmentsOf(runs: readonly Run[], family: Family): readonly Segment[] {
  const known: ByFamily = segmentsKnown.get(runs) ?? {};
  const before = known[family];
  if (before !== undefined) return before;
  const segments: Segment[] = [];
  for (let first = 0; first < runs.length; ) {
    const gathers = isGathered(runs[first]);
    let ofFamily = 0;
    let end = first;
    for (; end < runs.length && isGathered(runs[end]) === gathers; end++)
      if (isOf(runs[end], family)) ofFamily++;
    segments.push({ family, first, end, gathered: gathers && ofFamily >= GATHERED_MIN });
    first = end;
  }
  segmentsKnown.set(runs, { ...known, [family]: segments });
  return segments;
}

/** The classes of a gathered segment of some runs; computed once. Throws RangeError where they would be too many rules. */
export function classesIn(runs: readonly Run[], segment: Segment): MatchClasses {
  let classes = classesKnown.get(segment);
  if (classes === undefined) {
    classes = classesOf(runs.slice(segment.first, segment.end), segment.family);
    classesKnown.set(segment, classes);
  }
  return classes;
}

/** What a firewall loads of a rule set at most, besides sets and maps. Throws RangeError where that cannot be counted in good time. */
export function firewallLoad(ruleSet: RuleSet): FirewallLoad {
  let chains = 4; // the first one of each direction and family
  let rules = 0;
  const add = (runs: readonly Run[], family: Family): void => {
    for (const segment of segmentsOf(runs, family)) {
      const own = segment.gathered ? gatheredLoad(runs, segment) : plainLoad(runs, segment);
      chains += own.chains;
      rules += own.rules;
    }
  };
  for (const policy of ruleSet.policies.values()) {
    for (const direction of ['egress', 'ingress'] as const) {
      if (direction === 'ingress' && policy.name !== COMMON_POLICY && !judgesIngress(policy)) continue;
      for (const family of [4, 6] as const) {
        const isForAll = policy.name === COMMON_POLICY || policy.name === DEFAULT_POLICY;
        if (!isForAll && columnFor(policy.prefixes, family).lengths.length === 0) continue;
        chains += 1;
        rules += 2;
        add(runsOf(policy, direction, 'exceptions'), family);
        add(runsOf(policy, direction), family);
      }
    }
  }
  return { chains, rules };
}

/** A rule for each run that may hold in the family; where DNS servers are translated, two. */
function plainLoad(runs: readonly Run[], { family, first, end }: Segment): FirewallLoad {
  let rules = 0;
  for (let run = first; run < end; run++) if (isOf(runs[run], family)) rules += runs[run]?.match.dns ? 2 : 1;
  return { chains: 0, rules };
}

/** What a gathered segment needs: a chain for each class, and one for what comes after it. */
function gatheredLoad(runs: readonly Run[], segment: Segment): FirewallLoad {
  const lookups = bitsOf(segment.family) + 1; // at most one for each length
  let conditions = 0;
  for (let run = segment.first; run < segment.end; run++) {
    const match = runs[run]?.match;
    if (match !== undefined && !isUnconditional(match)) conditions++;
  }
  if (conditions === 0) return { chains: 3, rules: lookups + 2 }; // to accept and to drop
  const { classes } = classesIn(runs, segment);
  return {
    chains: classes.length + 1,
    rules: classes.reduce((sum, matches) => sum + matches.length + 1, lookups),
  };
}

/** Whether a match asks for nothing besides the address. */
export function isUnconditional({ proto, dns, ports, icmpType }: RuleMatch): boolean {
  return proto === undefined && !dns && ports === undefined && icmpType === undefined;
}

/** What says nothing that changes without a release: no name, no list, no DNS addresses, no end. */
function isGathered(run: Run | undefined): boolean {
  if (run === undefined || run.match.expire !== undefined || run.match.dns) return false;
  return run.remote.kind === 'prefixes' || run.remote.kind === 'any';
}

/** Whether a run may hold for addresses of a family. */
export function isOf(run: Run | undefined, family: Family): boolean {
  return run?.remote.kind !== 'prefixes' || run.remote.prefixes.family === family;
}

// ── Classes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every prefix of some runs, by address and length, with its run. */
interface Entries {
  readonly prefixes: Prefixes;
  readonly runs: Uint32Array;
  /** Indices of the above, ascending by address, length and run. */
  readonly order: Uint32Array;
}

/** A prefix that holds the one that is looked at, with the runs that hold for it. */
interface Ancestor {
  readonly entry: number;
  readonly list: readonly number[];
  readonly class: number;
}

/** The classes of runs of prefixes, in the order in which they are asked. Throws RangeError where they would be too many rules. */
function classesOf(runs: readonly Run[], family: Family): MatchClasses {
  const { prefixes, runs: runAt, order } = entriesOf(runs, family);
  const stride = strideOf(family);
  const names = new ClassNames(runs);
  const stack: Ancestor[] = [];
  const kept: number[] = [];
  const keptClasses: number[] = [];
  for (let i = 0; i < order.length; ) {
    const entry = order[i]!; // i < length, here and below
    const own: number[] = [];
    for (; i < order.length && isSame(prefixes, entry, order[i]!, stride); i++) {
      const run = runAt[order[i]!]!; // as many as prefixes
      if (own.at(-1) !== run) own.push(run);
    }
    while (stack.length > 0 && !containsAt(prefixes, stack.at(-1)?.entry ?? 0, prefixes.words, entry))
      stack.pop();
    const parent = stack.at(-1);
    const list = names.merged(parent?.list ?? [], own);
    const each = list === parent?.list ? parent.class : names.classOf(list);
    stack.push({ entry, list, class: each });
    if (each === parent?.class) continue;
    kept.push(entry);
    keptClasses.push(each);
  }
  const words = new Uint32Array(kept.length * stride);
  for (const [at, entry] of kept.entries())
    words.set(prefixes.words.subarray(entry * stride, (entry + 1) * stride), at * stride);
  const lengths = Uint8Array.from(kept, (entry) => prefixes.lengths[entry]!); // an entry
  return {
    prefixes: { family, words, lengths },
    classOf: Uint32Array.from(keptClasses),
    classes: names.classes,
  };
}

function entriesOf(runs: readonly Run[], family: Family): Entries {
  const stride = strideOf(family);
  const own = runs.map(({ remote }) =>
    remote.kind === 'prefixes' && remote.prefixes.family === family ? remote.prefixes.lengths.length : 0,
  );
  const total = runs.reduce((sum, { remote }, run) => sum + (remote.kind === 'any' ? 1 : (own[run] ?? 0)), 0);
  const words = new Uint32Array(total * stride);
  const lengths = new Uint8Array(total);
  const runAt = new Uint32Array(total);
  let at = 0;
  for (const [run, { remote }] of runs.entries()) {
    const count = remote.kind === 'any' ? 1 : (own[run] ?? 0); // what is for any address is for the prefix of no bits
    if (remote.kind === 'prefixes' && count > 0) {
      words.set(remote.prefixes.words, at * stride);
      lengths.set(remote.prefixes.lengths, at);
    }
    runAt.fill(run, at, at + count);
    at += count;
  }
  return { prefixes: { family, words, lengths }, runs: runAt, order: sortedOrder(words, lengths, stride) };
}

/** Places of prefixes in the order of their addresses, then lengths, then places: a radix sort by bytes, the least first. */
function sortedOrder(words: Uint32Array, lengths: Uint8Array, stride: 1 | 4): Uint32Array {
  let order = Uint32Array.from(lengths, (_, index) => index);
  let next = new Uint32Array(order.length);
  const counts = new Uint32Array(257);
  for (let byte = -1; byte < stride * 4; byte++) {
    const word = stride - 1 - (byte >> 2);
    const shift = (byte & 3) * 8;
    const digit = (at: number): number =>
      byte < 0 ? lengths[at]! : (words[at * stride + word]! >>> shift) & 255; // at < length
    counts.fill(0);
    for (let i = 0; i < order.length; i++) counts[digit(i) + 1]!++; // a digit is below 256, here and below
    for (let d = 1; d < 257; d++) counts[d]! += counts[d - 1]!;
    for (let i = 0; i < order.length; i++) next[counts[digit(order[i]!)]!++] = order[i]!;
    [order, next] = [next, order];
  }
  return order;
}

function isSame({ words, lengths }: Prefixes, a: number, b: number, stride: 1 | 4): boolean {
  return lengths[a] === lengths[b] && compareWordsAt(words, a, words, b, stride) === 0;
}

/** Gives lists of runs that ask the same the same class. */
class ClassNames {
  readonly classes: RuleMatch[][] = [];
  private readonly matches: readonly RuleMatch[];
  /** By run: equal for what asks and does the same. */
  private readonly kinds: readonly number[];
  private readonly known = new Map<string | number, number>();
  private listed = 0;

  constructor(runs: readonly Run[]) {
    const kinds = new Map<string, number>();
    this.matches = runs.map(({ match }) => match);
    this.kinds = this.matches.map(({ action, proto, ports, icmpType }) => {
      const text = `${action} ${proto} ${ports?.first}-${ports?.last} ${icmpType}`;
      const kind = kinds.get(text) ?? kinds.size;
      kinds.set(text, kind);
      return kind;
    });
  }

  /** What holds for a prefix, ascending, up to the first run without a condition; `outer` itself where `own` adds nothing. Throws RangeError. */
  merged(outer: readonly number[], own: readonly number[]): readonly number[] {
    const [first] = own;
    if (outer.length === 0 && first !== undefined && (own.length === 1 || this.isFree(first))) return [first];
    if (outer.length === 1 && first !== undefined && this.isFree(outer[0] ?? 0) && first > (outer[0] ?? 0))
      return outer;
    const list: number[] = [];
    let isOuter = true;
    for (let a = 0, b = 0; a < outer.length || b < own.length; ) {
      const [left = Number.POSITIVE_INFINITY, right = Number.POSITIVE_INFINITY] = [outer[a], own[b]];
      const run = Math.min(left, right);
      if (left === run) a++;
      else isOuter = false;
      if (right === run) b++;
      list.push(run);
      if (this.isFree(run)) break;
    }
    if (isOuter && list.length === outer.length) return outer;
    this.listed += list.length;
    if (this.listed > LISTED_MAX)
      throw new RangeError(
        'rules with conditions for many prefixes of each other: gather destinations in lists',
      );
    return list;
  }

  classOf(list: readonly number[]): number {
    const runs = list.length < 2 ? list : this.withoutVain(list);
    const key =
      runs.length === 1 ? (this.kinds[runs[0] ?? 0] ?? 0) : runs.map((run) => this.kinds[run]).join();
    let known = this.known.get(key);
    if (known === undefined) {
      known = this.classes.length;
      this.known.set(key, known);
      this.classes.push(runs.flatMap((run) => this.matches[run] ?? []));
    }
    return known;
  }

  /** Without what an earlier one has asked, and without those at the end that do what is done anyway. */
  private withoutVain(list: readonly number[]): readonly number[] {
    const seen = new Set<number>();
    const runs = list.filter((run) => seen.size < seen.add(this.kinds[run] ?? 0).size);
    const last = runs.at(-1) ?? 0;
    while (this.isFree(last) && runs.length > 1 && this.action(runs.at(-2)) === this.action(last))
      runs.splice(-2, 1);
    return runs;
  }

  private action(run: number | undefined): RuleMatch['action'] | undefined {
    return this.matches[run ?? 0]?.action;
  }

  private isFree(run: number): boolean {
    return this.matches[run] !== undefined && isUnconditional(this.matches[run]);
  }
}
