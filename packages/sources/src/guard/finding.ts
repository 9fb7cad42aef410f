/**
 * Findings about a change of a list, in numbers: it is emptied, shrinks, grows, covers much, holds
 * everything, or changes its kind. Pure; the guards decide what follows: guard.ts for feeds, the publisher
 * for pushes.
 */

import {
  columnFor,
  entryCount,
  exceptionCount,
  type Family,
  type List,
  partOfSpace,
  routableShare,
} from '@rulecast/rules';

export const FindingCode = {
  empty: 'empty',
  shrunk: 'shrunk',
  grown: 'grown',
  coverage: 'covers-too-much',
  coverageChanged: 'coverage-changed',
  all: 'all-addresses',
  kind: 'kind-changed',
} as const;
export type FindingCode = (typeof FindingCode)[keyof typeof FindingCode];

export interface Finding {
  readonly code: FindingCode;
  /** Entries; of coverage, millionths of the addresses of the family that are reachable over the Internet. */
  readonly before: number;
  readonly after: number;
  /** For people: the change and the limit, without a remedy. */
  readonly text: string;
}

/** Shares, 0 to 1, or Infinity for no limit. */
export interface SizeLimits {
  /** The share of its entries that a list may lose. */
  readonly shrinkShare: number;
  /** The entries it may gain, as a share of those it has. */
  readonly growthShare: number;
  /** A list of fewer entries may lose any number of them. */
  readonly shrinkFromEntries: number;
  /** Entries of the longest list so far, which may come back; without it: of the one before. */
  readonly longestEntries?: number;
}

export interface CoverageLimits {
  /** The share of a family's routable addresses that a list may hold. */
  readonly maxCoverageShare: number;
  /** The share of its routable addresses that a list may gain or lose. */
  readonly coverageChangeShare: number;
}

/** So many more entries are never too many more: a list of three may become one of six. */
export const GROWTH_FREE_ENTRIES = 64;
/**
 * Below this share of a family no change is too large: a quarter of a /8, and half of what IANA assigns to an
 * IPv6 registry at once.
 */
const COVERAGE_FREE_SHARE = 0.001;

/** A finding about the number of entries, or of `unit`, removed or added. */
export function sizeFinding(
  before: number,
  after: number,
  limits: SizeLimits,
  unit = 'entries',
): Finding | undefined {
  const { shrinkShare, growthShare, shrinkFromEntries, longestEntries = 0 } = limits;
  const lost = before - after;
  if (before >= shrinkFromEntries && lost > before * shrinkShare) {
    const text = `it would shrink from ${before} to ${after} ${unit}, by ${percent(lost, before)}; at most ${percent(shrinkShare)} are taken`;
    return { code: FindingCode.shrunk, before, after, text };
  }
  if (longestEntries > before) {
    if (after - longestEntries <= Math.max(GROWTH_FREE_ENTRIES, longestEntries * growthShare))
      return undefined;
    const text = `it would grow from ${before} to ${after} ${unit}; the longest so far had ${longestEntries}, and at most ${percent(growthShare)} more are taken`;
    return { code: FindingCode.grown, before, after, text };
  }
  if (-lost > Math.max(GROWTH_FREE_ENTRIES, before * growthShare)) {
    const text = `it would grow from ${before} to ${after} ${unit}, by ${percent(-lost, before)}; at most ${percent(growthShare)} are taken`;
    return { code: FindingCode.grown, before, after, text };
  }
  return undefined;
}

/**
 * A finding about two lists of one kind. Each added exception counts as a removed entry, as it removes a part
 * of one. They do not make up for added entries: growth counts entries alone.
 */
export function listSizeFinding(before: List, after: List, limits: SizeLimits): Finding | undefined {
  const [earlier, later] = [before, after].map((list) =>
    Math.max(0, entryCount(list) - exceptionCount(list)),
  ) as [number, number];
  const ofEntries = sizeFinding(entryCount(before), entryCount(after), limits);
  if (ofEntries !== undefined || later >= earlier) return ofEntries;
  return sizeFinding(earlier, later, limits, 'entries less exceptions');
}

/**
 * A finding about the share of the Internet that a list covers, and its change. None for lists of names, nor
 * for a family that it holds completely (`whole`), which has a finding of its own.
 */
export function coverageFinding(
  before: List | undefined,
  after: List,
  limits: CoverageLimits,
  whole: readonly Family[] = wholeFamilies(after),
): Finding | undefined {
  if (after.kind === 'names') return undefined;
  const isChange = before?.kind === 'prefixes' && entryCount(before) > 0;
  for (const family of ([4, 6] as const).filter((some) => !whole.includes(some))) {
    const held = isChange ? routableShare(before, family) : 0;
    const share = routableShare(after, family);
    const counts = { before: millionths(held), after: millionths(share) };
    const what = `of the IPv${family} addresses that are reachable over the Internet`;
    if (share > limits.maxCoverageShare && held <= limits.maxCoverageShare) {
      const text = `it would cover ${percent(share)} ${what}; at most ${percent(limits.maxCoverageShare)} are taken`;
      return { code: FindingCode.coverage, ...counts, text };
    }
    const most = Math.max(COVERAGE_FREE_SHARE, held * limits.coverageChangeShare);
    if (isChange && Math.abs(share - held) > most) {
      const text = `it would cover ${percent(share)} ${what}, and covers ${percent(held)} now; a change by ${percent(most)} is taken`;
      return { code: FindingCode.coverageChanged, ...counts, text };
    }
  }
  return undefined;
}

/** The families whose every address a list holds. */
export function wholeFamilies(list: List): readonly Family[] {
  if (list.kind === 'names') return [];
  return ([4, 6] as const).filter((family) => partOfSpace(columnFor(list, family)) >= 1);
}

/** A family that a list is about to hold all of; `known`: those that it may, or does. */
export function wholeFinding(families: readonly Family[], known: readonly Family[]): Finding | undefined {
  const added = families.find((family) => !known.includes(family));
  if (added === undefined) return undefined;
  const all = added === 4 ? '0.0.0.0/0' : '::/0';
  const text = `it holds ${all}, every IPv${added} address`;
  return { code: FindingCode.all, before: 0, after: 1_000_000, text };
}

/** Addresses that became names, or names addresses. */
export function kindFinding(before: List, after: List): Finding | undefined {
  if (before.kind === after.kind) return undefined;
  const text = `it held ${before.kind} and now holds ${after.kind}`;
  return { code: FindingCode.kind, before: entryCount(before), after: entryCount(after), text };
}

function millionths(share: number): number {
  return Math.round(share * 1_000_000);
}

function percent(part: number, whole = 1): string {
  const value = (part / whole) * 100;
  return `${Math.round(value * (value < 1 ? 1000 : 10)) / (value < 1 ? 1000 : 10)} %`;
}
