/**
 * Rule columns: all that compiling reads of a rule set, in a few typed arrays for each policy.
 *
 * A policy of 2^18 runs is a million small objects. Compiling walks them once, here, and keeps only numbers;
 * the numbers can be handed to another thread, which the objects cannot be in less than the time of compiling
 * them (compile/compiler.ts). Nothing here depends on the environment.
 */

import {
  type Action,
  atOnce,
  type DirectedRuns,
  type Family,
  type List,
  type Pieces,
  type Policy,
  type Prefixes,
  type PrefixSet,
  type RuleMatch,
  type RuleSet,
  type Run,
  strideOf,
} from '@rulecast/rules';

/** Protocols as rules tell them apart, one bit each. */
export const ProtoBit = { tcp: 1, udp: 2, icmp: 4, other: 8 } as const;
export const ALL_PROTOS = 15;
/** In a run's checks and in a candidate's first word: the port or ICMP type must be within the range. */
export const ASKS_DETAIL = 16;
/** In a run's checks only: the address must be one of the environment's DNS addresses. */
export const ASKS_DNS = 32;
/** In a run's checks only. */
export const ACCEPTS = 64;
const DNS_PORT = 53;

/** What a run's remote side is. */
export const RemoteKind = { any: 0, prefixes4: 1, prefixes6: 2, name: 3, list: 4 } as const;

/** Runs in their order. */
export interface RunColumns {
  readonly count: number;
  /** By run: the protocols that it leaves possible, with ASKS_DETAIL, ASKS_DNS and ACCEPTS. */
  readonly checks: Uint8Array<ArrayBuffer>;
  /**
   * By run: the ports or ICMP types that it leaves possible, first | last << 16; first > last where there are
   * none.
   */
  readonly ranges: Uint32Array<ArrayBuffer>;
  /** By run: seconds since 1970, or infinity. */
  readonly expires: Float64Array<ArrayBuffer>;
  /** By run: RemoteKind. */
  readonly kinds: Uint8Array<ArrayBuffer>;
  /** By run: its place in `names` if it has a name or a list, how many prefixes it has if it has prefixes. */
  readonly remotes: Uint32Array<ArrayBuffer>;
  /** Host names and names of lists, each once. */
  readonly names: readonly string[];
  /** The prefixes of all runs that have prefixes, one run after the other. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly lengths: Uint8Array<ArrayBuffer>;
}

export interface PolicyColumns {
  readonly name: string;
  readonly prefixes: PrefixSet;
  readonly defaultAction: Action;
  /** What comes before `common`. */
  readonly exceptions: DirectedColumns;
  readonly egress: RunColumns;
  readonly ingress: RunColumns;
}

export interface DirectedColumns {
  readonly egress: RunColumns;
  readonly ingress: RunColumns;
}

/** The columns of all runs of a policy. */
export function allColumns({ exceptions, egress, ingress }: PolicyColumns): readonly RunColumns[] {
  return [exceptions.egress, exceptions.ingress, egress, ingress];
}

/**
 * A rule set as compiling reads it. A list that is missing stands for nothing, like one of names that stay
 * names.
 */
export interface RuleColumns {
  readonly lists: ReadonlyMap<string, List>;
  readonly policies: readonly PolicyColumns[];
  readonly resolutions: ReadonlyMap<string, PrefixSet>;
  readonly unmatched: RuleSet['unmatched'];
}

/**
 * Our choice: runs between two pauses of `policyColumnsSteps`; 2 to 4 ms before V8 has optimised the walk,
 * then 1 ms.
 */
const RUNS_PER_STEP = 2 ** 14;

export function ruleColumns(ruleSet: RuleSet): RuleColumns {
  const policies: PolicyColumns[] = [];
  for (const policy of ruleSet.policies.values()) {
    policies.push(atOnce(policyColumnsSteps(policy)));
  }
  const { lists, resolutions, unmatched } = ruleSet;
  return { lists, policies, resolutions, unmatched };
}

/**
 * The columns of a policy, with pauses in which a thread may do something else. The columns of runs are
 * memory of their own; the policy's prefixes are the policy's.
 */
export function* policyColumnsSteps(policy: Policy): Pieces<PolicyColumns> {
  const { name, prefixes, defaultAction } = policy;
  const exceptions = yield* directedSteps(policy.exceptions);
  return { name, prefixes, defaultAction, exceptions, ...(yield* directedSteps(policy)) };
}

function* directedSteps({ egress, ingress }: DirectedRuns): Pieces<DirectedColumns> {
  return { egress: yield* runColumnsSteps(egress), ingress: yield* runColumnsSteps(ingress) };
}

/**
 * Some of the prefixes in two columns; without views, of which 2^18 would take longer than what they are for.
 */
export interface PrefixSpan {
  readonly family: Family;
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
  /** Where its words and its lengths begin. */
  readonly wordAt: number;
  readonly entryAt: number;
  readonly count: number;
}

/** The prefixes of run after run. */
export class RunPrefixes implements PrefixSpan {
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
  family: Family = 4;
  wordAt = 0;
  entryAt = 0;
  count = 0;
  readonly #runs: RunColumns;

  constructor(runs: RunColumns) {
    this.#runs = runs;
    this.words = runs.words;
    this.lengths = runs.lengths;
  }

  /** Moves on to those of `run`, which must be the next run that has prefixes. */
  next(run: number): void {
    this.wordAt += this.count * strideOf(this.family);
    this.entryAt += this.count;
    this.family = this.#runs.kinds[run] === RemoteKind.prefixes4 ? 4 : 6;
    this.count = this.#runs.remotes[run]!; // run < count of runs
  }
}

function* runColumnsSteps(runs: readonly Run[]): Pieces<RunColumns> {
  if (runs.length === 0) return NO_RUN_COLUMNS;
  let wordCount = 0;
  let entryCount = 0;
  for (let from = 0; from < runs.length; from += RUNS_PER_STEP) {
    if (from > 0) yield;
    const end = Math.min(from + RUNS_PER_STEP, runs.length);
    for (let r = from; r < end; r++) {
      const { remote } = runs[r]!; // r < length
      if (remote.kind !== 'prefixes') continue;
      wordCount += remote.prefixes.words.length;
      entryCount += remote.prefixes.lengths.length;
    }
  }
  const packer = new RunPacker(runs, wordCount, entryCount);
  for (let from = 0; from < runs.length; from += RUNS_PER_STEP) {
    if (from > 0) yield;
    packer.pack(from, Math.min(from + RUNS_PER_STEP, runs.length));
  }
  return packer.columns();
}

class RunPacker {
  readonly #runs: readonly Run[];
  readonly #checks: Uint8Array<ArrayBuffer>;
  readonly #ranges: Uint32Array<ArrayBuffer>;
  readonly #expires: Float64Array<ArrayBuffer>;
  readonly #kinds: Uint8Array<ArrayBuffer>;
  readonly #remotes: Uint32Array<ArrayBuffer>;
  readonly #places = new Map<string, number>();
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #lengths: Uint8Array<ArrayBuffer>;
  #wordAt = 0;
  #entryAt = 0;

  /** `wordCount` and `entryCount` are those of all prefixes of the runs. */
  constructor(runs: readonly Run[], wordCount: number, entryCount: number) {
    this.#runs = runs;
    this.#checks = new Uint8Array(runs.length);
    this.#ranges = new Uint32Array(runs.length);
    this.#expires = new Float64Array(runs.length);
    this.#kinds = new Uint8Array(runs.length);
    this.#remotes = new Uint32Array(runs.length);
    this.#words = new Uint32Array(wordCount);
    this.#lengths = new Uint8Array(entryCount);
  }

  /** Packs the runs [from, to), which come after those packed before. */
  pack(from: number, to: number): void {
    for (let r = from; r < to; r++) {
      const { match, remote } = this.#runs[r]!; // r < length
      this.#checks[r] = checksOf(match);
      this.#ranges[r] = rangeOf(match);
      this.#expires[r] = match.expire ?? Number.POSITIVE_INFINITY;
      if (remote.kind === 'any') continue;
      if (remote.kind === 'prefixes') this.#packPrefixes(r, remote.prefixes);
      else {
        this.#kinds[r] = RemoteKind[remote.kind];
        this.#remotes[r] = this.#placeOf(remote.kind === 'name' ? remote.name : remote.list);
      }
    }
  }

  columns(): RunColumns {
    const checks = this.#checks;
    const ranges = this.#ranges;
    const expires = this.#expires;
    const kinds = this.#kinds;
    const remotes = this.#remotes;
    const words = this.#words;
    const lengths = this.#lengths;
    const names = [...this.#places.keys()];
    return { count: this.#runs.length, checks, ranges, expires, kinds, remotes, names, words, lengths };
  }

  #packPrefixes(run: number, { family, words, lengths }: Prefixes): void {
    this.#kinds[run] = family === 4 ? RemoteKind.prefixes4 : RemoteKind.prefixes6;
    this.#remotes[run] = lengths.length;
    copyInto(this.#words, this.#wordAt, words);
    copyInto(this.#lengths, this.#entryAt, lengths);
    this.#wordAt += words.length;
    this.#entryAt += lengths.length;
  }

  #placeOf(name: string): number {
    const place = this.#places.get(name) ?? this.#places.size;
    if (place === this.#places.size) this.#places.set(name, place);
    return place;
  }
}

/** Most blocks of policies have no runs: all of those are one object, which is copied once with a message. */
const NO_RUN_COLUMNS = new RunPacker([], 0, 0).columns();

/** `set` costs a call out of JavaScript, which for the one prefix of most runs is too much. */
function copyInto(into: Uint32Array | Uint8Array, at: number, from: Uint32Array | Uint8Array): void {
  if (from.length > 16) into.set(from, at);
  else for (let i = 0; i < from.length; i++) into[at + i] = from[i]!; // i < length
}

/** What a run's checks are. */
export function checksOf(match: RuleMatch): number {
  const asksDetail = match.dns || match.ports !== undefined || match.icmpType !== undefined;
  return (
    protosOf(match) |
    (asksDetail ? ASKS_DETAIL : 0) |
    (match.dns ? ASKS_DNS : 0) |
    (match.action === 'accept' ? ACCEPTS : 0)
  );
}

/** The protocols that a rule leaves possible. */
function protosOf(match: RuleMatch): number {
  let protos: number = match.proto === undefined ? ALL_PROTOS : ProtoBit[match.proto];
  if (match.dns || match.ports !== undefined) protos &= ProtoBit.tcp | ProtoBit.udp;
  if (match.icmpType !== undefined) protos &= ProtoBit.icmp;
  return protos;
}

/** The ports or ICMP types that a rule leaves possible, as in `ranges`. */
export function rangeOf(match: RuleMatch): number {
  if (match.icmpType !== undefined) return packRange(match.icmpType, match.icmpType);
  const first = match.ports?.first ?? 0;
  const last = match.ports?.last ?? 0xffff;
  if (!match.dns) return packRange(first, last);
  return first <= DNS_PORT && last >= DNS_PORT ? packRange(DNS_PORT, DNS_PORT) : packRange(1, 0);
}

function packRange(first: number, last: number): number {
  return (first | (last << 16)) >>> 0;
}
