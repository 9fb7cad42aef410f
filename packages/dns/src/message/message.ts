/**
 * Messages, read in place: a reader has columns for the records of one message, and is used for the next one
 * again. It decodes the data that a firewall judges by: the question, aliases and addresses. All else stays
 * bytes, with checked lengths.
 */

import { nameEnd } from './name.ts';
import {
  CLASS_IN,
  DNSSEC_OK,
  Flag,
  HEADER_BYTES,
  MESSAGE_MAX_BYTES,
  OPCODE_MASK,
  OPTION_BYTES,
  QUESTION_FIELDS_BYTES,
  RCODE_MASK,
  RECORD_FIELDS_BYTES,
  RecordType,
} from './wire.ts';

/** Why bytes are not a message that we accept. */
export const MessageFault = {
  length: 'bad-length',
  /** The number of questions is not one, which no client sends (RFC 9619). */
  questions: 'not-one-question',
  name: 'bad-name',
  record: 'bad-record',
  opt: 'bad-opt',
  trailing: 'trailing-bytes',
} as const;
export type MessageFault = (typeof MessageFault)[keyof typeof MessageFault];

export const Section = { answer: 0, authority: 1, additional: 2 } as const;

/** The smallest record is that of the root, without data. */
const RECORDS_MAX = Math.floor((MESSAGE_MAX_BYTES - HEADER_BYTES) / (1 + RECORD_FIELDS_BYTES));
const SECTIONS = 3;
const A_BYTES = 4;
const AAAA_BYTES = 16;

export class MessageReader {
  /** The bytes read last; their owner keeps them. */
  bytes: Uint8Array = new Uint8Array(0);
  id = 0;
  flags = 0;
  /** The end of the question's name; it starts behind the header. */
  nameEnd = 0;
  type = 0;
  class = 0;
  /** The number of records of all sections, in their order. */
  recordCount = 0;
  readonly sections = new Uint8Array(RECORDS_MAX);
  readonly owners = new Uint16Array(RECORDS_MAX);
  readonly types = new Uint16Array(RECORDS_MAX);
  readonly classes = new Uint16Array(RECORDS_MAX);
  readonly ttls = new Uint32Array(RECORDS_MAX);
  readonly dataStarts = new Uint16Array(RECORDS_MAX);
  readonly dataLengths = new Uint16Array(RECORDS_MAX);
  /** The index of the OPT record; -1: there is none. */
  opt = -1;

  /** Reads a message. Undefined: it is one, and its fields and columns are good until the next is read. */
  read(bytes: Uint8Array): MessageFault | undefined {
    this.bytes = bytes;
    this.recordCount = 0;
    this.opt = -1;
    if (bytes.length < HEADER_BYTES || bytes.length > MESSAGE_MAX_BYTES) return MessageFault.length;
    this.id = u16(bytes, 0);
    this.flags = u16(bytes, 2);
    if (u16(bytes, 4) !== 1) return MessageFault.questions;
    const end = nameEnd(bytes, HEADER_BYTES);
    if (end < 0) return MessageFault.name;
    if (end + QUESTION_FIELDS_BYTES > bytes.length) return MessageFault.length;
    this.nameEnd = end;
    this.type = u16(bytes, end);
    this.class = u16(bytes, end + 2);
    let at = end + QUESTION_FIELDS_BYTES;
    for (let section = 0; section < SECTIONS; section++) {
      for (let count = u16(bytes, 6 + section * 2); count > 0; count--) {
        const next = this.#record(at, section);
        if (typeof next !== 'number') return next;
        at = next;
      }
    }
    return at === bytes.length ? undefined : MessageFault.trailing;
  }

  /** Reads the record at `at`, and returns the start of the next one. */
  #record(at: number, section: number): number | MessageFault {
    const { bytes } = this;
    const fields = nameEnd(bytes, at);
    if (fields < 0) return MessageFault.name;
    const start = fields + RECORD_FIELDS_BYTES;
    if (start > bytes.length) return MessageFault.length;
    const end = start + u16(bytes, fields + 8);
    if (end > bytes.length) return MessageFault.length;
    const index = this.recordCount++; // there is room: each took 11 bytes
    this.sections[index] = section;
    this.owners[index] = at;
    this.types[index] = u16(bytes, fields);
    this.classes[index] = u16(bytes, fields + 2);
    this.ttls[index] = u16(bytes, fields + 4) * 0x1_0000 + u16(bytes, fields + 6);
    this.dataStarts[index] = start;
    this.dataLengths[index] = end - start;
    return this.#dataFault(index) ?? end;
  }

  /** The fault in a record's data, if it is of a type that we judge by. */
  #dataFault(index: number): MessageFault | undefined {
    const start = this.dataStarts[index]!; // of a record that was read
    const length = this.dataLengths[index]!; // likewise
    if (this.types[index] === RecordType.opt) {
      const isFirst = this.opt < 0 && this.sections[index] === Section.additional;
      if (!isFirst || this.bytes[this.owners[index]!] !== 0) return MessageFault.opt; // likewise
      this.opt = index;
      return areOptions(this.bytes, start, start + length) ? undefined : MessageFault.opt;
    }
    if (this.classes[index] !== CLASS_IN) return undefined;
    switch (this.types[index]) {
      case RecordType.a:
        return length === A_BYTES ? undefined : MessageFault.record;
      case RecordType.aaaa:
        return length === AAAA_BYTES ? undefined : MessageFault.record;
      case RecordType.cname:
      case RecordType.dname:
        return nameEnd(this.bytes, start) === start + length ? undefined : MessageFault.record;
      case RecordType.svcb:
      case RecordType.https: {
        const end = length < 3 ? -1 : nameEnd(this.bytes, start + 2);
        return end >= 0 && end <= start + length ? undefined : MessageFault.record;
      }
      default:
        return undefined;
    }
  }

  /**
   * The start of the name that record `index` refers to: an alias, or the target of a service. -1: it has
   * none. The data of DNAME does not count; servers add the resulting CNAME beside it.
   */
  targetOf(index: number): number {
    if (this.classes[index] !== CLASS_IN) return -1;
    const start = this.dataStarts[index]!; // of a record that was read
    switch (this.types[index]) {
      case RecordType.cname:
        return start;
      case RecordType.svcb:
      case RecordType.https:
        return this.bytes[start + 2] === 0 ? -1 : start + 2; // the root stands for the owner (RFC 9460 §2.5)
      default:
        return -1;
    }
  }

  get isResponse(): boolean {
    return (this.flags & Flag.response) !== 0;
  }

  /** Whether it is a plain question or its answer. */
  get isQuery(): boolean {
    return (this.flags & OPCODE_MASK) === 0;
  }

  get isTruncated(): boolean {
    return (this.flags & Flag.truncated) !== 0;
  }

  /** Without the eight bits that OPT adds. */
  get rcode(): number {
    return this.flags & RCODE_MASK;
  }

  /** The size of datagrams that the sender accepts, from OPT; 0: no OPT. */
  get ednsBytes(): number {
    return this.opt < 0 ? 0 : this.classes[this.opt]!; // a record that was read
  }

  /** A version above 0 is unknown to everybody (RFC 6891 §6.1.3). */
  get ednsVersion(): number {
    return this.opt < 0 ? 0 : (this.ttls[this.opt]! >>> 16) & 0xff; // likewise
  }

  get isDnssecOk(): boolean {
    return this.opt >= 0 && (this.ttls[this.opt]! & DNSSEC_OK) !== 0; // likewise
  }
}

/** Whether bytes are options of OPT: a code, a length and so many bytes each. */
function areOptions(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + OPTION_BYTES <= end) at += OPTION_BYTES + u16(bytes, at + 2);
  return at === end;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!; // checked by the caller
}
