/**
 * Trust options of a command line: a trust line, or a file that holds it; and certificate authorities of web
 * servers.
 */

import { X509Certificate } from 'node:crypto';
import { parseTrust, type Trust, trustFault } from '@rulecast/protocol';
import { usageError } from './exit.ts';
import { readSmallFile } from './small-file.ts';

/** The size of a file with a trust line, which has 107 characters. */
const TRUST_MAX_BYTES = 4096;
/** Debian's file of all authorities has 220 KiB. */
const CA_MAX_BYTES = 2 ** 20;

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

/** The certificates in the file of `--ca`, in PEM. Throws ProgramError `usage`. */
export function readAuthorities(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const text = readSmallFile(path, CA_MAX_BYTES).toString('latin1');
    new X509Certificate(text); // throws unless the first is valid
    return text;
  } catch (cause) {
    throw usageError(`--ca: ${path} holds no certificates in PEM that can be read`, { cause });
  }
}
