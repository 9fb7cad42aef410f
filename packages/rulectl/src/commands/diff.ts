/**
 * `rulectl diff`: what turns one release into another, as text or records, one bounded piece after the other.
 */

import type { ControlRecord } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf, type Ending } from '../control/client.ts';
import { type PastPoint, parsePoint, versionsAt } from '../control/past.ts';
import { checkOnePart } from '../release/options.ts';
import { editLines, renderChangeHead, renderChanges } from '../render/changes.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { MOMENT_HELP } from '../terminal/moment.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'diff <versions>';

/** Two releases of a million entries are rebuilt in seconds; their differences are as many lines. */
const ANSWER_TIMEOUT_MS = 600_000;

export interface DiffArgs extends ControlArgs {
  readonly versions: string;
  readonly list: string | undefined;
  readonly policy: string | undefined;
  readonly stats: boolean | undefined;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<DiffArgs> {
  return yargs
    .usage(
      `$0 diff A..B [--list NAME | --policy NAME]\n\nShows what version B adds to version A and takes away from it; without B, what the newest version does. Either may be the older; 0 is before the first release. A time stands for the version that was in force then, the newest of then or before that is kept. A rule has its number in the version that has it. Exits with 1 if they differ.\n\n${MOMENT_HELP}`,
    )
    .positional('versions', {
      type: 'string',
      demandOption: true,
      describe: 'A..B, or A: versions or times',
    })
    .option('list', { type: 'string', requiresArg: true, describe: 'only this list' })
    .option('policy', { type: 'string', requiresArg: true, describe: 'only this policy' })
    .option('stats', { type: 'boolean', describe: 'how much changed in each part, and not what' })
    .option('json', { type: 'boolean', describe: 'the records as JSON, one a line, the end last' })
    .example([
      ['$0 diff 41..42', 'what version 42 changed'],
      ['$0 diff yesterday', 'what changed since yesterday began, in UTC'],
      ['$0 diff 2026-11-29..2026-11-30', 'what changed on one day'],
      ['$0 diff 41 --stats', 'how much changed since version 41'],
      ['$0 diff 41..42 --list drop', 'entries of one list'],
    ]);
}

export async function run(args: DiffArgs, terminal: Terminal): Promise<ExitCode> {
  const points = rangeOf(args.versions, terminal.nowMs());
  checkOnePart(args);
  const [from = 0, to] = await versionsAt(points, args, terminal);
  const stats = args.stats === true;
  const view = args.json === true ? new JsonView(terminal) : new TextView(terminal, stats);
  const { list, policy } = args;
  const ending = await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'diff', from, to, list, policy, stats }),
    onRecord: (record) => view.record(record),
  });
  const exit = ending.code === 'same' ? ExitCode.ok : ExitCode.unmet;
  view.end(ending, exit);
  return exit;
}

/** `A..B`, `A..` or `A`. Throws CliError `usage`. */
function rangeOf(text: string, nowMs: number): readonly PastPoint[] {
  const [from = '', to = '', ...rest] = text.split('..');
  const points = (to === '' ? [from] : [from, to]).map((one) => parsePoint(one, nowMs));
  if (rest.length === 0 && points.every((point) => point !== undefined)) return points;
  throw usageError(`${text}: write two versions or times as in 41..42, or one to compare with the newest`);
}

interface View {
  record(record: ControlRecord): void;
  end(ending: Ending, exit: ExitCode): void;
}

class JsonView implements View {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  record(record: ControlRecord): void {
    this.#terminal.out.json(record);
  }

  end(ending: Ending, exit: ExitCode): void {
    this.#terminal.out.json({ ...ending, exit });
  }
}

class TextView implements View {
  readonly #terminal: Terminal;
  readonly #stats: boolean;
  readonly #changes: Extract<ControlRecord, { record: 'change' }>[] = [];

  constructor(terminal: Terminal, stats: boolean) {
    this.#terminal = terminal;
    this.#stats = stats;
  }

  record(record: ControlRecord): void {
    const { out, colors } = this.#terminal;
    if (record.record === 'edit') for (const line of editLines(record, colors)) out.line(line);
    if (record.record !== 'change') return;
    if (this.#stats) this.#changes.push(record);
    else out.line(renderChangeHead(record, colors));
  }

  end(ending: Ending): void {
    const { out, colors } = this.#terminal;
    if (this.#changes.length > 0) out.line(renderChanges(this.#changes, colors));
    if (ending.code === 'same') out.line('no difference');
  }
}
