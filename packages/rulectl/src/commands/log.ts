/**
 * `rulectl log`: the packets and names that firewalls refused, with reasons, from their logs or as they come.
 */

import { addressBytes, type ControlRecord, ErrorCode, type MessageOf } from '@rulecast/protocol';
import { parseAddress, parseHostName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import {
  type Dropped,
  gapTexts,
  HOW_TO_LOG,
  keyOf,
  type LogGap,
  QUBES_NOTE,
  type Refused,
  renderDropped,
  renderRefused,
  renderSums,
  type Sum,
  type SumOf,
  sumsOf,
} from '../render/refused.ts';
import { type CliError, ExitCode, failedError, usageError } from '../terminal/exit.ts';
import { MOMENT_HELP, parseMoment } from '../terminal/moment.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'log';

/** Pages of a log come one at a time; the publisher gives up on a firewall after five seconds. */
const ANSWER_TIMEOUT_MS = 30_000;
const TOPS = ['qubes', 'lists', 'rules', 'destinations'] as const;
/** Hints for a refused request, by its code. */
const HINTS: Readonly<Record<string, string>> = {
  [ErrorCode.unsupported]: `: ${HOW_TO_LOG}`,
  [ErrorCode.notPermitted]: '; rulectl log --top lists has sums, which take the role status',
};

export interface LogArgs extends ControlArgs {
  readonly follow: boolean | undefined;
  readonly qube: string | undefined;
  readonly list: string | undefined;
  readonly name: string | undefined;
  readonly since: string | undefined;
  readonly top: (typeof TOPS)[number] | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<LogArgs> {
  return yargs
    .usage(
      `$0 log\n\nLists what firewalls refused, the newest last: packets, and names that rulecast-dns did not answer, each with the rule that refused it and the list that holds it. Equal refusals are one line, with their count. Below stands the line that would allow it, if the qube has a policy of its own. It takes a firewall with --log, and the role admin, because it shows who talks to whom.\n\n${MOMENT_HELP}`,
    )
    .option('follow', { type: 'boolean', describe: 'go on with what is refused, until interrupted' })
    .option('qube', { type: 'string', requiresArg: true, describe: 'only of the qube with this address' })
    .option('list', { type: 'string', requiresArg: true, describe: 'only what this list refused' })
    .option('name', { type: 'string', requiresArg: true, describe: 'only this name and those below it' })
    .option('since', {
      type: 'string',
      requiresArg: true,
      describe: 'only what was refused from this time on',
    })
    .option('top', {
      choices: TOPS,
      describe:
        'what was refused most; lists and rules come from the hourly counts of all firewalls, with or without --log',
    })
    .example([
      ['$0 log', 'what firewalls refused'],
      ['$0 log --follow --qube 10.137.0.5', 'what is refused to a qube while it is tried again'],
      ['$0 log --since 1h --name example.org', 'what happened to a site'],
      ['$0 log --top destinations', 'what qubes want most and do not get'],
      ['$0 log --top rules --since 1d', 'which rules drop most'],
    ]);
}

export async function run(args: LogArgs, terminal: Terminal): Promise<ExitCode> {
  checkTop(args);
  const { top } = args;
  if (top === 'lists' || top === 'rules') return showDropped(top, args, terminal);
  const request = requestOf(args, terminal.nowMs());
  const isShown = filterOf(args);
  const batch = new Batch(args, terminal);
  const areRecords = terminal.isJson && top === undefined;
  await askOrFail(
    {
      ...controlOf(args),
      timeoutMs: ANSWER_TIMEOUT_MS,
      isEndless: request.follow,
      send: (connection) => connection.send(request),
      onRecord: (record) => {
        if (record.record === 'refused' && !isShown(record)) return;
        if (areRecords) terminal.record(recordOf(record));
        else batch.put(record);
        if (record.record !== 'end') return;
        if (areRecords) terminal.out.flush();
        else batch.tell();
      },
    },
    logError,
  );
  if (!areRecords) batch.tell();
  return ExitCode.ok;
}

function checkTop({ top, follow, qube, list, name }: LogArgs): void {
  if (top === undefined) return;
  if (follow === true) throw usageError('--top is a sum: leave out --follow');
  const others = { qube, list, name };
  const given = Object.entries(others).find(([, value]) => value !== undefined)?.[0];
  if ((top === 'lists' || top === 'rules') && given !== undefined)
    throw usageError(`--top ${top} is of all that firewalls count: leave out --${given}`);
}

/** Throws CliError `usage`. */
function requestOf({ qube, since, follow }: LogArgs, nowMs: number): MessageOf<'log'> {
  const address = qube === undefined ? undefined : parseAddress(qube);
  if (qube !== undefined && address === undefined)
    throw usageError(`--qube ${qube}: write the address of a qube, as in 10.137.0.5`);
  return {
    kind: 'log',
    qube: address && addressBytes(address),
    sinceS: since === undefined ? undefined : Math.floor(momentOf(since, nowMs) / 1000),
    follow: follow === true,
  };
}

function momentOf(since: string, nowMs: number): number {
  const atMs = parseMoment(since, nowMs);
  if (atMs === undefined) throw usageError(`--since ${since} is no time. ${MOMENT_HELP}`);
  return atMs;
}

/** Whether a refusal is asked for. Throws CliError `usage`. */
function filterOf({ list, name }: LogArgs): (refused: Refused) => boolean {
  const parsed = name === undefined ? undefined : parseHostName(name);
  if (parsed?.kind === 'fault') throw usageError(`--name ${name}: write a host name, as in www.example.org`);
  const wanted = parsed?.name;
  return ({ verdict, name: own }) =>
    (list === undefined || verdict?.list === list) &&
    (wanted === undefined || own === wanted || own?.endsWith(`.${wanted}`) === true);
}

function isAll({ qube, list, name, since }: LogArgs): boolean {
  return (qube ?? list ?? name ?? since) === undefined;
}

async function showDropped(of: 'lists' | 'rules', args: LogArgs, terminal: Terminal): Promise<ExitCode> {
  const nowMs = terminal.nowMs();
  const sinceMs = args.since === undefined ? undefined : Math.max(0, nowMs - momentOf(args.since, nowMs));
  const dropped: Dropped[] = [];
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'top', of, sinceMs }),
    onRecord: (record) => {
      if (record.record !== 'dropped') return;
      if (terminal.isJson) terminal.record(recordOf(record));
      else dropped.push(record);
    },
  });
  if (terminal.isJson) return ExitCode.ok;
  if (dropped.length > 0) terminal.out.line(renderDropped(dropped, terminal.colors));
  else terminal.out.line(`no ${of.slice(0, -1)} dropped anything in that time, as far as firewalls reported`);
  return ExitCode.ok;
}

/** The outcome of a log request, or of one turn of a continuous one. */
class Batch {
  readonly #args: LogArgs;
  readonly #terminal: Terminal;
  /** A refusal that changes while it is read comes twice, and the last one holds. */
  readonly #refused = new Map<string, Refused>();
  #gaps: LogGap[] = [];
  #isNoted = false;

  constructor(args: LogArgs, terminal: Terminal) {
    this.#args = args;
    this.#terminal = terminal;
  }

  put(record: ControlRecord): void {
    if (record.record === 'refused') this.#refused.set(keyOf(record), record);
    if (record.record === 'lost' || record.record === 'warning') this.#gaps.push(record);
  }

  tell(): void {
    const { out, colors } = this.#terminal;
    for (const text of gapTexts(this.#gaps)) this.#terminal.complain(`rulectl: ${text}`);
    const { top, follow } = this.#args;
    // In a continuous log, a record without a verdict comes again with one.
    const refused = [...this.#refused.values()].filter(
      ({ reason, verdict }) => follow !== true || reason !== 'rule' || verdict !== undefined,
    );
    this.#refused.clear();
    this.#gaps = [];
    if (top === 'qubes' || top === 'destinations') return this.#tellSums(sumsOf(refused, top), top);
    if (refused.length > 0) out.line(renderRefused(refused, colors));
    else if (follow !== true)
      out.line(`nothing ${isAll(this.#args) ? '' : 'like that '}was refused, as far as firewalls remember`);
    const isNoted = refused.some(({ allow }) => allow !== undefined);
    if (isNoted && !this.#isNoted) out.line(QUBES_NOTE);
    this.#isNoted ||= isNoted;
    out.flush();
  }

  #tellSums(sums: readonly Sum[], top: SumOf): void {
    const { out, colors } = this.#terminal;
    if (this.#terminal.isJson)
      for (const sum of sums) this.#terminal.record({ kind: 'top', of: top, ...sum });
    else out.line(renderSums(sums, top.slice(0, -1), colors));
  }
}

/** The error for a refused request. */
function logError(fail: MessageOf<'fail'>): CliError {
  return failedError(fail, `${fail.text}${HINTS[fail.code] ?? ''}`);
}
