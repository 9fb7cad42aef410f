/** `rulectl get`: what a release says, as a rule set document that can be pushed. */

import type { ControlRecord, ControlRecordOf, Message } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { parsePoint, versionsAt } from '../control/past.ts';
import { addToParts, documentLines, type PartLines } from '../render/document.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'get <what>';

/** An older release is rebuilt before the first record comes. */
const ANSWER_TIMEOUT_MS = 600_000;

export interface GetArgs extends ControlArgs {
  readonly what: 'all';
  readonly version: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<GetArgs> {
  return yargs
    .usage(
      '$0 get all [--version N]\n\nPrints all lists and policies of a release as a rule set document. Pushed again it changes nothing. Lists that the publisher keeps from sources come as comments, with their count: the configuration has them.',
    )
    .positional('what', { choices: ['all'] as const, demandOption: true, describe: 'lists and policies' })
    .version(false)
    .option('version', {
      type: 'string',
      requiresArg: true,
      describe: 'of this version, or of the one that was in force at a time; not the newest',
    })
    .example([
      ['$0 get all > all.yaml', 'a copy of what is released'],
      ['$0 get all --version 41 | rulectl check -', 'what version 41 said'],
      ['$0 get all --version yesterday', 'what was in force as yesterday began, in UTC'],
    ]);
}

export async function run(args: GetArgs, terminal: Terminal): Promise<ExitCode> {
  const version = await versionOf(args, terminal);
  const sources = new Map<string, ControlRecordOf<'list'>>();
  await answered(args, { kind: 'lists', sourcesOnly: true }, (record) => {
    if (record.record === 'list') sources.set(record.name, record);
  });
  for (const line of documentLines(version, await partsOf(args, version), sources)) terminal.out.line(line);
  return ExitCode.ok;
}

/** What the newest release says, as lines of a document that holds the lists of sources, too. */
export async function wholeRelease(args: ControlArgs): Promise<Iterable<string>> {
  const version = await headVersion(args);
  return documentLines(version, await partsOf(args, version), new Map());
}

async function partsOf(args: ControlArgs, version: number): Promise<readonly PartLines[]> {
  const parts: PartLines[] = [];
  await answered(args, { kind: 'diff', from: 0, to: version, stats: false }, (record) =>
    addToParts(parts, record),
  );
  return parts;
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
