/**
 * The limits of a transfer's cost, from the signed totals: entries, bytes, and the work of all its steps
 * together. An attacker on the channel can send anything after a genuine OFFER; none of it may cost more than
 * the signed releases would. CONTENT.md "Budget".
 */

import { prefixCount, type RuleSet } from '@rulecast/rules';
import type { ErrorCode } from '../error.ts';
import {
  RULE_MAX_BYTES,
  STEP_BYTES_FREE,
  STEP_ENTRIES_FREE,
  STREAM_FREE_BYTES,
  WORK_FREE,
} from '../limits.ts';
import { type Catalogue, catalogueOf } from './catalogue.ts';
import type { Totals } from './manifest.ts';
import { comparePartIds, type Part, PartKind, partsOf } from './part.ts';
import { Meter, Work } from './work.ts';

/** Bytes of a host name with its length. */
const NAME_MAX_BYTES = 254;
/** Tag, flags, counts and all other data that a part has once; and the head of its change. */
const PART_BYTES = 1024;
/**
 * A stream takes so many bytes for each canonical one at most: an IPv4 prefix, 5 of those, 20 in the largest
 * form, of LEB128 in a block of its own.
 */
const STREAM_BYTES = 4;
/**
 * The most work of an entry in a snapshot: an entry of a tree, a name or a rule in a run of its own, with
 * what merging it counts.
 */
const ENTRY_WORK = 16 + 1 / 2;
/** The work for a byte of anything but an IPv4 prefix: of a key in a list of names. */
const BYTE_WORK = Work.keyByte + Work.byte;
const PREFIX_LEAST_BYTES = 5;

/** The length that a key shares with the one before, or the index of a removed one. */
const NAME_EDIT_BYTES = 5;
/** Bytes beside the entry for each changed entry of a patch: a name, or the longest match. */
const PATCH_BYTES: Readonly<Record<PartKind, number>> = {
  [PartKind.prefixList]: 0, // is not packed
  [PartKind.nameList]: NAME_EDIT_BYTES,
  [PartKind.policy]: RULE_MAX_BYTES,
  [PartKind.resolutions]: NAME_MAX_BYTES + 1,
  [PartKind.unmatched]: 0,
};

/** Entries, rules and names of a release. */
export function entriesIn({ prefixes, others }: Totals): number {
  return prefixes + others;
}

/** The most work of a transfer between two releases, in units: that of both as snapshots, and some. */
export function workMax(base: Totals, result: Totals): number {
  return WORK_FREE + snapshotWork(base) + snapshotWork(result);
}

function snapshotWork(totals: Totals): number {
  const bytes = Math.max(0, totals.bytes - totals.prefixes * PREFIX_LEAST_BYTES);
  return totals.parts * (Work.part + Work.change) + entriesIn(totals) * ENTRY_WORK + bytes * BYTE_WORK;
}

/** The largest release that may occur on the way from one to another. */
export interface StepMost {
  /** Entries, rules and names. */
  readonly entries: number;
  /** Canonical bytes. */
  readonly bytes: number;
}

export function stepMost(base: Totals, result: Totals): StepMost {
  return {
    entries: STEP_ENTRIES_FREE + 2 * Math.max(entriesIn(base), entriesIn(result)),
    bytes: STEP_BYTES_FREE + 2 * Math.max(base.bytes, result.bytes),
  };
}

/** Whether a release that others lead through is too large for it. */
export function isBeyond({ entries, bytes }: StepMost, totals: Totals): boolean {
  return entriesIn(totals) > entries || totals.bytes > bytes;
}

/**
 * The least work of a step: who has both releases need not decode a chain to know that it is too much.
 */
export function stepWorkLeast(before: Catalogue | undefined, after: Catalogue): number {
  const old = before?.records ?? [];
  let work = old.length * Work.part;
  let at = 0;
  for (const record of after.records) {
    while (at < old.length && comparePartIds(old[at]!, record) < 0) at++; // at < length
    const was = old[at];
    if (was === record) continue;
    const isThere = was !== undefined && comparePartIds(was, record) === 0;
    if (isThere && Buffer.compare(was.digest, record.digest) === 0) continue;
    work += Work.change + ((isThere ? was.count : 0) + record.count) * Work.merged;
  }
  return work;
}

/** The most bytes of a stream that makes a release: of its snapshot in the longest form, and some. */
export function streamMaxBytes({ parts, bytes }: Totals): number {
  return STREAM_FREE_BYTES + parts * PART_BYTES + bytes * STREAM_BYTES;
}

/** Prefixes of a policy and addresses of names, which no manifest counts. */
export function uncountedOf(part: Part): number {
  if (part.kind === PartKind.policy) return prefixCount(part.policy.prefixes);
  if (part.kind !== PartKind.resolutions) return 0;
  let count = 0;
  for (const set of part.resolutions.values()) count += prefixCount(set);
  return count;
}

/** The uncounted entries of a rule set. */
export function uncountedIn(ruleSet: RuleSet): number {
  return partsOf(ruleSet).reduce((sum, part) => sum + uncountedOf(part), 0);
}

/** The limits for one part, and the meter for its work. */
export interface PartBounds {
  /** Most entries, rules or names. */
  readonly entries: number;
  /** The error of more. */
  readonly code: ErrorCode;
  /** Most bytes of its body, inflated, and of the names of a list. */
  readonly bytes: number;
  readonly meter: Meter;
}

/** The bounds for applying one delta. */
export interface StepBounds {
  /** Most entries, rules, prefixes and addresses in all: the receiver's limit. */
  readonly entriesMax: number;
  /** The most in all, by what was signed. */
  readonly step?: StepMost;
  /** The totals of all parts, if the step makes the signed release. */
  readonly signed?: Totals;
  readonly meter?: Meter;
}

/** The size that a delta claims for a part, before any of it is read. */
export type Claim = Pick<Totals, 'bytes'> & { readonly count: number };

/** The most bytes that a body may inflate to, of a part that was one thing and is to be another. */
export function bodyMaxBytes(kind: PartKind, before: Claim, after: Claim): number {
  return PART_BYTES + before.bytes + after.bytes + (before.count + after.count) * PATCH_BYTES[kind];
}

/** The bounds of each step of a transfer, which spend from one meter. */
export class Budget {
  readonly #entriesMax: number;
  readonly #step: StepMost;
  readonly #signed: Totals;
  readonly #meter: Meter;

  /**
   * @param base The base of the transfer, verified; the empty rule set for a snapshot.
   * @param signed Of the release that it makes.
   * @param entriesMax What the receiver takes in all.
   * @param pieceMost The most work of one piece, where what takes longer is not to be done in pieces.
   * @param onWork Called now and then, while work is done.
   */
  constructor(base: RuleSet, signed: Totals, entriesMax: number, pieceMost?: number, onWork?: () => void) {
    const held = catalogueOf(base);
    this.#entriesMax = entriesMax;
    this.#step = stepMost(held, signed);
    this.#signed = signed;
    this.#meter = new Meter(workMax(held, signed), pieceMost, onWork);
  }

  /** The bounds of a delta; the last one makes the signed release. */
  step(isLast: boolean): StepBounds {
    const own = { entriesMax: this.#entriesMax, meter: this.#meter };
    return isLast ? { ...own, signed: this.#signed } : { ...own, step: this.#step };
  }
}
