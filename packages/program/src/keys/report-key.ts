/**
 * Files of 32 secret bytes, as a line of hexadecimal digits: the secret of a fleet, and the tokens derived
 * from it, with which firewalls report. DEPOT.md "Reports".
 */

import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { IdentityError } from './identity.ts';

const KEY_BYTES = 32;
const OTHERS_MASK = 0o077;

/** Throws IdentityError. */
export function readReportKey(path: string): Uint8Array {
  let text: string;
  let mode: number;
  try {
    ({ mode } = statSync(path));
    text = readFileSync(path, 'latin1').slice(0, 2 * KEY_BYTES + 2);
  } catch (cause) {
    throw new IdentityError(
      `cannot read ${path}: rulectl keys fleet FILE makes the secret, keys token NAME a token`,
      { cause },
    );
  }
  if ((mode & OTHERS_MASK) !== 0)
    throw new IdentityError(`${path} is a secret, and others may read or change it: chmod 600 ${path}`);
  const digits = /^([0-9a-f]{64})\n?$/.exec(text)?.[1];
  if (digits === undefined) throw new IdentityError(`${path} is not one line of 64 hexadecimal digits`);
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/**
 * Makes a file for its owner alone; one that is there with the same content is left. Throws IdentityError.
 */
export function writeReportKey(path: string, key: Uint8Array): void {
  try {
    writeFileSync(path, `${Buffer.from(key).toString('hex')}\n`, { mode: 0o600, flag: 'wx', flush: true });
  } catch (cause) {
    const isThere = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    if (!isThere) throw new IdentityError(`cannot write ${path}`, { cause });
    if (Buffer.compare(readReportKey(path), key) !== 0)
      throw new IdentityError(`${path} is there, with another key: move it away`);
  }
}

export function freshReportKey(): Uint8Array {
  return new Uint8Array(randomBytes(KEY_BYTES));
}
