/**
 * Guards: what a refreshed list must not be, however well its source can be read. A refused list changes
 * nothing; the last good one stays, and the status says why.
 */

import type { GuardConfig } from '@rulecast/formats';
import { entryCount, type Family, type List } from '@rulecast/rules';
import {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  sizeFinding,
  wholeFamilies,
  wholeFinding,
} from './finding.ts';

/** Codes beside those of FindingCode. */
export const GuardCode = {
  tooFew: 'too-few-entries',
  tooMany: 'too-many-entries',
  short: 'short-prefix',
  implausible: 'implausible',
} as const;

/** Why a list is not taken. */
export interface Refusal {
  /** Stable: of FindingCode or GuardCode, or what a fetch, an archive or an import says. */
  readonly code: string;
  /** For people: what is wrong, and what to do. */
  readonly reason: string;
}

/** What somebody permitted for one refresh. */
export interface Permits {
  readonly allowShrink: boolean;
  readonly allowGrowth: boolean;
  /** Any part of the address space, but not all of it. */
  readonly allowCoverage: boolean;
  readonly allowAll: boolean;
  readonly allowKind: boolean;
  /** Entries that stand for more than before, in a list that rules accept. The consumer asks for it. */
  readonly allowWider: boolean;
  /** Every guard but those of reading. */
  readonly force: boolean;
  /** Who did. */
  readonly by?: string | undefined;
}

/** What was taken all the same, for somebody permitted it. */
export interface Overridden extends Refusal {
  readonly by: string | undefined;
}

export const NO_PERMITS: Permits = {
  allowShrink: false,
  allowGrowth: false,
  allowCoverage: false,
  allowAll: false,
  allowKind: false,
  allowWider: false,
  force: false,
};

/** What is known of a change beside the two lists. */
export interface ChangeContext {
  /** The families that the source holds all of, which wholeRefusal judges; default: those of the list. */
  readonly whole?: readonly Family[];
  /** Entries of the longest list so far. */
  readonly longestEntries?: number;
}

/** Whether `after` may follow `before`. */
export function changeRefusal(
  before: List | undefined,
  after: List,
  guard: GuardConfig,
  permits: Permits,
  { whole = wholeFamilies(after), longestEntries = 0 }: ChangeContext = {},
): Refusal | undefined {
  const count = entryCount(after);
  if (permits.force) return undefined;
  if (guard.minEntries !== undefined && count < guard.minEntries) {
    return { code: GuardCode.tooFew, reason: `${count} entries; min-entries: is ${guard.minEntries}` };
  }
  if (guard.maxEntries !== undefined && count > guard.maxEntries) {
    return { code: GuardCode.tooMany, reason: `${count} entries; max-entries: is ${guard.maxEntries}` };
  }
  const isFirst = before === undefined || entryCount(before) === 0;
  const kind = isFirst ? undefined : kindFinding(before, after);
  if (kind !== undefined && !permits.allowKind) return refusal(kind, 'is this the right source?', 'kind');
  const limits = { ...sizeLimits(guard, permits), longestEntries };
  const size = isFirst || kind !== undefined ? undefined : sizeFinding(entryCount(before), count, limits);
  if (size !== undefined) {
    return refusal(size, 'look at the source', size.code === 'shrunk' ? 'shrink' : 'growth');
  }
  const coverage =
    guard.allowAll || permits.allowCoverage ? undefined : coverageFinding(before, after, guard, whole);
  if (coverage === undefined) return undefined;
  const key = coverage.code === FindingCode.coverage ? 'max-coverage:' : 'coverage-change:';
  return refusal(coverage, `say ${key}, or look at the source`, 'coverage');
}

/** What several guards say, so that nobody is sent home twice; the code of the first. */
export function allRefusals(...refusals: readonly (Refusal | undefined)[]): Refusal | undefined {
  const found = refusals.filter((refusal) => refusal !== undefined);
  const [first] = found;
  return first && { code: first.code, reason: found.map(({ reason }) => reason).join('; and ') };
}

function sizeLimits(
  guard: GuardConfig,
  permits: Permits,
): GuardConfig & { readonly shrinkFromEntries: number } {
  return {
    ...guard,
    shrinkFromEntries: permits.allowShrink ? Number.POSITIVE_INFINITY : 0,
    growthShare: permits.allowGrowth ? Number.POSITIVE_INFINITY : guard.growthShare,
  };
}

/** `permit` is what follows `--allow-`. */
function refusal({ code, text }: Finding, advice: string, permit: string): Refusal {
  return { code, reason: `${text}: ${advice}, then rulectl refresh --allow-${permit}` };
}

/**
 * Refuses a list of all addresses of a family, unless that is permitted now or was so for this list before
 * (`known`).
 */
export function wholeRefusal(
  families: readonly Family[],
  known: readonly Family[],
  guard: GuardConfig,
  permits: Permits,
): Refusal | undefined {
  if (guard.allowAll || permits.allowAll || permits.force) return undefined;
  const all = wholeFinding(families, known);
  return all === undefined ? undefined : refusal(all, 'say allow-all: true, or look at the source', 'all');
}

/**
 * Refuses a first download that looks like an apology of its server: nothing is known yet that it could be
 * compared with.
 */
export function firstRefusal(
  apology: string | undefined,
  isFirst: boolean,
  permits: Permits,
): Refusal | undefined {
  if (apology === undefined || !isFirst || permits.force) return undefined;
  const reason = `it is the first download, has a few entries, and says ${apology}: look at the source, then rulectl refresh --force`;
  return { code: GuardCode.implausible, reason };
}

/** CIDRs as the source says them that hold more of the Internet than one usually means. */
export interface ShortPrefixesRead {
  readonly count: number;
  /** The first, with its place, for people. */
  readonly first: string;
  /** The lengths that they fall below. */
  readonly lengths: Readonly<Record<Family, number>>;
}

/**
 * Refuses a list with more short prefixes than it may have: those that were permitted for it before
 * (`known`).
 */
export function shortRefusal(
  short: ShortPrefixesRead | undefined,
  known: number,
  guard: GuardConfig,
  permits: Permits,
): Refusal | undefined {
  if (short === undefined || short.count <= known) return undefined;
  if (
    guard.allowShortPrefixes ||
    guard.allowAll ||
    permits.allowCoverage ||
    permits.allowAll ||
    permits.force
  )
    return undefined;
  const { count, first, lengths } = short;
  const are = count === 1 ? 'is' : 'are';
  const reason = `${count} of its prefixes ${are} shorter than /${lengths[4]}, or than /${lengths[6]} of IPv6, ${first}: look at the source, then rulectl refresh --allow-coverage, or say allow-short-prefixes: true`;
  return { code: GuardCode.short, reason };
}
