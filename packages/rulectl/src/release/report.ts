/**
 * Shows the answer to a request that makes a release, to its end. PUSH and ROLLBACK look the same.
 */

import { type ControlRecord, type ControlRecordOf, ErrorCode, type MessageOf } from '@rulecast/protocol';
import type { Ending } from '../control/client.ts';
import { renderChanges } from '../render/changes.ts';
import { renderRefusal, renderReject, renderWarning } from '../render/findings.ts';
import { type Fleet, renderShare } from '../render/fleet.ts';
import {
  renderApplied,
  renderAppliedSummary,
  renderOtherWarnings,
  renderRelease,
} from '../render/release.ts';
import { exitOfApplied, type WaitScope } from '../render/standing.ts';
import { type ExitCode, failedError } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { permittingLine } from './permits.ts';

/** Receives the publisher's answer. */
export interface Report {
  record(record: ControlRecord): void;
  /** Throws CliError for a request that failed. */
  end(ending: Ending): ExitCode;
}

/** The options of a request that its report depends on. */
export interface ReportScope {
  readonly awaited: WaitScope;
  /** The paths of files, by the names sent to the publisher. */
  readonly paths?: ReadonlyMap<string, string>;
}

/** A report in text or, with --json, in records. */
export function reportTo(terminal: Terminal, reported: ReportScope): Report {
  return terminal.isJson ? new JsonReport(terminal, reported) : new TextReport(terminal, reported);
}

class JsonReport implements Report {
  readonly #terminal: Terminal;
  readonly #reported: ReportScope;
  #release: ControlRecordOf<'release'> | undefined;
  readonly #applied: ControlRecordOf<'applied'>[] = [];
  #fleet: Fleet | undefined;

  constructor(terminal: Terminal, reported: ReportScope) {
    this.#terminal = terminal;
    this.#reported = reported;
  }

  record(record: ControlRecord): void {
    if (record.record === 'applied') this.#applied.push(record);
    if (record.record === 'release') this.#release = record;
    if (record.record === 'fleet') this.#fleet = record;
    this.#terminal.record(recordOf(record));
    this.#terminal.out.flush();
  }

  end(ending: Ending): ExitCode {
    if (ending.kind === 'fail') throw failedError(ending, failureText(ending));
    this.#terminal.endsWith(ending.code, ending.text);
    return exitOfApplied(this.#release, this.#applied, this.#reported.awaited, this.#fleet);
  }
}

class TextReport implements Report {
  readonly #terminal: Terminal;
  readonly #reported: ReportScope;
  #changes: ControlRecordOf<'change'>[] = [];
  readonly #refusals: ControlRecordOf<'refusal'>[] = [];
  #release: ControlRecordOf<'release'> | undefined;
  readonly #applied: ControlRecordOf<'applied'>[] = [];
  #fleet: Fleet | undefined;

  constructor(terminal: Terminal, reported: ReportScope) {
    this.#terminal = terminal;
    this.#reported = reported;
  }

  record(record: ControlRecord): void {
    const { out, colors } = this.#terminal;
    switch (record.record) {
      case 'reject':
        out.line(renderReject(this.#reported.paths?.get(record.file) ?? record.file, record, colors));
        break;
      case 'refusal':
        this.#showChanges();
        this.#refusals.push(record);
        out.line(renderRefusal(record, colors));
        break;
      case 'warning':
        out.line(renderWarning(record, colors));
        break;
      case 'change':
        this.#changes.push(record);
        break;
      case 'release':
        this.#release = record;
        this.#showChanges();
        out.line(renderRelease(record));
        if (record.otherWarnings > 0) out.line(renderOtherWarnings(record.otherWarnings, colors));
        break;
      case 'applied':
        this.#applied.push(record);
        out.line(renderApplied(record, colors));
        break;
      case 'fleet':
        this.#fleet = record;
        break;
      default: // progress has its bar; other records are not about a release
    }
    out.flush();
  }

  #showChanges(): void {
    if (this.#changes.length > 0)
      this.#terminal.out.line(renderChanges(this.#changes, this.#terminal.colors));
    this.#changes = [];
  }

  end(ending: Ending): ExitCode {
    this.#showChanges();
    if (ending.kind === 'fail')
      throw failedError(ending, `${failureText(ending)}${this.#permitLine(ending)}`);
    this.#showSummary();
    return exitOfApplied(this.#release, this.#applied, this.#reported.awaited, this.#fleet);
  }

  /** The command line that permits the refusals, unless one of them cannot be permitted. */
  #permitLine({ code }: MessageOf<'fail'>): string {
    const { words } = this.#terminal;
    const canPermit = this.#refusals.length > 0 && this.#refusals.every(({ permit }) => permit !== undefined);
    if (code !== ErrorCode.guardRefused || words[0] === 'check' || !canPermit) return '';
    const line = permittingLine(
      words,
      this.#refusals.map(({ guard }) => guard),
    );
    return `\nTo release it all the same: ${line}`;
  }

  #showSummary(): void {
    const { out, colors } = this.#terminal;
    if (this.#release === undefined || this.#release.dryRun || this.#release.version === 0) return;
    const { wait, share } = this.#reported.awaited;
    if (wait === 'released') {
      if (this.#release.changed)
        out.line('not waiting for subscribers: rulectl status says how far they are');
      return;
    }
    const fleet = this.#fleet;
    if (this.#applied.length > 0 || fleet === undefined)
      out.line(renderAppliedSummary(this.#applied, colors));
    if (fleet !== undefined) out.line(renderShare(fleet, share, colors));
  }
}

/** The message for a failed request, without its code. */
export function failureText({ code, guard, file, line, column, part, text }: MessageOf<'fail'>): string {
  if (code === ErrorCode.badInput || code === ErrorCode.versionMoved) return text;
  // Each guard's message was printed before.
  if (code === ErrorCode.guardRefused && guard !== undefined) return 'nothing was released: guards refuse it';
  const place = file === undefined ? part : `${shownName(file)}:${line}:${column}`;
  return place === undefined ? text : `${place}: ${text}`;
}
