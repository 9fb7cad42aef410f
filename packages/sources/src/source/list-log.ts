/**
 * What the log is told of a list when something was done with it: what is wrong or odd about it, and what
 * somebody permitted.
 */

import type { List } from '@rulecast/rules';
import type { Overridden } from '../guard/guard.ts';
import type { Log } from '../log.ts';
import type { ReadList } from '../read/reading.ts';
import type { Source } from './source.ts';

/** Somebody permitted what a guard would have refused. */
export interface AuditEntry {
  readonly list: string;
  readonly code: string;
  readonly reason: string;
  /** Entries. */
  readonly before: number;
  readonly after: number;
  /** Who permitted it. */
  readonly by: string | undefined;
}

/** How a source stood before something was done with it. */
export interface Standing {
  readonly list: List | undefined;
  readonly report: ReadList | undefined;
  readonly count: number;
  readonly troubleCode: string | undefined;
}

export function standingOf({ list, report, count, trouble }: Source): Standing {
  return { list, report, count, troubleCode: trouble?.code };
}

export class ListLog {
  readonly #log: Log;
  readonly #closing: AbortSignal;
  readonly #audit: ((entry: AuditEntry) => void) | undefined;

  /** Once `closing` is aborted, only what was permitted is told. */
  constructor(log: Log, closing: AbortSignal, audit: ((entry: AuditEntry) => void) | undefined) {
    this.#log = log;
    this.#closing = closing;
    this.#audit = audit;
  }

  /** What became of a source; `overridden`: what a guard said that was overruled. */
  tell(source: Source, before: Standing, overridden: Overridden | undefined): void {
    if (overridden !== undefined) this.#tellOverridden(source, overridden, before.count);
    if (this.#closing.aborted) return;
    this.#tellTrouble(source, before.troubleCode);
    this.#tellReading(source, before);
  }

  #tellOverridden({ config: { name }, count }: Source, overridden: Overridden, before: number): void {
    this.tellPermitted({ list: name, ...overridden, before, after: count });
  }

  /** Of what is taken, or put in force, only because somebody permitted it. */
  tellPermitted(entry: AuditEntry): void {
    this.#log.warn({ audit: entry }, `list ${entry.list} was taken against a guard, as somebody asked`);
    this.#audit?.(entry);
  }

  #tellTrouble({ config: { name }, trouble, list }: Source, before: string | undefined): void {
    if (trouble?.code === before) return;
    if (trouble === undefined) {
      this.#log.info({ list: name }, `list ${name} is good again`);
      return;
    }
    const { code, reason } = trouble;
    const what = list === undefined ? 'has no content yet' : 'keeps its last good content';
    this.#log.warn({ list: name, code }, `list ${name} ${what}: ${reason}`);
  }

  /** Of a reading that was taken: that there was none before, and what is odd about it. */
  #tellReading({ config, list, report, count }: Source, before: Standing): void {
    const { name, source } = config;
    if (report === undefined || report === before.report) return;
    if (report.suffixCount > 0) {
      const what = `list ${name}: suffix entries of which the names alone are taken, as it says`;
      this.#log.warn({ list: name, entries: report.suffixCount }, what);
    }
    for (const note of report.notes) this.#log.warn({ list: name }, `list ${name}: ${note}`);
    if (before.list !== undefined || list === undefined || source.kind !== 'url') return;
    const entries = `${count} ${count === 1 ? 'entry' : 'entries'}, read as ${report.formats.join(' and ')}`;
    const what = `list ${name} has content for the first time: ${entries}; nothing is known to compare it with`;
    this.#log.info({ list: name }, what);
  }
}
