/**
 * The last number that was signed, on disk: in a directory beside the identity, for it goes with the key. A
 * file that is there and cannot be read signs nothing: what it said may have been above all.
 */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IdentityError, replaceFile } from '@rulecast/program/identity';
import { hexOf } from '@rulecast/protocol';
import type { SignerRecord } from './desk.ts';
import { isNumber, lineOf } from './line.ts';
import type { SignedNumber } from './signer.ts';

const NAME = 'last';
/** A block of the disk for the next number: a store that has filled it may still take a small release. */
const RESERVE = 'reserve';
const RESERVE_BYTES = 4096;

/** Where it is, for an identity file. */
export function recordDirectory(identityFile: string): string {
  return `${identityFile}.signer`;
}

/**
 * That of a lineage; undefined where nothing of it was signed yet. What a crash left half written goes.
 * Throws IdentityError.
 */
export function readRecord(directory: string, lineage: Uint8Array): SignerRecord | undefined {
  for (const name of readdirSync(directory)) if (name.startsWith(`${NAME}.`)) rmSync(join(directory, name));
  const file = fileIn(directory);
  if (!existsSync(file)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw damaged(file, cause);
  }
  if (!isNumber(value)) throw damaged(file);
  const record: SignedNumber & { readonly hash?: unknown; readonly lineage?: unknown } = value;
  if (typeof record.hash !== 'string' || typeof record.lineage !== 'string') throw damaged(file);
  if (record.lineage !== hexOf(lineage)) return undefined; // whose numbers are others
  const { epoch, version, previousVersion, hash } = record;
  return { epoch, version, previousVersion, hash };
}

/** Returns when it is on disk. Throws IdentityError. */
export function writeRecord(directory: string, lineage: Uint8Array, record: SignerRecord): void {
  const file = fileIn(directory);
  const line = lineOf({ lineage: hexOf(lineage), ...record });
  const reserve = join(directory, RESERVE);
  try {
    replaceFile(file, line);
  } catch (error) {
    if (!existsSync(reserve)) throw error;
    rmSync(reserve);
    replaceFile(file, line);
  }
  keepReserve(reserve);
}

/** Where there is room for it; without it only a full disk is worse off. */
function keepReserve(path: string): void {
  if (existsSync(path)) return;
  try {
    writeFileSync(path, Buffer.alloc(RESERVE_BYTES, 0x20), { mode: 0o600 });
  } catch {
    rmSync(path, { force: true }); // half of it is none
  }
}

function fileIn(directory: string): string {
  return join(directory, NAME);
}

function damaged(file: string, cause?: unknown): IdentityError {
  const text = `${file} does not say which number was signed last: restore it, or write what the newest release of any firewall is, as {"lineage":"…","epoch":1,"version":7,"previousVersion":6,"hash":""}`;
  return new IdentityError(text, { cause });
}
