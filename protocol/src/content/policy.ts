/**
 * Policies and their runs as bytes: the body of `RCQ1`, what `RCQ2` has besides, and the runs that a policy
 * patch inserts. Decoding is strict, so that one meaning has one form. PROTOCOL.md "Canonical bytes and
 * digests".
 */

import {
  type Action,
  type BlockedAnswer,
  type DirectedRuns,
  type Direction,
  isPartName,
  NO_RUNS,
  type Policy,
  type PortRange,
  type Proto,
  parseHostName,
  type RuleMatch,
  type Run,
  type RunRemote,
  sameMatch,
  sumOfBlocks,
  type UnlistedAnswer,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import type { ErrorCode } from '../error.ts';
import { COMMENT_MAX_BYTES, EXPIRE_MAX_SECONDS } from '../limits.ts';

import { type ColumnForm, prefixBytes, readPrefixSet, writePrefixSet } from './prefix.ts';
import { Meter, Work } from './work.ts';

/** IANA protocol numbers; 0 stands for any. */
const PROTO_CODES = { icmp: 1, tcp: 6, udp: 17 } as const satisfies Record<Proto, number>;
const PROTOS: ReadonlyMap<number, Proto | undefined> = new Map([
  [0, undefined],
  [PROTO_CODES.icmp, 'icmp'],
  [PROTO_CODES.tcp, 'tcp'],
  [PROTO_CODES.udp, 'udp'],
]);

/** Which fields of a match follow; the other bits are zero. */
const MatchFlag = { dns: 1, ports: 2, icmpType: 4, expire: 8, comment: 16, private: 32 } as const;
const MATCH_FLAGS = 63;

const RemoteKind = { any: 0, prefixes4: 1, prefixes6: 2, name: 3, list: 4 } as const;

/** Action, protocol, flags and remote kind: no run is shorter. */
const RUN_LEAST_BYTES = 4;
const DNS_PORT = 53;
/** Printable ASCII without a space at either end. */
const COMMENT = /^[!-~](?:[ -~]*[!-~])?$/;

/** How many more rules may be read, of all runs of a policy together. */
export class RuleBounds {
  #left: number;
  readonly #code: ErrorCode | undefined;
  readonly meter: Meter;

  /** `code` is the error of more. */
  constructor(rules = Number.POSITIVE_INFINITY, meter: Meter = new Meter(), code?: ErrorCode) {
    this.#left = rules;
    this.#code = code;
    this.meter = meter;
  }

  /** Takes room for the rules of a run that is about to be read. */
  take(reader: ByteReader, rules: number): void {
    this.#left -= rules;
    if (this.#left < 0) throw reader.error('more rules than there may be', undefined, this.#code);
  }
}

/** Appends what a policy says but for its exceptions; its name is not part of it. */
export function writePolicy(writer: ByteWriter, policy: Policy, columns: ColumnForm): void {
  writeBase(writer, policy);
  writePrefixSet(writer, policy.prefixes);
  writeDirectedRuns(writer, policy, columns);
}

/** A policy without exceptions. */
export function readPolicy(
  reader: ByteReader,
  name: string,
  columns: ColumnForm,
  bounds: RuleBounds,
): Policy {
  const base = readBase(reader);
  const prefixes = readPrefixSet(reader);
  return { name, prefixes, ...base, exceptions: NO_RUNS, ...readDirectedRuns(reader, columns, bounds) };
}

/** What a policy says in a byte: its default action, and how names are answered. */
export type PolicyBase = Pick<Policy, 'defaultAction' | 'blocked' | 'unlisted'>;

/** By code; 0: it does not say. */
const BLOCKED: readonly (BlockedAnswer | undefined)[] = [undefined, 'nxdomain', 'refused', 'null'];
const UNLISTED: readonly (UnlistedAnswer | undefined)[] = [undefined, 'answer', 'nxdomain'];

/** The default action, twice the code of `blocked`, and eight times that of `unlisted`. */
export function writeBase(writer: ByteWriter, { defaultAction, blocked, unlisted }: PolicyBase): void {
  const action = defaultAction === 'accept' ? 1 : 0;
  writer.u8(action + 2 * BLOCKED.indexOf(blocked) + 8 * UNLISTED.indexOf(unlisted));
}

export function readBase(reader: ByteReader): PolicyBase {
  const code = reader.u8();
  if (code >> 3 >= UNLISTED.length) throw reader.error(`unknown default action and answers ${code}`);
  const blocked = BLOCKED[(code >> 1) & 3];
  const unlisted = UNLISTED[code >> 3];
  return {
    defaultAction: (code & 1) === 1 ? 'accept' : 'drop',
    ...(blocked && { blocked }),
    ...(unlisted && { unlisted }),
  };
}

/** Egress, then ingress. */
export function writeDirectedRuns(writer: ByteWriter, runs: DirectedRuns, columns: ColumnForm): void {
  writeRuns(writer, runs.egress, columns);
  writeRuns(writer, runs.ingress, columns);
}

export function readDirectedRuns(reader: ByteReader, columns: ColumnForm, bounds: RuleBounds): DirectedRuns {
  const egress = readRuns(reader, 'egress', columns, bounds);
  return { egress, ingress: readRuns(reader, 'ingress', columns, bounds) };
}

export function writeAction(writer: ByteWriter, action: Action): void {
  writer.u8(action === 'accept' ? 1 : 0);
}

export function readAction(reader: ByteReader): Action {
  const code = reader.u8();
  if (code > 1) throw reader.error(`unknown action ${code}`);
  return code === 1 ? 'accept' : 'drop';
}

/**
 * A u32 of the number of runs, and the runs. Throws RangeError where they could not be read again: on a
 * comment that no rule line can hold, and on two neighbours that should be one run.
 */
export function writeRuns(writer: ByteWriter, runs: readonly Run[], columns: ColumnForm): void {
  writer.u32(runs.length);
  let before: Run | undefined;
  for (const run of runs) {
    if (before !== undefined && mergeable(before, run))
      throw new RangeError('two neighbouring runs that are one');
    before = run;
    writeRun(writer, run, columns);
  }
}

export function writeRun(writer: ByteWriter, { match, remote }: Run, columns: ColumnForm): void {
  writeMatch(writer, match);
  writeRemote(writer, remote, columns);
}

/** How many bytes `writeRuns` appends. */
export function runsLength(runs: readonly Run[]): number {
  return 4 + runBytes(runs);
}

const runBytes = sumOfBlocks(({ match, remote }: Run) => matchLength(match) + remoteLength(remote));

function matchLength({ ports, icmpType, expire, comment }: RuleMatch): number {
  return (
    3 +
    (ports === undefined ? 0 : 4) +
    (icmpType === undefined ? 0 : 1) +
    (expire === undefined ? 0 : 8) +
    (comment === undefined ? 0 : 2 + comment.length)
  );
}

function remoteLength(remote: RunRemote): number {
  switch (remote.kind) {
    case 'any':
      return 1;
    case 'prefixes':
      return 5 + remote.prefixes.lengths.length * prefixBytes(remote.prefixes.family);
    case 'name':
      return 2 + remote.name.length;
    case 'list':
      return 2 + remote.list.length;
  }
}

/** Reads runs that are as long as they can be: two neighbours that could be one are an error. */
export function readRuns(
  reader: ByteReader,
  direction: Direction,
  columns: ColumnForm,
  bounds: RuleBounds,
): readonly Run[] {
  const count = reader.count(RUN_LEAST_BYTES);
  const runs: Run[] = [];
  for (let i = 0; i < count; i++) {
    bounds.meter.spend(Work.run);
    const match = readMatch(reader, direction, i);
    const run = { match, remote: readRemote(reader, i, columns, bounds) };
    if (match.isPrivate === true && run.remote.kind !== 'name')
      throw reader.error(`private without a host name in ${direction} run ${i}`, i);
    const before = runs.at(-1);
    if (before !== undefined && mergeable(before, run)) {
      throw reader.error(`${direction} runs ${i - 1} and ${i} are one`, i);
    }
    runs.push(run);
  }
  return runs;
}

/** Whether two neighbours are one run: prefixes of one family under one match. */
export function mergeable(a: Run, b: Run): boolean {
  return (
    a.remote.kind === 'prefixes' &&
    b.remote.kind === 'prefixes' &&
    a.remote.prefixes.family === b.remote.prefixes.family &&
    sameMatch(a.match, b.match)
  );
}

/*
 * action u8 | protocol u8 | flags u8 | ports: first u16, last u16 | ICMP type u8 | expire u64 | comment:
 * length u16, bytes The fields after the flags stand there only if their flag is set.
 */
function writeMatch(writer: ByteWriter, match: RuleMatch): void {
  const { dns, ports, icmpType, expire, comment, isPrivate } = match;
  writeAction(writer, match.action);
  writer.u8(match.proto === undefined ? 0 : PROTO_CODES[match.proto]);
  writer.u8(
    (dns ? MatchFlag.dns : 0) |
      (ports === undefined ? 0 : MatchFlag.ports) |
      (icmpType === undefined ? 0 : MatchFlag.icmpType) |
      (expire === undefined ? 0 : MatchFlag.expire) |
      (comment === undefined ? 0 : MatchFlag.comment) |
      (isPrivate === true ? MatchFlag.private : 0),
  );
  if (ports !== undefined) {
    writer.u16(ports.first);
    writer.u16(ports.last);
  }
  if (icmpType !== undefined) writer.u8(icmpType);
  if (expire !== undefined) writer.u64(expire);
  if (comment !== undefined) {
    if (!isComment(comment)) throw new RangeError('a comment that no rule line can hold');
    writer.u16(comment.length);
    writer.ascii(comment);
  }
}

function readMatch(reader: ByteReader, direction: Direction, run: number): RuleMatch {
  const action = readAction(reader);
  const protoCode = reader.u8();
  if (!PROTOS.has(protoCode)) throw reader.error(`unknown protocol ${protoCode} in run ${run}`, run);
  const flags = reader.u8();
  if ((flags & ~MATCH_FLAGS) !== 0) throw reader.error(`unknown flags ${flags} in run ${run}`, run);
  const match: RuleMatch = {
    action,
    proto: PROTOS.get(protoCode),
    dns: (flags & MatchFlag.dns) !== 0,
    ports: flags & MatchFlag.ports ? readPorts(reader) : undefined,
    icmpType: flags & MatchFlag.icmpType ? reader.u8() : undefined,
    expire: flags & MatchFlag.expire ? reader.u64() : undefined,
    comment: flags & MatchFlag.comment ? reader.text(reader.u16()) : undefined,
    ...((flags & MatchFlag.private) !== 0 && { isPrivate: true as const }),
  };
  const fault = matchFault(match, direction);
  if (fault !== undefined) throw reader.error(`${fault} in ${direction} run ${run}`, run);
  return match;
}

function readPorts(reader: ByteReader): PortRange {
  const first = reader.u16();
  return { first, last: reader.u16() };
}

/** What no rule line can say; the same as the rule grammar refuses. */
function matchFault(match: RuleMatch, direction: Direction): string | undefined {
  const { proto, dns, ports, icmpType, expire, comment } = match;
  if (ports !== undefined && ports.first > ports.last) return 'ports that end before they begin';
  if (ports !== undefined && dns && (ports.first !== DNS_PORT || ports.last !== DNS_PORT)) {
    return 'ports other than 53 for the DNS target';
  }
  if (ports !== undefined && proto !== 'tcp' && proto !== 'udp') return 'ports without tcp or udp';
  if (icmpType !== undefined && proto !== 'icmp') return 'an ICMP type without icmp';
  if (dns && proto === 'icmp') return 'the DNS target with icmp';
  if (dns && direction === 'ingress') return 'the DNS target';
  if (expire !== undefined && expire > EXPIRE_MAX_SECONDS) return 'an expiry after the year 9999';
  if (comment !== undefined && !isComment(comment)) return 'a comment that no rule line can hold';
  return undefined;
}

function isComment(text: string): boolean {
  return text.length <= COMMENT_MAX_BYTES && COMMENT.test(text);
}

/*
 * kind u8 | any: nothing | prefixes: count u32, words, lengths | name or list: length u8, bytes
 */
function writeRemote(writer: ByteWriter, remote: RunRemote, columns: ColumnForm): void {
  switch (remote.kind) {
    case 'any':
      writer.u8(RemoteKind.any);
      break;
    case 'prefixes':
      writer.u8(remote.prefixes.family === 4 ? RemoteKind.prefixes4 : RemoteKind.prefixes6);
      writer.u32(remote.prefixes.lengths.length);
      columns.write(writer, remote.prefixes);
      break;
    case 'name':
      writer.u8(RemoteKind.name);
      writer.shortText(remote.name);
      break;
    case 'list':
      writer.u8(RemoteKind.list);
      writer.shortText(remote.list);
      break;
  }
}

function readRemote(reader: ByteReader, run: number, columns: ColumnForm, bounds: RuleBounds): RunRemote {
  const kind = reader.u8();
  if (kind !== RemoteKind.prefixes4 && kind !== RemoteKind.prefixes6) bounds.take(reader, 1);
  switch (kind) {
    case RemoteKind.any:
      return { kind: 'any' };
    case RemoteKind.prefixes4:
    case RemoteKind.prefixes6: {
      const family = kind === RemoteKind.prefixes4 ? 4 : 6;
      const count = reader.count(prefixBytes(family));
      if (count === 0) throw reader.error(`run ${run} has no prefix`, run);
      bounds.take(reader, count);
      return { kind: 'prefixes', prefixes: columns.read(reader, family, count) };
    }
    case RemoteKind.name:
      return { kind: 'name', name: readHostName(reader, run) };
    case RemoteKind.list: {
      const list = reader.shortText();
      if (!isPartName(list)) throw reader.error(`run ${run} uses a list whose name is none`, run);
      return { kind: 'list', list };
    }
    default:
      throw reader.error(`unknown remote kind ${kind} in run ${run}`, run);
  }
}

/** A host name in normal form after a u8 of its length. `entry` is where it stands, for the error. */
export function readHostName(reader: ByteReader, entry: number): string {
  return checkHostName(reader, reader.shortText(), entry);
}

/** The name, if it is in normal form. */
function checkHostName(reader: ByteReader, name: string, entry: number): string {
  const result = parseHostName(name);
  if (result.kind !== 'name' || result.name !== name)
    throw reader.error(`name ${entry} is not in normal form`, entry);
  return name;
}
