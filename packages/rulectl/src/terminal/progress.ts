/**
 * The progress of a request, on standard error: a bar on a terminal, else a line now and then, and neither if
 * records are printed.
 */

import type { ControlRecord, ControlRecordOf } from '@rulecast/protocol';
import cliProgress from 'cli-progress';
import type { Terminal } from './terminal.ts';

/** The publisher's stages, by the word in its record. */
const STAGES: Readonly<Record<string, string>> = {
  reading: 'reading it',
  names: 'asking for names',
  turn: 'waiting for the releases before it',
  draft: 'comparing it with what is released',
  judge: 'asking the guards',
  store: 'signing and writing it',
  applying: 'released, and on its way to subscribers',
  reporting: 'released, and waiting for names that report',
  arriving: 'released, and waiting for a first subscriber',
};
/** Between two lines of one stage. Our choice. */
const LINE_EVERY_MS = 10_000;

export class Progress {
  readonly #terminal: Pick<Terminal, 'errIsTty' | 'isJson' | 'complain' | 'nowMs'>;
  readonly #sinceMs: number;
  #bar: InstanceType<typeof cliProgress.SingleBar> | undefined;
  #stage: string | undefined;
  #line = { stage: '', atMs: 0 };

  constructor(terminal: Pick<Terminal, 'errIsTty' | 'isJson' | 'complain' | 'nowMs'>) {
    this.#terminal = terminal;
    this.#sinceMs = terminal.nowMs();
  }

  /** Shows `done` of `total` of a stage, 0 if unknown; another stage replaces the bar. */
  show(stage: string, done: number, total: number): void {
    if (!this.#terminal.errIsTty) return;
    if (this.#bar === undefined || this.#stage !== stage) this.#start(stage, total);
    this.#bar?.update(done);
  }

  /** Wraps a receiver of records: shows progress, and passes on the others. */
  around(onRecord: (record: ControlRecord) => void): (record: ControlRecord) => void {
    return (record) => {
      if (record.record === 'progress') return this.#tell(record);
      this.stop();
      onRecord(record);
    };
  }

  #tell({ stage, done, total }: ControlRecordOf<'progress'>): void {
    const text = STAGES[stage] ?? stage;
    if (this.#terminal.errIsTty || this.#terminal.isJson) return this.show(text, done, total);
    const nowMs = this.#terminal.nowMs();
    if (this.#line.stage === stage && nowMs - this.#line.atMs < LINE_EVERY_MS) return;
    this.#line = { stage, atMs: nowMs };
    const share = total === 0 ? '' : ` (${done} of ${total})`;
    this.#terminal.complain(`rulectl: ${Math.round((nowMs - this.#sinceMs) / 1000)} s: ${text}${share}`);
  }

  #start(stage: string, total: number): void {
    this.stop();
    this.#bar = new cliProgress.SingleBar({
      format: total === 0 ? '{stage}, {duration_formatted}' : '{stage} [{bar}] {percentage}%',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barCompleteChar: '#',
      barIncompleteChar: '.',
    });
    this.#stage = stage;
    this.#bar.start(Math.max(1, total), 0, { stage });
  }

  /** Removes the bar: call it before anything else is printed. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#stage = undefined;
  }
}
