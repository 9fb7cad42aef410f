/**
 * An index of the kept releases, so that they need not be read: numbers, hashes and order. A value: a commit
 * makes the next one. Hashes are hex.
 */

import { isBeyond, stepMost, workMax } from '@rulecast/protocol';
import type { ReleaseNumber } from '@rulecast/sessions';
import { compareKeys, type HistoryEntry, type ReleaseKey } from './stored.ts';

export class ReleaseIndex {
  /** Oldest first; the last is the head. */
  readonly entries: readonly HistoryEntry[];

  constructor(entries: readonly HistoryEntry[] = []) {
    this.entries = entries;
  }

  /** The newest release; undefined before the first. */
  get head(): HistoryEntry | undefined {
    return this.entries.at(-1);
  }

  /**
   * The releases that a chain of deltas leads through from the one with that hash to the head, without it;
   * undefined where they do not follow one another, they outweigh `limitBytes`, or they are known to be
   * beyond the budget of the receiver.
   */
  stepsFrom(hash: string, limitBytes: number): readonly HistoryEntry[] | undefined {
    const from = this.entries.findLastIndex((entry) => entry.hash === hash);
    if (from < 0) return undefined;
    const steps = this.entries.slice(from + 1);
    // a gap: older releases are kept by day only
    if (!steps.every((entry, i) => follows(entry, this.entries[from + i]))) return undefined;
    const bytes = steps.reduce((sum, { deltaBytes }) => sum + deltaBytes, 0);
    return bytes <= limitBytes && isWithinBudget(this.entries[from], steps) ? steps : undefined;
  }

  /** Whether the head is the next release after the one with that hash. */
  isBeforeHead(hash: string): boolean {
    const before = this.entries.at(-2);
    return before?.hash === hash && this.head !== undefined && follows(this.head, before);
  }

  ofHash(hash: string): HistoryEntry | undefined {
    return this.entries.findLast((entry) => entry.hash === hash);
  }

  /** A store uses each version once. */
  ofVersion(version: number): HistoryEntry | undefined {
    return this.entries.findLast(({ key }) => key[1] === version);
  }

  numberOf(hash: string): ReleaseNumber | undefined {
    const key = this.ofHash(hash)?.key;
    return key && { epoch: key[0], version: key[1] };
  }

  hashOf({ epoch, version }: ReleaseNumber): string | undefined {
    return this.entries.findLast(({ key }) => compareKeys(key, [epoch, version]) === 0)?.hash;
  }

  /**
   * Whether no release of that number that is not kept can be one of this store: another one has the number,
   * or the next of that epoch follows one before it.
   */
  rulesOut(number: ReleaseNumber): boolean {
    if (this.hashOf(number) !== undefined) return true;
    const { epoch, version } = number;
    const next = this.entries.find(({ key }) => compareKeys(key, [epoch, version]) > 0);
    return next?.key[0] === epoch && next.previousVersion < version;
  }

  /** How many releases are newer than a number, and when the oldest of them was made. */
  newerThan({ epoch, version }: ReleaseNumber): {
    readonly count: number;
    readonly sinceMs: number | undefined;
  } {
    const at = this.entries.findLastIndex((entry) => compareKeys(entry.key, [epoch, version]) <= 0);
    const [known, head] = [this.entries[at], this.head];
    const count =
      known === undefined || head === undefined ? this.entries.length : head.key[1] - known.key[1];
    return { count, sinceMs: this.entries[at + 1]?.createdAtMs };
  }

  /** The oldest version kept; undefined before the first. */
  get oldestVersion(): number | undefined {
    return this.entries[0]?.key[1];
  }

  /** The oldest kept version that is newer than `version`; undefined if there is none. */
  oldestAfter(version: number): number | undefined {
    return this.entries.find(({ key }) => key[1] > version)?.key[1];
  }
}

/** Each of some releases that is not the next after the one before it, with that one's key. */
export function* gapsOf(
  kept: readonly HistoryEntry[],
): Generator<readonly [ReleaseKey | undefined, ReleaseKey]> {
  let before: HistoryEntry | undefined;
  for (const entry of kept) {
    if (before === undefined || !follows(entry, before)) yield [before?.key, entry.key];
    before = entry;
  }
}

/**
 * Whether a release is the next after another. A store uses no version twice, but skips those that were
 * signed and never stored; a new epoch that begins after such a gap follows nothing.
 */
function follows({ key: [epoch, version], previousVersion }: HistoryEntry, before?: HistoryEntry): boolean {
  if (before === undefined) return false;
  const [epochBefore, versionBefore] = before.key;
  return epoch === epochBefore ? previousVersion === versionBefore : version === versionBefore + 1;
}

/**
 * Whether a subscriber would accept these steps, by their manifests; if it still does not, it asks for a
 * snapshot. CONTENT.md "Budget".
 */
function isWithinBudget(base: HistoryEntry | undefined, steps: readonly HistoryEntry[]): boolean {
  const result = steps.at(-1);
  if (base === undefined || result === undefined) return true;
  const most = stepMost(base.totals, result.totals);
  if (steps.some(({ totals }) => isBeyond(most, totals))) return false;
  return steps.reduce((sum, { stepWork }) => sum + stepWork, 0) <= workMax(base.totals, result.totals);
}
