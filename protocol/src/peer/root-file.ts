/**
 * Roots as text, one a line: the form in which a publisher and a subscriber store a chain, and in which a
 * root is passed on to be signed.
 */

import { joinSigned, type Signed, splitSigned } from '../content/signature-block.ts';
import { ProtocolError } from '../error.ts';

const HEADER = 'rulecast-roots 1';

/** ASCII; the last line ends like the others. */
export function formatRoots(roots: readonly Signed[]): string {
  const lines = roots.map((root) => Buffer.from(joinSigned(root)).toString('base64'));
  return [HEADER, ...lines, ''].join('\n');
}

/** The roots of a text, not looked into; undefined if it is none. */
export function parseRoots(text: string): readonly Signed[] | undefined {
  const [header, ...lines] = text.trimEnd().split('\n');
  const bytes = lines.map((line) => Buffer.from(line, 'base64'));
  // Only one spelling is valid: a line that was cut off could decode to the same bytes.
  if (header !== HEADER || !bytes.every((root, i) => root.toString('base64') === lines[i])) return undefined;
  try {
    return bytes.map((root) => splitSigned(root));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}
