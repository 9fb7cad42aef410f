/** Directories of a program: their default places, how they are made, and our files in them. */

import { closeSync, constants, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The user of the program. */
export interface Owner {
  readonly uid: number;
  readonly home: string;
}

/** The default endpoints between the daemons and `rulectl`: URLs below one runtime directory. */
export interface RuntimeEndpoints {
  /** The publisher's endpoint for `rulectl`. */
  readonly control: string;
  /** The publisher's endpoint for subscribers. */
  readonly subscribers: string;
}

/** A directory cannot be made or used; the message has the reason and a remedy. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
}

/** Readable by its owner only. */
const PRIVATE_MODE = 0o700;

/** `/var/lib/rulecast` for root; for others, the state directory of the XDG Base Directory Specification. */
export function stateHome(environment: Environment, { uid, home }: Owner): string {
  if (uid === 0) return '/var/lib/rulecast';
  const base = environment['XDG_STATE_HOME'] ?? '';
  // a relative path must be ignored
  return join(isAbsolute(base) ? base : join(home, '.local/state'), 'rulecast');
}

/** Below `$XDG_RUNTIME_DIR/rulecast`, else `/run/rulecast`. */
export function defaultEndpoints(environment: Environment): RuntimeEndpoints {
  const base = environment['XDG_RUNTIME_DIR'] ?? '';
  const directory = isAbsolute(base) ? `${base}/rulecast` : '/run/rulecast';
  return { control: `unix:${directory}/control.sock`, subscribers: `unix:${directory}/subscribers.sock` };
}

/**
 * All of a file of ours. Throws errors of the file system, ELOOP for a link that somebody put in its place.
 */
export function readOwnFile(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Makes a directory and those above it, mode 0700, unless it is there. Throws DirectoryError. Node's own
 * recursive mkdir loops for ever if the kernel says "no such file" about an existing directory, as /proc does
 * for every new name.
 */
export function makeDirectory(path: string): void {
  const missing: string[] = [];
  let at = resolve(path);
  for (; !isDirectory(path, at); at = dirname(at)) missing.push(at);
  for (const directory of missing.reverse()) {
    try {
      mkdirSync(directory, { mode: PRIVATE_MODE });
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST' && isDirectory(path, directory)) continue; // another process was faster
      throw refusal(path, directory, cause);
    }
  }
}

/**
 * Whether there is a directory; false if the path does not exist. Throws DirectoryError for anything else;
 * `path` is for its message.
 */
function isDirectory(path: string, at: string): boolean {
  try {
    if (statSync(at).isDirectory()) return true;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false;
    throw refusal(path, at, cause);
  }
  throw new DirectoryError(
    `${path} cannot be a directory: ${at} exists and is no directory; name another, or move it away`,
  );
}

function refusal(path: string, at: string, cause: unknown): DirectoryError {
  switch (codeOf(cause)) {
    case 'EACCES':
    case 'EPERM': {
      const text = `${path} cannot be made: this user may not write in ${dirname(at)}; name a directory of its own, or make it as root and give it to this user`;
      return new DirectoryError(text, { cause });
    }
    case 'ENOTDIR':
      return new DirectoryError(`${path} cannot be a directory: a part of ${at} is a file; name another`, {
        cause,
      });
    case 'EROFS':
      return new DirectoryError(`${path} cannot be made: ${dirname(at)} is read-only; name another`, {
        cause,
      });
    case 'ENOSPC':
      return new DirectoryError(`${path} cannot be made: no space is left on the disk`, { cause });
    case 'ENOENT':
      return new DirectoryError(
        `${path} cannot be made: ${dirname(at)} takes no new directories; name another`,
        {
          cause,
        },
      );
    default: {
      const why = cause instanceof Error ? cause.message : String(cause);
      return new DirectoryError(`${path} cannot be made: ${why}`, { cause });
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
