/** `rulectl check`: what the publisher would say of files, without a publisher. */

import {
  type DocumentEntrySink,
  type DocumentReject,
  detectFormat,
  FORMAT_LIMITS,
  type Format,
  type ImportedList,
  importList,
  LIST_FORMATS,
  parseDocument,
  parseRuleLines,
  type Reject,
} from '@rulecast/formats';
import type { Output } from '@rulecast/program';
import {
  checkRuleSet,
  type Direction,
  entryCount,
  type List,
  type Policy,
  policyRuleCount,
} from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ExitCode } from '../exit.ts';
import { checkStdinOnce, readInput, STDIN_NAME } from '../input.ts';
import { faultReject, parseTime, placeOf, type RuleSetReject, referencesOf } from '../offline.ts';
import {
  type FileSummary,
  renderFileSummary,
  renderReject,
  renderSkipped,
  renderWarning,
} from '../render.ts';
import type { Colors, Terminal } from '../terminal.ts';

export const command = 'check <file..>';
export const describe = 'check files without a publisher';

/** How many rejects of one file people are shown; programs get all of them. */
const REJECTS_SHOWN = FORMAT_LIMITS.rejectsKept;

export interface CheckArgs {
  readonly file: readonly string[] | undefined;
  readonly json: boolean | undefined;
  readonly direction: Direction;
  readonly at: string | undefined;
}

export function builder(yargs: Argv<object>): Argv<CheckArgs> {
  return yargs
    .usage(
      '$0 check FILE...\n\nReads lists in any format, rule lines and rule set documents as the publisher would, and says what it would refuse. FILE may be - for standard input.\n\n' +
        `Formats of lists, told by their content: ${LIST_FORMATS.map(({ name }) => name).join(', ')}.`,
    )
    .positional('file', { type: 'string', array: true, describe: 'files; - is standard input' })
    .option('json', {
      type: 'boolean',
      describe: 'one JSON object for each line that holds something, then a summary',
    })
    .option('direction', {
      choices: ['egress', 'ingress'] as const,
      default: 'egress' as const,
      describe: 'what bare rule lines are for',
    })
    .option('at', {
      type: 'string',
      requiresArg: true,
      describe: 'the time that expire=+SECONDS counts from (seconds since 1970 or ISO 8601)',
      defaultDescription: 'now',
    })
    .example([
      ['$0 check drop.txt office.yaml', 'what is wrong with them'],
      ['… | $0 check -', 'what another program prints'],
      ['$0 check --json drop.txt', 'for a program'],
    ]);
}

export async function run(args: CheckArgs, terminal: Terminal): Promise<ExitCode> {
  const files = args.file ?? [];
  checkStdinOnce(files);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const report =
    args.json === true ? new JsonReport(terminal.out) : new TextReport(terminal.out, terminal.colors);
  const totals = { files: 0, rules: 0, entries: 0, rejects: 0, warnings: 0 };
  for (const file of files) {
    const counts = checkFile(file, readInput(file, FORMAT_LIMITS.inputBytes), args.direction, now, report);
    totals.files++;
    totals.rules += counts.rules;
    totals.entries += counts.entries;
    totals.rejects += counts.rejects;
    totals.warnings += counts.warnings;
    report.fileEnd({ file, ...counts });
  }
  report.end(totals);
  return totals.rejects === 0 ? ExitCode.ok : ExitCode.refused;
}

// ── Reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Totals {
  readonly files: number;
  readonly rules: number;
  readonly entries: number;
  readonly rejects: number;
  readonly warnings: number;
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
  /** Rejects that were counted and not kept. */
  unkept(file: string, count: number): void;
  warning(file: string, problem: Problem): void;
  fileEnd(summary: FileSummary): void;
  end(totals: Totals): void;
}

class JsonReport implements Report {
  readonly wantsEntries = true;
  private readonly out: Output;

  constructor(out: Output) {
    this.out = out;
  }

  entry(file: string, line: number, kind: 'rule' | 'entry', canonical: string): void {
    this.out.json({ file, line, kind, canonical });
  }

  reject(file: string, reject: RuleSetReject | Reject): void {
    const { line, column, code, reason } = reject;
    const part = 'part' in reject ? reject.part : undefined;
    this.out.json({ file, line, kind: 'reject', code, column, reason, part });
  }

  list(file: string, { format, skipped }: ImportedList): void {
    this.out.json({ file, kind: 'list', format, skipped });
  }

  unkept(): void {
    // The summary counts them.
  }

  warning(file: string, problem: Problem): void {
    const { code, part, reason } = problem;
    this.out.json({ file, kind: 'warning', code, part, reason });
  }

  fileEnd(): void {
    // Programs get the one summary at the end.
  }

  end(totals: Totals): void {
    this.out.json({ kind: 'summary', ...totals });
  }
}

class TextReport implements Report {
  readonly wantsEntries = false;
  private readonly out: Output;
  private readonly colors: Colors;
  private shown = 0; // rejects of the file at hand

  constructor(out: Output, colors: Colors) {
    this.out = out;
    this.colors = colors;
  }

  entry(): void {
    // People have the file.
  }

  reject(file: string, reject: Reject): void {
    if (++this.shown <= REJECTS_SHOWN) this.out.line(renderReject(file, reject, this.colors));
  }

  list(file: string, { skipped }: ImportedList): void {
    for (const { code, count, line } of skipped) {
      if (code === 'comment' || code === 'metadata') continue; // what every list has
      this.out.line(renderSkipped(file, { code, count, line }));
    }
  }

  unkept(_file: string, count: number): void {
    this.shown += count;
  }

  warning(_file: string, problem: Problem): void {
    this.out.line(renderWarning(problem, this.colors));
  }

  fileEnd(summary: FileSummary): void {
    if (this.shown > REJECTS_SHOWN) this.out.line(`… and ${this.shown - REJECTS_SHOWN} more`);
    this.shown = 0;
    this.out.line(renderFileSummary(summary, this.colors));
  }

  end(): void {
    // One line per file has said it all.
  }
}

// ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type FileCounts = Omit<FileSummary, 'file'>;

function checkFile(
  file: string,
  bytes: Uint8Array,
  direction: Direction,
  now: number,
  report: Report,
): FileCounts {
  const format: Format = detectFormat(file === STDIN_NAME ? '' : file, bytes);
  switch (format) {
    case 'list':
      return checkList(file, bytes, report);
    case 'rules':
      return checkRules(file, bytes, direction, now, report);
    case 'document':
      return checkDocument(file, bytes, now, report);
  }
}

function checkList(file: string, bytes: Uint8Array, report: Report): FileCounts {
  const onReject = (reject: Reject): void => report.reject(file, reject);
  const read = importList(
    file === STDIN_NAME ? '' : file,
    bytes,
    report.wantsEntries
      ? {
          onReject,
          onEntry: (line, _column, canonical) => report.entry(file, line, 'entry', canonical()),
        }
      : { onReject },
  );
  report.list(file, read);
  if (read.truncated !== undefined) {
    const reason = `the file seems to be only a part of itself: ${read.truncated}`;
    report.warning(file, { code: 'truncated', part: '', reason });
  }
  if (read.nearly !== undefined) report.warning(file, { code: 'miscounted', part: '', reason: read.nearly });
  const what = `a list of ${read.kind} (${read.format})`;
  const warnings = read.truncated === undefined && read.nearly === undefined ? 0 : 1;
  return { what, rules: 0, entries: read.entries, rejects: read.rejectCount, warnings };
}

function checkRules(
  file: string,
  bytes: Uint8Array,
  direction: Direction,
  now: number,
  report: Report,
): FileCounts {
  const onReject = (reject: Reject): void => report.reject(file, reject);
  const read = report.wantsEntries
    ? parseRuleLines(bytes, direction, now, {
        onReject,
        onEntry: (line, _column, canonical) => report.entry(file, line, 'rule', canonical()),
      })
    : parseRuleLines(bytes, direction, now, { onReject });
  return {
    what: `${direction} rules`,
    rules: read.ruleCount,
    entries: 0,
    rejects: read.rejectCount,
    warnings: 0,
  };
}

function checkDocument(file: string, bytes: Uint8Array, now: number, report: Report): FileCounts {
  const onEntry: DocumentEntrySink = (kind, name, line, _column, canonical) => {
    report.entry(placeOf(file, name), line, kind, canonical());
  };
  const read = parseDocument(file, bytes, now, referencesOf(file), report.wantsEntries ? { onEntry } : {});
  for (const reject of read.rejects)
    report.reject(placeOf(file, reject.file), reject satisfies DocumentReject);
  report.unkept(file, read.rejectCount - read.rejects.length);
  const counts = { what: 'a rule set document', ...countsOf(read.lists, read.policies) };
  // What the document says as a whole is known only once all of it could be read.
  if (read.rejectCount > 0) return { ...counts, rejects: read.rejectCount, warnings: 0 };
  const problems = checkRuleSet({ ...read, resolutions: new Map() });
  let rejects = 0;
  for (const problem of problems) {
    if (problem.severity === 'fault') {
      rejects++;
      report.reject(file, faultReject(file, problem));
    } else report.warning(file, problem);
  }
  return { ...counts, rejects, warnings: problems.length - rejects };
}

function countsOf(
  lists: ReadonlyMap<string, List>,
  policies: ReadonlyMap<string, Policy>,
): { readonly entries: number; readonly rules: number } {
  let entries = 0;
  for (const list of lists.values()) entries += entryCount(list);
  let rules = 0;
  for (const policy of policies.values()) rules += policyRuleCount(policy);
  return { entries, rules };
}
