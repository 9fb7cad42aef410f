/**
 * `rulectl check`: what the publisher would say of files, were they pushed together. They are read as a push
 * is read; with --live, the publisher itself is asked, by a push that releases nothing.
 */

import {
  type DocumentEntrySink,
  type DocumentReject,
  FORMAT_LIMITS,
  type ImportedList,
  LIST_FORMATS,
  type PushedFile,
  type ReadFile,
  type Reject,
  type RuleSetDocument,
} from '@rulecast/formats';
import type { Output } from '@rulecast/program';
import { pushRefusals } from '@rulecast/publisher/guards';
import { type Direction, entryCount, policyRuleCount } from '@rulecast/rules';
import type { Argv } from 'yargs';
import type { ControlArgs } from '../control/client.ts';
import { parseTime } from '../offline/environment.ts';
import { placeOf, type RuleSetReject, readOffline } from '../offline/rule-set.ts';
import {
  type FileArgs,
  nameArgsOf,
  type PushFile,
  readPushFiles,
  withFileOptions,
} from '../release/files.ts';
import { checkPartNames } from '../release/options.ts';
import { type FileSummary, renderFileSummary, renderSkipped, renderWidened } from '../render/file.ts';
import { renderReject, renderWarning } from '../render/findings.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import type { Colors, Terminal } from '../terminal/terminal.ts';
import * as push from './push.ts';

export const command = 'check <file..>';

/** How many rejects of one file people are shown; programs get all of them. */
const REJECTS_SHOWN = FORMAT_LIMITS.rejectsKept;

export interface CheckArgs extends FileArgs, ControlArgs {
  readonly live?: boolean | undefined;
  readonly 'known-list'?: readonly string[] | undefined;
  readonly json?: boolean | undefined;
  readonly direction?: Direction | undefined;
  readonly at?: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<CheckArgs> {
  return withFileOptions(yargs)
    .usage(
      '$0 check FILE...\n\nReads lists in any format, rule lines and rule set documents as a push of all of them would, and says what it would refuse, as a source of such a list would: what is packed is unpacked, and guards of lists are asked. FILE may be - for standard input. Without a publisher, every list that a rule uses must be in the files or be named by --known-list.\n\n' +
        `Formats of lists, told by their content: ${LIST_FORMATS.map(({ name }) => name).join(', ')}.`,
    )
    .option('live', {
      type: 'boolean',
      describe: 'ask the publisher what it would make of them now: push --dry-run',
    })
    .option('known-list', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'a list that the publisher has; may be repeated',
    })
    .option('json', {
      type: 'boolean',
      describe: 'one JSON object for each line that holds something, then a summary',
    })
    .option('direction', {
      choices: ['egress', 'ingress'] as const,
      requiresArg: true,
      describe: 'what bare rule lines are for',
      defaultDescription: 'egress',
    })
    .option('at', {
      type: 'string',
      requiresArg: true,
      describe: 'the time that expire=+SECONDS counts from (seconds since 1970 or ISO 8601)',
      defaultDescription: 'now',
    })
    .example([
      ['$0 check drop.txt office.yaml', 'what is wrong with them'],
      ['$0 check --live office.yaml', 'with the lists and policies that the publisher has'],
      ['… | $0 check --format misp -', 'what another program prints'],
      ['$0 check --json drop.txt', 'for a program'],
    ]);
}

export async function run(args: CheckArgs, terminal: Terminal): Promise<ExitCode> {
  if (args.live === true) return askPublisher(args, terminal);
  checkPartNames(args);
  for (const list of args['known-list'] ?? []) checkPartNames({ list, policy: undefined });
  const files = await readPushFiles(args, 'look');
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const report =
    args.json === true ? new JsonReport(terminal.out) : new TextReport(terminal.out, terminal.colors);
  return checkFiles(files, args, now, report);
}

/** The very push, short of the release. */
function askPublisher(args: CheckArgs, terminal: Terminal): Promise<ExitCode> {
  for (const option of ['known-list', 'direction', 'at'] as const) {
    if (args[option] !== undefined) throw usageError(`--${option} goes without --live: the publisher knows`);
  }
  return push.run({ ...args, timeout: '60', 'dry-run': true }, terminal);
}

// ── Reports ────────────────────────────────────────────────────────────────────────────────────────────────

interface Totals {
  readonly files: number;
  readonly rules: number;
  readonly entries: number;
  readonly rejects: number;
  readonly warnings: number;
}

/** What a source of this list would be refused for, or asked about. */
function oddities(read: ImportedList): readonly Problem[] {
  const { short } = read;
  if (short === undefined) return miscounts(read);
  const { count, line, prefix } = short;
  const are = count === 1 ? 'one CIDR is' : `${count} CIDRs are`;
  const reason = `${are} shorter than /8, or than /16 of IPv6, the first in line ${line}: ${prefix}; a source needs allow-short-prefixes: true for that`;
  return [...miscounts(read), { code: 'short-prefix', part: '', reason }];
}

/** What a list says of its own count that does not agree with what it holds. */
function miscounts({ truncated, nearly }: ImportedList): readonly Problem[] {
  if (truncated !== undefined) {
    const reason = `the file seems to be only a part of itself, and a source refuses it: ${truncated}`;
    return [{ code: 'truncated', part: '', reason }];
  }
  return nearly === undefined ? [] : [{ code: 'miscounted', part: '', reason: nearly }];
}

interface Problem {
  readonly code: string;
  readonly part: string;
  readonly reason: string;
}

/** Where findings go, as they are found. */
interface Report {
  /** Whether every rule and entry is to be told; without it the parsers are faster. */
  readonly wantsEntries: boolean;
  entry(file: string, line: number, kind: 'rule' | 'entry', canonical: string): void;
  reject(file: string, reject: RuleSetReject | Reject): void;
  /** What a list is, and what of it was knowingly not used. */
  list(file: string, list: ImportedList): void;
  /** All of a file has been told, but for some rejects that were counted and not kept. */
  fileRead(unkept: number): void;
  warning(file: string, problem: Problem): void;
  fileEnd(summary: FileSummary): void;
  end(totals: Totals): void;
}

class JsonReport implements Report {
  readonly wantsEntries = true;
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  entry(file: string, line: number, kind: 'rule' | 'entry', canonical: string): void {
    this.#out.json({ file, line, kind, canonical });
  }

  reject(file: string, reject: RuleSetReject | Reject): void {
    const { line, column, code, reason } = reject;
    const part = 'part' in reject ? reject.part : undefined;
    this.#out.json({ file, line, kind: 'reject', code, column, reason, part });
  }

  list(file: string, list: ImportedList): void {
    const { format, skipped, widened } = list;
    this.#out.json({ file, kind: 'list', format, skipped, ...(widened > 0 && { widened }) });
  }

  fileRead(): void {
    // The summary counts what was not told.
  }

  warning(file: string, problem: Problem): void {
    const { code, part, reason } = problem;
    this.#out.json({ file, kind: 'warning', code, part, reason });
  }

  fileEnd(): void {
    // Programs get the one summary at the end.
  }

  end(totals: Totals): void {
    this.#out.json({ kind: 'summary', ...totals });
  }
}

class TextReport implements Report {
  readonly wantsEntries = false;
  readonly #out: Output;
  readonly #colors: Colors;
  #shown = 0; // rejects of the file at hand

  constructor(out: Output, colors: Colors) {
    this.#out = out;
    this.#colors = colors;
  }

  entry(): void {
    // People have the file.
  }

  reject(file: string, reject: Reject): void {
    if (++this.#shown <= REJECTS_SHOWN) this.#out.line(renderReject(file, reject, this.#colors));
  }

  list(file: string, list: ImportedList): void {
    for (const { code, count, line } of list.skipped) {
      if (code === 'comment' || code === 'metadata') continue; // what every list has
      this.#out.line(renderSkipped(file, { code, count, line }));
    }
    if (list.widened > 0) this.#out.line(renderWidened(file, list.widened));
  }

  fileRead(unkept: number): void {
    const more = this.#shown + unkept - REJECTS_SHOWN;
    if (more > 0) this.#out.line(`… and ${more} more`);
    this.#shown = 0;
  }

  warning(_file: string, problem: Problem): void {
    this.#out.line(renderWarning(problem, this.#colors));
  }

  fileEnd(summary: FileSummary): void {
    this.#out.line(renderFileSummary(summary, this.#colors));
  }

  end(): void {
    // One line per file has said it all.
  }
}

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Tells each file while it is read, then what is wrong with all of them together, then what each is. */
function checkFiles(files: readonly PushFile[], args: CheckArgs, now: number, report: Report): ExitCode {
  const { list, policy, format, direction, 'known-list': knownLists } = args;
  const summaries: FileSummary[] = [];
  const place = (name: string): string => placeOf(files, name);
  const onEntry: DocumentEntrySink = (kind, name, line, _column, canonical) => {
    report.entry(place(name), line, kind, canonical());
  };
  const observer = {
    onEntry: report.wantsEntries ? onEntry : undefined,
    onReject: (reject: DocumentReject) => report.reject(place(reject.file), reject),
    onFile: (file: PushedFile, read: ReadFile, rejects: number) => {
      const summary = { ...summaryOf(place(file.name), read), rejects };
      summaries.push(summary);
      if (read.kind === 'list') {
        report.list(summary.file, read.list);
        for (const problem of oddities(read.list)) report.warning(summary.file, problem);
      } else if (read.kind === 'document')
        for (const [name, list] of read.document.imported) report.list(place(name), list);
      const document = read.kind === 'document' ? read.document : { rejectCount: 0, rejects: [] };
      report.fileRead(document.rejectCount - document.rejects.length);
    },
  };
  const reading = {
    list,
    policy,
    format,
    ...nameArgsOf(args),
    ...(direction && { direction }),
    now,
    knownLists,
    guards: pushRefusals,
  };
  const { rejectCount, faults, warnings } = readOffline(files, reading, observer);
  for (const fault of faults) report.reject(fault.file, fault);
  for (const warning of warnings) report.warning(warning.file, warning);
  for (const summary of summaries) {
    const countOf = (found: readonly { readonly file: string }[]): number =>
      found.filter(({ file }) => file === summary.file).length;
    report.fileEnd({
      ...summary,
      rejects: summary.rejects + countOf(faults),
      warnings: summary.warnings + countOf(warnings),
    });
  }
  const sum = (field: 'rules' | 'entries' | 'warnings'): number =>
    summaries.reduce((total, summary) => total + summary[field], 0);
  report.end({
    files: summaries.length,
    rules: sum('rules'),
    entries: sum('entries'),
    rejects: rejectCount + faults.length,
    warnings: sum('warnings') + warnings.length,
  });
  return rejectCount + faults.length === 0 ? ExitCode.ok : ExitCode.refused;
}

/** What a file is and has, without what all files together say of it. */
function summaryOf(file: string, read: ReadFile): Omit<FileSummary, 'rejects'> {
  switch (read.kind) {
    case 'list': {
      const { kind, format, entries } = read.list;
      const warnings = oddities(read.list).length;
      return { file, what: `a list of ${kind} (${format})`, rules: 0, entries, warnings };
    }
    case 'rules': {
      const { ruleCount: rules } = read.rules;
      return { file, what: `${read.direction} rules`, rules, entries: 0, warnings: 0 };
    }
    case 'document': {
      return { file, what: 'a rule set document', ...countsOf(read.document), warnings: 0 };
    }
  }
}

function countsOf({ lists, policies }: RuleSetDocument): {
  readonly entries: number;
  readonly rules: number;
} {
  let entries = 0;
  for (const list of lists.values()) entries += entryCount(list);
  let rules = 0;
  for (const policy of policies.values()) rules += policyRuleCount(policy);
  return { entries, rules };
}
