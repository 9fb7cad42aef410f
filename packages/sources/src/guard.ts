/**
 * Guards: what a refreshed list must not be, however well its source can be read. A refused list changes nothing; the last good one stays,
 * and the status says why.
 */

import type { GuardConfig } from '@rulecast/formats';
import {
  columnFor,
  combineSets,
  entryCount,
  type Family,
  formatPrefixAt,
  intersectPrefixes,
  type List,
  memberContaining,
  type PrefixSet,
  parsePrefix,
  prefixAt,
  prefixCount,
  prefixSetOf,
  subtractPrefixes,
} from '@rulecast/rules';

export const GuardCode = {
  shrunk: 'shrunk',
  grown: 'grown',
  tooFew: 'too-few-entries',
  tooMany: 'too-many-entries',
  all: 'all-addresses',
  kind: 'kind-changed',
} as const;

/** Why a list is not taken. */
export interface Refusal {
  /** Stable: of GuardCode, or what a fetch, an archive or an import says. */
  readonly code: string;
  /** For people: what is wrong, and what to do. */
  readonly reason: string;
}

/** What somebody permitted for one refresh. */
export interface Permits {
  readonly allowShrink: boolean;
  /** Every guard but those of reading. */
  readonly force: boolean;
}

export const NO_PERMITS: Permits = { allowShrink: false, force: false };

/** So many more entries are never too many more: a list of three may become one of six. */
const GROWTH_FREE_ENTRIES = 64;

/** Whether `after` may follow `before`. */
export function judgeChange(
  before: List | undefined,
  after: List,
  guard: GuardConfig,
  permits: Permits,
): Refusal | undefined {
  const count = entryCount(after);
  if (permits.force) return undefined;
  if (guard.minEntries !== undefined && count < guard.minEntries) {
    return refusal(GuardCode.tooFew, `${count} entries; min-entries: is ${guard.minEntries}`);
  }
  if (guard.maxEntries !== undefined && count > guard.maxEntries) {
    return refusal(GuardCode.tooMany, `${count} entries; max-entries: is ${guard.maxEntries}`);
  }
  if (before === undefined || entryCount(before) === 0) return undefined;
  if (before.kind !== after.kind) {
    return refusal(
      GuardCode.kind,
      `it held ${before.kind} and now holds ${after.kind}: is this the right source? --force takes it`,
    );
  }
  return judgeSize(entryCount(before), count, guard, permits);
}

function judgeSize(before: number, after: number, guard: GuardConfig, permits: Permits): Refusal | undefined {
  const lost = before - after;
  if (!permits.allowShrink && lost > before * guard.shrinkShare) {
    const reason = `it would shrink from ${before} to ${after} entries, by ${percent(lost, before)}; at most ${percent(guard.shrinkShare, 1)} are taken: look at the source, then rulectl refresh --allow-shrink`;
    return refusal(GuardCode.shrunk, reason);
  }
  if (-lost > Math.max(GROWTH_FREE_ENTRIES, before * guard.growthShare)) {
    const reason = `it would grow from ${before} to ${after} entries, by ${percent(-lost, before)}; at most ${percent(guard.growthShare, 1)} are taken: look at the source, then rulectl refresh --force`;
    return refusal(GuardCode.grown, reason);
  }
  return undefined;
}

function refusal(code: string, reason: string): Refusal {
  return { code, reason };
}

function percent(part: number, whole: number): string {
  return `${Math.round((part / whole) * 1000) / 10} %`;
}

/** The families whose every address a list holds. */
export function wholeFamilies(list: List): readonly Family[] {
  if (list.kind === 'names') return [];
  return ([4, 6] as const).filter((family) => {
    const { lengths } = columnFor(list, family);
    let share = 0; // members are disjoint, and sums of powers of two down to 2^-52 are exact
    for (const length of lengths) share += 2 ** -length;
    return share >= 1;
  });
}

/** Refuses a list of all addresses of a family, unless that is permitted now or was so for this list before (`known`). */
export function judgeWhole(
  families: readonly Family[],
  known: readonly Family[],
  guard: GuardConfig,
  permits: Permits,
): Refusal | undefined {
  if (guard.allowAll || permits.force) return undefined;
  const added = families.find((family) => !known.includes(family));
  if (added === undefined) return undefined;
  const all = added === 4 ? '0.0.0.0/0' : '::/0';
  return refusal(
    GuardCode.all,
    `it holds ${all}, every IPv${added} address: say allow-all: true, or rulectl refresh --force`,
  );
}

// ── Never-block ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a fetched block list must not hold, with why. */
const NEVER_BLOCK = [
  '10.139.1.1/32', // the DNS addresses of every qube; a documented part of Qubes' network
  '10.139.1.2/32',
  '10.0.0.0/8', // RFC 1918
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7', // RFC 4193, private IPv6, which Qubes gives its qubes
  '127.0.0.0/8', // RFC 1122, loopback
  '::1/128',
  '169.254.0.0/16', // RFC 3927, link-local
  'fe80::/10',
  '224.0.0.0/4', // RFC 5771, multicast
  'ff00::/8',
];

/** The built-in never-block set. */
export function defaultNeverBlock(): PrefixSet {
  return prefixSetOf(
    NEVER_BLOCK.map((text) => {
      const prefix = parsePrefix(text);
      if (typeof prefix === 'string') throw new TypeError(`${text} is no prefix`);
      return prefix;
    }),
  );
}

/** What was taken out of a list. */
export interface Protected {
  /** Entries of the list that held protected addresses. */
  readonly entryCount: number;
  /** The first of the protected prefixes that were in the list. */
  readonly examples: readonly string[];
}

const EXAMPLES_MAX = 4;

/** A list without what must never be blocked, and what that was. Returns the list itself where it held nothing of it. */
export function withoutProtected(
  list: PrefixSet,
  neverBlock: PrefixSet,
): { readonly set: PrefixSet; readonly taken: Protected | undefined } {
  const hit = combineSets(intersectPrefixes, list, neverBlock);
  if (prefixCount(hit) === 0) return { set: list, taken: undefined };
  const set = combineSets(subtractPrefixes, list, neverBlock);
  const examples = [hit.v4, hit.v6]
    .flatMap((column) =>
      Array.from({ length: Math.min(EXAMPLES_MAX, column.lengths.length) }, (_, i) =>
        formatPrefixAt(column, i),
      ),
    )
    .slice(0, EXAMPLES_MAX);
  return { set, taken: { entryCount: touchedCount(list, hit), examples } };
}

/** In how many members of a list the members of its intersection with something lie. */
function touchedCount(list: PrefixSet, hit: PrefixSet): number {
  let touched = 0;
  for (const family of [4, 6] as const) {
    const column = columnFor(list, family);
    const hits = columnFor(hit, family);
    let last = -1;
    for (let i = 0; i < hits.lengths.length; i++) {
      const owner = memberContaining(column, prefixAt(hits, i).words);
      if (owner !== last) touched++;
      last = owner;
    }
  }
  return touched;
}
