/**
 * `rulectl check`: checks files as the publisher would check a push of all of them, and its configuration.
 * With --live, the publisher itself checks them, by a push that releases nothing. With --test or --packets,
 * packets and names are judged by the files.
 */

import { resolve } from 'node:path';
import {
  type DocumentEntrySink,
  type DocumentReject,
  FORMAT_LIMITS,
  type ImportedList,
  isConfig,
  LIST_FORMATS,
  type PublisherConfig,
  type PushedFile,
  parseConfig,
  type ReadFile,
  type Reject,
  type RuleSetDocument,
} from '@rulecast/formats';
import type { Output } from '@rulecast/program';
import { pushRefusals } from '@rulecast/publisher/guards';
import { entryCount, policyRuleCount } from '@rulecast/rules';
import { EndpointError, parseEndpoint } from '@rulecast/vchan';
import type { Argv } from 'yargs';
import type { ControlArgs } from '../control/client.ts';
import { parseTime } from '../offline/environment.ts';
import { type JudgeArgs, judge, QUBES_DNS } from '../offline/judge.ts';
import { placeOf, type RuleSetReject, readOffline } from '../offline/rule-set.ts';
import { nameArgsOf, type PushFile, readPushFiles, withFileOptions } from '../release/files.ts';
import { checkPartNames } from '../release/options.ts';
import { formatAmount } from '../render/amounts.ts';
import { type FileSummary, renderFileSummary, renderSkipped, renderWidened } from '../render/file.ts';
import { renderReject, renderWarning } from '../render/findings.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';
import { DIRECTIONS } from '../terminal/packets.ts';
import type { Colors, Terminal } from '../terminal/terminal.ts';
import * as push from './push.ts';
import { ACTIONS } from './test.ts';

export const command = 'check <file..>';

/** Rejects of one file shown to people; programs get all of them. */
const REJECTS_SHOWN = FORMAT_LIMITS.rejectsKept;

export interface CheckArgs extends JudgeArgs, ControlArgs {
  readonly live?: boolean | undefined;
  readonly 'known-list'?: readonly string[] | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<CheckArgs> {
  return withFileOptions(yargs)
    .usage(
      '$0 check FILE...\n\nReads lists in any format, rule lines and rule set documents together, as one push would, and says what would be refused. Lists are unpacked and judged by the guards of a source. FILE may be - for standard input. Without a publisher, every list that a rule uses must be in the files, in a configuration among them, or be named by --known-list.\n\nA configuration of rulecast-publisher is recognised by its keys, and read with the rules file that it names.\n\nWith --test or --packets it judges packets and names by these files, as a firewall judges the first packet of a flow.\n\n' +
        `Formats of lists, recognised by their content: ${LIST_FORMATS.map(({ name }) => name).join(', ')}.`,
    )
    .option('live', {
      type: 'boolean',
      describe: 'ask the publisher what a push of the files would do now, as push --dry-run does',
    })
    .option('known-list', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'a list that the publisher has; may be repeated',
    })
    .option('direction', {
      choices: DIRECTIONS,
      requiresArg: true,
      describe: 'the direction of bare rule lines and of packets of --test; both: between two qubes',
      defaultDescription: 'egress',
    })
    .option('at', {
      type: 'string',
      requiresArg: true,
      describe: 'the time of the packets, from which expire=+SECONDS counts: seconds since 1970 or ISO 8601',
      defaultDescription: 'now',
    })
    .option('test', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'judge this packet or DNS question, written as for rulectl test; may be repeated',
    })
    .option('packets', {
      type: 'string',
      requiresArg: true,
      describe: 'judge a file of packets, one JSON object a line; - is standard input',
    })
    .option('expect', {
      choices: ACTIONS,
      requiresArg: true,
      describe: 'with --test: end with 1 unless each gets this',
    })
    .option('address', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'with --test and --packets: the addresses of a name in rules, NAME=ADDRESS[,ADDRESS]; may be repeated',
    })
    .option('dns', {
      type: 'string',
      requiresArg: true,
      describe: 'with --test and --packets: the addresses that specialtarget=dns means',
      defaultDescription: QUBES_DNS,
    })
    .example([
      ['$0 check drop.txt office.yaml', 'what is wrong with them'],
      ['$0 check --live office.yaml', 'with the lists and policies that the publisher has'],
      ['… | $0 check --format misp -', 'what another program prints'],
      ['$0 check --json drop.txt', 'for a program'],
      ['$0 check /etc/rulecast/publisher.yaml', 'what is wrong with a configuration'],
      ['$0 check a.yaml --test "work ? ads.example" --expect drop', 'ends with 1 if it gets anything else'],
      ['$0 check a.yaml drop.txt --packets p.json', 'whether packets get what each line expects'],
      ['$0 check a.rules --test 192.0.2.7 --address a.com=192.0.2.7', 'with the addresses of a name'],
    ]);
}

export async function run(args: CheckArgs, terminal: Terminal): Promise<ExitCode> {
  const isJudging = args.test !== undefined || args.packets !== undefined;
  if (args.live === true) return askPublisher(args, terminal);
  for (const option of ['expect', 'address', 'dns'] as const)
    if (args[option] !== undefined && !isJudging)
      throw usageError(`--${option} goes with --test or --packets`);
  if (isJudging && args['known-list'] !== undefined)
    throw usageError(
      '--known-list names lists without content, and nothing can be judged by them: leave it out',
    );
  checkPartNames(args);
  if (isJudging) return judge(args, terminal);
  for (const list of args['known-list'] ?? []) checkPartNames({ list, policy: undefined });
  if (args.direction === 'both') throw usageError('--direction both goes with --test or --packets');
  const report = new Report(terminal);
  const configs: (PublisherConfig | undefined)[] = [];
  const files = [
    ...(await readPushFiles(args, 'look', (file) => {
      if (args.format !== undefined || !isConfig(file.name, file.bytes)) return false;
      configs.push(checkConfig(file.path, file.bytes, report));
      return true;
    })),
  ];
  const named = configs.flatMap((config) => config?.rules ?? []);
  const rules = named.filter((path) => !files.some((file) => resolve(file.path) === resolve(path)));
  if (rules.length > 0) files.push(...(await readPushFiles({ file: rules }, 'look')));
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const lists = configs.flatMap((config) => [...(config?.lists.keys() ?? [])]);
  const known = { ...args, 'known-list': [...lists, ...(args['known-list'] ?? [])] };
  const exit = files.length === 0 ? ExitCode.ok : checkFiles(files, known, now, report);
  if (exit === ExitCode.ok && !configs.includes(undefined)) return ExitCode.ok;
  terminal.endsWith('bad-input');
  return ExitCode.refused;
}

/** Reports the faults of a configuration. Undefined if there are any. */
function checkConfig(file: string, bytes: Uint8Array, report: Report): PublisherConfig | undefined {
  const { config, rejects, rejectCount } = parseConfig(file, bytes);
  const faults = [...rejects, ...(config === undefined ? [] : endpointFaults(config))];
  const faultCount = Math.max(rejectCount, faults.length);
  for (const fault of faults) report.reject(file, fault);
  report.configEnd(file, config?.lists.size ?? 0, config?.tables.size ?? 0, faultCount);
  return faultCount === 0 ? config : undefined;
}

/** Endpoints that cannot be opened. */
function endpointFaults({ listen, control }: PublisherConfig): readonly Reject[] {
  return [...(listen ?? []), ...(control ?? [])].flatMap(({ value, line, column }) => {
    try {
      parseEndpoint(value);
      return [];
    } catch (error) {
      if (!(error instanceof EndpointError)) throw error;
      return [{ line, column, code: 'bad-endpoint', reason: error.message }];
    }
  });
}

/** The very push, short of the release. */
function askPublisher(args: CheckArgs, terminal: Terminal): Promise<ExitCode> {
  for (const option of ['known-list', 'direction', 'at'] as const) {
    if (args[option] !== undefined) throw usageError(`--${option} goes without --live: the publisher knows`);
  }
  for (const option of ['test', 'packets', 'expect', 'address', 'dns'] as const)
    if (args[option] !== undefined)
      throw usageError(`--${option} goes without --live: rulectl test asks the firewalls`);
  return push.run({ ...args, timeout: '60', 'dry-run': true }, terminal);
}

// ── Reports ────────────────────────────────────────────────────────────────────────────────────────────────

/** Warnings about a list that a source would refuse, or hold back. */
function oddities(read: ImportedList): readonly Problem[] {
  const { short } = read;
  if (short === undefined) return miscounts(read);
  const { count, line, prefix } = short;
  const are = count === 1 ? 'one CIDR is' : `${count} CIDRs are`;
  const reason = `${are} shorter than /8, or than /16 of IPv6, the first in line ${line}: ${prefix}; a source needs allow-short-prefixes: true for that`;
  return [...miscounts(read), { code: 'short-prefix', part: '', reason }];
}

/** A warning if a list's own count differs from its content. */
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

/** Prints findings as they are found: all of them for programs, the first ones of each file for people. */
class Report {
  readonly isJson: boolean;
  readonly #terminal: Terminal;
  readonly #out: Output;
  readonly #colors: Colors;
  #shown = 0; // rejects of the present file

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    const { isJson, out, colors } = terminal;
    this.isJson = isJson;
    this.#out = out;
    this.#colors = colors;
  }

  reject(file: string, reject: RuleSetReject | Reject): void {
    const { line, column, code, reason } = reject;
    const part = 'part' in reject ? reject.part : undefined;
    if (this.isJson) this.#terminal.record({ kind: 'reject', file, line, column, code, reason, part });
    else if (++this.#shown <= REJECTS_SHOWN) this.#out.line(renderReject(file, reject, this.#colors));
  }

  /** For programs: people have the file. */
  entry(file: string, line: number, kind: 'rule' | 'entry', canonical: string): void {
    this.#terminal.record({ kind, file, line, canonical });
  }

  /** Reports the format of a list, and its skipped lines. */
  list(file: string, { format, skipped, widened }: ImportedList): void {
    if (this.isJson) return this.#terminal.record({ kind: 'list-file', file, format, skipped, widened });
    for (const { code, count, line } of skipped) {
      if (code === 'comment' || code === 'metadata') continue; // every list has such lines
      this.#out.line(renderSkipped(file, { code, count, line }));
    }
    if (widened > 0) this.#out.line(renderWidened(file, widened));
  }

  /** The end of a file's rejects; `unkept` of them were only counted. */
  fileRead(unkept: number): void {
    const more = this.#shown + unkept - REJECTS_SHOWN;
    if (more > 0 && !this.isJson) this.#out.line(`… and ${more} more`);
    this.#shown = 0;
  }

  warning(file: string, { code, part, reason }: Problem): void {
    if (this.isJson) this.#terminal.record({ kind: 'warning', file, code, part, reason });
    else this.#out.line(renderWarning({ code, reason }, this.#colors));
  }

  /** Reports the end of a configuration. */
  configEnd(file: string, lists: number, tables: number, rejects: number): void {
    this.fileRead(0);
    if (this.isJson) return this.#terminal.record({ kind: 'configuration', file, lists, tables, rejects });
    const verdict =
      rejects === 0
        ? `${formatAmount(lists, 'list')}, ${this.#colors.green('nothing refused')}`
        : this.#colors.red(formatAmount(rejects, 'fault'));
    this.#out.line(`${shownName(file)}: a publisher configuration, ${verdict}`);
  }

  /** Reports the end of the other files: one summary for programs, and one of each file for people. */
  end(summaries: readonly FileSummary[], rejects: number): void {
    const sum = (field: 'rules' | 'entries' | 'warnings'): number =>
      summaries.reduce((total, summary) => total + summary[field], 0);
    const [rules, entries, warnings] = [sum('rules'), sum('entries'), sum('warnings')];
    if (this.isJson)
      this.#terminal.record({ kind: 'summary', files: summaries.length, rules, entries, rejects, warnings });
    else for (const summary of summaries) this.#out.line(renderFileSummary(summary, this.#colors));
  }
}

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Reports findings of each file while it is read, then those of all files together, then a summary of each.
 */
function checkFiles(files: readonly PushFile[], args: CheckArgs, now: number, report: Report): ExitCode {
  const { list, policy, format, direction, 'known-list': knownLists } = args;
  const summaries: FileSummary[] = [];
  const place = (name: string): string => placeOf(files, name);
  const onEntry: DocumentEntrySink = (kind, name, line, _column, canonical) =>
    report.entry(place(name), line, kind, canonical());
  const observer = {
    onEntry: report.isJson ? onEntry : undefined, // without it the parsers are faster
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
    ...(direction === 'ingress' && { direction }),
    now,
    knownLists,
    guards: pushRefusals,
  };
  const { rejectCount, faults, warnings } = readOffline(files, reading, observer);
  for (const fault of faults) report.reject(fault.file, fault);
  for (const warning of warnings) report.warning(warning.file, warning);
  const countOf = (found: readonly { readonly file: string }[], file: string): number =>
    found.filter((each) => each.file === file).length;
  const complete = summaries.map((summary) => ({
    ...summary,
    rejects: summary.rejects + countOf(faults, summary.file),
    warnings: summary.warnings + countOf(warnings, summary.file),
  }));
  report.end(complete, rejectCount + faults.length);
  return rejectCount + faults.length === 0 ? ExitCode.ok : ExitCode.refused;
}

/** The summary of a file, without the findings of all files together. */
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
