/**
 * Longest match: some rules of a block are looked up by the class of the address (match-classes.ts). A kernel
 * finds the class by longest prefix, so that it checks a few rules, however many there are. The load on a
 * firewall depends on the rule set alone, so a publisher can check it before release.
 */

import {
  classesAfter,
  classesOf,
  classPieces,
  FIREWALL_RULES_MAX,
  type MatchClasses,
} from './match-classes.ts';
import type { Pieces } from './pieces.ts';
import { DEFAULT_POLICY, isForAllQubes, judgesIngress, runsOf } from './policy.ts';
import { bitsOf, type Family } from './prefix.ts';
import { columnFor } from './prefix-set.ts';
import type { RuleMatch } from './rule.ts';
import { PIECE_RUNS } from './rule-columns.ts';
import type { RuleSet } from './rule-set.ts';
import { formAt, type RuleForm, type Runs } from './runs.ts';

/** Fewer runs in a row are asked one after the other, which costs a packet less than the lookups. */
const GATHERED_MIN = 32;

/** Consecutive runs [first, end) of some runs, as they are asked in one family. */
export interface Segment {
  readonly family: Family;
  readonly first: number;
  readonly end: number;
  /** The number of these rules that may match in the family. */
  readonly count: number;
  /** The number of rules they stand for, in both families. */
  readonly rules: number;
  /** Whether the rules are looked up by the class of the address; otherwise one after another. */
  readonly gathered: boolean;
}

/** Chains and rules of a kernel. */
export interface FirewallLoad {
  readonly chains: number;
  readonly rules: number;
}

/** The runs of a block as a firewall asks them in one family. */
export function segmentsOf(runs: Runs, family: Family): readonly Segment[] {
  const marks = runs.forms.map(markOf);
  const segments: Segment[] = [];
  for (let first = 0; first < runs.count; ) {
    const gathers = marks[runs.formOf[first]!]! & GATHERED; // a run and its form, here and below
    let [end, count] = [first, 0];
    for (; end < runs.count && (marks[runs.formOf[end]!]! & GATHERED) === gathers; end++)
      if ((marks[runs.formOf[end]!]! & (family === 4 ? IN_IPV4 : IN_IPV6)) !== 0) count++;
    const rules = runs.starts[end]! - runs.starts[first]!; // one more than runs
    segments.push({ family, first, end, count, rules, gathered: gathers !== 0 && count >= GATHERED_MIN });
    first = end;
  }
  return segments;
}

const GATHERED = 1;
const IN_IPV4 = 2;
const IN_IPV6 = 4;

/** The properties of a form that segments depend on, as bits. */
function markOf(form: RuleForm): number {
  return (isGathered(form) ? GATHERED : 0) | (isOf(form, 4) ? IN_IPV4 : 0) | (isOf(form, 6) ? IN_IPV6 : 0);
}

/**
 * The classes of a gathered segment of some runs, made of those of the release before if they are given.
 * Throws RangeError where they would be too many rules.
 */
export function classesIn(runs: Runs, segment: Segment, before?: MatchClasses): MatchClasses {
  return classesOf({ ...segment, runs }, segment.family, before);
}

/** As how many runs a block counts by itself: a small one takes some ten microseconds. Our choice. */
const BLOCK_RUNS = 128;

/**
 * The most that a firewall loads for a rule set, besides sets and maps. Counted in pieces of some
 * milliseconds, as a rule set may be large. Throws RangeError if counting takes too long. `known` holds the
 * classes of an earlier count by place, and those of this rule set afterwards.
 */
export function* firewallLoad(
  ruleSet: RuleSet,
  known: Map<string, MatchClasses> = new Map(),
): Pieces<FirewallLoad> {
  const counted = new Map<string, MatchClasses>();
  let chains = 4; // the first one of each direction and family, with a lookup for each length and what follows
  let rules = 2 * (bitsOf(4) + bitsOf(6) + 2);
  let looked = 0;
  for (const [runs, family, block] of judgedBlocks(ruleSet)) {
    if (runs === undefined) {
      chains += 1;
      rules += 2;
      continue;
    }
    const segments = segmentsOf(runs, family);
    looked += BLOCK_RUNS + runs.count;
    if (looked >= PIECE_RUNS) {
      looked = 0;
      yield;
    }
    for (const [at, segment] of segments.entries()) {
      const place = `${block} ${family} ${at}`;
      const own = segment.gathered
        ? yield* gatheredLoad(runs, segment, known.get(place), (classes) => counted.set(place, classes))
        : plainLoad(runs, segment);
      chains += own.chains;
      rules += own.rules;
    }
  }
  known.clear();
  for (const [place, classes] of counted) known.set(place, classes);
  return { chains, rules };
}

/** The blocks of each chain that judges qubes in a direction and a family, named; undefined: the chain. */
function* judgedBlocks(ruleSet: RuleSet): Generator<readonly [Runs | undefined, Family, string]> {
  if (ruleSet.unmatched !== undefined) for (const family of [4, 6] as const) yield [undefined, family, ''];
  for (const policy of ruleSet.policies.values()) {
    for (const direction of ['egress', 'ingress'] as const) {
      if (direction === 'ingress' && !isForAllQubes(policy.name) && !judgesIngress(policy)) continue;
      for (const family of [4, 6] as const) {
        const isForAll = isForAllQubes(policy.name) || policy.name === DEFAULT_POLICY;
        if (!isForAll && columnFor(policy.prefixes, family).lengths.length === 0) continue;
        yield [undefined, family, ''];
        for (const block of ['exceptions', 'own'] as const)
          yield [runsOf(policy, direction, block), family, `${policy.name} ${direction} ${block}`];
      }
    }
  }
}

/** A rule for each run that may hold in the family; where DNS servers are translated, two. */
function plainLoad(runs: Runs, { family, first, end }: Segment): FirewallLoad {
  let rules = 0;
  for (let run = first; run < end; run++) {
    const form = formAt(runs, run);
    if (isOf(form, family)) rules += form.match.dns ? 2 : 1;
  }
  return { chains: 0, rules };
}

/** The load of a gathered segment: a chain for each class, and one for the rules after it. */
function* gatheredLoad(
  runs: Runs,
  segment: Segment,
  before: MatchClasses | undefined,
  keep: (classes: MatchClasses) => void,
): Pieces<FirewallLoad> {
  const lookups = 2 * bitsOf(segment.family) + 1; // at most two for each length
  const isFree = runs.forms.map(({ match }) => isUnconditional(match));
  let run = segment.first;
  while (run < segment.end && isFree[runs.formOf[run]!]) run++; // a run
  if (run === segment.end) return { chains: 3, rules: lookups + 2 }; // to accept and to drop
  const range = { ...segment, runs };
  const known = classesAfter(range, segment.family, before) ?? (yield* classPieces(range, segment.family));
  if (known === undefined)
    throw new RangeError(
      `${range.end - range.first} rules with conditions, for prefixes within each other, are more than ${FIREWALL_RULES_MAX} rules of a firewall: gather destinations in lists`,
    );
  keep(known);
  const { classes } = known;
  return {
    chains: classes.length + 1,
    rules: classes.reduce((sum, matches) => sum + matches.length + 1, lookups),
  };
}

/** Whether a match asks for nothing besides the address. */
export function isUnconditional({ proto, dns, ports, icmpType }: RuleMatch): boolean {
  return proto === undefined && !dns && ports === undefined && icmpType === undefined;
}

/** Whether a rule changes only by a release: it has no name, no list, no DNS addresses and no expiry. */
function isGathered({ match, remote }: RuleForm): boolean {
  if (match.expire !== undefined || match.dns) return false;
  return remote.kind === 'prefixes' || remote.kind === 'any';
}

/** Whether a run may hold for addresses of a family. */
export function isOf({ remote }: RuleForm, family: Family): boolean {
  return remote.kind !== 'prefixes' || remote.family === family;
}
