/**
 * Keeps the content of the rules file in force. Watches it and the files that it names, reads them once they
 * are unchanged for a while, and releases them unless that was done already.
 *
 *   changed ─▶ read ─▶ taken already ─▶ rest
 *                ├─ cannot be read, refused ─▶ rest: the last content stays, and the status says why
 *                ├─ a list has no content yet ─▶ again when it is there
 *                └─ it rests later, or the publisher can release nothing now ─▶ again later
 */

import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { detectFormat, FORMAT_LIMITS, listUse, type PushedFile, type RestConfig } from '@rulecast/formats';
import { ProtocolError } from '@rulecast/protocol';
import {
  FileRest,
  InputError,
  InputErrorCode,
  readBelow,
  readWhole,
  type WatchPaths,
} from '@rulecast/sources';
import { isPermitCode } from '../guards/permits.ts';
import { GuardError } from '../release/commit.ts';
import type { GuardOutcome, PushOutcome } from '../release/outcome.ts';
import type { Publisher } from '../release/publisher.ts';
import { contentOf } from '../release/rules-file.ts';
import { firstFault } from './config-file.ts';

/** Our choice: as files of lists. */
const REST: RestConfig = { quietMs: 2000, unfinishedMs: 30_000 };
/** Our choice: as batches of lists. */
const RETRY_MS = 10_000;
/** Guards that wait for a resolver or a firewall: the file is tried again without a change. */
const TEMPORARY: ReadonlySet<string> = new Set([
  'unresolved',
  'needs-names',
  'needs-openings',
  'needs-upgrade',
]);
/** More is for sources: our choice. */
const FILES_MAX = 4096;
const BYTES_MAX = 128 * 2 ** 20;

export interface WatchedRulesOptions {
  readonly publisher: Publisher;
  /** Absolute. */
  readonly path: string;
  readonly watch: WatchPaths;
}

/** Why the content of the file is not in force. */
interface Trouble {
  readonly text: string;
  /** The list that has no content yet. */
  readonly list?: string | undefined;
  /** To be tried again by itself. */
  readonly retryMs?: number | undefined;
}

export class WatchedRules {
  readonly path: string;
  readonly #options: WatchedRulesOptions;
  readonly #name: string;
  readonly #rest: FileRest;
  #trouble: Trouble | undefined;
  #watched: readonly string[] = [];
  #unwatch: (() => Promise<void>) | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** The next look, if it has not begun. */
  #next: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;
  #isClosed = false;

  constructor(options: WatchedRulesOptions) {
    const { publisher, path } = options;
    this.#options = options;
    this.path = path;
    this.#name = posix.basename(path);
    this.#rest = new FileRest(REST, publisher.clock);
  }

  /** Starts to watch the file and to release its content. The publisher has its name. */
  async start(): Promise<void> {
    await this.#watchAll([this.path]);
    void this.look();
  }

  /** Why the file's content is not in force, as a sentence; undefined: it is. */
  get trouble(): string | undefined {
    const { rules, head } = this.#options.publisher;
    const isTaken = rules.isTaken(); // or pushed with a permit
    if (!isTaken && this.#trouble === undefined && head === undefined)
      return `${this.#name} waits to be released: rulectl status --watch`;
    if (!isTaken) return this.#trouble?.text;
    return rules.isLeft ? `${this.#name} is out of force since a rollback: change it, or push it` : undefined;
  }

  /**
   * Reads the file and releases its content; resolves when that is done. Never rejects: trouble is logged.
   */
  look(): Promise<void> {
    this.#next ??= this.#looking.then(async () => {
      this.#next = undefined;
      if (!this.#isClosed) await this.#lookNow();
    });
    this.#looking = this.#next;
    return this.#next;
  }

  /** Looks again if the file waits for a list that is now released, or came from a source. */
  listsChanged(hasList: (list: string) => boolean): void {
    const list = this.#trouble?.list;
    if (list !== undefined && hasList(list)) void this.look();
  }

  /** Ends work under way. Call it before the publisher closes. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.#looking;
    await this.#unwatch?.();
  }

  async #lookNow(): Promise<void> {
    this.#cancelRetry?.();
    const { publisher } = this.#options;
    try {
      this.#tell(await this.#take(await this.#read()));
    } catch (error) {
      this.#tell(this.#troubleOf(error));
    }
    const retryMs = this.#trouble?.retryMs;
    if (retryMs !== undefined && !this.#isClosed)
      this.#cancelRetry = publisher.clock.after(retryMs, () => void this.look());
  }

  /** Has content released. Resolves with why it is not. Throws what `takeRules` throws. */
  async #take(files: readonly PushedFile[]): Promise<Trouble | undefined> {
    const { publisher } = this.#options;
    const { rules } = publisher;
    const content = contentOf(files);
    rules.read(content);
    if (rules.isTaken()) return undefined;
    const [document] = files;
    if (document === undefined || detectFormat(document.name, document.bytes) !== 'document')
      return this.#refused(
        'it is no rule set document: write policies:, lists:, first:, common: or unmatched:',
      );
    const kept = [{ ...document, bytes: Uint8Array.from(document.bytes) }];
    try {
      return this.#troubleIn(await publisher.takeRules(files, content));
    } catch (error) {
      if (!(error instanceof GuardError)) throw error;
      const { missingList: list, message } = error;
      if (list !== undefined && rules.isOfSource(list))
        return {
          text: `${this.#name} waits for list ${list}, which has no content yet: rulectl lists`,
          list,
        };
      const place = list === undefined ? undefined : listUse(kept, list);
      const where = place === undefined ? '' : `line ${place.line}, column ${place.column}: `;
      return { ...this.#refused(`${where}${message}`), list };
    }
  }

  #troubleIn(outcome: PushOutcome): Trouble | undefined {
    switch (outcome.kind) {
      case 'rejects':
        return this.#refused(firstFault(outcome, this.#name));
      case 'guarded':
        return {
          ...this.#refused(guardText(outcome), permitText(outcome)),
          retryMs: outcome.refusals.every(({ guard }) => TEMPORARY.has(guard)) ? RETRY_MS : undefined,
        };
      default:
        for (const { part, reason } of 'notes' in outcome ? outcome.notes : [])
          this.#options.publisher.logger.warn({ file: this.path, part }, reason);
        return undefined;
    }
  }

  /** The trouble of a refused file; its last released content stays. */
  #refused(reason: string, takenBy = ''): Trouble {
    return { text: `${this.#name} is refused${takenBy}: ${reason}` };
  }

  #troubleOf(error: unknown): Trouble {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof InputError) {
      this.#options.publisher.rules.read(undefined);
      const { restsInMs: retryMs } = error;
      if (retryMs === undefined) return { text: `${this.#name} cannot be read: ${readText(error)}` };
      // A status shows 120 characters of it.
      const why = `${this.#name} waits to be read, as it was written to just now: rulectl status --watch`;
      return { text: why, retryMs };
    }
    if (error instanceof ProtocolError) return this.#refused(text);
    return { text: `${this.#name} cannot be released now: ${text}`, retryMs: RETRY_MS };
  }

  /** Logs a change of the trouble, once. */
  #tell(trouble: Trouble | undefined): void {
    const before = this.#trouble?.text;
    this.#trouble = trouble;
    const { logger } = this.#options.publisher;
    if (trouble?.text === before) return;
    if (trouble === undefined) logger.info({ file: this.path }, 'the rules file is read');
    else logger.warn({ file: this.path }, trouble.text);
  }

  /** The document and the files that it names, whole and at rest. Throws InputError. */
  async #read(): Promise<readonly PushedFile[]> {
    this.#rest.begin();
    const bytes = await readWhole(this.path, FORMAT_LIMITS.documentBytes, this.#rest);
    const files: PushedFile[] = [{ name: this.#name, role: 'pushed', bytes }];
    const names = await this.#options.publisher.referencesOf(bytes);
    const folder = posix.dirname(this.path);
    const paths = names.map((name) => posix.resolve(folder, name));
    if (names.length > FILES_MAX)
      throw new InputError(InputErrorCode.tooMany, `it names ${names.length} files`);
    // it may have changed before the watch began
    if (await this.#watchAll([this.path, ...paths])) void this.look();
    let left = BYTES_MAX - bytes.length;
    for (const [i, name] of names.entries()) {
      try {
        const content = await readBelow(folder, paths[i] ?? '', left, this.#rest);
        left -= content.length;
        files.push({ name, role: 'referenced', bytes: content });
      } catch (error) {
        // the message names the file
        if (!(error instanceof InputError) || error.code !== InputErrorCode.missing) throw error;
      }
    }
    return files;
  }

  /** Watches these paths; whether one of them was not watched before. */
  async #watchAll(paths: readonly string[]): Promise<boolean> {
    if (this.#isClosed || isDeepStrictEqual(paths, this.#watched)) return false;
    const isNew = paths.some((path) => !this.#watched.includes(path)) && this.#watched.length > 0;
    await this.#unwatch?.();
    this.#watched = paths;
    this.#unwatch = await this.#options.watch(paths, () => void this.look());
    return isNew;
  }
}

function guardText({ refusals }: GuardOutcome): string {
  const [first] = refusals;
  const more = refusals.length > 1 ? ` (and ${refusals.length - 1} more)` : '';
  return `${first?.part ?? ''}: ${first?.reason ?? ''}${more}`;
}

/** The command that pushes the file in spite of the guards, if there is one. */
function permitText({ refusals }: GuardOutcome): string {
  const codes = [...new Set(refusals.map(({ guard }) => guard))];
  return codes.every(isPermitCode) ? ` (rulectl push --permit ${codes.join(',')} takes it)` : '';
}

function readText({ code, message }: InputError): string {
  if (code === InputErrorCode.notFile) return 'it is no file';
  // keys that exist for lists only
  return message.replace(/: raise limits: bytes:$| \((?:quiet|unfinished):\)/, '');
}
