/**
 * What a transfer may cost, by what was signed: entries, bytes, and the work of all its steps together.
 * Whoever holds the channel can say anything after a genuine OFFER; none of it may cost more than the
 * releases that the key vouches for. PROTOCOL.md "Budget".
 *
 * Work is counted in units that take 25 ns at most here, each charged before it is done where it is known, or
 * as it is done.
 */

import { policyRuleCount, prefixCount, type RuleSet } from '@rulecast/rules';
import { ErrorCode, ProtocolError } from '../error.ts';
import { RULE_MAX_BYTES, STEP_ENTRIES_FREE, STREAM_FREE_BYTES, UNCOUNTED_MAX, WORK_FREE } from '../limits.ts';
import type { Manifest } from './manifest.ts';
import { type Part, PartKind, partCount, partsOf, partText } from './part.ts';

/**
 * Units of work. Measured: 0.2 to 0.4 µs for an entry of a tree, a name or a run; 0.15 µs for a character of
 * a name; 3 ns for a byte that is inflated and read.
 */
export const Work = {
  /** A part of the rule set that a step starts from. */
  part: 8,
  /** A change, without its body. */
  change: 16,
  /** An entry, rule or address of a part before it is patched, or after a change. */
  merged: 1 / 4,
  /** A number of a sequence. */
  number: 2,
  /** A prefix of a tree. */
  leaf: 16,
  name: 16,
  /** A code of names, before its first name: its contexts are made. */
  nameCode: 2048,
  /** A character of a name in such a code. */
  character: 8,
  run: 16,
  splice: 16,
  /** A byte of a packed body, inflated. */
  byte: 1 / 8,
} as const;

/** Bytes of a host name with its length, of a prefix set without prefixes, and of an IPv6 prefix. */
const NAME_MAX_BYTES = 254;
const PREFIX_SET_BYTES = 8;
const PREFIX_MAX_BYTES = 17;
/** Tag, flags, counts and all else of a part that is there once; the head of its change. */
const PART_BYTES = 1024;
/** An entry of a list as it travels: 19 bytes of LEB128 in the largest, and its share of a block's head. */
const ENTRY_MAX_BYTES = 20;

/** The most bytes of an entry of each kind of part, as manifests count them, in a body that was inflated. */
const BYTES_OF: Readonly<Record<PartKind, number>> = {
  [PartKind.prefixList]: ENTRY_MAX_BYTES,
  [PartKind.nameList]: 2 * (NAME_MAX_BYTES + 1), // a character that nothing foretells takes 9 decisions, 2 bits each at most
  [PartKind.policy]: RULE_MAX_BYTES,
  [PartKind.resolutions]: NAME_MAX_BYTES + PREFIX_SET_BYTES + 1,
  [PartKind.unmatched]: 1,
};

/** The most work of an entry of each kind in a snapshot. */
const WORK_OF: Readonly<Record<PartKind, number>> = {
  [PartKind.prefixList]: Work.leaf + Work.merged,
  [PartKind.nameList]: Work.name + NAME_MAX_BYTES * Work.character + Work.merged,
  [PartKind.policy]: Work.run + RULE_MAX_BYTES * Work.byte + Work.merged,
  [PartKind.resolutions]: Work.name + BYTES_OF[PartKind.resolutions] * Work.byte + Work.merged,
  [PartKind.unmatched]: 1,
};

/** Kind and count of each part: what a manifest says of a release, and what a rule set has. */
type Counts = readonly Pick<Manifest['parts'][number], 'kind' | 'count'>[];

/** What a release counts in a budget. */
export interface ReleaseCost {
  /** Entries, rules and names. */
  readonly entries: number;
  /** The most work of its snapshot, in units. */
  readonly work: number;
}

export function releaseCost(counts: Counts): ReleaseCost {
  let entries = 0;
  let work = 0;
  for (const { kind, count } of counts) {
    entries += count;
    const code = kind === PartKind.nameList ? Work.nameCode : 0;
    work += Work.part + Work.change + code + count * WORK_OF[kind];
  }
  return { entries, work };
}

/** The most work of a transfer between two releases, in units: that of both as snapshots, and some. */
export function workMax(base: ReleaseCost, result: ReleaseCost): number {
  return WORK_FREE + base.work + result.work;
}

/** The most entries, rules and names of a release on the way from one to another. */
export function stepEntriesMax(base: ReleaseCost, result: ReleaseCost): number {
  return STEP_ENTRIES_FREE + 2 * Math.max(base.entries, result.entries);
}

/**
 * The least work of a step, as far as manifests tell it: who keeps them need not decode a chain to know that
 * it is too much.
 */
export function stepWorkLeast(before: Manifest | undefined, after: Manifest): number {
  const old = new Map(before?.parts.map((part) => [partText(part), part]));
  let work = old.size * Work.part;
  for (const part of after.parts) {
    const was = old.get(partText(part));
    if (was !== undefined && Buffer.compare(was.digest, part.digest) === 0) continue;
    work += Work.change + ((was?.count ?? 0) + part.count) * Work.merged;
  }
  return work;
}

/** The most bytes of a stream that makes a release: of its snapshot in the longest form, and some. */
export function streamMaxBytes(result: Counts): number {
  let bytes = STREAM_FREE_BYTES;
  let hasUncounted = false;
  for (const { kind, count } of result) {
    bytes += PART_BYTES + count * BYTES_OF[kind];
    hasUncounted ||= kind === PartKind.policy || kind === PartKind.resolutions;
  }
  return bytes + (hasUncounted ? UNCOUNTED_MAX * PREFIX_MAX_BYTES : 0);
}

/** Prefixes of a policy and addresses of names, which no manifest counts. */
export function uncountedOf(part: Part): number {
  if (part.kind === PartKind.policy) return prefixCount(part.policy.prefixes);
  if (part.kind !== PartKind.resolutions) return 0;
  let count = 0;
  for (const set of part.resolutions.values()) count += prefixCount(set);
  return count;
}

/** Those of a rule set. */
export function uncountedIn(ruleSet: RuleSet): number {
  return partsOf(ruleSet).reduce((sum, part) => sum + uncountedOf(part), 0);
}

/** What decoding has left. */
export class Meter {
  #left: number;

  /** @param work In units. */
  constructor(work = Number.POSITIVE_INFINITY) {
    this.#left = work;
  }

  /** Throws ProtocolError `over-budget` where so much is not left. */
  spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0)
      throw new ProtocolError(ErrorCode.overBudget, 'the stream takes more work than what it is to make');
  }
}

/** What one part may become, and what pays for it. */
export interface PartBounds {
  /** Most entries, rules or names. */
  readonly entries: number;
  /** The error of more. */
  readonly code: ErrorCode;
  /** Most bytes of its body, inflated. */
  readonly bytes: number;
  readonly meter: Meter;
}

/** Within what one delta is applied. */
export interface StepBounds {
  /** Most entries, rules, prefixes and addresses in all: what the receiver takes. */
  readonly entriesMax: number;
  /** Most entries, rules and names in all, by what was signed. */
  readonly stepEntries?: number;
  /** Count of each part by `partText`, where the step makes what was signed. */
  readonly counts?: ReadonlyMap<string, number>;
  readonly meter?: Meter;
}

/**
 * The most bytes that a body may inflate to, of a part that has `entries` at most, and had `entriesBefore`.
 */
export function bodyMaxBytes(kind: PartKind, entries: number, entriesBefore: number): number {
  const uncounted = kind === PartKind.policy || kind === PartKind.resolutions ? UNCOUNTED_MAX : 0;
  return PART_BYTES + (entries + entriesBefore) * BYTES_OF[kind] + uncounted * PREFIX_MAX_BYTES;
}

/** The bounds of each step of a transfer, which spend from one meter. */
export class Budget {
  readonly #entriesMax: number;
  readonly #stepEntries: number;
  readonly #counts: ReadonlyMap<string, number>;
  readonly #meter: Meter;

  /**
   * @param base What the transfer starts from, verified; the empty rule set for a snapshot.
   * @param result The signed manifest of what it makes.
   * @param entriesMax What the receiver takes in all.
   * @param mostWork Less than was signed, where that is tried first.
   */
  constructor(
    base: RuleSet,
    result: Manifest,
    entriesMax: number,
    mostWork: number = Number.POSITIVE_INFINITY,
  ) {
    const held = releaseCost(partsOf(base).map((part) => ({ kind: part.kind, count: partCount(part) })));
    const signed = releaseCost(result.parts);
    this.#entriesMax = entriesMax;
    this.#stepEntries = stepEntriesMax(held, signed);
    this.#counts = new Map(result.parts.map((part) => [partText(part), part.count]));
    this.#meter = new Meter(Math.min(mostWork, workMax(held, signed)));
  }

  /** Of a delta; the last one makes what was signed. */
  step(isLast: boolean): StepBounds {
    const own = { entriesMax: this.#entriesMax, meter: this.#meter };
    return isLast ? { ...own, counts: this.#counts } : { ...own, stepEntries: this.#stepEntries };
  }
}

/** Heap that decoding what was signed may take, in MiB: a run or a name is a few objects. */
export function heapMebibytes(base: RuleSet, result: Manifest): number {
  let objects = 0;
  for (const { kind, count } of result.parts)
    if (kind === PartKind.policy || kind === PartKind.resolutions) objects += count;
  for (const policy of base.policies.values()) objects += policyRuleCount(policy);
  return Math.ceil((objects * 1024) / 2 ** 20);
}
