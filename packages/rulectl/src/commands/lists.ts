/** `rulectl lists`: each list with its source, freshness and troubles. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, controlOf } from '../control/client.ts';
import { renderLists } from '../render/lists.ts';
import { ExitCode } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'lists';

const ANSWER_TIMEOUT_MS = 30_000;

export interface ListsArgs {
  readonly control: string;
  readonly sources: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<ListsArgs> {
  return yargs
    .usage(
      '$0 lists\n\nShows each list: where it comes from, how many entries it has, when it was fetched, when it is fetched next, how it changed last, and why it is not fresh, if it is not. A list that fails keeps its last good content.',
    )
    .option('sources', { type: 'boolean', describe: 'only those that the publisher keeps fresh itself' })
    .example([
      ['$0 lists', 'one look'],
      ['$0 lists --json', 'for a program'],
    ]);
}

export async function run(args: ListsArgs, terminal: Terminal): Promise<ExitCode> {
  const lists: ControlRecordOf<'list'>[] = [];
  const sourcesOnly = args.sources === true;
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'lists', sourcesOnly }),
    onRecord: (record) => {
      if (record.record !== 'list') return;
      if (terminal.isJson) terminal.record(recordOf(record));
      else lists.push(record);
    },
  });
  if (terminal.isJson) return ExitCode.ok;
  if (lists.length > 0) terminal.out.line(renderLists(lists, terminal.nowMs(), terminal.colors));
  else
    terminal.out.line(
      'no list: push one with rulectl push FILE, or give the publisher sources with --config',
    );
  return ExitCode.ok;
}
