/** `rulectl history`: the kept releases, with cause and changes. */

import { type ControlRecordOf, type MessageOf, VERSION_MAX } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { checkOnePart } from '../release/options.ts';
import { renderHistory } from '../render/history.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { MOMENT_HELP, parseMoment } from '../terminal/moment.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'history';

/** Thousands of records, read from the store. */
const ANSWER_TIMEOUT_MS = 60_000;
const DEFAULT_COUNT = 20;

export interface HistoryArgs extends ControlArgs {
  readonly last: string | undefined;
  readonly all: boolean | undefined;
  readonly since: string | undefined;
  readonly list: string | undefined;
  readonly policy: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<HistoryArgs> {
  return yargs
    .usage(
      `$0 history\n\nLists the releases that the publisher keeps, the newest first. Each of them can be compared (rulectl diff) and taken up again (rulectl rollback).\n\n${MOMENT_HELP}`,
    )
    .option('last', {
      type: 'string',
      requiresArg: true,
      describe: 'how many',
      defaultDescription: `${DEFAULT_COUNT}, all with --since`,
    })
    .option('all', { type: 'boolean', describe: 'all that are kept' })
    .option('since', { type: 'string', requiresArg: true, describe: 'only those from this time on' })
    .option('list', { type: 'string', requiresArg: true, describe: 'only those that changed this list' })
    .option('policy', { type: 'string', requiresArg: true, describe: 'only those that changed this policy' })
    .example([
      ['$0 history', 'the last releases'],
      ['$0 history --since 2h', 'what was released in the last two hours'],
      ['$0 history --list drop', 'when a list last changed, and why'],
      ['$0 history --all --json', 'every release kept, for a program'],
    ]);
}

export async function run(args: HistoryArgs, terminal: Terminal): Promise<ExitCode> {
  const request = requestOf(args, terminal.nowMs());
  const isPart = (request.sinceMs ?? request.list ?? request.policy) !== undefined;
  const releases: ControlRecordOf<'history'>[] = [];
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send(request),
    onRecord: (record) => {
      if (record.record !== 'history') return;
      if (terminal.isJson) terminal.record(recordOf(record));
      else releases.push(record);
    },
  });
  if (terminal.isJson) return ExitCode.ok;
  if (releases.length > 0) terminal.out.line(renderHistory(releases, terminal.colors));
  else if (isPart) terminal.out.line('no release that is kept is one of those');
  else terminal.out.line('nothing released yet: push something with rulectl push FILE');
  return ExitCode.ok;
}

/** Throws CliError `usage`. */
function requestOf(args: HistoryArgs, nowMs: number): MessageOf<'history'> {
  const { last, since, list, policy } = args;
  checkOnePart(args);
  if (args.all === true && last !== undefined) throw usageError('--all and --last exclude each other');
  const sinceMs = since === undefined ? undefined : parseMoment(since, nowMs);
  if (since !== undefined && sinceMs === undefined)
    throw usageError(`--since ${since}: write a time. ${MOMENT_HELP}`);
  const isAll = args.all === true || since !== undefined;
  const most = last === undefined ? (isAll ? VERSION_MAX : DEFAULT_COUNT) : countOf(last);
  return { kind: 'history', most, sinceMs, list, policy };
}

function countOf(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw usageError(`--last ${text}: write how many, or --all`);
}
