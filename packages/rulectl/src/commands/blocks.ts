/**
 * `rulectl blocks`: lists blocks, allows and cuts, which stand beside the pushed rules; `--remove` ends them.
 */

import { type ControlRecordOf, UNBLOCK_ROWS_MAX } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, controlOf } from '../control/client.ts';
import { askForChange, type ChangeArgs, changeFieldsOf, withChangeOptions } from '../release/rows.ts';
import { renderBlocks } from '../render/blocks.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'blocks';

const ANSWER_TIMEOUT_MS = 30_000;
const ALL = 'all';
/** Options that are valid with --remove only. */
const OF_CHANGES = [
  'dry-run',
  'if-version',
  'as-new-epoch',
  'wait',
  'no-wait',
  'require',
  'message',
  'permit',
] as const;

export interface BlocksArgs extends ChangeArgs {
  readonly remove: readonly string[] | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<BlocksArgs> {
  return withChangeOptions(yargs)
    .usage(
      '$0 blocks [--remove N]\n\nLists what rulectl block, allow and cut asked for: by whom, when, why, and until when. Pushes, rollbacks and the rules file leave it as it is.',
    )
    .option('remove', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'end the rows of these numbers, as in --remove 3,4, or all rows; may be repeated',
    })
    .example([
      ['$0 blocks', 'what there is'],
      ['$0 blocks --remove 3', 'what row 3 says is over'],
      ['$0 blocks --json', 'for a program'],
    ]);
}

export async function run(args: BlocksArgs, terminal: Terminal): Promise<ExitCode> {
  if (args.remove !== undefined) {
    const request = { kind: 'unblock', ...rowsOf(args.remove), ...changeFieldsOf(args) } as const;
    return askForChange(request, args, terminal);
  }
  for (const option of OF_CHANGES)
    if (args[option] !== undefined) throw usageError(`--${option} goes with --remove`);
  const rows: ControlRecordOf<'block'>[] = [];
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'blocks' }),
    onRecord: (record) => {
      if (record.record !== 'block') return;
      if (terminal.isJson) terminal.record(recordOf(record));
      else rows.push(record);
    },
  });
  if (terminal.isJson) return ExitCode.ok;
  if (rows.length > 0) terminal.out.line(renderBlocks(rows, terminal.nowMs(), terminal.colors));
  else terminal.out.line('nothing is blocked, allowed or cut off beside what is pushed');
  return ExitCode.ok;
}

function rowsOf(texts: readonly string[]): { readonly rows: readonly number[]; readonly all?: true } {
  const words = texts.flatMap((text) => text.split(','));
  if (words.includes(ALL)) {
    if (words.length > 1) throw usageError(`--remove ${ALL} excludes numbers`);
    return { rows: [], all: true };
  }
  for (const word of words)
    if (!/^[1-9]\d{0,14}$/.test(word))
      throw usageError(`--remove ${word}: write the number of a row, as rulectl blocks shows it, or all`);
  const rows = [...new Set(words.map(Number))];
  if (rows.length <= UNBLOCK_ROWS_MAX) return { rows };
  throw usageError(`--remove: at most ${UNBLOCK_ROWS_MAX} numbers at once, or all`);
}
