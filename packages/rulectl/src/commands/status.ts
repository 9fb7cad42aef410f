/** `rulectl status`: the head, its parts, how far each subscriber is, and what it counted. */

import type { ControlRecord } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { ask, controlOf } from '../client.ts';
import { CliError, ExitCode, exitOfFailure, usageError } from '../exit.ts';
import { renderStatus, type Snapshot } from '../render.ts';
import type { Terminal } from '../terminal.ts';

export const command = 'status';
export const describe = 'what is released, and how far each subscriber is';

/** Without --watch the answer is a few records; the publisher gives up on counters after five seconds. */
const ANSWER_TIMEOUT_MS = 30_000;
/** The publisher sends a batch at once and waits at least 100 ms before the next: silence this long is the end of one. */
const BATCH_END_MS = 50;
/** Before the first release, with no subscriber, no record comes at all. */
const FIRST_BATCH_MS = 500;
/** Ages on a screen move on although nothing happens. */
const REDRAW_MS = 1000;
/** To the top left corner, and clear from there. */
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

export interface StatusArgs {
  readonly control: string;
  readonly json: boolean | undefined;
  readonly watch: boolean | undefined;
  readonly counters: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<StatusArgs> {
  return yargs
    .usage('$0 status\n\nSays what is released, and how far each subscriber is.')
    .option('json', {
      type: 'boolean',
      describe: 'the records as JSON, one a line; {"kind":"end-of-snapshot"} ends each batch',
    })
    .option('watch', { type: 'boolean', describe: 'again at every change, until interrupted' })
    .option('counters', {
      type: 'boolean',
      describe: 'also what each connected subscriber counted: packets judged, dropped and by list',
    })
    .example([
      ['$0 status', 'one look'],
      ['$0 status --counters', 'how many packets were dropped, and by which lists'],
      ['$0 status --watch', 'a screen that follows every change'],
      ['$0 status --json', 'for a program'],
    ]);
}

export async function run(args: StatusArgs, terminal: Terminal): Promise<ExitCode> {
  const watch = args.watch === true;
  const counters = args.counters === true;
  if (watch && counters) {
    throw usageError('--watch shows what changes, and counters change with every packet: leave out one');
  }
  const view = args.json === true ? new JsonView(terminal) : new TextView(terminal, watch);
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const batches = new Batches(view, watch, fail);
  const asked = ask({
    ...controlOf(args),
    ...(watch ? {} : { timeoutMs: ANSWER_TIMEOUT_MS }),
    send: (connection) => connection.send({ kind: 'status', watch, ...(counters && { counters }) }),
    onRecord: (record) => batches.add(record),
  });
  try {
    const ending = await Promise.race([asked, failed]);
    if (ending.kind === 'fail') throw new CliError(exitOfFailure(ending.code), ending.code, ending.text);
    batches.finish();
    if (args.json === true) {
      terminal.out.json({ kind: 'done', code: ending.code, text: ending.text, exit: ExitCode.ok });
    }
    return ExitCode.ok;
  } finally {
    batches.stop();
  }
}

/** Where batches of records go. */
interface View {
  record(record: ControlRecord): void;
  batch(snapshot: Snapshot): void;
  /** Time has passed and nothing else. */
  redraw(snapshot: Snapshot): void;
}

class JsonView implements View {
  private readonly terminal: Terminal;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  record(record: ControlRecord): void {
    this.terminal.out.json(record);
  }

  batch(): void {
    this.terminal.out.json({ kind: 'end-of-snapshot' });
    this.terminal.out.flush();
  }

  redraw(): void {
    // Records hold times, not ages.
  }
}

class TextView implements View {
  private readonly terminal: Terminal;
  private readonly watch: boolean;
  private shown = 0;

  constructor(terminal: Terminal, watch: boolean) {
    this.terminal = terminal;
    this.watch = watch;
  }

  record(): void {
    // Shown with the batch it is in.
  }

  batch(snapshot: Snapshot): void {
    const { out, outIsTty, colors } = this.terminal;
    if (this.watch && outIsTty) out.write(CLEAR_SCREEN);
    else if (this.shown > 0) out.line('');
    this.shown++;
    out.line(renderStatus(snapshot, this.terminal.nowMs(), colors));
    out.flush();
  }

  redraw(snapshot: Snapshot): void {
    if (this.terminal.outIsTty) this.batch(snapshot);
  }
}

/**
 * Cuts the stream of records into batches. A batch starts with the head, if there is one, so a second head or a name seen
 * before starts the next one; the last one is known to be whole by the silence after it, or by the end of the answer.
 */
class Batches {
  private readonly view: View;
  private readonly fail: (error: unknown) => void;
  private readonly watch: boolean;
  private head: Snapshot['head'];
  private parts: Snapshot['parts'][number][] = [];
  private subscribers: Snapshot['subscribers'][number][] = [];
  private counters: Snapshot['counters'][number][] = [];
  private isWhole = false;
  private silence: NodeJS.Timeout | undefined;
  private readonly clock: NodeJS.Timeout | undefined;

  /** `fail` takes what the view throws while no record is being added. */
  constructor(view: View, watch: boolean, fail: (error: unknown) => void) {
    this.view = view;
    this.watch = watch;
    this.fail = fail;
    if (!watch) return;
    this.silence = setTimeout(() => this.guarded(() => this.finish()), FIRST_BATCH_MS);
    this.clock = setInterval(() => this.guarded(() => this.redraw()), REDRAW_MS);
  }

  add(record: ControlRecord): void {
    if (this.beginsNext(record)) this.begin();
    if (!this.put(record)) return;
    this.isWhole = false;
    this.view.record(record);
    if (!this.watch) return;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.guarded(() => this.finish()), BATCH_END_MS);
  }

  /** Whether the record belongs in a status. */
  private put(record: ControlRecord): boolean {
    switch (record.record) {
      case 'head':
        this.head = record;
        return true;
      case 'part':
        this.parts.push(record);
        return true;
      case 'subscriber':
        this.subscribers.push(record);
        return true;
      case 'counters':
      case 'warning':
        this.counters.push(record);
        return true;
      default:
        return false;
    }
  }

  private beginsNext(record: ControlRecord): boolean {
    if (record.record === 'head') return this.head !== undefined || this.subscribers.length > 0;
    return record.record === 'subscriber' && this.subscribers.some(({ name }) => name === record.name);
  }

  private begin(): void {
    if (!this.isWhole) this.finish();
    this.head = undefined;
    this.parts = [];
    this.subscribers = [];
    this.counters = [];
  }

  /** The batch at hand is whole. */
  finish(): void {
    clearTimeout(this.silence);
    this.isWhole = true;
    this.view.batch(this.snapshot());
  }

  private redraw(): void {
    if (this.isWhole) this.view.redraw(this.snapshot());
  }

  private snapshot(): Snapshot {
    return { head: this.head, parts: this.parts, subscribers: this.subscribers, counters: this.counters };
  }

  private guarded(show: () => void): void {
    try {
      show();
    } catch (error) {
      this.fail(error);
    }
  }

  stop(): void {
    clearTimeout(this.silence);
    clearInterval(this.clock);
  }
}
