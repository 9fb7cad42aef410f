/** `rulectl history`: the releases that are kept, what made each and what it changed. */

import { type ControlRecordOf, VERSION_MAX } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, controlOf } from '../control/client.ts';
import { renderHistory } from '../render/history.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'history';

/** Thousands of records, read from the store. */
const ANSWER_TIMEOUT_MS = 60_000;
const DEFAULT_COUNT = '20';

export interface HistoryArgs {
  readonly control: string;
  readonly last: string;
  readonly all: boolean | undefined;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<HistoryArgs> {
  return yargs
    .usage(
      '$0 history\n\nLists the releases that the publisher keeps, the newest first. Each of them can be compared (rulectl diff) and taken up again (rulectl rollback).',
    )
    .option('last', { type: 'string', requiresArg: true, default: DEFAULT_COUNT, describe: 'how many' })
    .option('all', { type: 'boolean', describe: 'all that are kept' })
    .option('json', { type: 'boolean', describe: 'the records as JSON, one a line, the end last' })
    .example([
      ['$0 history', 'the last releases'],
      ['$0 history --all --json', 'every release kept, for a program'],
    ]);
}

export async function run(args: HistoryArgs, terminal: Terminal): Promise<ExitCode> {
  const most = args.all === true ? VERSION_MAX : countOf(args.last);
  const releases: ControlRecordOf<'history'>[] = [];
  const ending = await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'history', most }),
    onRecord: (record) => {
      if (record.record !== 'history') return;
      if (args.json === true) terminal.out.json(record);
      else releases.push(record);
    },
  });
  if (args.json === true) terminal.out.json({ ...ending, exit: ExitCode.ok });
  else if (releases.length > 0) terminal.out.line(renderHistory(releases, terminal.colors));
  else terminal.out.line('nothing released yet: push something with rulectl push FILE');
  return ExitCode.ok;
}

function countOf(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw usageError(`--last ${text}: write how many, or --all`);
}
