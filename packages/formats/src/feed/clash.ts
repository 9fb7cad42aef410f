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
import { latin1, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { suffixMarkBytes } from '../text/entry.ts';
import { eachLine, trimEnd } from '../text/lines.ts';

const KEY = /^(?:[\w.-]+:|---|%YAML .*)$/;
/** The text before an item of a sequence, with its quote. */
const BEFORE = /^(?:- [ \t]*)?(["'])?/;
/** The text allowed after an item in quotes: the other quote, and a comment. */
const QUOTED_END = /^["'][ \t]*(?:#.*)?$/;

export function importClash(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    if (text.startsWith('#')) collector.skip('comment');
    else if (KEY.test(text)) collector.skip('metadata');
    else importItem(collector, from, text);
  });
}

/** A line, which may be an item of a sequence, in quotes, and with a comment behind it. */
function importItem(collector: Collector, from: number, text: string): void {
  const { bytes } = collector;
  const [before = '', quote] = BEFORE.exec(text) ?? [];
  const [item = ''] = text.slice(before.length).split(quote ?? '#', 1);
  const start = from + before.length;
  if (quote !== undefined && !QUOTED_END.test(text.slice(before.length + item.length))) {
    const reason = `${quoteBytes(bytes, from, from + text.length)} is more than one item: write - name`;
    collector.reject(from, 'bad-clash-line', reason);
  } else if (item.includes(',')) importRule(collector, start, item);
  else {
    const markBytes = suffixMarkBytes(bytes, start);
    const isBelow = item.startsWith('*') || item.startsWith('.');
    const scope = markBytes === 0 ? KeyByte.self : isBelow ? KeyByte.below : KeyByte.both;
    const end = start + item.length;
    collector.name(bytes, start + markBytes, quote ? end : trimEnd(bytes, start, end), scope);
  }
}

/** `TYPE,value[,policy]` */
function importRule(collector: Collector, start: number, rule: string): void {
  const { bytes } = collector;
  const [word = '', name = '', policy = 'REJECT'] = rule.split(',');
  const [type, target] = [word, policy].map((each) => each.trim().toUpperCase()) as [string, string];
  if (type !== 'DOMAIN' && type !== 'DOMAIN-SUFFIX')
    collector.skip(type.startsWith('DOMAIN') ? 'pattern' : 'other-kind');
  else if (!target.startsWith('REJECT')) collector.skip(target === 'DIRECT' ? 'exception' : 'redirect');
  else {
    const at = start + word.length + 1;
    const nameStart = skipBlanks(bytes, at, at + name.length);
    const nameEnd = trimEnd(bytes, nameStart, at + name.length);
    collector.name(bytes, nameStart, nameEnd, type === 'DOMAIN' ? KeyByte.self : KeyByte.both);
  }
}
