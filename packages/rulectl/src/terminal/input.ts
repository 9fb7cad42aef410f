/** Files as the user names them, `-` for standard input: read completely, or refused with advice. */

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { CliError, ExitCode, usageError } from './exit.ts';

/** The name of standard input. */
export const STDIN_NAME = '-';
const READ_BYTES = 64 * 1024;
/** Pause before an empty pipe that does not block is tried again. */
const EMPTY_PIPE_MS = 2;

/**
 * Reads a file, or standard input. Throws CliError `refused`; `maxBytes` is looked at before anything is
 * read.
 */
export function readInput(name: string, maxBytes: number): Uint8Array {
  const fd = name === STDIN_NAME ? 0 : openFile(name);
  try {
    const stat = fstatSync(fd);
    const { size } = stat; // 0 for pipes, terminals and devices, whose length is unknown
    if (size > maxBytes) throw tooLarge(name, size, maxBytes);
    const bytes = stat.isFile() && fd !== 0 ? readFileSync(fd) : readToEnd(fd, maxBytes);
    if (bytes.length > maxBytes) throw tooLarge(name, bytes.length, maxBytes);
    return bytes;
  } catch (error) {
    throw unreadable(name, error);
  } finally {
    if (fd !== 0) closeSync(fd);
  }
}

/** Whether a word names standard input, or something that is there. */
export function isThere(name: string): boolean {
  return name === STDIN_NAME || existsSync(name);
}

/**
 * The path of a file that a document names: beside the document; in the current folder for a document from
 * `-`.
 */
export function besideDocument(document: string, reference: string): string {
  if (document === STDIN_NAME || isAbsolute(reference)) return reference;
  return join(dirname(document), reference);
}

/** Standard input can be read once. */
export function checkStdinOnce(names: readonly string[]): void {
  if (names.filter((name) => name === STDIN_NAME).length > 1) {
    throw usageError('- (standard input) is named twice; it can be read once');
  }
}

/** A file name for a message: nothing in it steers a terminal. */
export function shownName(name: string): string {
  const shown = name === STDIN_NAME ? '(standard input)' : name;
  return shown.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '\u{fffd}');
}

function openFile(name: string): number {
  try {
    return openSync(name, 'r');
  } catch (error) {
    throw unreadable(name, error);
  }
}

/** Reads to the end, and no more than one block beyond `maxBytes`. */
function readToEnd(fd: number, maxBytes: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let total = 0; total <= maxBytes; ) {
    const block = Buffer.allocUnsafe(READ_BYTES);
    const count = readSome(fd, block);
    if (count === 0) break;
    if (count > 0) blocks.push(block.subarray(0, count));
    total += Math.max(0, count);
  }
  return Buffer.concat(blocks);
}

/** Bytes read, 0 at the end, -1 if there were none yet. */
function readSome(fd: number, block: Uint8Array): number {
  try {
    return readSync(fd, block);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EOF') return 0;
    if (code !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EMPTY_PIPE_MS);
    return -1;
  }
}

function tooLarge(name: string, bytes: number, maxBytes: number): CliError {
  const text = `${shownName(name)} has ${bytes} bytes; at most ${maxBytes} are read: split the file`;
  return new CliError(ExitCode.refused, 'too-large', text);
}

function unreadable(name: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('code' in cause) || cause instanceof CliError) return cause;
  const shown = shownName(name);
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR': {
      const text = `there is no file ${shown}: check the path`;
      return new CliError(ExitCode.refused, 'missing-file', text, { cause });
    }
    case 'EISDIR':
      return new CliError(ExitCode.refused, 'is-a-folder', `${shown} is a folder: name the files in it`, {
        cause,
      });
    case 'EACCES':
    case 'EPERM': {
      const text = `${shown} may not be read by this user: check its permissions`;
      return new CliError(ExitCode.refused, 'no-permission', text, { cause });
    }
    default:
      return new CliError(ExitCode.refused, 'unreadable-file', `${shown}: ${cause.message}`, { cause });
  }
}
