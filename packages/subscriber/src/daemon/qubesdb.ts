/**
 * Options whose value dom0 gives to this qube in QubesDB, by a feature whose name begins with `vm-config.`:
 * so the template of many firewalls has to know none of them.
 *
 *     qvm-features sys-firewall vm-config.rulecast-trust LINE ─▶ qubesdb-read /vm-config/rulecast-trust
 *
 * Any process of a qube may write into the QubesDB of that qube. So the first answer of a boot is kept, in a
 * folder of root's, and used from then on.
 */

import { execFileSync } from 'node:child_process';
import { lstatSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, readOwnFile } from '@rulecast/program/directory';

const PREFIX = 'qubesdb:';
/** Places that may be absent, before a comma: an endpoint may have commas of its own. */
const WITH_ALTERNATIVE = /^(qubesdb:[^,]*|\/[^,]*),(.+)$/s;
/** QubesDB is on this machine: a program that takes longer has failed. */
const READ_TIMEOUT_MS = 5_000;
const KEY = /^\/[A-Za-z0-9_./-]{1,62}$/;
/** A trust line has 107 characters, and an endpoint is the arguments of one program. */
const ANSWER_MAX_BYTES = 4_096;
const ANSWER = /^[\x20-\x7e]+$/;
const OTHERS = 0o077;

export interface PlaceOptions {
  /** Folder for the first answers of QubesDB, made if need be; undefined: none are kept. */
  readonly firstAnswers: string | undefined;
  /** Gets a warning if QubesDB answers something else than the first time. */
  readonly onOtherAnswer: (text: string) => void;
}

/** QubesDB does not give a value now; it may later. */
export class QubesDbError extends Error {}

/**
 * The value at the first of several places, separated by commas. `qubesdb:KEY` stands for a value of QubesDB,
 * any other place for itself. A path where nothing is, and QubesDB outside of a qube, are passed over;
 * undefined if no place is left. Throws QubesDbError, and DirectoryError for the folder of first answers.
 */
export function valueFrom(places: string, options: PlaceOptions): string | undefined {
  const [, first = places, others] = WITH_ALTERNATIVE.exec(places) ?? [];
  const value = valueAt(first, options, others !== undefined);
  return value === undefined && others !== undefined ? valueFrom(others, options) : value;
}

function valueAt(place: string, options: PlaceOptions, mayBeAbsent: boolean): string | undefined {
  if (place.startsWith(PREFIX)) return valueOfKey(place.slice(PREFIX.length), options);
  return mayBeAbsent && !isThere(place) ? undefined : place;
}

/** Whether anything is at a path, be it something that cannot be read: that must not open the next place. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/** The value of a key, undefined outside of a qube. */
function valueOfKey(key: string, { firstAnswers, onOtherAnswer }: PlaceOptions): string | undefined {
  if (!KEY.test(key))
    throw new QubesDbError(
      `${PREFIX}${key}: write qubesdb: and a path, as in qubesdb:/vm-config/rulecast-trust`,
    );
  const first = firstAnswers === undefined ? undefined : firstAnswerIn(firstAnswers, key);
  const answer = ask(key);
  if (first !== undefined) {
    if (answer.kind === 'value' && answer.value !== first)
      onOtherAnswer(
        `QubesDB has another ${key} than when this qube started: the first one holds. If dom0 changed it, restart this qube; if not, a process of this qube changed it`,
      );
    return first;
  }
  if (answer.kind === 'outside') return undefined;
  if (answer.kind === 'failure') throw new QubesDbError(answer.text, { cause: answer.cause });
  if (firstAnswers !== undefined) keep(fileOf(firstAnswers, key), answer.value);
  return answer.value;
}

/** Throws QubesDbError for a folder that others may have written into. */
function firstAnswerIn(folder: string, key: string): string | undefined {
  makeDirectory(folder);
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & OTHERS) !== 0)
    throw new QubesDbError(`${folder} is not a folder for root alone: find out who made it, and remove it`);
  const path = fileOf(folder, key);
  return isThere(path) ? readOwnFile(path).toString('utf8') : undefined;
}

/** Either the whole answer is there or none, whenever this process is killed. */
function keep(path: string, value: string): void {
  writeFileSync(`${path}.part`, value, { mode: 0o600 });
  renameSync(`${path}.part`, path);
}

function fileOf(folder: string, key: string): string {
  return join(folder, encodeURIComponent(key)); // unique, and always in the folder
}

type Answer =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'outside' }
  | { readonly kind: 'failure'; readonly text: string; readonly cause?: unknown };

function ask(key: string): Answer {
  try {
    const value = execFileSync('qubesdb-read', [key], {
      encoding: 'utf8',
      timeout: READ_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: ANSWER_MAX_BYTES,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    if (ANSWER.test(value)) return { kind: 'value', value };
    return { kind: 'failure', text: noLine(key) };
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT') return { kind: 'outside' };
    if (code === 'ENOBUFS') return { kind: 'failure', text: noLine(key), cause };
    if (code === 'ETIMEDOUT') {
      const text = `QubesDB does not answer for ${key} within ${READ_TIMEOUT_MS / 1000} s: systemctl status qubes-db`;
      return { kind: 'failure', text, cause };
    }
    return { kind: 'failure', text: `QubesDB has no ${key}: in dom0, ${remedyOf(key)}`, cause };
  }
}

function noLine(key: string): string {
  return `QubesDB has under ${key} something else than one line of at most ${ANSWER_MAX_BYTES} characters: in dom0, ${remedyOf(key)}`;
}

function remedyOf(key: string): string {
  return `rulecast-dom0 MGMT QUBE, or qvm-features QUBE ${key.slice(1).replace('/', '.')} VALUE`;
}
