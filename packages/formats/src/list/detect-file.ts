/**
 * Which format a file has, by its name and then by its first meaningful line. The table is read from the top;
 * a new format is a row here and a parser beside this file.
 */

import { contentStart, sampleLines } from '../text/sample.ts';
import { CLASH_HEAD, isJsonList } from './detect-list.ts';

export type Format = 'list' | 'rules' | 'document';

interface Recogniser {
  readonly format: Format;
  /** Names that say it whatever the content; undefined if no name does. */
  readonly name: RegExp | undefined;
  /** First meaningful lines that say it: without blanks around them, not a comment. */
  readonly line: RegExp;
}

const RULE_OPTION =
  /(?:^|\s)(?:action|(?:dst|src)(?:4|6|host|name)?|proto|dstports|icmptype|specialtarget|expire|comment)=/;

const RECOGNISERS: readonly Recogniser[] = [
  {
    format: 'document',
    name: /\.(?:ya?ml|json)$/i,
    line: /^(?:---|%YAML\b|\{|["']?(?:lists|common|policies|unmatched)["']?\s*:)/,
  },
  { format: 'rules', name: /\.rules$/i, line: new RegExp(`^(?:accept|drop)(?:\\s|$)|${RULE_OPTION.source}`) },
];

/**
 * The format of a file; a list if nothing speaks for another. `fileName` may be empty or `-` for what has no
 * name. JSON that is known to be a list is one whatever its name.
 */
export function detectFormat(fileName: string, bytes: Uint8Array): Format {
  if (isJsonList(bytes) || CLASH_HEAD.test(firstMeaningfulLine(bytes))) return 'list';
  const named = RECOGNISERS.find((recogniser) => recogniser.name?.test(fileName));
  return named?.format ?? detectLine(bytes);
}

/** The format that the first meaningful line says. */
export function detectLine(bytes: Uint8Array): Format {
  const line = firstMeaningfulLine(bytes);
  return RECOGNISERS.find((recogniser) => recogniser.line.test(line))?.format ?? 'list';
}

/** The first line that is neither blank nor a comment, trimmed; empty if the sample has none. */
function firstMeaningfulLine(bytes: Uint8Array): string {
  for (const line of sampleLines(bytes, contentStart(bytes))) if (!/^(?:#|;|\/\/)/.test(line)) return line;
  return '';
}
