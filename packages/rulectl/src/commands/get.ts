/** `rulectl get`: a release, or a part of it, as a rule set document that can be pushed. */

import type { ControlRecord, ControlRecordOf, Message } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { parsePoint, versionsAt } from '../control/past.ts';
import { checkPartNames, type PartArgs } from '../release/options.ts';
import { addToParts, documentLines, type PartLines, partLines } from '../render/document.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'get <what> [name]';

/** An older release is rebuilt before the first record comes. */
const ANSWER_TIMEOUT_MS = 600_000;

export interface GetArgs extends ControlArgs {
  readonly what: 'all' | 'policy' | 'list';
  readonly name: string | undefined;
  readonly version: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<GetArgs> {
  return yargs
    .usage(
      '$0 get all | policy NAME | list NAME [--version N]\n\nPrints all lists and policies of a release, or one of them, as a rule set document. Pushed again, it changes nothing. Lists that the publisher fetches from sources are comments with their count, because the configuration has them and a push of them is refused. Rows of rulectl block, allow and cut are comments, too.',
    )
    .positional('what', {
      choices: ['all', 'policy', 'list'] as const,
      demandOption: true,
      describe: 'all lists and policies, or one',
    })
    .positional('name', { type: 'string', describe: 'of the policy or list' })
    .version(false)
    .option('version', {
      type: 'string',
      requiresArg: true,
      describe: 'of this version, or of the one that was in force at a time; not the newest',
    })
    .example([
      ['$0 get all > all.yaml', 'a copy of what is released'],
      ['$0 get policy work', 'the rules of a policy'],
      ['$0 get list drop --version 41 > drop.yaml', 'a list as it was, to be pushed again'],
      ['$0 get all --version 41 | rulectl check -', 'what version 41 said'],
      ['$0 get all --version yesterday', 'what was in force as yesterday began, in UTC'],
    ]);
}

export async function run(args: GetArgs, terminal: Terminal): Promise<ExitCode> {
  const only = partOf(args);
  const version = await versionOf(args, terminal);
  const sources = new Map<string, ControlRecordOf<'list'>>();
  await answered(args, { kind: 'lists', sourcesOnly: true }, (record) => {
    if (record.record === 'list') sources.set(record.name, record);
  });
  const { parts, rows } = await partsOf(args, version, { ...only, pushed: true });
  const documents =
    only === undefined
      ? [documentLines(version, parts, sources, rows)]
      : parts.map((part) => partLines(version, part, sources, rows));
  for (const lines of documents) for (const line of lines) terminal.out.line(line);
  return ExitCode.ok;
}

/** The part that is asked for; undefined: all. Throws CliError `usage`. */
function partOf({ what, name }: GetArgs): PartArgs | undefined {
  if (what === 'all' && name !== undefined)
    throw usageError(`all is without a name: did you mean get policy ${name}, or get list ${name}?`);
  if (what === 'all') return undefined;
  if (name === undefined) throw usageError(`name a ${what}: rulectl get ${what} NAME`);
  const only = { [what]: name };
  checkPartNames(only);
  return only;
}

/** The release in force as lines of a document, with the lists of sources and the rules of rows. */
export async function wholeRelease(args: ControlArgs): Promise<Iterable<string>> {
  const version = await headVersion(args);
  return documentLines(version, (await partsOf(args, version)).parts, new Map());
}

async function partsOf(
  args: ControlArgs,
  version: number,
  only: PartArgs & { readonly pushed?: true } = {},
): Promise<{ readonly parts: readonly PartLines[]; readonly rows: readonly ControlRecordOf<'block'>[] }> {
  const parts: PartLines[] = [];
  const rows: ControlRecordOf<'block'>[] = [];
  await answered(args, { kind: 'diff', from: 0, to: version, stats: false, ...only }, (record) => {
    if (record.record === 'block') rows.push(record);
    else addToParts(parts, record);
  });
  return { parts, rows };
}

async function versionOf(args: GetArgs, terminal: Terminal): Promise<number> {
  const { version: text } = args;
  if (text === undefined) return headVersion(args);
  const point = parsePoint(text, terminal.nowMs());
  const [version = 0] = point === undefined ? [] : await versionsAt([point], args, terminal);
  if (version > 0) return version;
  throw usageError(
    `--version ${text}: write the number of a version, see rulectl history, or a time since the first`,
  );
}

async function headVersion(args: ControlArgs): Promise<number> {
  let version = 0;
  await answered(args, { kind: 'status', watch: false }, (record) => {
    if (record.record === 'head') version = record.version;
  });
  if (version > 0) return version;
  throw new CliError(ExitCode.refused, 'unknown-release', 'nothing was released yet');
}

/** Asks, and throws CliError for an answer that is a failure. */
async function answered(
  args: ControlArgs,
  request: Message,
  onRecord: (record: ControlRecord) => void,
): Promise<void> {
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send(request),
    onRecord,
  });
}
