/**
 * Files that `rulectl init` writes: the first line of each has a digest of what follows, by which a file that
 * a person has changed is known, and left alone. Answers of earlier runs stand in the files themselves: what
 * is new is added to them.
 */

import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';

const MARK = /^# rulectl init wrote this, sha256 ([0-9a-f]{64})[^\n]*\n/;

/** By the users of services, too. */
const READABLE = 0o644;

/** `left`: a person changed it, and it lacks what `text` has. */
export type FileState = 'written' | 'unchanged' | 'left';

export interface PlannedFile {
  readonly path: string;
  readonly state: FileState;
  /** What it is to hold. */
  readonly text: string;
}

/** The text with the line before it that says that nobody changed it. */
export function marked(body: string): string {
  const digest = createHash('sha256').update(body).digest('hex');
  return `# rulectl init wrote this, sha256 ${digest} of what follows: change that, and the file is yours and left alone\n${body}`;
}

/**
 * What is to become of a file: `add` gives what it is to say, or undefined where it says that already. It is
 * given what is there, or `fresh`. Throws CliError `refused` for what cannot be read.
 */
export function planFile(
  path: string,
  fresh: string,
  add: (text: string) => string | undefined,
): PlannedFile {
  const text = textOf(path);
  const added = add(text ?? fresh);
  if (text !== undefined && added === undefined) return { path, state: 'unchanged', text };
  const isOurs = text === undefined || text === marked(text.replace(MARK, ''));
  return { path, state: isOurs ? 'written' : 'left', text: marked((added ?? fresh).replace(MARK, '')) };
}

/** Writes what is planned: all files, each whole, or none. Throws CliError `refused`. */
export function writeFiles(files: readonly PlannedFile[]): void {
  const left = files.filter(({ state }) => state === 'left').map(leftText);
  if (left.length > 0) throw new CliError(ExitCode.refused, 'changed-by-a-person', left.join('\n\n'));
  for (const { path, text } of files.filter(({ state }) => state === 'written')) {
    const draft = `${path}.new`; // one name: an interrupted run leaves no more than that
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(draft, text, { flush: true });
      chmodSync(draft, READABLE); // whatever the umask: services read it
      renameSync(draft, path);
    } catch (cause) {
      throw failed(path, 'written', cause);
    }
  }
}

function leftText({ path, text }: PlannedFile): string {
  return `${shownName(path)} was changed by a person, and is left alone; nothing was written. It lacks some of this:\n\n${text}\nAdd that to it, or move it away and run this again.`;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw failed(path, 'read', cause);
  }
}

/** Why a file could not be read or written, and what to do. */
export function failed(path: string, what: 'read' | 'written', cause: unknown): CliError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const text = `${path} cannot be ${what}: ${reason}: run this as root, or give --dir DIR, a folder of yours`;
  return new CliError(ExitCode.refused, `not-${what}`, text, { cause });
}
