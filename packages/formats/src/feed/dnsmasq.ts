/**
 * dnsmasq configurations (dnsmasq(8)) that block names:
 *
 *     server=/name/[name/]…        no server is asked: the name is unknown       local= means the same
 *     address=/name/[name/]…[null] the name has no address, or that of nowhere   null = 0.0.0.0, ::, 127.0.0.1, ::1 or #
 *
 * A name with another server or address is sent there; `server=/name/#` is an exception. Names mean all below
 * them as well, and `*.name` that alone; of all that stands for a name the nearest decides.
 */

import { KeyByte, type KeyEnd } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';

/** The key, what divides it from the value, and the value. */
const SETTING = /^([a-z][a-z0-9-]*)([ \t]*(?:=[ \t]*|$))(.*)$/;
const NULL_ADDRESSES: ReadonlySet<string> = new Set(['', '#', '0.0.0.0', '::', '127.0.0.1', '::1']);

export function importDnsmasq(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    const [, key = '', divider = '', value = ''] = SETTING.exec(text) ?? [];
    const isBlock = key === 'address' || key === 'server' || key === 'local';
    if (text.startsWith('#')) collector.skip('comment');
    else if (key === '') {
      const reason = `${quoteBytes(bytes, from, end)} is no setting of dnsmasq: write server=/name/`;
      collector.reject(from, 'bad-dnsmasq-line', reason);
    } else if (isBlock && value.startsWith('/'))
      importNames(collector, key, from + key.length + divider.length, value);
    else collector.skip('directive');
  });
}

/** Names with a slash before and behind each, then what they are given, or a comment from `#` on. */
function importNames(collector: Collector, key: string, at: number, value: string): void {
  const hash = value.indexOf('#');
  const isNote = hash > 0 && value[hash - 1] !== '/';
  const fields = (isNote ? value.slice(0, hash) : value).split('/');
  const target = fields.pop()?.trimEnd() ?? '';
  if (fields.length < 2)
    collector.reject(at + 1, 'bad-dnsmasq-line', 'no slash behind the name: write server=/name/');
  else {
    const isException = key !== 'address' && target === '#';
    const isBlock = key === 'address' ? NULL_ADDRESSES.has(target) : target === '';
    if (!isException && !isBlock) collector.skip('redirect');
    else {
      let start = at;
      for (const name of fields) {
        if (start > at) importName(collector, start, name, isException);
        start += name.length + 1;
      }
    }
  }
}

function importName(collector: Collector, start: number, name: string, isException: boolean): void {
  const end = start + name.length;
  const take = (from: number, scope: KeyEnd): boolean =>
    isException
      ? collector.exception(collector.bytes, from, end, scope)
      : collector.name(collector.bytes, from, end, scope);
  if (name === '' || name.startsWith('#'))
    collector.skip('directive'); // names without a dot; all names
  else if (name.startsWith('*.')) take(start + 2, KeyByte.below);
  else if (name.startsWith('*')) collector.skip('pattern');
  else take(name.startsWith('.') ? start + 1 : start, KeyByte.both);
}
