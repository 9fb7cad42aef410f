/**
 * `rulectl lists show NAME`: one list: its source, its content, and its changes. If the publisher has no list
 * of that name, an entry of the catalogue is shown.
 */

import {
  EXPORT_FORMATS,
  type ExportFormatName,
  exportList,
  importList,
  isExportFormatName,
} from '@rulecast/formats';
import { type ControlRecordOf, ErrorCode } from '@rulecast/protocol';
import { isPartName, type List, nameListOf } from '@rulecast/rules';
import type { Argv } from 'yargs';
import type { CatalogueEntry } from '../catalogue/catalogue.ts';
import { type Expression, expressionOf } from '../catalogue/expression.ts';
import { askOrFail, controlOf } from '../control/client.ts';
import { renderListDetails, renderListStats } from '../render/lists.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import * as diff from './diff.ts';

export const command = 'lists-show <name>';

/** A million entries are some 6,000 records. */
const ANSWER_TIMEOUT_MS = 300_000;

export interface ListArgs {
  readonly control: string;
  readonly name: string;
  readonly diff: string | undefined;
  readonly stats: boolean | undefined;
  readonly export: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<ListArgs> {
  return yargs
    .usage(
      '$0 lists show NAME [--diff A..B | --stats | --export FORMAT]\n\nShows where a list comes from and how fresh it is, what changed in it between two versions, what is in it by number, or all of it in a format that other programs read. What the publisher has no list of is looked for in the catalogue of public feeds.',
    )
    .positional('name', {
      type: 'string',
      demandOption: true,
      describe: 'the list, or a key of the catalogue',
    })
    .option('diff', {
      type: 'string',
      requiresArg: true,
      describe: 'what changed between two versions, A..B, or since A; exits with 1 if it did',
    })
    .option('stats', { type: 'boolean', describe: 'how much it holds, by length of prefixes or by domain' })
    .option('export', {
      choices: EXPORT_FORMATS.map(({ name }) => name),
      requiresArg: true,
      describe: 'all of it',
    })
    .example([
      ['$0 lists show spamhaus', 'where it comes from, and how fresh it is'],
      ['$0 lists show spamhaus-drop', 'what the catalogue knows of a feed'],
      ['$0 lists show spamhaus --diff 41..42', 'what version 42 changed in it'],
      ['$0 lists show spamhaus --export nft > spamhaus.nft', 'for another program'],
    ]);
}

export async function run(args: ListArgs, terminal: Terminal): Promise<ExitCode> {
  const given = [args.diff !== undefined, args.stats === true, args.export !== undefined].filter(Boolean);
  const expression = given.length === 0 ? expressionOf(args.name) : undefined;
  if (expression !== undefined) return showEntry(expression, 'this is a key', terminal);
  if (!isPartName(args.name)) throw usageError(`"${args.name}" is no name of a list`);
  if (given.length > 1) throw usageError('--diff, --stats and --export exclude each other');
  if (args.diff !== undefined) {
    const only = { list: args.name, policy: undefined, stats: undefined, 'replace-all': undefined };
    return diff.run({ ...args, ...only, what: args.diff }, terminal);
  }
  if (args.export !== undefined && isExportFormatName(args.export))
    return exportTo(args.export, args, terminal);
  return show(args, terminal);
}

async function show(args: ListArgs, terminal: Terminal): Promise<ExitCode> {
  try {
    return await showList(args, terminal);
  } catch (error) {
    const isAbsent =
      error instanceof CliError && (error.code === ErrorCode.noSuchPart || error.code === 'unreachable');
    if (!isAbsent || args.stats === true) throw error;
    const entry = (await import('../catalogue/catalogue.ts')).findKey(args.name);
    if (entry === undefined) throw error;
    const isAnswered = error.code === ErrorCode.noSuchPart;
    const why = isAnswered ? 'the publisher has no such list' : 'no publisher answers';
    return showEntry(entry, `${why}: this is an entry`, terminal);
  }
}

async function showList(args: ListArgs, terminal: Terminal): Promise<ExitCode> {
  const { record, list } = await fetchList(args, args.stats === true, terminal);
  if (terminal.isJson) return ExitCode.ok;
  if (args.stats === true) terminal.out.line(renderListStats(list, terminal.colors));
  else terminal.out.line(renderListDetails(record, terminal.nowMs(), terminal.colors));
  return ExitCode.ok;
}

async function showEntry(
  entry: CatalogueEntry | Expression,
  what: string,
  terminal: Terminal,
): Promise<ExitCode> {
  const text = `${what} of the catalogue`;
  terminal.record({ kind: 'feed', ...entry });
  terminal.endsWith('catalogue', text);
  if (terminal.isJson) return ExitCode.ok;
  const { renderCatalogueEntry } = await import('../render/catalogue.ts');
  terminal.complain(`rulectl: ${text}`);
  terminal.out.line(renderCatalogueEntry(entry, terminal.colors));
  return ExitCode.ok;
}

async function exportTo(format: ExportFormatName, args: ListArgs, terminal: Terminal): Promise<ExitCode> {
  const { record, list } = await fetchList(args, true);
  const comments = [`list ${args.name}, ${record.origin === '' ? record.source : record.origin}`];
  const exported = exportList(list, format, { name: args.name, comments });
  if (exported.kind === 'refused') throw new CliError(ExitCode.refused, 'wrong-kind', exported.reason);
  for (const chunk of exported.chunks) terminal.out.write(chunk);
  return ExitCode.ok;
}

interface FetchedList {
  readonly record: ControlRecordOf<'list'>;
  /** Empty unless the content was requested. */
  readonly list: List;
}

/** Asks for a list; each record goes to `terminal`, for programs. Throws CliError. */
export async function fetchList(
  args: Pick<ListArgs, 'control' | 'name'>,
  content: boolean,
  terminal?: Terminal,
): Promise<FetchedList> {
  const lines: string[] = [];
  const exceptions: string[] = [];
  let found: ControlRecordOf<'list'> | undefined;
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'list', name: args.name, content }),
    onRecord: (record) => {
      terminal?.record(recordOf(record));
      if (record.record === 'list') found = record;
      else if (record.record === 'entries') for (const line of record.lines) lines.push(line);
      else if (record.record === 'exceptions') for (const line of record.lines) exceptions.push(line);
    },
  });
  if (found === undefined) {
    throw new CliError(ExitCode.unreachable, 'bad-message', 'the publisher sent nothing about the list');
  }
  return { record: found, list: listOf(found.holds ?? 'prefixes', lines, exceptions) };
}

function listOf(kind: List['kind'], lines: readonly string[], exceptions: readonly string[]): List {
  if (kind === 'names') return nameListOf(lines, false, exceptions);
  return importList('', Buffer.from(lines.join('\n')), { format: 'plain', kind }).list;
}
