/**
 * Writes messages: questions to an upstream, and answers without an upstream. Each goes into memory of the
 * caller, who gives its size.
 */

import type { MessageReader } from './message.ts';
import {
  CLASS_IN,
  DNSSEC_OK,
  EDE_OPTION,
  type ExtendedError,
  Flag,
  HEADER_BYTES,
  OPT_BYTES,
  OPTION_BYTES,
  PADDING_OPTION,
  QUESTION_FIELDS_BYTES,
  RCODE_MASK,
  type Rcode,
  RecordType,
  WIRE_NAME_MAX_BYTES,
} from './wire.ts';

/**
 * Size of datagrams that we request and send: one that passes every network in one piece (DNS flag day 2020).
 */
export const EDNS_BYTES = 1232;
/** The size of datagrams for a client without OPT (RFC 1035 §4.2.1). */
export const PLAIN_BYTES = 512;

/** A pointer to the question's name. */
const QUESTION_NAME = 0xc000 | HEADER_BYTES;
/** An SOA whose two names are the root: 2 and five numbers. */
const SOA_DATA_BYTES = 22;
// serial, refresh, retry, expire: the zone is never transferred
const SOA_NUMBERS_MIDDLE = [1, 1800, 900, 604_800];
const EDE_BYTES = 6;
/** Padding, so that the length does not reveal the question: RFC 8467 §4.1. */
const PADDED_BYTES = 128;

/** Enough for every message that is written here: the longest is a padded question. */
export const WRITTEN_MAX_BYTES =
  Math.ceil(
    (HEADER_BYTES + WIRE_NAME_MAX_BYTES + QUESTION_FIELDS_BYTES + OPT_BYTES + OPTION_BYTES) / PADDED_BYTES,
  ) * PADDED_BYTES;

/** Bits of a question that go on to the upstream: what its asker wants, and nothing about the asker. */
const PASSED_FLAGS = Flag.recursionDesired | Flag.authenticData | Flag.checkingDisabled;

/**
 * The question of a message, for an upstream: its bits, name, type and class as they are, and OPT with our
 * size and without options if there was one; padded, it has one. Its name starts behind the header. The bytes
 * used of `out`.
 */
export function writeQuestion(asked: MessageReader, id: number, out: Uint8Array, isPadded = false): number {
  const writer = new Cursor(out);
  const hasOpt = isPadded || asked.opt >= 0;
  writer.header(id, asked.flags & PASSED_FLAGS, 0, 0, hasOpt ? 1 : 0);
  writer.question(asked);
  if (hasOpt) writer.opt(Math.min(EDNS_BYTES, Math.max(PLAIN_BYTES, asked.ednsBytes)), asked.isDnssecOk);
  if (isPadded) writer.padding();
  return writer.at;
}

/** An answer of our own, without an upstream. */
export interface OwnAnswer {
  readonly rcode: Rcode;
  /** Sent to a client with OPT. */
  readonly error?: ExtendedError | undefined;
  /** How long the answer may be cached, in seconds; undefined: it does not say. */
  readonly ttl?: number | undefined;
  /** The unspecified address of the question's family, if it asks for one. */
  readonly isNull?: boolean;
}

/** An answer of our own to a question. The bytes used of `out`, which has `WRITTEN_MAX_BYTES`. */
export function writeAnswer(asked: MessageReader, answer: OwnAnswer, out: Uint8Array): number {
  const { rcode, error, ttl, isNull = false } = answer;
  const nullBytes = !isNull || asked.class !== CLASS_IN ? 0 : addressBytes(asked.type);
  const hasSoa = ttl !== undefined && nullBytes === 0;
  const kept = asked.flags & (Flag.recursionDesired | Flag.checkingDisabled);
  const flags = Flag.response | Flag.recursionAvailable | kept | (rcode & RCODE_MASK);
  const writer = new Cursor(out);
  writer.header(asked.id, flags, nullBytes === 0 ? 0 : 1, hasSoa ? 1 : 0, asked.opt < 0 ? 0 : 1);
  writer.question(asked);
  if (nullBytes > 0) {
    writer.record(asked.type, ttl ?? 0, nullBytes);
    out.fill(0, writer.at, writer.at + nullBytes);
    writer.at += nullBytes;
  }
  if (hasSoa) {
    writer.record(RecordType.soa, ttl, SOA_DATA_BYTES);
    writer.u16(0); // both names
    for (const number of SOA_NUMBERS_MIDDLE) writer.u32(number);
    writer.u32(ttl); // how long the absence may be cached (RFC 2308 §4)
  }
  if (asked.opt >= 0) writer.opt(EDNS_BYTES, asked.isDnssecOk, error, rcode);
  return writer.at;
}

/** Bytes of an address of a type; 0: it has none. */
function addressBytes(type: number): number {
  return type === RecordType.a ? 4 : type === RecordType.aaaa ? 16 : 0;
}

/**
 * An answer without its records, for a client whose limit it exceeds, so that it asks again by TCP. Returns
 * the bytes used of `out`.
 */
export function writeTruncated(answer: MessageReader, out: Uint8Array): number {
  const writer = new Cursor(out);
  writer.header(answer.id, answer.flags | Flag.truncated, 0, 0, answer.opt < 0 ? 0 : 1);
  writer.question(answer);
  if (answer.opt >= 0) writer.opt(EDNS_BYTES, answer.isDnssecOk);
  return writer.at;
}

/**
 * Makes an upstream's answer one for the client: with its id, and the name in the case of its question. The
 * two names differ in case only.
 */
export function readdress(answer: Uint8Array, asked: MessageReader): void {
  answer[0] = asked.id >> 8;
  answer[1] = asked.id & 0xff;
  answer.set(asked.bytes.subarray(HEADER_BYTES, asked.nameEnd), HEADER_BYTES);
}

/** Writes a message; the caller has checked that there is room. */
export class Cursor {
  readonly #out: Uint8Array;
  at = 0;

  constructor(out: Uint8Array) {
    this.#out = out;
  }

  u16(value: number): void {
    this.#out[this.at++] = value >> 8;
    this.#out[this.at++] = value & 0xff;
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  bytes(bytes: Uint8Array): void {
    this.#out.set(bytes, this.at);
    this.at += bytes.length;
  }

  header(id: number, flags: number, answers: number, authorities: number, additional: number): void {
    this.u16(id);
    this.u16(flags);
    this.u16(1);
    this.u16(answers);
    this.u16(authorities);
    this.u16(additional);
  }

  /** Copies name, type and class. */
  question({ bytes, nameEnd }: MessageReader): void {
    const end = nameEnd + QUESTION_FIELDS_BYTES;
    this.#out.set(bytes.subarray(HEADER_BYTES, end), this.at);
    this.at += end - HEADER_BYTES;
  }

  /** A record of the question's name, up to its data. */
  record(type: number, ttl: number, dataBytes: number): void {
    this.u16(QUESTION_NAME);
    this.u16(type);
    this.u16(CLASS_IN);
    this.u32(ttl);
    this.u16(dataBytes);
  }

  opt(sizeBytes: number, isDnssecOk: boolean, error?: ExtendedError, rcode: Rcode = 0): void {
    this.#out[this.at++] = 0; // the root
    this.u16(RecordType.opt);
    this.u16(sizeBytes);
    this.u16((rcode >> 4) << 8); // and version 0
    this.u16(isDnssecOk ? DNSSEC_OK : 0);
    this.u16(error === undefined ? 0 : EDE_BYTES);
    if (error === undefined) return;
    this.u16(EDE_OPTION);
    this.u16(2);
    this.u16(error);
  }

  /** An option behind the OPT without any that was written last. */
  padding(): void {
    const end = Math.ceil((this.at + OPTION_BYTES) / PADDED_BYTES) * PADDED_BYTES;
    const optionsAt = this.at;
    this.at -= 2; // the length field comes first
    this.u16(end - optionsAt);
    this.u16(PADDING_OPTION);
    this.u16(end - optionsAt - OPTION_BYTES);
    this.#out.fill(0, this.at, end);
    this.at = end;
  }
}
