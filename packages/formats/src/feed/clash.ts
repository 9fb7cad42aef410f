/**
 * Rule providers of Clash and mihomo (wiki.metacubex.one, "rule-providers"), of names, as YAML below
 * `payload:` or one a line:
 *
 *     - DOMAIN-SUFFIX,name     the name and all below it     - '+.name'     likewise
 *     - DOMAIN,name            the name alone                - name         likewise
 *                                                            - '*.name'     what is below it, as '.name'
 *
 * A rule that has a policy behind it is used if that rejects. Rules about addresses and patterns are skipped.
 */

import { KeyByte } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { COMMA, DASH, DOT, HASH, QUOTE, SINGLE_QUOTE, SPACE, STAR } from '../text/ascii.ts';
import { indexIn, latin1, skipBlanks } from '../text/bytes.ts';
import { suffixMarkBytes } from '../text/entry.ts';
import { eachLine, trimEnd } from '../text/lines.ts';

const KEY = /^(?:[\w.-]+:|---|%YAML .*)$/;

export function importClash(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, lineEnd) => {
    if (bytes[from] === HASH) collector.skip('comment');
    else if (KEY.test(latin1(bytes, from, lineEnd))) collector.skip('metadata');
    else importItem(collector, from, lineEnd);
  });
}

/** A line, which may be an item of a sequence, in quotes, and with a comment behind it. */
function importItem(collector: Collector, from: number, lineEnd: number): void {
  const { bytes } = collector;
  const isItem = bytes[from] === DASH && bytes[from + 1] === SPACE;
  let start = isItem ? skipBlanks(bytes, from + 1, lineEnd) : from;
  const quote = bytes[start];
  let end = -1;
  if (quote === QUOTE || quote === SINGLE_QUOTE) end = indexIn(bytes, quote, ++start, lineEnd);
  else {
    end = indexIn(bytes, HASH, start, lineEnd);
    if (end > 0) end = trimEnd(bytes, start, end);
  }
  if (end < 0) end = lineEnd;
  if (indexIn(bytes, COMMA, start, end) >= 0) importRule(collector, start, end);
  else {
    const markBytes = suffixMarkBytes(bytes, start);
    const isBelow = bytes[start] === STAR || bytes[start] === DOT;
    const scope = markBytes === 0 ? KeyByte.self : isBelow ? KeyByte.below : KeyByte.both;
    collector.name(bytes, start + markBytes, end, scope);
  }
}

/** `TYPE,value[,policy]` */
function importRule(collector: Collector, start: number, end: number): void {
  const { bytes } = collector;
  const comma = indexIn(bytes, COMMA, start, end);
  const next = indexIn(bytes, COMMA, comma + 1, end);
  const type = latin1(bytes, start, comma).trim().toUpperCase();
  const policy =
    next < 0
      ? 'REJECT'
      : latin1(bytes, next + 1, end)
          .trim()
          .toUpperCase();
  if (type !== 'DOMAIN' && type !== 'DOMAIN-SUFFIX')
    collector.skip(type.startsWith('DOMAIN') ? 'pattern' : 'other-kind');
  else if (!policy.startsWith('REJECT')) collector.skip(policy === 'DIRECT' ? 'exception' : 'redirect');
  else {
    const nameStart = skipBlanks(bytes, comma + 1, end);
    const nameEnd = trimEnd(bytes, nameStart, next < 0 ? end : next);
    collector.name(bytes, nameStart, nameEnd, type === 'DOMAIN' ? KeyByte.self : KeyByte.both);
  }
}
