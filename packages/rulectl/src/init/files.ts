/**
 * Files that `rulectl init` writes: the first line of each has a digest of what follows, by which a file that
 * a person has changed is known, and left alone. Answers of earlier runs stand in the files themselves: what
 * is new is added to them.
 */

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';

/** Later versions may end the line in other words. */
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
  return `# rulectl init wrote this, sha256 ${digestOf(body)} of what follows: change that, and the file is yours and left alone\n${body}`;
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
  const text = attempt('read', path, () => (existsSync(path) ? readFileSync(path, 'utf8') : undefined));
  const added = add(text ?? fresh);
  if (text !== undefined && added === undefined) return { path, state: 'unchanged', text };
  const isOurs = text === undefined || MARK.exec(text)?.[1] === digestOf(text.replace(MARK, ''));
  return { path, state: isOurs ? 'written' : 'left', text: marked((added ?? fresh).replace(MARK, '')) };
}

/** Writes what is planned: all files, each whole, or none. Throws CliError `refused`. */
export function writeFiles(files: readonly PlannedFile[]): void {
  const left = files.filter(({ state }) => state === 'left').map(leftText);
  if (left.length > 0) throw new CliError(ExitCode.refused, 'changed-by-a-person', left.join('\n\n'));
  for (const { path, text } of files.filter(({ state }) => state === 'written')) {
    const draft = `${path}.new`; // one name: an interrupted run leaves no more than that
    attempt('write', path, () => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(draft, text, { flush: true });
      chmodSync(draft, READABLE); // whatever the umask: services read it
      renameSync(draft, path);
    });
  }
}

function leftText({ path, text }: PlannedFile): string {
  return `${shownName(path)} was changed by a person, and is left alone; nothing was written. It lacks some of this:\n\n${text}\nAdd that to it, or move it away and run this again.`;
}

function digestOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Throws CliError `refused` with what to do. */
export function attempt<T>(what: 'read' | 'write', path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const text = `cannot ${what} ${path}: ${reason}: run this as root, or give --dir DIR, a folder of yours`;
    throw new CliError(ExitCode.refused, `cannot-${what}`, text, { cause });
  }
}
