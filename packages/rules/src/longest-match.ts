/**
 * Longest match: which rules of a block are asked by the class of the address (match-classes.ts), so that a
 * kernel that looks prefixes up by their length asks a few rules, however many there are. How much a firewall
 * has to load for that depends on the rule set alone, so that a publisher can tell before it releases one.
 */

import { columnFor } from './list.ts';
import {
  classesAfter,
  classesOf,
  classPieces,
  FIREWALL_RULES_MAX,
  type MatchClasses,
} from './match-classes.ts';
import type { Pieces } from './pieces.ts';
import { COMMON_POLICY, DEFAULT_POLICY, judgesIngress, type Run, runStarts, runsOf } from './policy.ts';
import { bitsOf, type Family } from './prefix.ts';
import type { RuleMatch } from './rule.ts';
import { PIECE_RUNS, type RunRange } from './rule-columns.ts';
import type { RuleSet } from './rule-set.ts';
import { factOfBlocks, madeOf } from './run-blocks.ts';

/** Fewer runs in a row are asked one after the other, which costs a packet less than the lookups. */
const GATHERED_MIN = 32;

/** Consecutive runs [first, end) of some runs, as they are asked in one family. */
export interface Segment {
  readonly family: Family;
  readonly first: number;
  readonly end: number;
  /** How many of them may hold in the family. */
  readonly count: number;
  /** How many rules they stand for, in both families. */
  readonly rules: number;
  /** They are asked by the class of the address, else one after the other. */
  readonly gathered: boolean;
}

/** Chains and rules of a kernel. */
export interface FirewallLoad {
  readonly chains: number;
  readonly rules: number;
}

const segmentsKnown = new WeakMap<readonly Run[], Readonly<Record<Family, readonly Segment[]>>>();
const classesKnown = new WeakMap<Segment, MatchClasses>();

/** The runs of a block as a firewall asks them in one family; told once for each immutable block. */
export function segmentsOf(runs: readonly Run[], family: Family): readonly Segment[] {
  const known = segmentsKnown.get(runs);
  if (known !== undefined) return known[family];
  const [marks, starts] = [marksOf(runs), runStarts(runs)];
  const segments = { 4: [] as Segment[], 6: [] as Segment[] };
  for (let first = 0; first < runs.length; ) {
    const gathers = marks[first]! & GATHERED; // first < length, and end below
    const counts = { 4: 0, 6: 0 };
    let end = first;
    for (; end < runs.length && (marks[end]! & GATHERED) === gathers; end++) {
      if ((marks[end]! & IN_IPV4) !== 0) counts[4]++;
      if ((marks[end]! & IN_IPV6) !== 0) counts[6]++;
    }
    const rules = starts[end]! - starts[first]!; // one more than runs
    for (const of of [4, 6] as const) {
      const gathered = gathers !== 0 && counts[of] >= GATHERED_MIN;
      segments[of].push({ family: of, first, end, count: counts[of], rules, gathered });
    }
    first = end;
  }
  segmentsKnown.set(runs, segments);
  return segments[family];
}

const GATHERED = 1;
const IN_IPV4 = 2;
const IN_IPV6 = 4;
const CONDITIONAL = 8;

/** What segments depend on, by run. */
const marksOf = factOfBlocks<Run, Uint8Array>(
  (runs) => marked(runs, 0, runs.length, new Uint8Array(runs.length)),
  (before, { of, head, tail }, runs) => {
    const marks = new Uint8Array(runs.length);
    marks.set(before.subarray(0, head));
    marks.set(before.subarray(of.length - tail), runs.length - tail);
    return marked(runs, head, runs.length - tail, marks);
  },
);

function marked(runs: readonly Run[], first: number, end: number, into: Uint8Array): Uint8Array {
  for (let at = first; at < end; at++) {
    const run = runs[at]!; // within the runs
    into[at] =
      (isGathered(run) ? GATHERED : 0) |
      (isOf(run, 4) ? IN_IPV4 : 0) |
      (isOf(run, 6) ? IN_IPV6 : 0) |
      (isUnconditional(run.match) ? 0 : CONDITIONAL);
  }
  return into;
}

/**
 * The classes of a gathered segment of some runs; computed once, after those of the release before if they
 * are given. Throws RangeError where they would be too many rules.
 */
export function classesIn(runs: readonly Run[], segment: Segment, before?: MatchClasses): MatchClasses {
  let classes = classesKnown.get(segment);
  if (classes === undefined) {
    classes = classesOf({ ...segment, runs }, segment.family, before);
    classesKnown.set(segment, classes);
  }
  return classes;
}

/** As how many runs a block counts by itself: a small one takes some ten microseconds. Our choice. */
const BLOCK_RUNS = 128;

/**
 * What a firewall loads of a rule set at most, besides sets and maps: counted in pieces of some milliseconds,
 * as there may be much to count. Throws RangeError where that cannot be done in good time.
 */
export function* firewallLoad(ruleSet: RuleSet): Pieces<FirewallLoad> {
  let chains = 4; // the first one of each direction and family
  let rules = 0;
  let looked = 0;
  for (const [runs, family] of judgedBlocks(ruleSet)) {
    if (runs === undefined) {
      chains += 1;
      rules += 2;
      continue;
    }
    const segments = segmentsOf(runs, family);
    looked += BLOCK_RUNS + runs.length;
    if (looked >= PIECE_RUNS) {
      looked = 0;
      yield;
    }
    for (const segment of segments) {
      const own = segment.gathered ? yield* gatheredLoad(runs, segment) : plainLoad(runs, segment);
      chains += own.chains;
      rules += own.rules;
    }
  }
  return { chains, rules };
}

/** The blocks of each chain that judges qubes in a direction and a family; undefined: the chain itself. */
function* judgedBlocks(ruleSet: RuleSet): Generator<readonly [readonly Run[] | undefined, Family]> {
  for (const policy of ruleSet.policies.values()) {
    for (const direction of ['egress', 'ingress'] as const) {
      if (direction === 'ingress' && policy.name !== COMMON_POLICY && !judgesIngress(policy)) continue;
      for (const family of [4, 6] as const) {
        const isForAll = policy.name === COMMON_POLICY || policy.name === DEFAULT_POLICY;
        if (!isForAll && columnFor(policy.prefixes, family).lengths.length === 0) continue;
        yield [undefined, family];
        yield [runsOf(policy, direction, 'exceptions'), family];
        yield [runsOf(policy, direction), family];
      }
    }
  }
}

/** A rule for each run that may hold in the family; where DNS servers are translated, two. */
function plainLoad(runs: readonly Run[], { family, first, end }: Segment): FirewallLoad {
  let rules = 0;
  for (let run = first; run < end; run++) if (isOf(runs[run], family)) rules += runs[run]?.match.dns ? 2 : 1;
  return { chains: 0, rules };
}

/** What a gathered segment needs: a chain for each class, and one for what comes after it. */
function* gatheredLoad(runs: readonly Run[], segment: Segment): Pieces<FirewallLoad> {
  const lookups = 2 * bitsOf(segment.family) + 1; // at most two for each length
  const marks = marksOf(runs).subarray(segment.first, segment.end);
  if (marks.every((mark) => (mark & CONDITIONAL) === 0)) return { chains: 3, rules: lookups + 2 }; // to accept and to drop
  let known = classesKnown.get(segment);
  if (known === undefined) {
    const range = { ...segment, runs };
    known = classesAfter(range, segment.family, classesBefore(runs, segment));
    known ??= yield* classPieces(range, segment.family);
    if (known === undefined) throw new RangeError(yield* excessText(range, segment.family));
    classesKnown.set(segment, known);
  }
  const { classes } = known;
  return {
    chains: classes.length + 1,
    rules: classes.reduce((sum, matches) => sum + matches.length + 1, lookups),
  };
}

/** Why these rules are too many, and how many of their kind would fit, by trying twice as many each time. */
function* excessText({ runs, first, end }: RunRange, family: Family): Pieces<string> {
  let fits = 0;
  for (let every = 2 ** Math.ceil(Math.log2((end - first) / GATHERED_MIN)); every > 1; every /= 2) {
    const some = runs.slice(first, end).filter((_, i) => i % every === 0);
    if (!(yield* classPieces({ runs: some, first: 0, end: some.length }, family))) break;
    fits = some.length;
  }
  return `${end - first} rules with conditions, for prefixes within each other, are more than ${FIREWALL_RULES_MAX} rules of a firewall; some ${fits} such rules would fit: gather destinations in lists`;
}

/** Of the segment in the same place of the block that some runs were made of, if they are known. */
function classesBefore(runs: readonly Run[], segment: Segment): MatchClasses | undefined {
  const segments = segmentsKnown.get(madeOf(runs)?.of ?? [])?.[segment.family];
  const before = segments?.[segmentsOf(runs, segment.family).indexOf(segment)];
  return before && classesKnown.get(before);
}

/** Whether a match asks for nothing besides the address. */
export function isUnconditional({ proto, dns, ports, icmpType }: RuleMatch): boolean {
  return proto === undefined && !dns && ports === undefined && icmpType === undefined;
}

/** What says nothing that changes without a release: no name, no list, no DNS addresses, no end. */
function isGathered(run: Run): boolean {
  if (run.match.expire !== undefined || run.match.dns) return false;
  return run.remote.kind === 'prefixes' || run.remote.kind === 'any';
}

/** Whether a run may hold for addresses of a family. */
export function isOf(run: Run | undefined, family: Family): boolean {
  return run?.remote.kind !== 'prefixes' || run.remote.prefixes.family === family;
}
