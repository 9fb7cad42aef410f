/**
 * Rule columns: all that compiling reads of a rule set, in a few typed arrays for each policy.
 *
 * What rules ask is a few numbers by run. Nothing here depends on the environment.
 */

import {
  type Action,
  type DirectedRuns,
  type Family,
  type List,
  NO_RULES,
  type Policy,
  type PrefixSet,
  type RuleMatch,
  type RuleSet,
  type Runs,
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
  readonly checks: Uint8Array;
  /**
   * By run: the ports or ICMP types that it leaves possible, first | last << 16; first > last where there are
   * none.
   */
  readonly ranges: Uint32Array;
  /** By run: seconds since 1970, or infinity. */
  readonly expires: Float64Array;
  /** By run: RemoteKind. */
  readonly kinds: Uint8Array;
  /** By run: its place in `names` if it has a name or a list, how many prefixes it has if it has prefixes. */
  readonly remotes: Uint32Array;
  /** Host names and names of lists, each once. */
  readonly names: readonly string[];
  /** The prefixes of all runs that have prefixes, one run after the other. */
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
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

export function ruleColumns(ruleSet: RuleSet): RuleColumns {
  const { lists, resolutions, unmatched } = ruleSet;
  return { lists, policies: [...ruleSet.policies.values()].map(policyColumns), resolutions, unmatched };
}

/** The columns of a policy; its prefixes, and the words of its rules, are the policy's own. */
export function policyColumns(policy: Policy): PolicyColumns {
  const { name, prefixes, defaultAction, exceptions } = policy;
  return {
    name,
    prefixes,
    defaultAction,
    exceptions: directedColumns(exceptions),
    ...directedColumns(policy),
  };
}

function directedColumns({ egress, ingress }: DirectedRuns): DirectedColumns {
  const columnsOf = (runs: Runs): RunColumns => (runs.count === 0 ? NO_RUN_COLUMNS : runColumns(runs));
  return { egress: columnsOf(egress), ingress: columnsOf(ingress) };
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

/** The columns of some runs: what their forms ask is found out once for each of these. */
function runColumns(runs: Runs): RunColumns {
  const { count, forms, formOf, starts } = runs;
  const names = new Map<string, number>();
  const places = forms.map(({ remote }) => {
    if (remote.kind !== 'name' && remote.kind !== 'list') return 0;
    const name = remote.kind === 'name' ? remote.name : remote.list;
    const place = names.get(name) ?? names.size;
    names.set(name, place);
    return place;
  });
  const checksOfForm = forms.map(({ match }) => checksOf(match));
  const rangeOfForm = forms.map(({ match }) => rangeOf(match));
  const kindOfForm = forms.map(({ remote }) =>
    remote.kind === 'prefixes' ? RemoteKind[`prefixes${remote.family}`] : RemoteKind[remote.kind],
  );
  const checks = new Uint8Array(count);
  const ranges = new Uint32Array(count);
  const expires = new Float64Array(count);
  const kinds = new Uint8Array(count);
  const remotes = new Uint32Array(count);
  const lengths = new Uint8Array(runs.lengths.length);
  let entries = 0;
  for (let run = 0; run < count; run++) {
    const form = formOf[run]!; // run < count, here and below
    checks[run] = checksOfForm[form]!;
    ranges[run] = rangeOfForm[form]!;
    expires[run] = forms[form]!.match.expire ?? Number.POSITIVE_INFINITY;
    kinds[run] = kindOfForm[form]!;
    const isOfPrefixes = kinds[run] === RemoteKind.prefixes4 || kinds[run] === RemoteKind.prefixes6;
    remotes[run] = isOfPrefixes ? starts[run + 1]! - starts[run]! : places[form]!;
    if (isOfPrefixes)
      for (let rule = starts[run]!; rule < starts[run + 1]!; rule++) lengths[entries++] = runs.lengths[rule]!;
  }
  return {
    count,
    checks,
    ranges,
    expires,
    kinds,
    remotes,
    names: [...names.keys()],
    words: runs.words,
    lengths: lengths.slice(0, entries),
  };
}

/** Most blocks of policies have no runs: all of those are one object. */
const NO_RUN_COLUMNS = runColumns(NO_RULES);

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
