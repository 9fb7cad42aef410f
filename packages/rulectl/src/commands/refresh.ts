/** `rulectl refresh`: lists are read from their sources now, and what guards refuse may be permitted. */

import type { ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, controlOf } from '../control/client.ts';
import { renderLists } from '../render/lists.ts';
import { CliError, ExitCode, exitOfFailure, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'refresh [name..]';
export const describe = 'read lists from their sources now';

/** Every feed of a configuration, at the pace of the slowest: some allow two minutes each. */
const ANSWER_TIMEOUT_MS = 1_800_000;
/** What one request can name. */
const NAMES_MAX = 32;

/** Each opens one guard; `force` all that there are beside those of reading. */
const PERMITS = [
  'allow-shrink',
  'allow-growth',
  'allow-coverage',
  'allow-all',
  'allow-kind',
  'allow-wider',
  'force',
] as const;
type Permit = (typeof PERMITS)[number];

export interface RefreshArgs extends Readonly<Record<Permit, boolean | undefined>> {
  readonly control: string;
  readonly name: readonly string[] | undefined;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<RefreshArgs> {
  return yargs
    .usage(
      '$0 refresh [NAME...]\n\nReads the sources of some lists now, or of all, and releases what differs. A list that is refused keeps its last good content, and the answer says why; exits with 2 then.',
    )
    .positional('name', { type: 'string', array: true, describe: 'lists; all of them without a name' })
    .option('allow-shrink', {
      type: 'boolean',
      describe: 'take lists that lose more than their guard permits; goes on record, as all of these do',
    })
    .option('allow-growth', { type: 'boolean', describe: 'take lists that gain more' })
    .option('allow-coverage', {
      type: 'boolean',
      describe: 'take lists that cover more of the address space, or whose coverage changes more',
    })
    .option('allow-all', {
      type: 'boolean',
      describe: 'take lists that hold every address of IPv4 or of IPv6',
    })
    .option('allow-kind', {
      type: 'boolean',
      describe: 'take lists of addresses that became names, or of names that became addresses',
    })
    .option('allow-wider', {
      type: 'boolean',
      describe: 'take lists that rules accept although entries stand for more names than before',
    })
    .option('force', {
      type: 'boolean',
      describe: 'take what any guard refuses, that of min-entries and max-entries included',
    })
    .option('json', { type: 'boolean', describe: 'the records as JSON, one a line, the end last' })
    .example([
      ['$0 refresh', 'all lists'],
      ['$0 refresh spamhaus', 'one list'],
      ['$0 refresh spamhaus --allow-shrink', 'although it is much shorter now'],
    ]);
}

export async function run(args: RefreshArgs, terminal: Terminal): Promise<ExitCode> {
  const names = args.name ?? [];
  for (const name of names) if (!isPartName(name)) throw usageError(`"${name}" is no name of a list`);
  if (names.length > NAMES_MAX) throw usageError(`name at most ${NAMES_MAX} lists, or none for all`);
  const permit = PERMITS.find((option) => args[option] === true);
  if (names.length === 0 && permit !== undefined)
    throw usageError(`--${permit} goes with the names of lists`);
  const lists: ControlRecordOf<'list'>[] = [];
  const ending = await ask({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'refresh', lists: names, ...permitsOf(args) }),
    onRecord: (record) => {
      if (record.record !== 'list') return;
      if (args.json === true) terminal.out.json(record);
      else lists.push(record);
    },
  });
  if (ending.kind === 'fail') throw new CliError(exitOfFailure(ending.code), ending.code, ending.text);
  const exit = ending.code === 'failing' ? ExitCode.refused : ExitCode.ok;
  if (args.json === true) terminal.out.json({ ...ending, exit });
  else {
    terminal.out.line(renderLists(lists, terminal.nowMs(), terminal.colors));
    for (const { name, error } of lists) {
      if (error !== undefined) terminal.complain(`rulectl: list ${name}: ${error.text} (${error.code})`);
    }
  }
  return exit;
}

/** Only the very option opens a guard. */
function permitsOf(args: RefreshArgs): Omit<MessageOf<'refresh'>, 'kind' | 'lists'> {
  return {
    allowShrink: args['allow-shrink'] === true,
    force: args.force === true,
    allowGrowth: args['allow-growth'] === true ? true : undefined,
    allowCoverage: args['allow-coverage'] === true ? true : undefined,
    allowAll: args['allow-all'] === true ? true : undefined,
    allowKind: args['allow-kind'] === true ? true : undefined,
    allowWider: args['allow-wider'] === true ? true : undefined,
  };
}
