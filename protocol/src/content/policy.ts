/**
 * Policies and their runs as bytes: the body of `RCQ1`, the additions of `RCQ2`, and the runs that a policy
 * patch inserts. Decoding is strict, so that one meaning has one form. CONTENT.md "Canonical bytes".
 */

import {
  type Action,
  type BlockedAnswer,
  type DirectedRuns,
  type Direction,
  type Family,
  formAt,
  isPartName,
  NO_RUNS,
  type Policy,
  type PortRange,
  type Proto,
  parseHostName,
  prefixesIn,
  type RuleForm,
  type RuleMatch,
  RunBuilder,
  type Runs,
  strideOf,
  type UnlistedAnswer,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import type { ErrorCode } from '../error.ts';
import { COMMENT_MAX_BYTES, EXPIRE_MAX_SECONDS } from '../limits.ts';

import {
  type ColumnForm,
  isMasked,
  PLAIN_COLUMNS,
  prefixBytes,
  readPrefixSet,
  writePrefixSet,
} from './prefix.ts';
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

/** The number of rules that may still be read, in all runs of a policy together. */
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

/** Appends a policy without its exceptions; its name is not included. */
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

/** The first byte of a policy: its default action, and how names are answered. */
export type PolicyBase = Pick<Policy, 'defaultAction' | 'blocked' | 'unlisted'>;

/** By code; 0: not set. */
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

/** A u32 of the number of runs, and the runs. Throws RangeError on a comment that no rule line can hold. */
export function writeRuns(writer: ByteWriter, runs: Runs, columns: ColumnForm): void {
  const heads = runs.forms.map(formBytes);
  writer.u32(runs.count);
  for (let run = 0; run < runs.count; run++)
    writeRules(writer, heads, runs, run, runs.starts[run]!, runs.starts[run + 1]!, columns); // one more than runs
}

/**
 * The rules [from, to) of a run, as a run; `heads` are the bytes of the forms. One prefix is the same in each
 * form of columns.
 */
export function writeRules(
  writer: ByteWriter,
  heads: readonly Uint8Array[],
  runs: Runs,
  run: number,
  from: number,
  to: number,
  columns: ColumnForm = PLAIN_COLUMNS,
): void {
  writer.bytes(heads[runs.formOf[run]!]!); // a run
  const [word, end] = [runs.wordStarts[run]!, runs.wordStarts[run + 1]!]; // one more than runs
  if (word === end) return;
  writer.u32(to - from);
  const { remote } = formAt(runs, run);
  if (remote.kind !== 'prefixes') return;
  const first = runs.starts[run]!;
  const stride = strideOf(remote.family);
  if (to - from === 1) {
    for (let w = 0; w < stride; w++) writer.u32(runs.words[word + (from - first) * stride + w]!); // of the rule
    writer.u8(runs.lengths[from]!);
    return;
  }
  const { family, words, lengths } = prefixesIn(runs, run, remote.family);
  columns.write(writer, {
    family,
    words: words.subarray((from - first) * stride, (to - first) * stride),
    lengths: lengths.subarray(from - first, to - first),
  });
}

/**
 * The first bytes of a run of a form, up to the kind of its remote side; all of them if that has no prefixes.
 */
export function formBytes({ match, remote }: RuleForm): Uint8Array {
  const writer = new ByteWriter(32);
  writeMatch(writer, match);
  switch (remote.kind) {
    case 'any':
      writer.u8(RemoteKind.any);
      break;
    case 'prefixes':
      writer.u8(remote.family === 4 ? RemoteKind.prefixes4 : RemoteKind.prefixes6);
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
  return writer.take();
}

/** The number of bytes that `writeRuns` appends. */
export function runsLength(runs: Runs): number {
  const own = runs.forms.map(({ match, remote }) => {
    return {
      head: matchLength(match) + remoteLength(remote),
      each: remote.kind === 'prefixes' ? prefixBytes(remote.family) : 0,
    };
  });
  let sum = 4;
  for (let run = 0; run < runs.count; run++) {
    const { head, each } = own[runs.formOf[run]!]!; // a run, here and below
    sum += head + each * (runs.starts[run + 1]! - runs.starts[run]!);
  }
  return sum;
}

function matchLength({ ports, icmpType, expire, comment }: RuleMatch): number {
  return (
    3 +
    (ports === undefined ? 0 : 4) +
    (icmpType === undefined ? 0 : 1) +
    (expire === undefined ? 0 : 8) +
    (comment === undefined ? 0 : 2 + comment.length)
  );
}

function remoteLength(remote: RuleForm['remote']): number {
  switch (remote.kind) {
    case 'any':
      return 1;
    case 'prefixes':
      return 5;
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
): Runs {
  const count = reader.count(RUN_LEAST_BYTES);
  const runs = new RunBuilder();
  const known = new Map<number, RuleMatch>();
  for (let i = 0; i < count; i++) {
    bounds.meter.spend(Work.run);
    const match = readMatch(reader, direction, i, known);
    const kind = reader.u8();
    if (match.isPrivate === true && kind !== RemoteKind.name && kind <= RemoteKind.list)
      throw reader.error(`private without a host name in ${direction} run ${i}`, i);
    if (kind === RemoteKind.prefixes4 || kind === RemoteKind.prefixes6) {
      const family = kind === RemoteKind.prefixes4 ? 4 : 6;
      const form = runs.prefixForm(match, family);
      if (runs.continues(form)) throw reader.error(`${direction} runs ${i - 1} and ${i} are one`, i);
      readPrefixes(reader, i, runs, form, family, columns, bounds);
      continue;
    }
    bounds.take(reader, 1);
    runs.pushForm(runs.form({ match, remote: readRemote(reader, kind, i) }));
  }
  return runs.build();
}

/** The prefixes of a run; most runs have one. */
function readPrefixes(
  reader: ByteReader,
  run: number,
  runs: RunBuilder,
  form: number,
  family: Family,
  columns: ColumnForm,
  bounds: RuleBounds,
): void {
  const count = reader.count(prefixBytes(family));
  if (count === 0) throw reader.error(`run ${run} has no prefix`, run);
  bounds.take(reader, count);
  if (count > 1) return runs.pushPrefixes(form, columns.read(reader, family, count));
  const { words, lengths } = family === 4 ? ONE_4 : ONE_6;
  for (let w = 0; w < words.length; w++) words[w] = reader.u32();
  lengths[0] = reader.u8();
  if (!isMasked({ family, words, lengths })) throw reader.error('prefix 0 is not in normal form', 0);
  runs.pushPrefixes(form, { family, words, lengths });
}

// Scratch of the reader, which is synchronous.
const ONE_4 = { words: new Uint32Array(1), lengths: new Uint8Array(1) };
const ONE_6 = { words: new Uint32Array(4), lengths: new Uint8Array(1) };

/*
 * action u8 | protocol u8 | flags u8 | ports: first u16, last u16 | ICMP type u8 | expire u64 |
 * comment: length u16, bytes
 *
 * The fields after the flags stand there only if their flag is set.
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

/** `known`: matches without ICMP type, end and comment, by a number for their fields; runs share them. */
function readMatch(
  reader: ByteReader,
  direction: Direction,
  run: number,
  known: Map<number, RuleMatch>,
): RuleMatch {
  const action = readAction(reader);
  const protoCode = reader.u8();
  if (!PROTOS.has(protoCode)) throw reader.error(`unknown protocol ${protoCode} in run ${run}`, run);
  const flags = reader.u8();
  if ((flags & ~MATCH_FLAGS) !== 0) throw reader.error(`unknown flags ${flags} in run ${run}`, run);
  const ports = flags & MatchFlag.ports ? readPorts(reader) : undefined;
  const isLong = (flags & (MatchFlag.icmpType | MatchFlag.expire | MatchFlag.comment)) !== 0;
  const what = ((action === 'accept' ? 1 : 0) * 256 + protoCode) * 64 + flags;
  const key = what * 2 ** 32 + (ports === undefined ? 0 : ports.first * 2 ** 16 + ports.last);
  const before = isLong ? undefined : known.get(key);
  if (before !== undefined) return before;
  const match: RuleMatch = {
    action,
    proto: PROTOS.get(protoCode),
    dns: (flags & MatchFlag.dns) !== 0,
    ports,
    icmpType: flags & MatchFlag.icmpType ? reader.u8() : undefined,
    expire: flags & MatchFlag.expire ? reader.u64() : undefined,
    comment: flags & MatchFlag.comment ? reader.text(reader.u16()) : undefined,
    ...((flags & MatchFlag.private) !== 0 && { isPrivate: true as const }),
  };
  const fault = matchFault(match, direction);
  if (fault !== undefined) throw reader.error(`${fault} in ${direction} run ${run}`, run);
  if (!isLong) known.set(key, match);
  return match;
}

function readPorts(reader: ByteReader): PortRange {
  const first = reader.u16();
  return { first, last: reader.u16() };
}

/** A fault that no rule line can have; the same that the rule grammar refuses. */
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
function readRemote(reader: ByteReader, kind: number, run: number): RuleForm['remote'] {
  switch (kind) {
    case RemoteKind.any:
      return { kind: 'any' };
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

/** A host name in normal form behind its length as a u8. `entry` is its index, for the error. */
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
