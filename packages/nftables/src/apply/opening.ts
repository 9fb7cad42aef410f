/**
 * The protocol between `rulecast-dns` and the applier, over a socket of its own: it asks to open addresses
 * for a qube before it sends them in an answer. There are no other requests. Numbers are big-endian.
 *
 *     request   u16 bytes that follow │ u32 id │ u8 family of the qube │ u8 family │ u8 addresses
 *               │ u32 seconds │ list 8 │ version 8 │ address of the qube │ addresses │ label, the rest
 *     answer    u32 id │ u8 outcome │ which 8: bit `i & 7` of byte `i >> 3` says of address i that it is open
 *
 * This file loads nothing of the applier's, as the asking process has none of its rights.
 */

import type { Family } from '@rulecast/rules';
import { bitsOf } from '@rulecast/rules/columns';
import { NAME_ADDRESSES_OF_ONE_MAX, OPEN_GRACE_S, OPEN_MAX_S, OPEN_MIN_S } from '../limits.ts';
import { isNameLabel, type NameLabel } from '../plan/name-set.ts';
import type { Key } from '../plan/plan.ts';

export interface Opening {
  /** Repeated in the answer. */
  readonly id: number;
  /**
   * Family of the addresses. The qube's own address may be of the other family: the one it sent the question
   * from.
   */
  readonly family: Family;
  /** The time it stays open, grace included. */
  readonly seconds: number;
  /** The list and its state, as in the name of its set. */
  readonly key: Key;
  readonly version: Key;
  /** The address it sent the question from: 4 or 16 bytes. */
  readonly qube: Uint8Array;
  /** From 1 to NAME_ADDRESSES_OF_ONE_MAX, of as many bytes each. */
  readonly addresses: readonly Uint8Array[];
  readonly label: NameLabel;
}

export const Outcome = {
  /** They are in the kernel. */
  open: 0,
  /** Never: an address that no name opens, or no qube of that list. */
  refused: 1,
  /** Too many qubes have openings by this list; or all openings of this qube have flows. */
  full: 2,
  /** Its list or state is not in force; it may be soon, when both processes have the same release. */
  later: 3,
  /** No address of the qube is known in that family, or none that the list is for. */
  unknown: 4,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];
/**
 * The outcome for all addresses of an opening; or, if there was room for some only, whether each is in the
 * kernel.
 */
export type OpeningOutcome = Outcome | readonly boolean[];
/** By their numbers, which leave none out. */
const OUTCOMES: readonly Outcome[] = Object.values(Outcome);

/** The wire value for an outcome by address; for all others `which` is zero. */
const SOME = 5;
const WHICH_BYTES = NAME_ADDRESSES_OF_ONE_MAX / 8;
const WHICH_AT = 5;
export const ANSWER_BYTES = WHICH_AT + WHICH_BYTES;
const LENGTH_BYTES = 2;
const HEAD_BYTES = 27;
const KEY_BYTES = 8;
const REQUEST_MAX_BYTES = HEAD_BYTES + 16 + NAME_ADDRESSES_OF_ONE_MAX * 16 + 127;

/** The peer does not speak the protocol of `rulecast-dns`. */
export class OpeningError extends Error {}

/** How long an address stays open whose record has this time to live. */
export function openSecondsOf(ttlSeconds: number): number {
  return Math.min(OPEN_MAX_S, Math.max(OPEN_MIN_S, ttlSeconds)) + OPEN_GRACE_S;
}

export function openingFrame(opening: Opening): Uint8Array {
  const { id, family, seconds, key, version, qube, addresses, label } = opening;
  const head = Buffer.alloc(LENGTH_BYTES + HEAD_BYTES);
  const bytes = Buffer.concat([head, qube, ...addresses, Buffer.from(label, 'latin1')]);
  bytes.writeUInt16BE(bytes.length - LENGTH_BYTES, 0);
  bytes.writeUInt32BE(id, 2);
  bytes[6] = qube.length === 4 ? 4 : 6;
  bytes[7] = family;
  bytes[8] = addresses.length;
  bytes.writeUInt32BE(seconds, 9);
  bytes.write(key + version, 13, 'hex');
  return bytes;
}

export function answerFrame(id: number, outcome: OpeningOutcome): Uint8Array {
  const bytes = Buffer.alloc(ANSWER_BYTES);
  bytes.writeUInt32BE(id, 0);
  bytes[4] = typeof outcome === 'number' ? outcome : SOME;
  if (typeof outcome === 'number') return bytes;
  // an existing address
  for (const [i, isOpen] of outcome.entries()) if (isOpen) bytes[WHICH_AT + (i >> 3)]! |= 1 << (i & 7);
  return bytes;
}

/** The requests of a stream. Holds no more than one. */
export class OpeningReader {
  #held: Buffer = Buffer.alloc(0);

  /** The requests that end in these bytes. Throws OpeningError for what is none; read no more then. */
  *feed(bytes: Uint8Array): Generator<Opening> {
    let rest = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    while (rest.length >= LENGTH_BYTES) {
      const length = rest.readUInt16BE(0);
      if (length <= HEAD_BYTES || length > REQUEST_MAX_BYTES)
        throw new OpeningError('a request with a wrong length');
      if (rest.length < LENGTH_BYTES + length) break;
      yield openingIn(rest.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      rest = rest.subarray(LENGTH_BYTES + length);
    }
    this.#held = Buffer.from(rest); // a copy, not a view of all bytes received
  }
}

/** The answers of a stream. */
export class AnswerReader {
  #held: Buffer = Buffer.alloc(0);

  /** The answers completed by these bytes. Throws OpeningError for an unknown outcome. */
  feed(bytes: Uint8Array): readonly { readonly id: number; readonly outcome: OpeningOutcome }[] {
    const all = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    const whole = all.length - (all.length % ANSWER_BYTES);
    this.#held = all.subarray(whole);
    return Array.from({ length: whole / ANSWER_BYTES }, (_, index) => {
      const at = index * ANSWER_BYTES;
      const said = all[at + 4]!; // of ANSWER_BYTES
      const outcome = said === SOME ? whichOf(all, at) : OUTCOMES[said];
      if (outcome === undefined) throw new OpeningError('an answer of an unknown kind');
      return { id: all.readUInt32BE(at), outcome };
    });
  }
}

function whichOf(bytes: Uint8Array, at: number): readonly boolean[] {
  const isOpen = (i: number): boolean => (bytes[at + WHICH_AT + (i >> 3)]! & (1 << (i & 7))) !== 0; // whole
  return Array.from({ length: NAME_ADDRESSES_OF_ONE_MAX }, (_, i) => isOpen(i));
}

function openingIn(bytes: Buffer): Opening {
  const [ofQube, family] = [bytes[4] === 4 ? 4 : 6, bytes[5] === 4 ? 4 : 6] as const;
  const [qubeBytes, size] = [ofQube, family].map((each) => bitsOf(each) / 8) as [number, number];
  const count = bytes[6] ?? 0;
  const seconds = bytes.readUInt32BE(7);
  const at = (index: number): number => HEAD_BYTES + qubeBytes + index * size;
  const label = bytes.toString('latin1', Math.min(bytes.length, at(count)));
  const isSound =
    bytes[4] === ofQube &&
    bytes[5] === family &&
    count > 0 &&
    count <= NAME_ADDRESSES_OF_ONE_MAX &&
    seconds >= OPEN_MIN_S &&
    seconds <= OPEN_MAX_S + OPEN_GRACE_S &&
    isNameLabel(label);
  if (!isSound) throw new OpeningError('a malformed request');
  const part = (from: number, to: number): Uint8Array => new Uint8Array(bytes.subarray(from, to));
  return {
    id: bytes.readUInt32BE(0),
    family,
    seconds,
    key: bytes.toString('hex', 11, 11 + KEY_BYTES),
    version: bytes.toString('hex', 11 + KEY_BYTES, HEAD_BYTES),
    qube: part(HEAD_BYTES, at(0)),
    addresses: Array.from({ length: count }, (_, index) => part(at(index), at(index + 1))),
    label,
  };
}
