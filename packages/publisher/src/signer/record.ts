/**
 * The last number that was signed, on disk, in a directory beside the identity, as it belongs to the keys.
 * Numbers signed by keys that may no longer release do not count: new keys start anew. If the file cannot be
 * read, nothing is signed: its number may have been the highest.
 *
 * Each number is a line appended to the file. That takes one flush, where replacing the file takes two, and a
 * release waits for it. A last line without its end was cut off, and never answered.
 */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { readOwnFile } from '@rulecast/program/directory';
import { IdentityError, replaceFile } from '@rulecast/program/identity';
import { hexOf, type Root } from '@rulecast/protocol/signing';
import type { SignerRecord } from './desk.ts';
import { isNumber, lineOf } from './line.ts';
import { countsUnder, type SignedNumber } from './signer.ts';

const NAME = 'last';
/** A block of the disk for the next number: a store that has filled it may still take a small release. */
const RESERVE = 'reserve';
const RESERVE_BYTES = 4096;
/** A longer file begins anew with the next number: 200 numbers, and a few pages for who reads it. */
const FILE_MAX_BYTES = 32 * 1024;
const NEWLINE = 10;
const APPENDING = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW;
const LINEAGE = /^[0-9a-f]{32}$/;

/** The record's path, for an identity file. */
export function recordDirectory(identityFile: string): string {
  return `${identityFile}.signer`;
}

/** The content of a line. */
interface Line extends SignerRecord {
  readonly lineage: string;
}

/**
 * The last record of a lineage, by keys that may still release under its root; undefined if they signed
 * nothing yet. Removes files that a crash left half written. Throws IdentityError.
 */
export function readRecord(
  directory: string,
  { lineage, root }: { readonly lineage: Uint8Array; readonly root: Pick<Root, 'roles'> },
): SignerRecord | undefined {
  for (const name of readdirSync(directory)) if (name.startsWith(`${NAME}.`)) rmSync(join(directory, name));
  const file = fileIn(directory);
  if (!existsSync(file)) return undefined;
  const lines = linesIn(file).map((line) => recordIn(file, line));
  if (lines.length === 0) throw damaged(file);
  const own = hexOf(lineage); // other lineages have numbers of their own
  const last = lines.filter((line) => line.lineage === own && countsUnder(root, line.keys)).at(-1);
  if (last === undefined) return undefined;
  const { lineage: _, ...record } = last;
  return record;
}

/** The complete lines: a last one that is cut off counts only alone. Throws errors of the file system. */
function linesIn(file: string): readonly string[] {
  const lines = readOwnFile(file).toString().split('\n');
  const end = lines.pop() ?? '';
  const isCut = end === '' || (lines.length > 0 && !end.includes('}'));
  return isCut ? lines : [...lines, end];
}

/** Throws IdentityError. */
function recordIn(file: string, line: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw damaged(file, cause);
  }
  if (!isNumber(value)) throw damaged(file);
  const record: SignedNumber & { readonly hash?: unknown; readonly lineage?: unknown } = value;
  const { epoch, version, previousVersion, hash, lineage, keys } = record;
  if (typeof hash !== 'string' || typeof lineage !== 'string' || !LINEAGE.test(lineage)) throw damaged(file);
  return { epoch, version, previousVersion, hash, lineage, ...(keys === undefined ? {} : { keys }) };
}

/** Returns when it is on disk. Throws IdentityError. */
export function writeRecord(directory: string, lineage: Uint8Array, record: SignerRecord): void {
  const file = fileIn(directory);
  const line: Line = { lineage: hexOf(lineage), ...record };
  const reserve = join(directory, RESERVE);
  try {
    if (!appended(file, lineOf(line))) replaceFile(file, shortened(file, line));
  } catch (error) {
    if (!existsSync(reserve)) throw error;
    rmSync(reserve);
    replaceFile(file, shortened(file, line));
  }
  keepReserve(reserve);
}

/** The file with one line more, of each lineage and each set of keys the last: they may sign again. */
function shortened(file: string, line: Line): string {
  const before = existsSync(file) ? linesIn(file).map((text) => recordIn(file, text)) : [];
  const last = new Map([...before, line].map((one) => [`${one.lineage} ${one.keys}`, one]));
  last.delete(`${line.lineage} ${line.keys}`);
  return [...last.values(), line].map(lineOf).join('');
}

/** Whether it is the last line of that file now, on disk. Throws errors of the file system. */
function appended(file: string, line: string): boolean {
  if (!existsSync(file)) return false;
  const open = openSync(file, APPENDING);
  try {
    const { size } = fstatSync(open);
    const end = Buffer.alloc(1);
    if (size === 0 || size + line.length > FILE_MAX_BYTES) return false;
    if (readSync(open, end, 0, 1, size - 1) !== 1 || end[0] !== NEWLINE) return false; // of a line that was cut off
    if (writeSync(open, line) !== line.length) throw new Error('cut short');
    fsyncSync(open);
    return true;
  } finally {
    closeSync(open);
  }
}

/** Keeps spare room on disk for the record; failing to is no error. */
function keepReserve(path: string): void {
  if (existsSync(path)) return;
  try {
    writeFileSync(path, Buffer.alloc(RESERVE_BYTES, 0x20), { mode: 0o600, flag: 'wx' });
  } catch {
    rmSync(path, { force: true }); // half a reserve is useless
  }
}

function fileIn(directory: string): string {
  return join(directory, NAME);
}

function damaged(file: string, cause?: unknown): IdentityError {
  const text = `${file} does not say which number was signed last: restore it, or write what the newest release of any firewall is, as {"lineage":"…","epoch":1,"version":7,"previousVersion":6,"hash":""}`;
  return new IdentityError(text, { cause });
}
