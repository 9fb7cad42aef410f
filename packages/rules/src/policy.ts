/**
 * Policies: the ordered rules of some qubes, kept as runs.
 *
 * A run is consecutive rules alike but for their remote side, so that 2^18 rules that differ only in
 * destination are one match and two columns. Runs keep every rule in its order: rule numbers and printing
 * lose nothing.
 */

import { EMPTY_PREFIX_SET, type PrefixSet } from './list.ts';
import { type Family, PrefixBuilder, type Prefixes, prefixAt, samePrefixes } from './prefix.ts';
import type { Action, Direction, Remote, Rule, RuleMatch } from './rule.ts';
import { commonEnds, factOfBlocks } from './run-blocks.ts';

/**
 * The policy that judges egress of qubes with no policy of their own. It has no prefixes and no ingress
 * rules.
 */
export const DEFAULT_POLICY = 'default';
/**
 * The policy whose rules come before every other policy's own. It has no prefixes and no exceptions; its
 * default action is unused.
 */
export const COMMON_POLICY = 'common';

/**
 * The remote side of a run. Only literal prefixes of one family gather in a run; other rules are runs of one.
 */
export type RunRemote =
  | { readonly kind: 'any' }
  /** One prefix per rule, in rule order: neither sorted nor unique. */
  | { readonly kind: 'prefixes'; readonly prefixes: Prefixes }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly list: string };

export interface Run {
  readonly match: RuleMatch;
  readonly remote: RunRemote;
}

/** Rules of both directions, in the order in which they are judged. */
export interface DirectedRuns {
  readonly egress: readonly Run[];
  readonly ingress: readonly Run[];
}

export interface Policy extends DirectedRuns {
  readonly name: string;
  /** The addresses of the qubes it is for. */
  readonly prefixes: PrefixSet;
  /** What happens when no rule matches. */
  readonly defaultAction: Action;
  /** What is judged before `common`, which else has the first word. */
  readonly exceptions: DirectedRuns;
  /** How DNS answers names that are blocked, and those that no rule names; absent: see nameTermsOf. */
  readonly blocked?: BlockedAnswer;
  readonly unlisted?: UnlistedAnswer;
}

/** What is answered to a name that is blocked: that there is none, nothing, or the null address. */
export type BlockedAnswer = 'nxdomain' | 'refused' | 'null';
export type UnlistedAnswer = 'answer' | 'nxdomain';

/**
 * The blocks of rules that judge a qube, in their order; the judging policy's default action comes after the
 * last. `exceptions` and `own` are the judging policy's, `common` are the rules of the policy of that name.
 */
export const RULE_BLOCKS = ['exceptions', 'common', 'own'] as const;
export type RuleBlock = (typeof RULE_BLOCKS)[number];

export const NO_RUNS: DirectedRuns = { egress: [], ingress: [] };

/** A policy with no rules and no prefixes, to build others from. */
export function emptyPolicy(name: string): Policy {
  return { name, prefixes: EMPTY_PREFIX_SET, defaultAction: 'drop', exceptions: NO_RUNS, ...NO_RUNS };
}

/** How many rules a run stands for. */
export function runRuleCount(run: Run): number {
  return run.remote.kind === 'prefixes' ? run.remote.prefixes.lengths.length : 1;
}

/** How many rules some runs stand for. */
export function ruleCount(runs: readonly Run[]): number {
  return runStarts(runs)[runs.length]!; // the last one
}

/** The first rule of each run of a block, and then how many rules there are. */
export const runStarts = factOfBlocks<Run, Uint32Array>(
  (runs) => startsOf(runs, 0, runs.length, new Uint32Array(runs.length + 1)),
  (before, { of, head, tail }, runs) => {
    const starts = new Uint32Array(runs.length + 1);
    starts.set(before.subarray(0, head + 1));
    startsOf(runs, head, runs.length - tail, starts);
    const [from, to] = [of.length - tail, runs.length - tail];
    const shift = starts[to]! - before[from]!; // within both
    for (let i = 1; i <= tail; i++) starts[to + i] = before[from + i]! + shift;
    return starts;
  },
);

function startsOf(runs: readonly Run[], first: number, end: number, into: Uint32Array): Uint32Array {
  for (let at = first; at < end; at++) into[at + 1] = into[at]! + runRuleCount(runs[at]!); // within the runs
  return into;
}

/** The runs that stand in one block of a policy; those of `common` are `common`'s own. */
export function runsOf(policy: Policy, direction: Direction, block: RuleBlock = 'own'): readonly Run[] {
  const runs = block === 'exceptions' ? policy.exceptions : policy;
  return direction === 'egress' ? runs.egress : runs.ingress;
}

/** The blocks of a policy in all directions. */
export function blocksOf({ exceptions, egress, ingress }: Policy): readonly (readonly Run[])[] {
  return [exceptions.egress, exceptions.ingress, egress, ingress];
}

/** The runs of all blocks and directions of a policy. */
export function allRuns(policy: Policy): readonly Run[] {
  const [first = [], ...others] = blocksOf(policy);
  return first.concat(...others); // `flat` takes ten times as long
}

/** How many rules a policy has, exceptions included. */
export function policyRuleCount(policy: Policy): number {
  return blocksOf(policy).reduce((sum, runs) => sum + ruleCount(runs), 0);
}

/** Whether a policy judges what goes to its qubes: it has rules for that, be they exceptions only. */
export function judgesIngress({ exceptions, ingress }: Policy): boolean {
  return exceptions.ingress.length + ingress.length > 0;
}

/** The rule at `offset` (0 <= offset < runRuleCount) of a run. */
export function ruleOfRun(run: Run, offset: number): Rule {
  return { ...run.match, remote: remoteOfRun(run.remote, offset) };
}

function remoteOfRun(remote: RunRemote, offset: number): Remote {
  return remote.kind === 'prefixes' ? { kind: 'prefix', prefix: prefixAt(remote.prefixes, offset) } : remote;
}

/** The rule number `index` of some runs, counted from 0. Throws RangeError if there is none. */
export function ruleAt(runs: readonly Run[], index: number): Rule {
  let before = 0;
  for (const run of runs) {
    const count = runRuleCount(run);
    if (index >= before && index < before + count) return ruleOfRun(run, index - before);
    before += count;
  }
  throw new RangeError(`no rule ${index}: there are ${before}`);
}

/** Blocks with fewer runs are shared as a whole: all else about them is found out again in no time. */
const SHARED_MIN = 32;

/**
 * The same policy; runs that a long block begins and ends with as that of `before` does are the objects of
 * `before`, so that what is known of them need not be found out again. `before` where it says the same,
 * `after` where nothing of it is shared.
 */
export function policyOfSameRuns(before: Policy, after: Policy): Policy {
  const old = blocksOf(before);
  const own = blocksOf(after);
  const shared = own.map((runs, at) => blockOfSame(old[at] ?? [], runs));
  if (shared.every((runs, at) => runs === old[at]) && sayTheSame(before, after)) return before;
  const [outEgress = [], outIngress = [], egress = [], ingress = []] = shared;
  if ([outEgress, outIngress, egress, ingress].every((runs, at) => runs === own[at])) return after;
  return { ...after, exceptions: { egress: outEgress, ingress: outIngress }, egress, ingress };
}

/** Whether two policies are alike but for their runs. */
function sayTheSame(a: Policy, b: Policy): boolean {
  return (
    a.name === b.name &&
    a.defaultAction === b.defaultAction &&
    a.blocked === b.blocked &&
    a.unlisted === b.unlisted &&
    samePrefixes(a.prefixes.v4, b.prefixes.v4) &&
    samePrefixes(a.prefixes.v6, b.prefixes.v6)
  );
}

function blockOfSame(before: readonly Run[], after: readonly Run[]): readonly Run[] {
  const least = Math.min(before.length, after.length);
  if (before === after) return after;
  if (least < SHARED_MIN) {
    const isSame = before.length === after.length && before.every((run, at) => sameRun(run, after[at]!)); // of one length
    return isSame ? before : after;
  }
  let head = 0;
  while (head < least && sameRun(before[head]!, after[head]!)) head++; // within both, here and below
  if (head === before.length && head === after.length) return before;
  let tail = 0;
  while (tail < least - head && sameRun(before[before.length - 1 - tail]!, after[after.length - 1 - tail]!))
    tail++;
  if (head + tail === 0) return after;
  const made = before
    .slice(0, head)
    .concat(after.slice(head, after.length - tail), before.slice(before.length - tail));
  commonEnds(before, made, { head, tail });
  return made;
}

export function sameRun(a: Run, b: Run): boolean {
  if (a === b) return true;
  const [p, q] = [a.remote, b.remote];
  if (p.kind !== q.kind || !sameMatch(a.match, b.match)) return false;
  if (p.kind === 'prefixes' && q.kind === 'prefixes') return samePrefixes(p.prefixes, q.prefixes);
  if (p.kind === 'name' && q.kind === 'name') return p.name === q.name;
  return p.kind !== 'list' || q.kind !== 'list' || p.list === q.list;
}

export function sameMatch(a: RuleMatch, b: RuleMatch): boolean {
  return (
    a.action === b.action &&
    a.proto === b.proto &&
    a.dns === b.dns &&
    a.ports?.first === b.ports?.first &&
    a.ports?.last === b.ports?.last &&
    a.icmpType === b.icmpType &&
    a.expire === b.expire &&
    a.comment === b.comment &&
    a.isPrivate === b.isPrivate
  );
}

/** What a rule says besides its remote side, in an object of its own. */
function matchOf(rule: RuleMatch): RuleMatch {
  const { action, proto, dns, ports, icmpType, expire, comment, isPrivate } = rule;
  return { action, proto, dns, ports, icmpType, expire, comment, ...(isPrivate === true && { isPrivate }) };
}

/** Gathers rules, in their order, into runs. */
export class RunBuilder {
  readonly #runs: Run[] = [];
  #match: RuleMatch | undefined; // of the open run of prefixes
  #prefixes: PrefixBuilder | undefined; // of the open run of prefixes

  push(rule: Rule): void {
    const { remote } = rule;
    if (remote.kind === 'prefix')
      this.pushPrefix(rule, remote.prefix.family, remote.prefix.words, 0, remote.prefix.length);
    else {
      this.#close();
      this.#runs.push({ match: matchOf(rule), remote });
    }
  }

  /** Appends a rule whose remote side is the prefix at entry `at` of a word column; copies it. */
  pushPrefix(match: RuleMatch, family: Family, words: Uint32Array, at: number, length: number): void {
    if (this.#prefixes?.family !== family || this.#match === undefined || !sameMatch(this.#match, match)) {
      this.#close();
      this.#match = matchOf(match);
      this.#prefixes = new PrefixBuilder(family, 4);
    }
    this.#prefixes.push(words, at, length);
  }

  #close(): void {
    if (this.#match !== undefined && this.#prefixes !== undefined) {
      this.#runs.push({ match: this.#match, remote: { kind: 'prefixes', prefixes: this.#prefixes.build() } });
    }
    this.#match = undefined;
    this.#prefixes = undefined;
  }

  /** The runs so far. The builder starts a new run after it. */
  build(): readonly Run[] {
    this.#close();
    return [...this.#runs];
  }
}
