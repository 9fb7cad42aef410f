/**
 * DNS response policy zones, as zone files (RFC 1035 §5.1): a blocked name has a CNAME to the root, `*.`, or
 * `rpz-drop.`, or an address of nowhere.
 *
 *     owner [TTL] [class] CNAME .
 *
 * A name whose CNAME is `rpz-passthru.` is an exception; the nearest of what stands for a name decides. Names
 * may be relative to the zone or end in its name. `*.name` is what is below it, and with `name` beside it
 * both. Triggers other than the name that was asked for are skipped.
 */

import { KeyByte, type KeyEnd } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { DOLLAR, QUOTE, SEMICOLON } from '../text/ascii.ts';
import { isBlank, quoteBytes } from '../text/bytes.ts';
import { eachLine, latin1Words } from '../text/lines.ts';

const CLASS_OR_TTL = /^(?:IN|CH|HS|\d+|(?:\d+[smhdw])+)$/i;
const TYPE = /^(?:[A-Z]+\d*)$/i;
const BLOCKING_TARGETS: ReadonlySet<string> = new Set(['.', '*.', 'rpz-drop.']);
const EXCEPTION_TARGETS: ReadonlySet<string> = new Set(['rpz-passthru.', 'rpz-tcp-only.']);
const NULL_ADDRESSES: ReadonlySet<string> = new Set(['0.0.0.0', '127.0.0.1', '::', '::1']);
const TRIGGER = /(?:^|\.)rpz-(?:ip|nsip|client-ip|nsdname)(?:\.|$)/i;

export function importRpz(collector: Collector, start: number): void {
  new RpzReader(collector).read(start);
}

class RpzReader {
  readonly #collector: Collector;
  /** The zone's name in lower case with a dot at both ends; empty until a line says it. */
  #origin = '';
  #isOpen = false; // within parentheses that continue a record over lines
  #owner = ''; // of the record before
  #ownerStart = 0;
  #lastBlocked = -1; // the start of the owner used last: one owner may have many records

  constructor(collector: Collector) {
    this.#collector = collector;
  }

  read(start: number): void {
    const collector = this.#collector;
    const { bytes } = collector;
    eachLine(collector, start, (from, lineEnd) => {
      if (bytes[from] === SEMICOLON) {
        collector.skip('comment');
        return;
      }
      const words = latin1Words(bytes, from, endBeforeComment(bytes, from, lineEnd));
      if (this.#isOpen) {
        collector.skip('metadata');
        this.#isOpen = !words.some((word) => word.includes(')'));
      } else if (bytes[from] === DOLLAR) this.#readControl(words);
      else {
        const isContinued = isBlank(bytes[collector.lineStart]);
        if (!isContinued) {
          this.#owner = words.shift() ?? '';
          this.#ownerStart = from;
        }
        this.#readRecord(words, from, lineEnd);
      }
    });
    if (this.#isOpen) {
      const reason = 'the file ends within the parentheses of a record: it is truncated';
      collector.refuseFile({ line: collector.line, column: 1, code: 'truncated', reason });
    }
  }

  #readControl(words: readonly string[]): void {
    const [control, value] = words;
    if (control?.toUpperCase() === '$ORIGIN' && value !== undefined) this.#origin = zoneName(value);
    this.#collector.skip('metadata');
  }

  #readRecord(words: readonly string[], from: number, lineEnd: number): void {
    const collector = this.#collector;
    let at = 0;
    while (CLASS_OR_TTL.test(words[at] ?? '')) at++;
    const type = (words[at] ?? '').toUpperCase();
    const target = (words[at + 1] ?? '').toLowerCase();
    if (type === 'SOA' || type === 'NS') {
      if (type === 'SOA' && this.#origin === '' && this.#owner !== '@') this.#origin = zoneName(this.#owner);
      this.#isOpen = words.some((word) => word.includes('(')) && !words.some((word) => word.includes(')'));
      collector.skip('metadata');
    } else if (!TYPE.test(type) || target === '') {
      const shown = quoteBytes(collector.bytes, from, lineEnd);
      collector.reject(from, 'bad-rpz-record', `${shown} is no record of a zone: write name CNAME .`);
    } else this.#readPolicy(type, target);
  }

  #readPolicy(type: string, target: string): void {
    const collector = this.#collector;
    const isAddress = type === 'A' || type === 'AAAA';
    const isException = type === 'CNAME' && EXCEPTION_TARGETS.has(target);
    if (TRIGGER.test(this.#owner)) collector.skip(isException ? 'exception' : 'partial');
    else if (this.#owner === '@') collector.skip('metadata');
    else if (isException) this.#takeOwner((...at) => collector.exception(...at));
    else if (isAddress ? NULL_ADDRESSES.has(target) : type === 'CNAME' && BLOCKING_TARGETS.has(target)) {
      if (this.#lastBlocked === this.#ownerStart) collector.skip('metadata');
      else {
        this.#lastBlocked = this.#ownerStart;
        this.#takeOwner((...at) => collector.name(...at));
      }
    } else collector.skip(type === 'CNAME' || isAddress ? 'redirect' : 'directive');
  }

  #takeOwner(take: (text: Uint8Array, start: number, end: number, scope: KeyEnd) => boolean): void {
    const { bytes } = this.#collector;
    const start = this.#ownerStart;
    const end = start + this.#relativeChars();
    const isBelow = this.#owner.startsWith('*.');
    if (isBelow && end === start + 1)
      this.#collector.skip('pattern'); // all names of the zone
    else if (isBelow) take(bytes, start + 2, end, KeyByte.below);
    else take(bytes, start, end, KeyByte.self);
  }

  /** The number of characters of the owner before the zone's own name. */
  #relativeChars(): number {
    const owner = this.#owner;
    const origin = this.#origin;
    const isWithin = owner.endsWith('.') && origin !== '' && owner.toLowerCase().endsWith(origin);
    return isWithin ? owner.length - origin.length : owner.length;
  }
}

/** A zone's name with a dot at both ends, so that it ends the names within it. */
function zoneName(text: string): string {
  const name = text.toLowerCase().replace(/^\.|\.$/g, '');
  return name === '' ? '' : `.${name}.`;
}

/** The start of a record's comment: a `;` outside of quotes. */
function endBeforeComment(bytes: Uint8Array, from: number, end: number): number {
  let isQuoted = false;
  for (let at = from; at < end; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) isQuoted = !isQuoted;
    else if (byte === SEMICOLON && !isQuoted) return at;
  }
  return end;
}
