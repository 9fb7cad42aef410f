/**
 * Names as they stand in messages: labels with their lengths before them, the root at the end, and pointers
 * to an earlier copy of a name's rest. RFC 1035 §3.1, §4.1.4.
 *
 *   3 w w w 7 e x a m p l e 0          3 w w w ▸ 16
 *
 * A label may hold any byte. Pointers lead backwards only, and at most as many are followed as a name has
 * labels: a message of 64 KiB costs a walk of that many bytes for each of its records at the most.
 */

import { HEADER_BYTES, POINTER_BITS, WIRE_NAME_MAX_BYTES } from './wire.ts';

/** Most pointers on the way to the end of a name; it has no more labels. */
const POINTERS_MAX = 127;
const DOT = 0x2e;
const BACKSLASH = 0x5c;

/** Memory for one name. */
export function newNameScratch(): Uint8Array {
  return new Uint8Array(WIRE_NAME_MAX_BYTES);
}

/**
 * The end of the name that starts at `at`, behind its root or its first pointer; -1 if it is invalid: cut
 * off, too long, or pointing forward, into the header or in circles.
 */
export function nameEnd(bytes: Uint8Array, at: number): number {
  return walked(bytes, at, undefined) < 0 ? -1 : endInPlace(bytes, at);
}

/** Writes the whole name that starts at `at` to `out`. Its length with the root, or -1 where it is none. */
export function readName(bytes: Uint8Array, at: number, out: Uint8Array): number {
  return walked(bytes, at, out);
}

function walked(bytes: Uint8Array, start: number, out: Uint8Array | undefined): number {
  let at = start;
  let limit = start; // a pointer leads before the part that it ends
  let used = 0;
  let pointers = 0;
  for (;;) {
    if (at >= bytes.length) return -1;
    const length = bytes[at]!; // at < length
    if (length >= POINTER_BITS) {
      if (at + 1 >= bytes.length || ++pointers > POINTERS_MAX) return -1;
      const to = ((length & ~POINTER_BITS) << 8) | bytes[at + 1]!; // within the bytes
      if (to >= limit || to < HEADER_BYTES) return -1;
      at = to;
      limit = to;
      continue;
    }
    if (length >= 64) return -1; // kinds of labels that nobody uses (RFC 6891 §5)
    const end = at + 1 + length;
    if (used + 1 + length > WIRE_NAME_MAX_BYTES || end > bytes.length) return -1;
    if (out !== undefined) for (let i = at; i < end; i++) out[used + i - at] = bytes[i]!; // checked above
    used += 1 + length;
    if (length === 0) return used;
    at = end;
  }
}

/** For a valid name. */
function endInPlace(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at]!; // the name was walked
    if (length >= POINTER_BITS) return at + 2;
    at += 1 + length;
    if (length === 0) return at;
  }
}

/**
 * Whether two whole names are the same, whatever the case of their letters. Lengths are below every letter,
 * so that bytes are compared without regard to what they are.
 */
export function sameName(a: Uint8Array, b: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (lower(a[i]!) !== lower(b[i]!)) return false; // both are of that length
  return true;
}

/** Whether the whole name at `at` is another whole one, or below it. */
export function isWithin(name: Uint8Array, at: number, zone: Uint8Array): boolean {
  for (
    let start = at;
    name[start]! !== 0;
    start += 1 + name[start]! // a whole name
  )
    if (sameName(name.subarray(start), zone, zone.length)) return true;
  return false;
}

/** A byte, and of a letter A to Z the small one. */
export function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/**
 * Sets the case of each letter in `bytes[start, end)` by the bits of `bits`, in turn: an answer with the same
 * case is from a server that saw the question (draft-vixie-dnsext-dns0x20).
 */
export function turnCase(bytes: Uint8Array, start: number, end: number, bits: Uint8Array): void {
  let letters = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]! | 0x20; // within the bytes
    if (byte < 0x61 || byte > 0x7a) continue;
    const bit = (bits[(letters >> 3) % bits.length]! >> (letters & 7)) & 1; // below the length
    bytes[i] = bit === 0 ? byte : byte & ~0x20;
    letters++;
  }
}

/**
 * A whole name for people: small letters, without the dot of the root; what is no letter, digit, `-` or `_`
 * as `\DDD` (RFC 1035 §5.1), so that no name is another one's text.
 */
export function nameText(bytes: Uint8Array, at = 0): string {
  let text = '';
  for (let start = at; ; ) {
    const length = bytes[start]!; // a whole name
    if (length === 0) return text === '' ? '.' : text;
    if (start > at) text += '.';
    for (let i = start + 1; i <= start + length; i++) text += characterText(lower(bytes[i]!)); // likewise
    start += 1 + length;
  }
}

function characterText(byte: number): string {
  if (byte === DOT || byte === BACKSLASH || byte <= 0x20 || byte >= 0x7f) {
    return `\\${String(byte).padStart(3, '0')}`;
  }
  return String.fromCharCode(byte);
}

/** The whole name of a host name in normal form, which has no such characters. */
export function nameBytes(text: string): Uint8Array {
  const labels = text === '.' ? [] : text.split('.');
  return Uint8Array.from([...labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]), 0]);
}
