/**
 * Scored tables: an address or CIDR, blanks or a separator, and a number: how bad it is, or how many lists
 * name it.
 *
 *     line = entry (blank | "," | ";" | "|")… number [blank anything]
 */

import type { Collector } from '../collect/collector.ts';
import { isBlank, quoteBytes } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { eachLine } from '../text/lines.ts';
import { addressBehind } from '../text/within.ts';

const BAR = 0x7c;
const COMMA = 0x2c;
const DOT = 0x2e;
const HASH = 0x23;
const SEMICOLON = 0x3b;
const ZERO = 0x30;

export function importScored(collector: Collector, start: number): void {
  const { bytes, options } = collector;
  const minScore = options.minScore ?? Number.NEGATIVE_INFINITY;
  eachLine(collector, start, (from, end) => {
    const first = bytes[from];
    if (first === HASH || first === SEMICOLON) {
      collector.skip('comment');
      return;
    }
    let entryEnd = from;
    while (entryEnd < end && !isSeparator(bytes[entryEnd])) entryEnd++;
    let at = entryEnd;
    while (at < end && isSeparator(bytes[at])) at++;
    const score = numberAt(bytes, at, end);
    if (score === undefined) {
      const reason = `${quoteBytes(bytes, from, end)} has no number behind the address`;
      collector.reject(at, 'no-score', reason);
      return;
    }
    const other = addressBehind(bytes, at, end);
    if (other !== undefined) {
      const reason = `a second address, ${quoteBytes(bytes, other.start, other.end)}: write one entry a line`;
      collector.reject(other.start, EntryFaultCode.secondAddress, reason);
    } else if (score < minScore) collector.skip('low-score');
    else collector.address(bytes, from, entryEnd);
  });
}

function isSeparator(byte: number | undefined): boolean {
  // Mostly digits and points, which are told by one comparison or two.
  if (byte === undefined || (byte > COMMA && byte < SEMICOLON)) return false;
  return isBlank(byte) || byte === COMMA || byte === SEMICOLON || byte === BAR;
}

/** The number that is the next word: digits with at most one point. Undefined if it is none. */
function numberAt(bytes: Uint8Array, start: number, end: number): number | undefined {
  let value = 0;
  let fraction = 0; // the weight of the digit read last, once the point is passed
  let digits = 0;
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!; // at < end <= bytes.length
    const digit = byte - ZERO;
    if (digit >= 0 && digit <= 9) {
      digits++;
      if (fraction === 0) value = value * 10 + digit;
      else {
        value += digit * fraction;
        fraction /= 10;
      }
    } else if (byte === DOT && fraction === 0) fraction = 0.1;
    else break;
  }
  return digits > 0 && (at === end || isSeparator(bytes[at]) || bytes[at] === HASH) ? value : undefined;
}
