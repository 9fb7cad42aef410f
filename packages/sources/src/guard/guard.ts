/**
 * Guards: the checks of a refreshed list, even if its source can be read. A refused list changes nothing; the
 * last good one stays, and the status says why.
 */

import type { GuardConfig } from '@rulecast/formats';
import { entryCount, type Family, type List } from '@rulecast/rules';
import {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  listSizeFinding,
  wholeFamilies,
  wholeFinding,
} from './finding.ts';

/** Codes beside FindingCode. */
export const GuardCode = {
  tooFew: 'too-few-entries',
  tooMany: 'too-many-entries',
  short: 'short-prefix',
  implausible: 'implausible',
  flapping: 'flapping',
} as const;

/** Why a list is refused. */
export interface Refusal {
  /** Stable: a FindingCode or GuardCode, or the code of a fetch, an archive or an import. */
  readonly code: string;
  /** For people: the fault and a remedy. */
  readonly reason: string;
}

/** The permits of one refresh. */
export interface Permits {
  /** Codes of refusals; each overrides its own refusal only. */
  readonly codes: ReadonlySet<string>;
  /** Those that were needed, as it turns out. */
  readonly needed: Set<string>;
  /** The caller who gave them. */
  readonly by?: string | undefined;
}

/** A refusal that a permit overrode. */
export interface Overridden extends Refusal {
  readonly by: string | undefined;
}

export const NO_PERMITS: Permits = { codes: new Set(), needed: new Set() };

export interface Judgement {
  /** All refusals without a permit together, so that one retry is enough; with the code of the first. */
  readonly refusal: Refusal | undefined;
  readonly overridden: Overridden | undefined;
}

/** The judgement of a list with some refusals against it. */
export function judged(list: string, against: readonly Refusal[], permits: Permits): Judgement {
  const refused = against.filter(({ code }) => !permits.codes.has(code));
  if (refused.length > 0) {
    const all = joined(refused);
    const codes = [...permits.codes, ...refused.map(({ code }) => code)].join(',');
    const reason = `${all?.reason}: look at the source, then rulectl lists refresh ${list} --permit ${codes}`;
    return { refusal: all && { ...all, reason }, overridden: undefined };
  }
  for (const { code } of against) permits.needed.add(code);
  const all = joined(against);
  return { refusal: undefined, overridden: all && { ...all, by: permits.by } };
}

function joined(refusals: readonly Refusal[]): Refusal | undefined {
  const [first] = refusals;
  return first && { code: first.code, reason: refusals.map(({ reason }) => reason).join('; and ') };
}

/** Data about a change besides the two lists. */
export interface ChangeContext {
  /** The families that the source holds all of, which wholeRefusals judges; default: those of the list. */
  readonly whole?: readonly Family[];
  /** Entries of the longest list so far. */
  readonly longestEntries?: number;
}

/** The refusals against replacing `before` by `after`. */
export function changeRefusals(
  before: List | undefined,
  after: List,
  guard: GuardConfig,
  { whole = wholeFamilies(after), longestEntries = 0 }: ChangeContext = {},
): readonly Refusal[] {
  const count = entryCount(after);
  const refusals: Refusal[] = [];
  if (guard.minEntries !== undefined && count < guard.minEntries)
    refusals.push({
      code: GuardCode.tooFew,
      reason: `${count} entries; min-entries: is ${guard.minEntries}`,
    });
  if (guard.maxEntries !== undefined && count > guard.maxEntries)
    refusals.push({
      code: GuardCode.tooMany,
      reason: `${count} entries; max-entries: is ${guard.maxEntries}`,
    });
  const isFirst = before === undefined || entryCount(before) === 0;
  const limits = { ...guard, shrinkFromEntries: 0, longestEntries };
  const change = isFirst ? undefined : (kindFinding(before, after) ?? listSizeFinding(before, after, limits));
  if (change !== undefined) refusals.push(refusal(change));
  const coverage = guard.allowAll ? undefined : coverageFinding(before, after, guard, whole);
  if (coverage !== undefined) {
    const key = coverage.code === FindingCode.coverage ? 'max-coverage:' : 'coverage-change:';
    refusals.push(refusal(coverage, ` (${key} sets the limit)`));
  }
  return refusals;
}

function refusal({ code, text }: Finding, key = ''): Refusal {
  return { code, reason: `${text}${key}` };
}

/** Against a list of all addresses of a family, unless that was permitted for it before (`known`). */
export function wholeRefusals(
  families: readonly Family[],
  known: readonly Family[],
  guard: GuardConfig,
): readonly Refusal[] {
  const all = guard.allowAll ? undefined : wholeFinding(families, known);
  return all === undefined ? [] : [refusal(all, ' (allow-all: true permits it)')];
}

/**
 * A refusal of a first download that looks like an error message: there is no earlier content to compare
 * with.
 */
export function firstRefusals(apology: string | undefined, isFirst: boolean): readonly Refusal[] {
  if (apology === undefined || !isFirst) return [];
  const reason = `the first download has few entries and reads like an error page, ${apology}`;
  return [{ code: GuardCode.implausible, reason }];
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
 * Against a list with more short prefixes than it may have: those that were permitted for it before
 * (`known`).
 */
export function shortRefusals(
  short: ShortPrefixesRead | undefined,
  known: number,
  guard: GuardConfig,
): readonly Refusal[] {
  if (short === undefined || short.count <= known || guard.allowShortPrefixes || guard.allowAll) return [];
  const { count, first, lengths } = short;
  const are = count === 1 ? 'is' : 'are';
  const reason = `${count} of its prefixes ${are} shorter than /${lengths[4]}, or than /${lengths[6]} of IPv6, ${first} (allow-short-prefixes: true permits them)`;
  return [{ code: GuardCode.short, reason }];
}
