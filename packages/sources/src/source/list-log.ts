/** The log of a list after a step: its faults and warnings, and what was permitted. */

import type { List } from '@rulecast/rules';
import type { Overridden } from '../guard/guard.ts';
import type { Log } from '../log.ts';
import type { ReadList } from '../read/reading.ts';
import type { Source } from './source.ts';

/** A refusal that a permit overrode. */
export interface AuditEntry {
  readonly list: string;
  readonly code: string;
  readonly reason: string;
  /** Entries. */
  readonly before: number;
  readonly after: number;
  /** The caller who permitted it. */
  readonly by: string | undefined;
}

/** The state of a source before a step. */
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

  /** Once `closing` is aborted, only permitted refusals are logged. */
  constructor(log: Log, closing: AbortSignal, audit: ((entry: AuditEntry) => void) | undefined) {
    this.#log = log;
    this.#closing = closing;
    this.#audit = audit;
  }

  /** Logs the state of a source after a step; `overridden`: a refusal that a permit overrode. */
  tell(source: Source, before: Standing, overridden: Overridden | undefined): void {
    if (overridden !== undefined) this.#tellOverridden(source, overridden, before.count);
    if (this.#closing.aborted) return;
    this.#tellTrouble(source, before.troubleCode);
    this.#tellReading(source, before);
  }

  #tellOverridden({ config: { name }, count }: Source, overridden: Overridden, before: number): void {
    this.tellPermitted({ list: name, ...overridden, before, after: count });
  }

  /** Logs a list that was accepted, or put in force, only by a permit. */
  tellPermitted(entry: AuditEntry): void {
    this.#log.warn({ audit: entry }, `list ${entry.list} was accepted against a guard, as --permit asked`);
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

  /** Logs an accepted reading: that it is the first, and its warnings. */
  #tellReading({ config, list, report, count }: Source, before: Standing): void {
    const { name, source } = config;
    if (report === undefined || report === before.report) return;
    if (report.suffixCount > 0) {
      const what = `list ${name}: suffix entries are read as single names, as suffixes: as-names says`;
      this.#log.warn({ list: name, entries: report.suffixCount }, what);
    }
    for (const note of report.notes) this.#log.warn({ list: name }, `list ${name}: ${note}`);
    if (before.list !== undefined || list === undefined || source.kind !== 'url') return;
    const entries = `${count} ${count === 1 ? 'entry' : 'entries'}, read as ${report.formats.join(' and ')}`;
    const what = `list ${name} has content for the first time: ${entries}; there is no earlier content to compare it with`;
    this.#log.info({ list: name }, what);
  }
}
