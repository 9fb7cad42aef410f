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
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';
import { importHostsLine } from './hosts.ts';

/** Comments and headers, but for `#`, which may begin a rule about a part of a page. */
const COMMENT = /^(?:!|\[.*\]$|#(?:[ \t]|$))/;
/** Marks of rules about parts of pages: a `#` or `$` pair with signs between them. */
const COSMETIC = /#@?(?:[?$%]+|@)?#|#@?\$\?#|\$@?\$/;
/** `||`, what says that only names below are meant, the name, and the options. */
const BLOCK = /^\|\|(\*\.)?([^^]*)\^(?:\$(.*))?$/;
/** Options that leave a rule about all of the name. */
const WHOLE_OPTIONS: ReadonlySet<string> = new Set(['important', 'all', 'document', 'doc']);

const scratch = newPrefixScratch();

export function importAdblock(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    if (COMMENT.test(text) || (text.startsWith('#') && !COSMETIC.test(text))) {
      collector.skip('comment');
      return;
    }
    const [, below = '', name, options] = BLOCK.exec(text) ?? [];
    const isWhole = options?.split(',').every((option) => WHOLE_OPTIONS.has(option.trim())) ?? true;
    const why = name !== undefined && isWhole ? undefined : skipCodeOf(text);
    if (name !== undefined && isWhole) importBlockedName(collector, from + 2, below, name);
    else if (why !== undefined) collector.skip(why);
    else if (!importHostsLine(collector, from, end)) {
      const reason = `${quoteBytes(bytes, from, end)} is no rule of an ad blocker: a name is blocked by ||name^`;
      collector.reject(from, 'bad-adblock-rule', reason);
    }
  });
}

/** `||name^`, whose name may be an address or a pattern. */
function importBlockedName(collector: Collector, start: number, below: string, name: string): void {
  const { bytes } = collector;
  const from = start + below.length;
  const end = from + name.length;
  if (/[*/]/.test(name)) collector.skip('pattern');
  else if (parsePrefixBytes(bytes, start, end, scratch) === undefined) collector.skip('other-kind');
  else collector.name(bytes, from, end, below === '' ? KeyByte.both : KeyByte.below);
}

/** Why a rule that does not block a whole name is skipped; undefined if it is no rule but may be a name. */
function skipCodeOf(text: string): SkipCode | undefined {
  if (COSMETIC.test(text)) return 'cosmetic';
  if (text.startsWith('@@')) return 'exception';
  if (/[ \t]/.test(text)) return undefined;
  if (/^\|\|[^/*^]+\^\$/.test(text)) return 'partial';
  return /^[\w-]+(?:\.[\w-]+)+\.?$/.test(text) ? undefined : 'pattern';
}
