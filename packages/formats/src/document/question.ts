/**
 * DNS questions as people write them: `QUBE ? NAME`, followed by the aliases it leads through. Strict, with
 * the column of each fault, like packets.
 */

import { isPartName, type NameQuestion, parseAddress, parseHostName } from '@rulecast/rules';
import { quote } from '../text/bytes.ts';

/** For the help text of commands that take a question. */
export const QUESTION_TEXT_HELP = `QUESTION is QUBE ? NAME [> ALIAS]...: "work ? ads.example", "10.137.0.5 ? www.example > cdn.example". QUBE is an address, or the
policy that judges it.`;

/** A question that parsed, or why it did not. */
export type QuestionResult =
  | { readonly kind: 'question'; readonly question: NameQuestion }
  | {
      readonly kind: 'fault';
      readonly code: 'bad-question';
      /** From 1, in UTF-16 code units of the text. */
      readonly column: number;
      readonly reason: string;
    };

/** Whether a text is meant as a question: no packet contains such a mark. */
export function isQuestionText(text: string): boolean {
  return text.includes('?');
}

/** Reads `QUBE ? NAME [> ALIAS]…`. */
export function parseQuestionText(text: string): QuestionResult {
  const mark = text.indexOf('?');
  const askerText = text.slice(0, Math.max(0, mark)).trim();
  const address = parseAddress(askerText);
  if (mark < 0 || (address === undefined && !isPartName(askerText))) {
    return fault(1, `${quote(text)} is no question: write QUBE ? NAME, and QUBE as an address or a policy`);
  }
  const names: string[] = [];
  let at = mark + 1;
  for (const part of text.slice(at).split('>')) {
    const name = part.trim();
    const result = parseHostName(name);
    if (result.kind === 'fault') {
      const column = at + part.length - part.trimStart().length + 1;
      return fault(
        column,
        `${quote(name)} is no host name: write QUBE ? NAME, and names it is an alias of behind >`,
      );
    }
    names.push(result.name);
    at += part.length + 1;
  }
  const [name = '', ...aliases] = names;
  return { kind: 'question', question: { asker: address ?? { policy: askerText }, name, aliases } };
}

function fault(column: number, reason: string): QuestionResult {
  return { kind: 'fault', code: 'bad-question', column, reason };
}
