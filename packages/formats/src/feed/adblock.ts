/**
 * Rules of ad blockers, after the syntax that EasyList, AdGuard and uBlock Origin share. A list of names can
 * hold what blocks a whole name, `||name^`, and single names and lines of hosts files as AdGuard Home takes
 * them. The rest is about parts of pages or patterns of addresses, is skipped and counted.
 *
 *     rule = ["@@"] pattern ["$" option ["," option]…]
 *
 * `||name^` is the name and all below it, `||*.name^` what is below it. Exceptions are counted and left out.
 */

import { KeyByte, newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import type { SkipCode } from '../collect/options.ts';
import { indexIn, latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';
import { importHostsLine } from './hosts.ts';

const AT = 0x40;
const BANG = 0x21;
const BAR = 0x7c;
const CARET = 0x5e;
const CLOSE_BRACKET = 0x5d;
const DOLLAR = 0x24;
const DOT = 0x2e;
const HASH = 0x23;
const OPEN_BRACKET = 0x5b;
const SLASH = 0x2f;
const SPACE = 0x20;
const STAR = 0x2a;
const TAB = 0x09;

/** Marks of rules about parts of pages: a `#` or `$` pair with signs between them. */
const COSMETIC = /#@?(?:[?$%]+|@)?#|#@?\$\?#|\$@?\$/;
/** Options that leave a rule about all of the name. */
const WHOLE_OPTIONS: ReadonlySet<string> = new Set(['important', 'all', 'document', 'doc']);

const scratch = newPrefixScratch();

export function importAdblock(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const first = bytes[from];
    if (first === BANG || (first === OPEN_BRACKET && bytes[end - 1] === CLOSE_BRACKET))
      collector.skip('comment');
    else if (first === HASH && isComment(bytes, from, end)) collector.skip('comment');
    else importRule(collector, from, end);
  });
}

function isComment(bytes: Uint8Array, from: number, end: number): boolean {
  const next = bytes[from + 1];
  return from + 1 === end || next === SPACE || next === TAB || !COSMETIC.test(latin1(bytes, from, end));
}

function importRule(collector: Collector, from: number, end: number): void {
  const { bytes } = collector;
  if (bytes[from] === BAR && bytes[from + 1] === BAR) {
    const caret = indexIn(bytes, CARET, from, end);
    if (caret > 0 && (caret + 1 === end || isWholeRule(bytes, caret + 1, end))) {
      importBlockedName(collector, from + 2, caret);
      return;
    }
  }
  const why = skipCodeOf(bytes, from, end);
  if (why !== undefined) collector.skip(why);
  else if (!importHostsLine(collector, from, end)) {
    const reason = `${quoteBytes(bytes, from, end)} is no rule of an ad blocker: a name is blocked by ||name^`;
    collector.reject(from, 'bad-adblock-rule', reason);
  }
}

/** `||name^`, whose name may be an address or a pattern. */
function importBlockedName(collector: Collector, start: number, end: number): void {
  const { bytes } = collector;
  const isBelow = bytes[start] === STAR && bytes[start + 1] === DOT;
  const from = isBelow ? start + 2 : start;
  if (indexIn(bytes, STAR, from, end) >= 0 || indexIn(bytes, SLASH, from, end) >= 0)
    collector.skip('pattern');
  else if (parsePrefixBytes(bytes, start, end, scratch) === undefined) collector.skip('other-kind');
  else collector.name(bytes, from, end, isBelow ? KeyByte.below : KeyByte.both);
}

/** Whether what follows the `^` leaves the rule about all of the name: nothing but options that do. */
function isWholeRule(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== DOLLAR) return false;
  return latin1(bytes, start + 1, end)
    .split(',')
    .every((option) => WHOLE_OPTIONS.has(option.trim()));
}

/** Why a rule that does not block a whole name is skipped; undefined if it is no rule but may be a name. */
function skipCodeOf(bytes: Uint8Array, from: number, end: number): SkipCode | undefined {
  const text = latin1(bytes, from, end);
  if (COSMETIC.test(text)) return 'cosmetic';
  if (bytes[from] === AT && bytes[from + 1] === AT) return 'exception';
  if (/[ \t]/.test(text)) return undefined;
  if (/^\|\|[^/*^]+\^\$/.test(text)) return 'partial';
  return /^[\w-]+(?:\.[\w-]+)+\.?$/.test(text) ? undefined : 'pattern';
}
