/**
 * `rulectl status`: whether all is well, and what to do if not; the head, and the state of each subscriber.
 */

import { type ControlRecord, FLEET_STATES, type FleetState } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlRequest, controlOf } from '../control/client.ts';
import {
  askCounters,
  askStatus,
  isOfCounters,
  STATUS_TIMEOUT_MS,
  StatusBatch,
  statusError,
} from '../control/status.ts';
import { renderFleet, renderMember } from '../render/fleet.ts';
import { healthOf } from '../render/health.ts';
import { renderStatus, type StatusView } from '../render/status.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'status';

/** Ages on a screen move on although nothing happens. */
const REDRAW_MS = 1000;
/** Of --check. */
const CHECK_EXITS = { well: 0, degraded: 1, 'not-enforced': 2 } as const;
/** To the top left corner, and clear from there. */
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

export interface StatusArgs {
  readonly control: string;
  readonly watch: boolean | undefined;
  readonly counters: boolean | undefined;
  readonly check: boolean | undefined;
  readonly state: FleetState | undefined;
  readonly verbose: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<StatusArgs> {
  return yargs
    .usage(
      '$0 status\n\nSays first whether every firewall enforces what is released; if not, what is wrong, since when, and what to do. Below it stand what is released, and how far each subscriber is.',
    )
    .option('verbose', {
      type: 'boolean',
      describe: 'also everything that is wrong, and digests, lineage, epoch and parts',
    })
    .option('watch', { type: 'boolean', describe: 'again at every change, until interrupted' })
    .option('counters', {
      type: 'boolean',
      describe: 'also what each connected subscriber counted: packets judged, dropped and by list',
    })
    .option('state', {
      choices: FLEET_STATES,
      requiresArg: true,
      describe: 'list all reporting names (fleet: in the configuration) in this state, one a line',
    })
    .option('check', {
      type: 'boolean',
      describe:
        'one line and an exit code of its own: 0 well, 1 degraded, 2 not enforced (in force nowhere, or nothing at an expected subscriber), 3 unreachable',
    })
    .example([
      ['$0 status', 'one look'],
      ['$0 status --verbose', 'all that is wrong, and all that is known'],
      ['$0 status --check', 'for monitoring'],
      ['$0 status --counters', 'how many packets were dropped, and by which lists'],
      ['$0 status --state silent', 'which names that report were not heard for two intervals'],
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
  if (args.state !== undefined) {
    if (watch || counters || args.check === true)
      throw usageError('--state lists names: leave out --watch, --counters and --check');
    return tellMembers(args.state, args, terminal);
  }
  if (args.check === true) {
    if (watch || counters) throw usageError('--check is one line: leave out --watch and --counters');
    return check(args, terminal);
  }
  if (!terminal.isJson && !watch) {
    const batch = new StatusBatch();
    await askStatus(controlOf(args), batch, counters);
    if (!counters) batch.counters.push(...(await askCounters(controlOf(args))));
    const scope = { verbose: args.verbose === true, counters };
    terminal.out.line(renderStatus(batch, scope, terminal.nowMs(), terminal.colors));
    return ExitCode.ok;
  }
  const view = terminal.isJson ? new JsonView(terminal) : new TextView(terminal, args.verbose === true);
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const batches = new Batches(view, watch, fail);
  const request: ControlRequest = {
    ...controlOf(args),
    timeoutMs: STATUS_TIMEOUT_MS,
    isEndless: watch,
    send: (connection) => connection.send({ kind: 'status', watch, ...(counters && { counters }) }),
    onRecord: (record) => batches.add(record),
  };
  const asked = askOrFail(request, statusError);
  try {
    await Promise.race([asked, failed]);
    batches.finish();
    return ExitCode.ok;
  } finally {
    batches.stop();
  }
}

/** Prints members as they come: there may be very many. */
async function tellMembers(state: FleetState, args: StatusArgs, terminal: Terminal): Promise<ExitCode> {
  const { out, colors } = terminal;
  const onRecord = (record: ControlRecord): void => {
    terminal.record(recordOf(record));
    if (terminal.isJson) return;
    if (record.record === 'fleet') out.line(renderFleet(record, colors));
    else if (record.record === 'member') out.line(renderMember(record, terminal.nowMs()));
  };
  const send: ControlRequest['send'] = (connection) =>
    connection.send({ kind: 'status', watch: false, state });
  await askOrFail({ ...controlOf(args), timeoutMs: STATUS_TIMEOUT_MS, send, onRecord });
  return ExitCode.ok;
}

async function check(args: StatusArgs, terminal: Terminal): Promise<ExitCode> {
  const batch = new StatusBatch();
  await askStatus(controlOf(args), batch, true, (fail) => statusError(fail, ExitCode.unreachable));
  const { state, text, troubles } = healthOf(batch, terminal.nowMs());
  const shown = troubles.length === 0 ? text : troubles.map((trouble) => trouble.text).join('; ');
  terminal.record({ kind: 'check', state, text: shown, troubles });
  terminal.endsWith(state);
  if (!terminal.isJson) terminal.out.line(`${state.replace('-', ' ')}: ${shown}`);
  return CHECK_EXITS[state];
}

/** Receives batches of records. */
interface View {
  record(record: ControlRecord): void;
  batch(snapshot: StatusView): void;
  /** Draws again, as only time has passed. */
  redraw(snapshot: StatusView): void;
}

class JsonView implements View {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  record(record: ControlRecord): void {
    if (!isOfCounters(record)) this.#terminal.record(recordOf(record));
  }

  /** Counters come in pages, and are printed as one record of a subscriber. */
  batch({ counters }: StatusView): void {
    for (const record of counters) this.#terminal.record(recordOf(record));
    this.#terminal.record({ kind: 'end-of-snapshot' });
    this.#terminal.out.flush();
  }

  redraw(): void {
    // Records hold times, not ages.
  }
}

/** A screen that follows every change. */
class TextView implements View {
  readonly #terminal: Terminal;
  readonly #verbose: boolean;
  #shown = 0;

  constructor(terminal: Terminal, verbose: boolean) {
    this.#terminal = terminal;
    this.#verbose = verbose;
  }

  record(): void {
    // Shown with the batch it is in.
  }

  batch(snapshot: StatusView): void {
    const { out, outIsTty, colors } = this.#terminal;
    if (outIsTty) out.write(CLEAR_SCREEN);
    else if (this.#shown > 0) out.line('');
    this.#shown++;
    const scope = { verbose: this.#verbose, counters: false };
    out.line(renderStatus(snapshot, scope, this.#terminal.nowMs(), colors));
    out.flush();
  }

  redraw(snapshot: StatusView): void {
    if (this.#terminal.outIsTty) this.batch(snapshot);
  }
}

/** Gathers the records of a status until `end`, or the end of the answer, says that it is whole. */
class Batches {
  readonly #view: View;
  readonly #clock: NodeJS.Timeout | undefined;
  #batch = new StatusBatch();
  #isWhole = false;

  /** `fail` gets errors of the view that occur outside of adding a record. */
  constructor(view: View, watch: boolean, fail: (error: unknown) => void) {
    this.#view = view;
    if (watch) this.#clock = setInterval(() => this.#redraw(fail), REDRAW_MS);
  }

  add(record: ControlRecord): void {
    if (record.record === 'end') return this.finish();
    if (this.#isWhole) this.#batch = new StatusBatch();
    this.#isWhole = false;
    if (this.#batch.put(record)) this.#view.record(record);
  }

  /** The end of the answer. */
  finish(): void {
    if (this.#isWhole) return;
    this.#isWhole = true;
    this.#view.batch(this.#batch);
  }

  #redraw(fail: (error: unknown) => void): void {
    if (!this.#isWhole) return;
    try {
      this.#view.redraw(this.#batch);
    } catch (error) {
      fail(error);
    }
  }

  stop(): void {
    clearInterval(this.#clock);
  }
}
