/**
 * Reports: what a firewall that reads a depot sends to the publisher by HTTP, with a code that only these two
 * can make, and the answer. DEPOT.md "Reports".
 *
 *   report   MAC 32 | RCA1 | lineage 16 | name text8 | via text8 | sequence u64 | nonce 16 | flags u8
 *            | held: epoch u64, version u64, hash 32, applied u32 ms          flag 1; kept on disk: flag 4
 *            | refused: hash 32, code text8                                    flag 2
 *            | proof: length u16, manifest with signatures                     flag 8
 *   answer   MAC 32 | RCB1 | flags u8 | sequence u64 | statement with signatures, or nothing
 *   body     length u16, report | ...                    of answers likewise
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { isPartName } from '@rulecast/rules';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { joinSigned, type Signed, splitSigned } from '../content/signature-block.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import { HASH_BYTES, LINEAGE_BYTES, NONCE_BYTES, REPORT_MAX_BYTES, REPORTS_MAX } from '../limits.ts';
import { isCode } from '../wire/field.ts';

const REPORT_TAG = 'RCA1';
const ANSWER_TAG = 'RCB1';
/** The tags for tokens: of a firewall, and of a relay, which vouches for others as well. */
const TOKEN_TAG = 'RCT1';
const RELAY_TOKEN_TAG = 'RCT2';
const MAC_BYTES = 32;
const Flag = { held: 1, refused: 2, persisted: 4, proof: 8 } as const;
const FLAGS = Flag.held | Flag.refused | Flag.persisted | Flag.proof;
const AnswerFlag = { prove: 1, replayed: 2 } as const;

export interface HeldReport {
  readonly epoch: number;
  readonly version: number;
  readonly hash: Uint8Array;
  /** The time from the head that named it until it was applied, in milliseconds. */
  readonly applyMs: number;
  /** Whether it outlives a restart of the firewall. */
  readonly isPersisted: boolean;
}

export interface Report {
  readonly lineage: Uint8Array;
  readonly name: string;
  /** The relay that passes it on, whose token vouches for it; none: the firewall itself. */
  readonly via: string | undefined;
  /** Grows with each report of a name, so that no old one counts again. */
  readonly sequence: number;
  /** The nonce for the answer's statement of freshness. */
  readonly nonce: Uint8Array;
  /** The release in force. */
  readonly held: HeldReport | undefined;
  /** The release that it will not take, and why. */
  readonly refused: { readonly hash: Uint8Array; readonly code: string } | undefined;
  /** The manifest of the release in force, if the publisher asked for it. */
  readonly proof: Signed | undefined;
}

export interface ReportAnswer {
  /** The publisher does not have what the firewall holds: the next report is to prove it. */
  readonly prove: boolean;
  /** The report's sequence was not above the last one. */
  readonly isReplayed: boolean;
  /** The highest sequence of this name. */
  readonly sequence: number;
  /** The newest release, for the report's nonce; none while the publisher is behind. */
  readonly statement: Signed | undefined;
}

/**
 * The token of a name, computed from the fleet's secret and stored nowhere. A relay's differs from that of a
 * firewall with its name, so that no firewall can vouch for another.
 */
export function tokenOf(secret: Uint8Array, lineage: Uint8Array, name: string, isRelay = false): Uint8Array {
  const tag = isRelay ? RELAY_TOKEN_TAG : TOKEN_TAG;
  return new Uint8Array(createHmac('sha256', secret).update(tag).update(lineage).update(name).digest());
}

/** Returns the token of a name: a firewall's, or a relay's, which vouches for others. */
export type TokenFor = (name: string, isRelay: boolean) => Uint8Array;

/** Throws RangeError for one that could not be decoded again. */
export function encodeReport(report: Report, token: Uint8Array): Uint8Array {
  const { held, refused, proof } = report;
  const writer = new ByteWriter();
  writer.ascii(REPORT_TAG);
  writer.bytes(report.lineage);
  writer.shortText(report.name);
  writer.shortText(report.via ?? '');
  writer.u64(report.sequence);
  writer.bytes(report.nonce);
  writer.u8(
    (held ? Flag.held : 0) |
      (refused ? Flag.refused : 0) |
      (held?.isPersisted === true ? Flag.persisted : 0) |
      (proof ? Flag.proof : 0),
  );
  if (held) {
    writer.u64(held.epoch);
    writer.u64(held.version);
    writer.bytes(held.hash);
    writer.u32(Math.min(held.applyMs, 0xffff_ffff));
  }
  if (refused) {
    writer.bytes(refused.hash);
    writer.shortText(refused.code);
  }
  if (proof) {
    const manifest = joinSigned(proof);
    writer.u16(manifest.length);
    writer.bytes(manifest);
  }
  return withMac(writer.take(), token);
}

/**
 * A report, once its code is found right, by the token of `via` where there is one. Throws ProtocolError
 * `bad-report`, which tells a stranger nothing more.
 */
export function readReport(bytes: Uint8Array, tokenFor: TokenFor): Report {
  return decodeReport(bytes, (mac, content, name, isRelay) => isMac(mac, content, tokenFor(name, isRelay)));
}

/** Decodes a stored report that `readReport` had accepted. Throws ProtocolError `bad-report`. */
export function readKeptReport(bytes: Uint8Array): Report {
  return decodeReport(bytes, () => true);
}

function decodeReport(
  bytes: Uint8Array,
  isVouched: (mac: Uint8Array, content: Uint8Array, name: string, isRelay: boolean) => boolean,
): Report {
  if (bytes.length > REPORT_MAX_BYTES)
    throw new ProtocolError(ErrorCode.badReport, `a report of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes, ErrorCode.badReport);
  const mac = reader.bytes(MAC_BYTES);
  const content = reader.ahead();
  if (reader.text(4) !== REPORT_TAG) throw reader.error(`the tag is not ${REPORT_TAG}`);
  const lineage = reader.bytes(LINEAGE_BYTES).slice();
  const [name, via] = [reader.shortText(), reader.shortText()];
  if (!isPartName(name) || (via !== '' && !isPartName(via))) throw reader.error('a name that is none');
  if (!isVouched(mac, content, via || name, via !== '')) throw reader.error('its code is wrong');
  const sequence = reader.u64();
  const nonce = reader.bytes(NONCE_BYTES).slice();
  const flags = reader.u8();
  if ((flags & ~FLAGS) !== 0 || (flags & (Flag.held | Flag.persisted)) === Flag.persisted)
    throw reader.error(`flags ${flags}`);
  const held = (flags & Flag.held) === 0 ? undefined : readHeld(reader, (flags & Flag.persisted) !== 0);
  const refused = (flags & Flag.refused) === 0 ? undefined : readRefused(reader);
  const proof =
    (flags & Flag.proof) === 0 ? undefined : splitSigned(reader.bytes(reader.u16()), ErrorCode.badReport);
  reader.end();
  return { lineage, name, via: via === '' ? undefined : via, sequence, nonce, held, refused, proof };
}

function readHeld(reader: ByteReader, isPersisted: boolean): HeldReport {
  const [epoch, version] = [reader.u64(), reader.u64()];
  return { epoch, version, hash: reader.bytes(HASH_BYTES).slice(), applyMs: reader.u32(), isPersisted };
}

function readRefused(reader: ByteReader): NonNullable<Report['refused']> {
  const hash = reader.bytes(HASH_BYTES).slice();
  const code = reader.shortText();
  if (!isCode(code)) throw reader.error('a refusal without a code');
  return { hash, code };
}

export function encodeReportAnswer(answer: ReportAnswer, token: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  writer.ascii(ANSWER_TAG);
  writer.u8((answer.prove ? AnswerFlag.prove : 0) | (answer.isReplayed ? AnswerFlag.replayed : 0));
  writer.u64(answer.sequence);
  if (answer.statement) writer.bytes(joinSigned(answer.statement));
  return withMac(writer.take(), token);
}

/** Throws ProtocolError `bad-report` for an answer that was not made with this token. */
export function readReportAnswer(bytes: Uint8Array, token: Uint8Array): ReportAnswer {
  if (bytes.length > REPORT_MAX_BYTES)
    throw new ProtocolError(ErrorCode.badReport, `an answer of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes, ErrorCode.badReport);
  const mac = reader.bytes(MAC_BYTES);
  if (!isMac(mac, reader.ahead(), token)) throw reader.error('its code is wrong');
  if (reader.text(4) !== ANSWER_TAG) throw reader.error(`the tag is not ${ANSWER_TAG}`);
  const flags = reader.u8();
  const sequence = reader.u64();
  const statement =
    reader.remaining === 0 ? undefined : splitSigned(reader.bytes(reader.remaining), ErrorCode.badReport);
  return {
    prove: (flags & AnswerFlag.prove) !== 0,
    isReplayed: (flags & AnswerFlag.replayed) !== 0,
    sequence,
    statement,
  };
}

/** Several reports, or several answers, as one body. */
export function joinReports(all: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter();
  for (const bytes of all) {
    writer.u16(bytes.length);
    writer.bytes(bytes);
  }
  return writer.take();
}

/** Splits a body without reading the reports or answers. Throws ProtocolError `bad-report`. */
export function splitReports(body: Uint8Array): readonly Uint8Array[] {
  const reader = new ByteReader(body, ErrorCode.badReport);
  const all: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (all.length === REPORTS_MAX) throw reader.error(`more than ${REPORTS_MAX} reports`);
    all.push(reader.bytes(reader.u16()));
  }
  return all;
}

function withMac(content: Uint8Array, token: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([macOf(content, token), content]));
}

function isMac(mac: Uint8Array, content: Uint8Array, token: Uint8Array): boolean {
  return timingSafeEqual(mac, macOf(content, token));
}

function macOf(content: Uint8Array, token: Uint8Array): Buffer {
  return createHmac('sha256', token).update(content).digest();
}
