/**
 * The last number that was signed, on disk: in a directory beside the identity, for it goes with the key. A
 * file that is there and cannot be read signs nothing: what it said may have been above all.
 */

import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { IdentityError, replaceFile } from '@rulecast/program/identity';
import type { SignerRecord } from './desk.ts';
import { isNumber, lineOf } from './line.ts';

const NAME = 'last';

/** Where it is, for an identity file. */
export function recordDirectory(identityFile: string): string {
  return `${identityFile}.signer`;
}

/** Undefined where nothing was signed yet; what a crash left half written goes. Throws IdentityError. */
export function readRecord(directory: string): SignerRecord | undefined {
  for (const name of readdirSync(directory)) if (name.startsWith(`${NAME}.`)) rmSync(join(directory, name));
  const file = fileIn(directory);
  if (!existsSync(file)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw damaged(file, cause);
  }
  const isRecord = isNumber(value) && 'hash' in value && typeof value.hash === 'string';
  if (!isRecord) throw damaged(file);
  const { epoch, version, previousVersion, hash } = value as SignerRecord; // checked above
  return { epoch, version, previousVersion, hash };
}

/** Returns when it is on disk. Throws IdentityError. */
export function writeRecord(directory: string, record: SignerRecord): void {
  replaceFile(fileIn(directory), lineOf(record));
}

function fileIn(directory: string): string {
  return join(directory, NAME);
}

function damaged(file: string, cause?: unknown): IdentityError {
  const text = `${file} does not say which number was signed last: restore it, or write what the newest release of any firewall is, as {"epoch":1,"version":7,"previousVersion":6,"hash":""}`;
  return new IdentityError(text, { cause });
}
