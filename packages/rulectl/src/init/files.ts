/**
 * Files that `rulectl init` writes: the first line of each has a digest of the rest, so that a file that a
 * person changed is recognised, and left alone. The files themselves hold the answers of earlier runs: new
 * ones are added to them.
 */

import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type PublisherConfig, parseConfig } from '@rulecast/formats';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';

/** Later versions may end the line in other words. */
const MARK = /^# rulectl init wrote this, sha256 ([0-9a-f]{64})[^\n]*\n/;

/** `left`: a person changed it, or put a link in its place, and it lacks what `text` has. */
export type FileState = 'written' | 'unchanged' | 'left';

export interface PlannedFile {
  readonly path: string;
  readonly state: FileState;
  /** The present content; undefined if there is no file. */
  readonly before: string | undefined;
  /** The new content. */
  readonly text: string;
  /** Its owner alone may read it, and list its folder. */
  readonly isSecret?: boolean;
}

/** The text behind a line that marks it as unchanged by people. */
export function marked(body: string): string {
  return `# rulectl init wrote this, sha256 ${digestOf(body)} of what follows: change that, and the file is yours and left alone\n${body}`;
}

/**
 * Plans a file: `add` gets the present content, or `fresh`, and returns the new one, or undefined if nothing
 * is to change. Throws CliError `refused` for an unreadable file.
 */
export function planFile(
  path: string,
  fresh: string,
  add: (text: string) => string | undefined,
): PlannedFile {
  const before = textOf(path);
  const added = add(before ?? fresh);
  if (before !== undefined && added === undefined) return { path, state: 'unchanged', before, text: before };
  const isOurs = before === undefined || MARK.exec(before)?.[1] === digestOf(before.replace(MARK, ''));
  const state = isOurs && !isLink(path) ? 'written' : 'left';
  return { path, state, before, text: marked((added ?? fresh).replace(MARK, '')) };
}

/**
 * Plans a change to a file that a person may have edited. One that only rulectl wrote keeps its mark. A link
 * stays one.
 */
export function planEdit(path: string, before: string, text: string): PlannedFile {
  const isOurs = MARK.exec(before)?.[1] === digestOf(before.replace(MARK, ''));
  const target = attempt('read', path, () => realpathSync(path));
  return { path: target, state: 'written', before, text: isOurs ? marked(text.replace(MARK, '')) : text };
}

/** The configuration that a file holds. Throws CliError `refused` with its first fault. */
export function soundConfiguration(path: string, bytes: Uint8Array): PublisherConfig {
  const { config, rejects } = parseConfig(path, bytes);
  const [reject] = rejects;
  if (reject === undefined && config !== undefined) return config;
  const { line = 1, column = 1, code = 'bad-config', reason = 'it cannot be read' } = reject ?? {};
  throw new CliError(ExitCode.refused, code, `${shownName(path)}:${line}:${column}: ${reason}`);
}

/** A file that is to hold just this. */
export function planWhole(path: string, text: string, isSecret: boolean): PlannedFile {
  const before = textOf(path);
  return { path, state: before === text ? 'unchanged' : 'written', before, text, isSecret };
}

function isLink(path: string): boolean {
  return attempt('read', path, () => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true);
}

/** The content of a file, or undefined if there is none. Throws CliError `refused`. */
export function textOf(path: string): string | undefined {
  return attempt('read', path, () => (existsSync(path) ? readFileSync(path, 'utf8') : undefined));
}

/**
 * Writes what is planned, all files or none: each takes its name once all of them are on the disk, the last
 * one first. Throws CliError `refused`.
 */
export function writeFiles(files: readonly PlannedFile[]): void {
  const left = files.filter(({ state }) => state === 'left').map(leftText);
  if (left.length > 0) throw new CliError(ExitCode.refused, 'changed-by-a-person', left.join('\n\n'));
  const drafts: { readonly path: string; readonly draft: string }[] = [];
  try {
    for (const file of files.filter(({ state }) => state === 'written')) {
      const { path } = file;
      const draft = `${path}.${randomBytes(6).toString('hex')}`;
      attempt('write', path, () => {
        mkdirSync(dirname(path), { recursive: true, mode: file.isSecret ? 0o700 : 0o777 });
        drafts.push({ path, draft });
        writeDraft(draft, file);
      });
    }
    // Of two runs at once one is refused: a key of the first must not end up beside a file of the second.
    const changed = files.find(({ path, before }) => textOf(path) !== before);
    if (changed !== undefined) throw new CliError(ExitCode.refused, 'changed-meanwhile', meanwhile(changed));
    for (const { path, draft } of drafts.toReversed()) attempt('write', path, () => renameSync(draft, path));
  } finally {
    for (const { draft } of drafts) if (existsSync(draft)) rmSync(draft);
  }
}

/**
 * Writes to a new file, never to one already there, nor through a link. The same users can read it as could
 * read the old one.
 */
function writeDraft(draft: string, { path, text, isSecret = false }: PlannedFile): void {
  const old = lstatSync(path, { throwIfNoEntry: false });
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeFileSync(file, text);
    if (old?.isFile() === true) {
      const own = fstatSync(file);
      if (old.uid !== own.uid || old.gid !== own.gid) fchownSync(file, old.uid, old.gid);
      fchmodSync(file, old.mode & 0o777);
    } else if (!isSecret) fchmodSync(file, 0o644); // whatever the umask: users of services read it, too
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function meanwhile({ path }: PlannedFile): string {
  return `${shownName(path)} was changed while this ran, and nothing was written: run this again`;
}

function leftText({ path, text }: PlannedFile): string {
  return `${shownName(path)} was changed by a person, or is a link, and is left alone; nothing was written. It lacks some of this:\n\n${text}\nAdd that to it, or move it away and run this again.`;
}

function digestOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Remedies for errors of the file system, by code. */
const REMEDIES: ReadonlyMap<unknown, string> = new Map([
  ...['ENOSPC', 'EDQUOT'].map((code) => [code, 'make room on that disk, and run this again'] as const),
  ...['EACCES', 'EPERM'].map(
    (code) => [code, 'run this as root, or give --dir DIR, a folder of yours'] as const,
  ),
]);

/** Throws CliError `refused` with a remedy. */
export function attempt<T>(what: 'read' | 'write', path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const remedy = REMEDIES.get(code) ?? 'move away what is in the way, or give --dir DIR, a folder of yours';
    throw new CliError(ExitCode.refused, `cannot-${what}`, `cannot ${what} ${path}: ${reason}: ${remedy}`, {
      cause,
    });
  }
}
