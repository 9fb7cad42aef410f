/**
 * `rulectl diff`: the changes between two releases, or those that files would make, as text or records, in
 * bounded pieces.
 */

import type { ControlRecord, MessageOf } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf, type Ending } from '../control/client.ts';
import { type PastPoint, parsePoint, versionsAt } from '../control/past.ts';
import { type FileArgs, nameFieldsOf, readPushFiles, withFileOptions } from '../release/files.ts';
import { checkOnePart } from '../release/options.ts';
import { failureText } from '../release/report.ts';
import { type PushPlan, sendPush } from '../release/sending.ts';
import { editLines, renderChangeHead, renderChanges } from '../render/changes.ts';
import { renderReject } from '../render/findings.ts';
import { ExitCode, failedError, usageError } from '../terminal/exit.ts';
import { isThere } from '../terminal/input.ts';
import { MOMENT_HELP } from '../terminal/moment.ts';
import { Progress } from '../terminal/progress.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'diff <what> [file..]';

/** Two releases of a million entries are rebuilt in seconds; their differences are as many lines. */
const ANSWER_TIMEOUT_MS = 600_000;
/** Options on how files are read. */
const FILE_OPTIONS = ['format', 'resolve', 'subdomains', 'allow-public-suffixes', 'replace-all'] as const;

export interface DiffArgs extends FileArgs, ControlArgs {
  readonly what: string;
  readonly 'replace-all': boolean | undefined;
  readonly stats: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<DiffArgs> {
  return withFileOptions(yargs)
    .usage(
      `$0 diff A..B | [A..] FILE... [--list NAME | --policy NAME]\n\nShows what version B adds to version A and removes from it. Without B, it is the newest version. Either may be the older; 0 is before the first release. A time means the newest kept version of that time or before. With files, B is what rulectl push would release, and A is the newest version unless you name one; that takes the role push. Exits with 1 if they differ.\n\n${MOMENT_HELP}`,
    )
    .positional('what', {
      type: 'string',
      demandOption: true,
      describe: 'A..B, or A: versions or times; or a file',
    })
    .option('list', {
      type: 'string',
      requiresArg: true,
      describe: 'only this list; it is the one in list files',
    })
    .option('policy', {
      type: 'string',
      requiresArg: true,
      describe: 'only this policy; it is the one in files of rule lines',
    })
    .option('replace-all', {
      type: 'boolean',
      describe: 'with files: as a push that removes all parts that they do not have',
    })
    .option('stats', { type: 'boolean', describe: 'how much changed in each part, and not what' })
    .example([
      ['$0 diff 41..42', 'what version 42 changed'],
      ['$0 diff yesterday', 'what changed since yesterday began, in UTC'],
      ['$0 diff 2026-11-29..2026-11-30', 'what changed on one day'],
      ['$0 diff office.yaml', 'what a push of it would change, line by line'],
      ['$0 diff 41.. office.yaml', 'what would differ from version 41 then'],
      ['$0 diff 41 --stats', 'how much changed since version 41'],
      ['$0 diff 41..42 --list drop', 'entries of one list'],
    ]);
}

export async function run(args: DiffArgs, terminal: Terminal): Promise<ExitCode> {
  checkOnePart(args);
  const range = rangeOf(args.what, terminal.nowMs());
  const names = [...(range === undefined ? [args.what] : []), ...(args.file ?? [])];
  checkFiles(args, names, range ?? []);
  const files = names.length === 0 ? [] : await readPushFiles({ ...args, file: names }, 'compare');
  const [from, to] = await versionsAt(range ?? [], args, terminal);
  const { list, policy } = args;
  const stats = args.stats === true;
  const compare = { from, list, policy, stats };
  const plan: PushPlan = { request: { ...pushOf(args), compare, files: files.length }, files };
  const request: MessageOf<'diff'> = { kind: 'diff', from: from ?? 0, to, list, policy, stats };
  const paths = new Map(files.map(({ name, path }) => [name, path]));
  const view = new TextView(terminal, stats, paths);
  const progress = new Progress(terminal);
  const isOfFiles = names.length > 0;
  const ending = await askOrFail(
    {
      ...controlOf(args),
      timeoutMs: ANSWER_TIMEOUT_MS,
      send: (connection) => (isOfFiles ? sendPush(connection, plan, progress) : connection.send(request)),
      onRecord: progress.around((record) => {
        if (terminal.isJson) terminal.record(recordOf(record));
        else view.record(record);
      }),
    },
    (fail) => failedError(fail, isOfFiles ? failureText(fail) : fail.text),
  ).finally(() => progress.stop());
  terminal.endsWith(ending.code, ending.text);
  if (!terminal.isJson) view.end(ending);
  return ending.code === 'same' ? ExitCode.ok : ExitCode.unmet;
}

/** `A..B`, `A..` or `A`; undefined for a file that is there. Throws CliError `usage`. */
function rangeOf(text: string, nowMs: number): readonly PastPoint[] | undefined {
  const [from = '', to = '', ...rest] = text.split('..');
  const points = (to === '' ? [from] : [from, to]).map((one) => parsePoint(one, nowMs));
  if (rest.length === 0 && points.every((point) => point !== undefined)) return points;
  if (isThere(text)) return undefined;
  throw usageError(
    `${text}: write two versions or times as in 41..42, one to compare with the newest, or a file that is there`,
  );
}

/** Throws CliError `usage`. */
function checkFiles(args: DiffArgs, names: readonly string[], range: readonly PastPoint[]): void {
  if (names.length > 0 && range.length > 1)
    throw usageError(
      `${args.what} has two ends, and files are one: write ${args.what.split('..')[0]}.. FILE`,
    );
  const idle = FILE_OPTIONS.find((option) => args[option] !== undefined);
  if (names.length === 0 && idle !== undefined) throw usageError(`--${idle} goes with files`);
}

function pushOf(args: DiffArgs): MessageOf<'push'> {
  return {
    kind: 'push',
    action: 'replace',
    list: args.list,
    policy: args.policy,
    format: args.format,
    ...nameFieldsOf(args),
    replaceAll: args['replace-all'] === true,
    dryRun: true,
    wait: 'released',
    timeoutMs: 0,
    files: 0,
  };
}

class TextView {
  readonly #terminal: Terminal;
  readonly #stats: boolean;
  /** The paths of files, by the names sent to the publisher. */
  readonly #paths: ReadonlyMap<string, string>;
  readonly #changes: Extract<ControlRecord, { record: 'change' }>[] = [];

  constructor(terminal: Terminal, stats: boolean, paths: ReadonlyMap<string, string>) {
    this.#terminal = terminal;
    this.#stats = stats;
    this.#paths = paths;
  }

  record(record: ControlRecord): void {
    const { out, colors } = this.#terminal;
    if (record.record === 'reject')
      out.line(renderReject(this.#paths.get(record.file) ?? record.file, record, colors));
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
