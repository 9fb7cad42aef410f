/**
 * Which format a file has, by its name and then by its first meaningful line. The table is read from the top; a new format is
 * a row here and a parser beside this file.
 */

import { CR, LF } from './text.ts';

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
    line: /^(?:---|%YAML\b|\{|["']?(?:lists|common|policies)["']?\s*:)/,
  },
  { format: 'rules', name: /\.rules$/i, line: new RegExp(`^(?:accept|drop)(?:\\s|$)|${RULE_OPTION.source}`) },
];

/** How far into a file the first meaningful line is looked for: headers of lists are long, but not this long. */
const SAMPLE_BYTES = 64 * 1024;

/** The format of a file; a list if nothing speaks for another. `fileName` may be empty or `-` for what has no name. */
export function detectFormat(fileName: string, bytes: Uint8Array): Format {
  const named = RECOGNISERS.find((recogniser) => recogniser.name?.test(fileName));
  if (named !== undefined) return named.format;
  const line = firstMeaningfulLine(bytes);
  return RECOGNISERS.find((recogniser) => recogniser.line.test(line))?.format ?? 'list';
}

/** The first line that is neither blank nor a comment, trimmed; empty if the sample has none. */
function firstMeaningfulLine(bytes: Uint8Array): string {
  let end = Math.min(bytes.length, SAMPLE_BYTES);
  // A line that the sample cuts is not judged, unless there is no other.
  if (end < bytes.length) {
    const cut = Math.max(bytes.lastIndexOf(LF, end - 1), bytes.lastIndexOf(CR, end - 1));
    if (cut > 0) end = cut;
  }
  const sample = new TextDecoder().decode(bytes.subarray(0, end));
  for (const line of sample.split(/[\r\n]+/)) {
    const text = line.trim();
    if (text !== '' && !/^(?:#|;|\/\/)/.test(text)) return text;
  }
  return '';
}
