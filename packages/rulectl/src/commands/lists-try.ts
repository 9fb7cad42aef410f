/**
 * `rulectl lists try URL|FILE|KEY`: tries a list before it is configured: reads it once as the publisher
 * would, shows it in numbers, and compares it with the present lists. Changes nothing.
 */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LIST_FORMATS, type PublisherConfig, parseConfig } from '@rulecast/formats';
import { KERNEL_MIB_DEFAULT, kernelBytesFor, TABLES_IN_TURN } from '@rulecast/nftables/cost';
import type { ControlRecordOf } from '@rulecast/protocol';
import {
  columnFor,
  combineSets,
  EMPTY_RULE_SET,
  emptyPolicy,
  entryCount,
  FIRST_POLICY,
  intersectNames,
  intersectPrefixes,
  type List,
  type PrefixList,
  parseRule,
  partOfSpace,
  RunBuilder,
  routableShare,
} from '@rulecast/rules';
import { tryList } from '@rulecast/sources/try';
import { tableBytesFor } from '@rulecast/table/cost';
import type { Argv } from 'yargs';
import { catalogueEntry, isTable } from '../catalogue/catalogue.ts';
import { configurationOf, documentOf } from '../catalogue/configuration.ts';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { formatAmount } from '../render/amounts.ts';
import { type Costs, type Overlap, renderTried, type TriedRecord } from '../render/tried.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { fetchList } from './lists-show.ts';

export const command = 'lists-try <what>';

/** Our choice. */
const ANSWER_TIMEOUT_MS = 30_000;
const COMPARED_LISTS_MAX = 64;
const COMPARED_ENTRIES_MAX = 2_000_000;
const MIB = 2 ** 20;
/** The name of the list while it is tried. */
const NAME = 'tried';

export interface TryArgs extends ControlArgs {
  readonly what: string;
  readonly format: string | undefined;
  readonly 'kernel-mib': string | undefined;
}

export function builder(yargs: Argv<ControlArgs>): Argv<TryArgs> {
  return yargs
    .usage(
      '$0 lists try URL|FILE|KEY\n\nReads a list once, as the publisher would, and shows its format, its content, lines that cannot be read, how much of the Internet it covers, how much of it other lists hold already, what it costs each firewall, and what guards would refuse. It changes nothing. It downloads from this machine, by the proxy of the environment.',
    )
    .positional('what', {
      type: 'string',
      demandOption: true,
      describe: 'a URL, a file, a key of the catalogue, country:ru, asn:15169 or company:google',
    })
    .option('format', {
      choices: LIST_FORMATS.map(({ name }) => name),
      requiresArg: true,
      describe: 'what it is; else its content tells',
    })
    .option('kernel-mib', {
      type: 'string',
      requiresArg: true,
      describe: 'what the firewalls run with',
      defaultDescription: String(KERNEL_MIB_DEFAULT),
    })
    .example([
      ['$0 lists try https://feeds.example/bad.txt', 'before it is a list'],
      ['$0 lists try spamhaus-drop', 'a feed of the catalogue'],
      ['$0 lists try country:us --kernel-mib 64', 'whether a small firewall has room for it'],
    ]);
}

export async function run(args: TryArgs, terminal: Terminal): Promise<ExitCode> {
  const kernelMib = Number(args['kernel-mib'] ?? KERNEL_MIB_DEFAULT);
  if (!Number.isInteger(kernelMib) || kernelMib < 1)
    throw usageError(`--kernel-mib ${args['kernel-mib']}: a number of MiB`);
  const config = configFor(args);
  const tried = await inFolder((folder) => {
    const list = config.lists.get(NAME);
    if (list === undefined) throw new TypeError('there is no list');
    return tryList(list, config, folder);
  });
  if (tried.kind === 'unread') throw new CliError(ExitCode.refused, tried.code, shownName(tried.reason));
  const { list, report, redirects } = tried;
  const costs = list.kind === 'names' ? {} : costsOf(list, kernelMib);
  const against = tried.against ?? roomRefusal(costs);
  const record: TriedRecord = {
    source: shownName(args.what),
    formats: report.formats,
    holds: list.kind,
    entries: entryCount(list),
    ...(list.kind === 'prefixes' && {
      entries4: list.v4.lengths.length,
      entries6: list.v6.lengths.length,
      share4: routableShare(list, 4),
      share6: routableShare(list, 6),
    }),
    ...costs,
    rejects: report.rejectCount,
    rejected: report.rejects.map(({ file, line, column, reason }) =>
      shownName(`${file}:${line}:${column}: ${reason}`),
    ),
    leftOut: report.leftOut,
    protected: report.taken?.entryCount ?? 0,
    notes: [...redirects, ...report.notes].map(shownName),
    ...(await overlapsOf(list, args)),
    ...(against !== undefined && { against: { ...against, reason: shownName(against.reason) } }),
  };
  const { code, reason: text } = record.against ?? { code: 'good', reason: '' };
  terminal.record({ kind: 'tried', ...record });
  terminal.endsWith(code, text);
  if (!terminal.isJson) terminal.out.line(renderTried(record, terminal.colors));
  return against === undefined ? ExitCode.ok : ExitCode.refused;
}

/** The configuration of a publisher that has this one list. Throws CliError. */
function configFor({ what, format }: TryArgs): PublisherConfig {
  const { config, rejects } = parseConfig(
    join(process.cwd(), 'publisher.yaml'),
    Buffer.from(textFor(what, format)),
  );
  if (config !== undefined) return config;
  throw usageError(`${what}: ${rejects[0]?.reason ?? 'cannot be tried'}`);
}

function textFor(what: string, format: string | undefined): string {
  const document = (list: object): string => JSON.stringify({ lists: { [NAME]: list } });
  const stated = format === undefined ? {} : { format };
  if (/^https?:/i.test(what)) return document({ url: what, ...stated });
  if (existsSync(what))
    return document({ file: what, purpose: 'block', quiet: '0s', unfinished: '0s', ...stated });
  if (format !== undefined) throw usageError(`--format goes with a URL or a file, and ${what} is neither`);
  const [, key, values = ''] = /^(country|asn|company):(.+)$/.exec(what) ?? [];
  if (key !== undefined) return document({ [key]: key === 'company' ? values : values.split(',') });
  const entry = catalogueEntry(what);
  if (entry === undefined) {
    const text = `there is no file ${shownName(what)}, and the catalogue has no such key: rulectl lists search`;
    throw new CliError(ExitCode.refused, 'missing-file', text);
  }
  if (isTable(entry))
    throw usageError(`${what} is a table, which lists are cut from: try country:ru or asn:15169`);
  return documentOf(configurationOf(entry, NAME));
}

/** Works in a folder that goes at the end, also when somebody ends the program before. */
async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'rulectl-try-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const end = (signal: NodeJS.Signals): void => {
    remove();
    process.kill(process.pid, signal); // `once` is over, so that this one ends it
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    return await work(folder);
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    remove();
  }
}

/** Overlaps with the publisher's lists, if there is a publisher and they are not too many. */
async function overlapsOf(list: List, args: TryArgs): Promise<Pick<TriedRecord, 'overlaps' | 'uncompared'>> {
  const known: ControlRecordOf<'list'>[] = [];
  const overlaps: Overlap[] = [];
  try {
    await askOrFail({
      ...controlOf(args),
      timeoutMs: ANSWER_TIMEOUT_MS,
      send: (connection) => connection.send({ kind: 'lists', sourcesOnly: false }),
      onRecord: (record) => void (record.record === 'list' && known.push(record)),
    });
    const alike = known.filter(({ holds, count }) => holds === list.kind && count > 0);
    let left = COMPARED_ENTRIES_MAX;
    let compared = 0;
    for (const { name, count } of alike.toSorted((a, b) => a.count - b.count)) {
      if (compared === COMPARED_LISTS_MAX || count > left) break;
      left -= count;
      compared++;
      const other = (await fetchList({ ...args, name }, true)).list;
      const overlap = overlapOf(list, other);
      if (Math.max(overlap.share4 ?? 0, overlap.share6 ?? 0, overlap.names ?? 0) > 0)
        overlaps.push({ list: name, ...overlap });
    }
    if (compared === alike.length) return { overlaps };
    return {
      overlaps,
      uncompared: `${formatAmount(alike.length - compared, 'list is', 'lists are')} too large`,
    };
  } catch (error) {
    if (!(error instanceof CliError) || error.exit === ExitCode.usage) throw error;
    const isNobody = error.exit === ExitCode.unreachable;
    return { overlaps, uncompared: isNobody ? `no publisher answers at ${args.control}` : error.message };
  }
}

/** The part of `list` that is in `other`, which is of the same kind. */
function overlapOf(list: List, other: List): Omit<Overlap, 'list'> {
  if (list.kind === 'names' || other.kind === 'names') {
    const both = list.kind === other.kind && list.kind === 'names' && other.kind === 'names';
    return { names: both ? intersectNames(list, other).names.count : 0 };
  }
  const common = combineSets(intersectPrefixes, list, other);
  const shareOf = (family: 4 | 6): number => {
    const whole = partOfSpace(columnFor(list, family));
    return whole === 0 ? 0 : partOfSpace(columnFor(common, family)) / whole;
  };
  return { share4: shareOf(4), share6: shareOf(6) };
}

/** The cost, at a firewall, of a rule that drops packets to the list. */
function costsOf(list: PrefixList, kernelMib: number): Costs {
  const rule = parseRule(`drop dst=@${NAME}`, 'egress', 0);
  if (rule.kind === 'fault') throw new TypeError(rule.reason);
  const egress = new RunBuilder();
  egress.push(rule.rule);
  const first = { ...emptyPolicy(FIRST_POLICY), egress: egress.build() };
  const policies = new Map([[FIRST_POLICY, first]]);
  const ruleSet = { ...EMPTY_RULE_SET, lists: new Map([[NAME, list]]), policies };
  return {
    kernelBytes: kernelBytesFor(ruleSet),
    kernelMostBytes: (kernelMib * MIB) / TABLES_IN_TURN,
    tableBytes: tableBytesFor(ruleSet),
  };
}

function roomRefusal({ kernelBytes = 0, kernelMostBytes = 0 }: Costs): TriedRecord['against'] {
  if (kernelBytes <= kernelMostBytes) return undefined;
  const least = Math.ceil((kernelBytes * TABLES_IN_TURN) / MIB);
  return {
    code: 'kernel-memory',
    reason: `a firewall would refuse it, but with --kernel-mib ${least} or more`,
  };
}
