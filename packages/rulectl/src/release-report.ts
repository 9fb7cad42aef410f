/** What comes back of a request that makes a release, to the end of its answer: PUSH and ROLLBACK are told alike. */

import { type ControlRecord, type ControlRecordOf, ErrorCode, type MessageOf } from '@rulecast/protocol';
import type { Ending } from './client.ts';
import { ExitCode, exitOfFailure } from './exit.ts';
import {
  renderApplied,
  renderAppliedSummary,
  renderChanges,
  renderRefusal,
  renderReject,
  renderRelease,
  renderWarning,
} from './render.ts';
import type { Terminal } from './terminal.ts';

/** Where the answer of the publisher goes. */
export interface Report {
  record(record: ControlRecord): void;
  end(ending: Ending): ExitCode;
}

/** What a request asked for, as far as its report differs. */
export interface Reported {
  readonly wait: 'released' | 'applied';
  /** Where the files that it names lie, by the names that the publisher knows. */
  readonly paths?: ReadonlyMap<string, string>;
}

/** A report in text or, with `json`, in records. */
export function reportTo(terminal: Terminal, json: boolean, reported: Reported): Report {
  return json ? new JsonReport(terminal) : new TextReport(terminal, reported);
}

/** The exit code of a request, by what the subscribers said and how it ended. */
function exitOf(ending: Ending, applied: readonly ControlRecordOf<'applied'>[]): ExitCode {
  if (ending.kind === 'fail')
    return ending.code === 'declined' ? ExitCode.refused : exitOfFailure(ending.code);
  if (applied.some(({ state }) => state === 'refused')) return ExitCode.unmet;
  const isLate = applied.some(({ state }) => state === 'timeout' || state === 'disconnected');
  return isLate ? ExitCode.timeout : ExitCode.ok;
}

class JsonReport implements Report {
  private readonly terminal: Terminal;
  private readonly applied: ControlRecordOf<'applied'>[] = [];

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  record(record: ControlRecord): void {
    if (record.record === 'applied') this.applied.push(record);
    this.terminal.out.json(record);
    this.terminal.out.flush();
  }

  end(ending: Ending): ExitCode {
    const exit = exitOf(ending, this.applied);
    this.terminal.out.json({ ...ending, exit });
    return exit;
  }
}

class TextReport implements Report {
  private readonly terminal: Terminal;
  private readonly reported: Reported;
  private changes: ControlRecordOf<'change'>[] = [];
  private release: ControlRecordOf<'release'> | undefined;
  private readonly applied: ControlRecordOf<'applied'>[] = [];

  constructor(terminal: Terminal, reported: Reported) {
    this.terminal = terminal;
    this.reported = reported;
  }

  record(record: ControlRecord): void {
    const { out, colors } = this.terminal;
    switch (record.record) {
      case 'reject':
        out.line(renderReject(this.reported.paths?.get(record.file) ?? record.file, record, colors));
        break;
      case 'refusal':
        this.showChanges();
        out.line(renderRefusal(record, colors));
        break;
      case 'warning':
        out.line(renderWarning(record, colors));
        break;
      case 'change':
        this.changes.push(record);
        break;
      case 'release':
        this.release = record;
        this.showChanges();
        out.line(renderRelease(record));
        break;
      case 'applied':
        this.applied.push(record);
        out.line(renderApplied(record, colors));
        break;
      default: // progress has its bar; other records say nothing about a release
    }
    out.flush();
  }

  private showChanges(): void {
    if (this.changes.length > 0) this.terminal.out.line(renderChanges(this.changes, this.terminal.colors));
    this.changes = [];
  }

  end(ending: Ending): ExitCode {
    const exit = exitOf(ending, this.applied);
    this.showChanges();
    if (ending.kind === 'fail') this.terminal.complain(`rulectl: ${failureText(ending)}`);
    else this.showSummary();
    return exit;
  }

  private showSummary(): void {
    const { out, colors } = this.terminal;
    if (this.release?.changed !== true || this.release.dryRun) return;
    if (this.reported.wait === 'applied') out.line(renderAppliedSummary(this.applied, colors));
    else out.line('not waiting for subscribers: rulectl status says how far they are');
  }
}

function failureText(ending: MessageOf<'fail'>): string {
  switch (ending.code) {
    case 'declined':
    case ErrorCode.badInput: // every line was told by itself
    case ErrorCode.versionMoved:
      return ending.text;
    case ErrorCode.guardRefused: // what each guard says was told by itself
      if (ending.guard !== undefined) return 'nothing was released: guards refuse it (guard-refused)';
      return withPart(ending);
    default:
      return withPart(ending);
  }
}

function withPart(ending: MessageOf<'fail'>): string {
  const part = ending.part === undefined ? '' : `${ending.part}: `;
  return `${part}${ending.text} (${ending.code})`;
}
