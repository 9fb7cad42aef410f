/**
 * The numbers of DNS messages. RFC 1035 §4; EDNS: RFC 6891; extended errors: RFC 8914.
 *
 *   header 12 │ question: name, type 2, class 2 │ records: name, type 2, class 2, ttl 4, length 2, data
 *
 *   flags  QR·opcode 4·AA·TC·RD│RA·0·AD·CD·rcode 4
 *   OPT    a record of the root whose class is a size, and whose ttl is rcode 8 │ version 8 │ DO · 0 15
 */

/** Longest name, its lengths and the root's included (RFC 1035 §2.3.4). */
export const WIRE_NAME_MAX_BYTES = 255;
/** Longest message: what the two bytes before one in a stream can say (RFC 1035 §4.2.2). */
export const MESSAGE_MAX_BYTES = 65_535;
export const HEADER_BYTES = 12;
/** Type and class, behind the name of a question. */
export const QUESTION_FIELDS_BYTES = 4;
/** Type, class, time to live and length, behind the name of a record. */
export const RECORD_FIELDS_BYTES = 10;
/** An OPT record without options, and an option without data. */
export const OPT_BYTES = 11;
export const OPTION_BYTES = 4;

/** The bits of a length byte that mark a pointer, its two highest; RFC 1035 §4.1.4. */
export const POINTER_BITS = 0xc0;

export const Flag = {
  response: 0x8000,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
} as const;
export const OPCODE_MASK = 0x7800;
export const RCODE_MASK = 0x000f;
/** A bit in the upper half of OPT's flags, which are the lower half of its time to live. */
export const DNSSEC_OK = 0x8000;

/** Of `badVersion` the upper bits stand in OPT (RFC 6891 §6.1.3). */
export const Rcode = {
  ok: 0,
  format: 1,
  failure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;
export type Rcode = (typeof Rcode)[keyof typeof Rcode];

export const RecordType = {
  a: 1,
  cname: 5,
  soa: 6,
  aaaa: 28,
  dname: 39,
  opt: 41,
  svcb: 64,
  https: 65,
  any: 255,
} as const;
export const CLASS_IN = 1;

/** The option of OPT that hides how long a message is: RFC 7830. */
export const PADDING_OPTION = 12;
/** Extended error code, its option within an OPT record, and the codes that are told. */
export const EDE_OPTION = 15;
export const ExtendedError = {
  notReady: 14,
  blocked: 15,
  notSupported: 21,
  noReachableAuthority: 22,
  network: 23,
} as const;
export type ExtendedError = (typeof ExtendedError)[keyof typeof ExtendedError];
