/**
 * The input bytes of a list or table: one file, the files of a directory, or downloads. Read completely,
 * within limits.
 */

import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readlink, realpath } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import type { FetchConfig, SourceLimits } from '@rulecast/formats';
import type { BodyEnd } from '../fetch/cache.ts';
import type { FetchOutcome, FetchRequest } from '../fetch/fetcher.ts';
import { wantedBy } from '../unpack/glob.ts';
import type { FileRest } from '../watch/rest.ts';
import { openLine } from './last-line.ts';

/** A file or a download, not unpacked yet. */
export interface Input {
  /** For people, and a hint at the format. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** For a file: `proven`. */
  readonly end: BodyEnd;
}

/** A download, which lies in the cache until it is its turn to be read. */
export interface StoredInput extends Omit<Input, 'bytes'> {
  readonly size: number;
  /** Throws FetchError. */
  readonly read: () => Promise<Uint8Array<ArrayBuffer>>;
}

export interface Inputs {
  readonly inputs: readonly (Input | StoredInput)[];
  /** Milliseconds since 1970 of the oldest of them, by its server's or this machine's clock. */
  readonly fetchedAtMs: number;
  /** Equal for equal bytes; undefined if only reading them would tell. */
  readonly fingerprint: string | undefined;
  /** Warnings about them, for people. */
  readonly notes?: readonly string[];
}

/** Downloads; a Fetcher does. Throws FetchError. */
export interface Downloader {
  fetch(request: FetchRequest): Promise<FetchOutcome>;
  /** The earlier download, without a request. */
  cached(url: string): Promise<FetchOutcome | undefined>;
  close(): Promise<void>;
}

export const InputErrorCode = {
  missing: 'missing-file',
  permission: 'no-permission',
  notFile: 'not-a-file',
  /** A link that leads out of the directory, or is another user's and leads to what is not that user's. */
  foreignLink: 'foreign-link',
  noFiles: 'no-files',
  tooLarge: 'too-large',
  tooMany: 'too-many-files',
  changing: 'file-is-changing',
  unfinished: 'unfinished-file',
  unreadable: 'unreadable-file',
} as const;

/** A file or directory cannot be read. */
export class InputError extends Error {
  readonly code: string;
  /** When it will have rested if it is not written to: until then, waiting is all there is to do. */
  readonly restsInMs: number | undefined;

  constructor(code: string, message: string, options: ErrorOptions & { readonly restsInMs?: number } = {}) {
    super(message, options);
    this.code = code;
    this.restsInMs = options.restsInMs;
  }
}

/** Reads one file that has rested. Throws InputError. */
export async function readFileInputs(
  path: string,
  limits: SourceLimits,
  nowMs: number,
  rest: FileRest,
): Promise<Inputs> {
  const bytes = await readWhole(path, limits.bytes, rest);
  return {
    inputs: [{ name: basename(path), bytes, end: 'proven' }],
    fetchedAtMs: nowMs,
    fingerprint: undefined,
  };
}

/**
 * Reads the files in and below a directory whose paths from there some globs want (see wantedBy), or all of
 * them; in the order of their paths. Names that start with a dot are passed over: that is what writers call
 * their drafts. Links to files there are followed; links to directories are not, nor those that lead out of
 * it: another user may write in it, and is not to choose what else we read. Throws InputError.
 */
export async function readDirInputs(
  path: string,
  match: readonly string[],
  limits: SourceLimits,
  nowMs: number,
  rest: FileRest,
): Promise<Inputs> {
  const isWanted = wantedBy(match);
  const names: string[] = [];
  let root = path;
  try {
    root = await realpath(path);
    for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
      const name = relative(path, join(entry.parentPath, entry.name));
      if (name.split('/').some((part) => part.startsWith('.')) || !isWanted(name)) continue;
      if (entry.isFile() || entry.isSymbolicLink()) names.push(name);
    }
  } catch (cause) {
    throw inputError(path, cause);
  }
  if (names.length > limits.archiveMembers) {
    const message = `${path} holds ${names.length} files; at most ${limits.archiveMembers} are read: raise limits: archive-members:, or say which with match:`;
    throw new InputError(InputErrorCode.tooMany, message);
  }
  const inputs: Input[] = [];
  const foreign: string[] = [];
  let left = limits.bytes;
  for (const name of names.sort()) {
    try {
      const bytes = await readWhole(join(path, name), left, rest, root);
      left -= bytes.length;
      inputs.push({ name, bytes, end: 'proven' });
    } catch (error) {
      // Gone since it was listed, or a link to a directory or to nothing: that is no file of this directory.
      const { missing, notFile, foreignLink } = InputErrorCode;
      const code = error instanceof InputError ? error.code : '';
      if (code === foreignLink) foreign.push(name);
      else if (code !== missing && code !== notFile) throw error;
    }
  }
  const links = `links that lead out of it are not followed: ${shownNames(foreign)}`;
  const notes = foreign.length === 0 ? [] : [`${path}: ${links}`];
  if (inputs.length > 0) return { inputs, fetchedAtMs: nowMs, fingerprint: undefined, notes };
  const which = match.length === 0 ? '' : ` that matches ${match.join(' or ')}`;
  const why = foreign.length === 0 ? '' : `; ${links}`;
  throw new InputError(InputErrorCode.noFiles, `${path} holds no file${which}${why}`);
}

/** Arguments of `fetchInputs` beside the configuration. */
export interface FetchHow {
  readonly limits: SourceLimits;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Fetches all URLs, one at a time, as they may be on one server. Throws FetchError. */
export async function fetchInputs(source: FetchConfig, fetcher: Downloader, how: FetchHow): Promise<Inputs> {
  const outcomes: FetchOutcome[] = [];
  for (const url of source.urls) {
    const { sha256, headers, allowPrivate, maxBytes = how.limits.bytes } = source;
    const pin = sha256 === undefined ? {} : { sha256 };
    const { timeoutMs, signal } = how;
    const most = { maxBytes, allMaxBytes: how.limits.downloads };
    outcomes.push(await fetcher.fetch({ url, headers, ...most, timeoutMs, signal, allowPrivate, ...pin }));
  }
  return inputsOf(outcomes);
}

/**
 * The cached downloads of all URLs; undefined if one is missing, or differs from the pinned digest. Throws
 * FetchError.
 */
export async function cachedInputs(source: FetchConfig, fetcher: Downloader): Promise<Inputs | undefined> {
  const outcomes: FetchOutcome[] = [];
  for (const url of source.urls) {
    const outcome = await fetcher.cached(url);
    if (outcome === undefined || (source.sha256 !== undefined && outcome.sha256 !== source.sha256))
      return undefined;
    outcomes.push(outcome);
  }
  return inputsOf(outcomes);
}

function inputsOf(outcomes: readonly FetchOutcome[]): Inputs {
  return {
    inputs: outcomes.map(({ fileName, size, read, end }) => ({ name: fileName, size, read, end })),
    fetchedAtMs: Math.min(...outcomes.map(({ fetchedAtMs }) => fetchedAtMs)),
    fingerprint: outcomes.map(({ sha256 }) => sha256).join(' '),
  };
}

/** The inputs with cached ones loaded. Throws FetchError. */
export async function loadedInputs(inputs: readonly (Input | StoredInput)[]): Promise<readonly Input[]> {
  const all: Input[] = [];
  for (const input of inputs) {
    const { name, end } = input;
    all.push('read' in input ? { name, bytes: await input.read(), end } : input);
  }
  return all;
}

/** The first few names, for people, and how many more there are. */
export function shownNames(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
}

/** The same of a file in a folder or below it: a link out of it is not followed. Throws InputError. */
export async function readBelow(
  folder: string,
  path: string,
  maxBytes: number,
  rest: FileRest,
): Promise<Uint8Array> {
  try {
    return await readWhole(path, maxBytes, rest, await realpath(folder));
  } catch (error) {
    throw inputError(folder, error);
  }
}

/**
 * The bytes of a file that has rested, and that does not change meanwhile; below `root`, if that is given.
 * Throws InputError.
 */
export async function readWhole(
  path: string,
  maxBytes: number,
  rest: FileRest,
  root?: string,
): Promise<Uint8Array> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe without a writer would block
    try {
      const before = await file.stat();
      if (!before.isFile()) throw new InputError(InputErrorCode.notFile, `${path} is no file`);
      await checkLink(path, file, before, root);
      if (before.size > maxBytes) {
        const message = `${path} has ${before.size} bytes; at most ${maxBytes} are read: raise limits: bytes:`;
        throw new InputError(InputErrorCode.tooLarge, message);
      }
      checkRest(path, before, rest.config.quietMs, rest);
      const bytes = await file.readFile();
      const after = await file.stat();
      if (after.size === bytes.length && after.mtimeMs === before.mtimeMs) {
        checkEnd(path, bytes, after, rest);
        return bytes;
      }
      const message = `${path} was written to while it was read: it is read again; write a new file beside it and rename that`;
      throw new InputError(InputErrorCode.changing, message);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw inputError(path, error);
  }
}

/**
 * Throws InputError for a link by which another user chooses what we read: one that leads out of `root`, or
 * without it, a link of another user to a file that is not that user's. The kernel tells where the open file
 * is, so that the link cannot be changed meanwhile.
 */
async function checkLink(
  path: string,
  file: FileHandle,
  { uid }: Stats,
  root: string | undefined,
): Promise<void> {
  if (root !== undefined) {
    if ((await readlink(`/proc/self/fd/${file.fd}`)).startsWith(root + sep)) return;
    throw new InputError(InputErrorCode.foreignLink, `${path} leads out of ${root}`);
  }
  const link = await lstat(path);
  if (!link.isSymbolicLink() || [0, uid, process.getuid?.()].includes(link.uid)) return;
  const message = `${path} is a link of another user (${link.uid}) to a file that is not theirs: it is not followed`;
  throw new InputError(InputErrorCode.foreignLink, message);
}

/** Throws InputError where a file has not rested for long enough. */
function checkRest(path: string, stats: Stats, restMs: number, rest: FileRest, why = '(quiet:)'): void {
  const restsInMs = rest.leftMs(path, stats, restMs);
  if (restsInMs === 0) return;
  const message = `${path} is still written to: it is read when it has not changed for ${restMs / 1000} s ${why}; a file that is moved to its place is read at once`;
  throw new InputError(InputErrorCode.changing, message, { restsInMs });
}

/** The same where its last line has no end, as that of half a file has not. */
function checkEnd(path: string, bytes: Uint8Array, stats: Stats, rest: FileRest): void {
  const line = openLine(path, bytes, undefined);
  if (line === undefined) return;
  const { unfinishedMs } = rest.config;
  if (unfinishedMs !== undefined) {
    checkRest(path, stats, unfinishedMs, rest, `(unfinished:), as line ${line} has no line feed`);
    return;
  }
  const message = `the last line of ${path}, ${line}, has no line feed, and unfinished: is never: add a line feed`;
  throw new InputError(InputErrorCode.unfinished, message);
}

function inputError(path: string, cause: unknown): unknown {
  if (cause instanceof InputError || !(cause instanceof Error) || !('code' in cause)) return cause;
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new InputError(InputErrorCode.missing, `there is no ${path}`, { cause });
    case 'EISDIR':
      return new InputError(InputErrorCode.notFile, `${path} is a directory: write dir: in place of file:`, {
        cause,
      });
    case 'EACCES':
    case 'EPERM':
      return new InputError(InputErrorCode.permission, `${path} may not be read by this user`, { cause });
    default:
      return new InputError(InputErrorCode.unreadable, `${path}: ${cause.message}`, { cause });
  }
}
