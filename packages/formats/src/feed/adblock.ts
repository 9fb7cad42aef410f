/**
 * Rules of ad blockers, after the syntax that EasyList, AdGuard and uBlock Origin share. A list of names can
 * use rules that block a whole name, `||name^`, and single names and lines of hosts files, as AdGuard Home
 * accepts them. Other rules are about parts of pages or patterns of addresses; they are skipped and counted.
 *
 *     rule = ["@@"] pattern ["$" option ["," option]…]
 *
 * `||name^` is the name and all below it, `||*.name^` what is below it. `@@` before either makes an
 * exception, and `@@|name^` one of the name alone: it wins over all rules but those with `$important`.
 */

import { KeyByte, type KeyEnd, newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import type { SkipCode } from '../collect/options.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';
import { importHostsLine } from './hosts.ts';

/** Comments and headers, but for `#`, which may begin a rule about a part of a page. */
const COMMENT = /^(?:!|\[.*\]$|#(?:[ \t]|$))/;
/** Marks of rules about parts of pages: a `#` or `$` pair with signs between them. */
const COSMETIC = /#@?(?:[?$%]+|@)?#|#@?\$\?#|\$@?\$/;
/** The groups: exception, `||`, the mark for names below only, the name, its end, and the options. */
const WHOLE = /^(@@)?(\|\|?)(\*\.)?([^^]*)\^(\|)?(?:\$(.*))?$/;
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
    const rule = ruleOf(text);
    const why = rule === undefined ? skipCodeOf(text) : undefined;
    if (rule !== undefined) importName(collector, from, rule);
    else if (why !== undefined) collector.skip(why);
    else if (!importHostsLine(collector, from, end)) {
      const reason = `${quoteBytes(bytes, from, end)} is no rule of an ad blocker: a name is blocked by ||name^`;
      collector.reject(from, 'bad-adblock-rule', reason);
    }
  });
}

/** A rule for a whole name, by its look. */
interface WholeRule {
  readonly isException: boolean;
  readonly isImportant: boolean;
  readonly scope: KeyEnd;
  readonly name: string;
  /** The name's position in the rule. */
  readonly at: number;
}

function ruleOf(text: string): WholeRule | undefined {
  const [, exception = '', bars = '', below = '', name, bar, options] = WHOLE.exec(text) ?? [];
  const all = options?.split(',').map((option) => option.trim()) ?? [];
  const isException = exception !== '';
  const isOfBegin = bars === '|';
  if (name === undefined || !all.every((option) => WHOLE_OPTIONS.has(option))) return undefined;
  // A bar says where an address begins or ends: in a rule that blocks, of less than the name.
  if (!isException && (isOfBegin || bar !== undefined)) return undefined;
  if (isOfBegin && below !== '') return undefined;
  const scope = below !== '' ? KeyByte.below : isOfBegin ? KeyByte.self : KeyByte.both;
  const at = exception.length + bars.length + below.length;
  return { isException, isImportant: all.includes('important'), scope, name, at };
}

/** The name may turn out to be an address or a pattern. */
function importName(collector: Collector, start: number, rule: WholeRule): void {
  const { bytes } = collector;
  const { isException, isImportant, scope, name, at } = rule;
  const from = start + at;
  const end = from + name.length;
  if (/[*/:]/.test(name)) collector.skip(isException ? 'exception' : 'pattern');
  else if (parsePrefixBytes(bytes, from, end, scratch) === undefined)
    collector.skip(isException ? 'exception' : 'other-kind');
  else if (isException) collector.exception(bytes, from, end, scope);
  else if (isImportant) collector.importantName(bytes, from, end, scope);
  else collector.name(bytes, from, end, scope);
}

/** Why a rule that does not block a whole name is skipped; undefined if it is no rule but may be a name. */
function skipCodeOf(text: string): SkipCode | undefined {
  if (COSMETIC.test(text)) return 'cosmetic';
  if (text.startsWith('@@')) return 'exception';
  if (/[ \t]/.test(text)) return undefined;
  if (/^\|\|[^/*^]+\^\$/.test(text)) return 'partial';
  return /^[\w-]+(?:\.[\w-]+)+\.?$/.test(text) ? undefined : 'pattern';
}
