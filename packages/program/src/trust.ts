/** The trust line that a command line names: the line itself, or a file that holds it. */

import { parseTrust, type Trust, trustFault } from '@rulecast/protocol';
import { usageError } from './exit.ts';
import { readSmallFile } from './small-file.ts';

/** Of a file with a trust line, which has 107 characters. */
const TRUST_MAX_BYTES = 4096;

/** Throws ProgramError `usage`. */
export function readTrust(text: string | undefined): Trust {
  if (text === undefined)
    throw usageError(
      '--trust LINE or --trust FILE is missing: rulecast-publisher --print-trust prints the line',
    );
  const direct = parseTrust(text);
  if (direct !== undefined) return direct;
  let content: string;
  try {
    content = readSmallFile(text, TRUST_MAX_BYTES).toString('utf8');
  } catch (cause) {
    throw usageError(`--trust: "${text.slice(0, 80)}" is neither a trust line nor a file that can be read`, {
      cause,
    });
  }
  const trust = parseTrust(content);
  if (trust === undefined) throw usageError(`--trust: ${text} holds ${trustFault(content)}`);
  return trust;
}
