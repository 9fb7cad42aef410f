/**
 * Detects the format of a file by its first meaningful lines, and by its name if they do not tell. The table
 * is read from the top; a new format is a row here and a parser beside this file.
 */

import { parsePrefix } from '@rulecast/rules';
import { contentStart, sampleLines } from '../text/sample.ts';
import { isJsonList, SURICATA_RULE } from './detect-list.ts';

export type Format = 'list' | 'rules' | 'document';

interface Recogniser {
  readonly format: Format;
  /** File names that tell if the content does not. */
  readonly name: RegExp;
  /** First meaningful lines that say it: without blanks around them, not a comment. */
  readonly line: RegExp;
}

/** Lines that decide: a version and a mark of YAML, a key, and the first item. */
const HEAD_LINES = 4;
const YAML_HEAD = /^(?:---$|%YAML\b)/;
const RULE_OPTION =
  /(?:^|\s)(?:action|(?:dst|src)(?:4|6|host|name)?|proto|dstports|icmptype|specialtarget|expire|comment)=/;

/** The first line of `qvm-firewall QUBE list`. */
export const SHOWN_RULES = /^NO\s+ACTION\s+HOST\b/;

const RECOGNISERS: readonly Recogniser[] = [
  {
    format: 'document',
    name: /\.(?:ya?ml|json)$/i,
    line: /^(?:---|%YAML\b|\{|["']?(?:lists|first|common|policies|unmatched)["']?\s*:)/,
  },
  {
    format: 'rules',
    name: /\.rules$/i,
    line: new RegExp(`^(?:accept|drop)(?:\\s|$)|${RULE_OPTION.source}|${SHOWN_RULES.source}`),
  },
];

/** An item of a YAML sequence, and a line that may stand before the first of a list. */
const ITEM = /^-\s+(?!(?:accept|drop)(?:\s|$))\S/;
const ITEM_HEAD = /^(?!(?:lists|common|policies|unmatched):)[\w.-]+:$/;

/**
 * The format of a file; a list if nothing speaks for another. `fileName` may be empty or `-` for what has no
 * name. JSON and YAML that have no key of a rule set document are lists whatever their name.
 */
export function detectFormat(fileName: string, bytes: Uint8Array): Format {
  if (isJsonList(bytes)) return 'list';
  const lines = meaningfulLines(bytes);
  const [first = '', second = ''] = lines.filter((line) => !YAML_HEAD.test(line));
  if (SURICATA_RULE.test(first)) return 'list'; // their files have the same suffix as ours
  if (ITEM.test(first) || (ITEM_HEAD.test(first) && ITEM.test(second))) return 'list';
  const said = RECOGNISERS.find(({ line }) => line.test(lines[0] ?? ''));
  const isAddress = typeof parsePrefix(first.split(/[\s,;#]/, 1)[0] ?? '') !== 'string';
  const named = isAddress ? undefined : RECOGNISERS.find(({ name }) => name.test(fileName));
  return (said ?? named)?.format ?? 'list';
}

/** The first lines that are neither blank nor a comment, trimmed. */
function meaningfulLines(bytes: Uint8Array): readonly string[] {
  const lines: string[] = [];
  for (const line of sampleLines(bytes, contentStart(bytes))) {
    if (!/^(?:#|;|\/\/)/.test(line)) lines.push(line);
    if (lines.length === HEAD_LINES) break;
  }
  return lines;
}
