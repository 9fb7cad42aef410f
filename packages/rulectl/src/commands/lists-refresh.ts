/** `rulectl lists refresh`: reads lists from their sources now; --permit overrides refusals of guards. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { permitFields } from '@rulecast/publisher/permits';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { type PermitArgs, permitsOf, withPermitOption } from '../release/permits.ts';
import { renderLists } from '../render/lists.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'lists-refresh [name..]';

/** Every feed of a configuration, at the pace of the slowest: some allow two minutes each. */
const ANSWER_TIMEOUT_MS = 1_800_000;
/** The most lists in one request. */
const NAMES_MAX = 32;

export interface RefreshArgs extends PermitArgs, ControlArgs {
  readonly name: readonly string[] | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<RefreshArgs> {
  return withPermitOption(yargs, 'refresh')
    .usage(
      '$0 lists refresh [NAME...]\n\nReads the sources of all lists now, or of some, and releases what changed. If a list is refused, it keeps its last good content, the answer says why, and the command exits with 2.',
    )
    .positional('name', { type: 'string', array: true, describe: 'lists; all of them without a name' })
    .example([
      ['$0 lists refresh', 'all lists'],
      ['$0 lists refresh spamhaus', 'one list'],
      ['$0 lists refresh spamhaus --permit shrunk', 'although it is much shorter now'],
    ]);
}

export async function run(args: RefreshArgs, terminal: Terminal): Promise<ExitCode> {
  const names = args.name ?? [];
  for (const name of names) if (!isPartName(name)) throw usageError(`"${name}" is no name of a list`);
  if (names.length > NAMES_MAX) throw usageError(`name at most ${NAMES_MAX} lists, or none for all`);
  const permits = permitsOf(args, 'refresh');
  if (names.length === 0 && permits.size > 0) throw usageError('--permit goes with the names of lists');
  const fields = { allowShrink: false, force: false, ...permitFields('refresh', permits) };
  const lists: ControlRecordOf<'list'>[] = [];
  const ending = await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'refresh', lists: names, ...fields }),
    onRecord: (record) => {
      if (record.record !== 'list') return;
      if (terminal.isJson) terminal.record(recordOf(record));
      else lists.push(record);
    },
  });
  const exit = ending.code === 'failing' ? ExitCode.refused : ExitCode.ok;
  terminal.endsWith(ending.code, ending.text);
  if (!terminal.isJson) {
    terminal.out.line(renderLists(lists, terminal.nowMs(), terminal.colors));
    if (ending.code === 'refreshed' && ending.text !== '') terminal.complain(`rulectl: ${ending.text}`);
    for (const { name, error } of lists) {
      if (error !== undefined) terminal.complain(`rulectl: list ${name}: ${error.text} (${error.code})`);
    }
  }
  return exit;
}
