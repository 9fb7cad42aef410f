/**
 * `rulectl test`: what happens to a packet, asked of the live tables, or of a file and the reference
 * evaluator; and to a name, by the releases that are in force, or by a file.
 */

import {
  type ExpectedAction,
  FORMAT_LIMITS,
  isQuestionText,
  PACKET_TEXT_HELP,
  parseAskedPacket,
  parsePacketLine,
  parseQuestionText,
  QUESTION_TEXT_HELP,
} from '@rulecast/formats';
import { type ControlRecordOf, packetToWire, questionToWire } from '@rulecast/protocol';
import {
  type Address,
  addressJudgedBy,
  DEFAULT_POLICY,
  type Environment,
  formatAddress,
  isForAllQubes,
  type NameQuestion,
  type Packet,
  type Policy,
  type RuleSet,
} from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, controlOf } from '../control/client.ts';
import {
  type AskOnce,
  askForVerdicts,
  type LiveAnswers,
  type MissingVerdict,
  missingError,
  Witnesses,
} from '../control/live.ts';
import { parseAddresses, parseResolutions, parseTime } from '../offline/environment.ts';
import { type LoadedRuleSet, loadRuleSet, unresolvedNames } from '../offline/rule-set.ts';
import { nameVerdictOf, verdictOf } from '../offline/verdict.ts';
import { formatAmount, formatCount } from '../render/amounts.ts';
import { renderReject, renderWarning } from '../render/findings.ts';
import { renderVerdict } from '../render/verdict.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { checkStdinOnce, readInput, STDIN_NAME, shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'test [packet..]';

/** The addresses of Qubes' virtual DNS servers. */
const QUBES_DNS = '10.139.1.1,10.139.1.2';
/**
 * A subscriber answers in milliseconds; the publisher itself gives up on each after five seconds, one after
 * the other.
 */
const ANSWER_TIMEOUT_MS = 60_000;
/** How many names without addresses a warning lists. */
const NAMES_SHOWN = 8;

const DIRECTIONS = ['egress', 'ingress', 'both'] as const;
const ACTIONS = ['accept', 'drop', 'none'] as const satisfies readonly ExpectedAction[];

export interface TestArgs {
  readonly control: string;
  readonly packet: readonly string[] | undefined;
  readonly direction: (typeof DIRECTIONS)[number];
  readonly subscriber: string | undefined;
  readonly offline: readonly string[] | undefined;
  readonly expect: ExpectedAction | undefined;
  readonly packets: string | undefined;
  readonly resolve: readonly string[] | undefined;
  readonly dns: string | undefined;
  readonly at: string | undefined;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<TestArgs> {
  return yargs
    .usage(
      `$0 test PACKET...\n$0 test --offline FILE... [--packets FILE] [PACKET...]\n\nAsks the live tables of the subscribers through the publisher, or judges by a file alone.\n\n${PACKET_TEXT_HELP.replaceAll('\n', ' ')}\n\nA name is judged as docs/names.md says, by the release that each subscriber has in force, whether or not its rulecast-dns works, which rulectl status says. ${QUESTION_TEXT_HELP.replaceAll('\n', ' ')}`,
    )
    .positional('packet', { type: 'string', array: true, describe: 'packets, or questions' })
    .option('direction', {
      choices: DIRECTIONS,
      default: 'egress' as const,
      describe: 'from a qube, to a qube, or between two qubes',
    })
    .option('subscriber', { type: 'string', requiresArg: true, describe: 'ask this one only' })
    .option('offline', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'judge by this rule set document or file of rule lines, without a publisher; may be repeated, as files of one push',
    })
    .option('expect', {
      choices: ACTIONS,
      requiresArg: true,
      describe: 'end with 1 unless each packet gets this',
    })
    .option('packets', {
      type: 'string',
      requiresArg: true,
      describe: 'with --offline: a file of packets, one JSON object a line; - is standard input',
    })
    .option('resolve', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'with --offline: NAME=ADDRESS[,ADDRESS], may be repeated',
    })
    .option('dns', {
      type: 'string',
      requiresArg: true,
      describe: 'with --offline: what specialtarget=dns means',
      defaultDescription: QUBES_DNS,
    })
    .option('at', {
      type: 'string',
      requiresArg: true,
      describe: 'with --offline: the time (seconds since 1970 or ISO 8601)',
      defaultDescription: 'now',
    })
    .option('json', { type: 'boolean', describe: 'one JSON object for each answer' })
    .example([
      ['$0 test "10.137.0.5 > 192.0.2.7 tcp/443"', 'what every firewall does with it now'],
      ['$0 test 192.0.2.7 --subscriber sys-firewall', 'whether one firewall blocks an address'],
      ['$0 test --offline a.yaml --packets p.json', 'test a rule set before it is pushed'],
      ['$0 test --offline a.yaml --offline drop.txt …', 'several files, as push takes them together'],
      ['$0 test --offline a.rules --expect drop 192.0.2.7', 'ends with 1 if it gets anything else'],
      ['$0 test "work > 192.0.2.7 tcp/443"', 'what happens to a packet of a qube of a policy'],
      ['$0 test "work ? ads.example"', 'whether a name is blocked'],
      ['$0 test --offline a.rules --resolve a.com=192.0.2.7 …', 'with the addresses of a name'],
    ]);
}

export async function run(args: TestArgs, terminal: Terminal): Promise<ExitCode> {
  const packets = args.packet ?? [];
  if (args.offline !== undefined) return runOffline(args, args.offline, packets, terminal);
  for (const option of ['packets', 'resolve', 'dns', 'at'] as const) {
    if (args[option] !== undefined) throw usageError(`--${option} goes with --offline FILE`);
  }
  if (packets.length === 0)
    throw usageError(
      'name a packet, as in rulectl test "10.137.0.5 > 192.0.2.7 tcp/443", or a name, as in rulectl test "work ? ads.example"',
    );
  return runOnline(args, packets, terminal);
}

/** A packet of the command line, and the policy of its source. Throws CliError `refused`. */
function packetOf(
  text: string,
  direction: TestArgs['direction'],
): { readonly packet: Packet; readonly policy: string | undefined } {
  const result = parseAskedPacket(text, direction);
  if (result.kind === 'packet') return result;
  const message = `packet ${JSON.stringify(text)}, column ${result.column}: ${result.reason}`;
  throw new CliError(ExitCode.refused, result.code, message);
}

// ── Live ───────────────────────────────────────────────────────────────────────────────────────────────────

async function runOnline(args: TestArgs, texts: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const asked = texts.map((text) => {
    if (isQuestionText(text)) return { question: questionToWire(questionOf(text)) };
    const { packet, policy } = packetOf(text, args.direction);
    return { packet: packetToWire(packet), ...(policy !== undefined && { policy }) };
  });
  const patience = { nowMs: () => terminal.nowMs(), waitMs: (ms: number) => terminal.waitMs(ms) };
  const witnesses = new Witnesses();
  const counts = { verdicts: 0, missing: 0, unmet: 0 };
  for (const [i, one] of asked.entries()) {
    const text = texts[i] ?? '';
    const once: AskOnce = (subscriber, onRecord) =>
      ask({
        ...controlOf(args),
        timeoutMs: ANSWER_TIMEOUT_MS,
        send: (connection) => connection.send({ kind: 'test', ...one, subscriber }),
        onRecord,
      });
    const policy = 'policy' in one ? one.policy : undefined;
    const answers = withSources(await askForVerdicts(once, args.subscriber, patience), policy);
    const { verdicts, missing } = witnesses.complete(answers);
    for (const record of verdicts) if (!tellVerdict(record, text, args, terminal)) counts.unmet++;
    for (const one of missing) tellMissing(one, text, args, terminal);
    counts.verdicts += verdicts.length;
    counts.missing += missing.length;
  }
  if (counts.missing > 0) throw missingError(counts.missing, counts.verdicts);
  const exit = counts.unmet > 0 ? ExitCode.unmet : ExitCode.ok;
  if (args.json === true) terminal.out.json({ kind: 'done', code: 'ok', text: '', exit });
  return exit;
}

/** Without those that name no address of a policy: a publisher that reads none there judged another qube. */
function withSources({ verdicts, missing }: LiveAnswers, policy: string | undefined): LiveAnswers {
  if (policy === undefined || policy === DEFAULT_POLICY) return { verdicts, missing };
  const without = verdicts.filter(({ source }) => source === undefined);
  const text = 'the publisher takes no policy as the source of a packet: write the address of a qube';
  const refused = without.map(({ subscriber }) => ({ subscriber, code: 'unsupported', text }));
  return {
    verdicts: verdicts.filter(({ source }) => source !== undefined),
    missing: [...missing, ...refused],
  };
}

/** Whether it is what was expected, if anything was. */
function tellVerdict(
  record: ControlRecordOf<'verdict'>,
  packet: string,
  { expect, json }: TestArgs,
  terminal: Terminal,
): boolean {
  const ok = expect === undefined || expect === record.action;
  const expectation = expect === undefined ? {} : { expect, ok };
  if (json === true) terminal.out.json({ ...record, packet, ...expectation });
  else terminal.out.line(renderVerdict(packet, { ...viewOf(record), expect }, terminal.colors));
  return ok;
}

function tellMissing(
  { subscriber, code, text }: MissingVerdict,
  packet: string,
  { json }: TestArgs,
  terminal: Terminal,
): void {
  const part = subscriber === undefined ? '' : `subscriber ${subscriber}`;
  if (json === true) terminal.out.json({ record: 'warning', code, part, reason: text, packet });
  const whose = part === '' ? '' : ` of ${part}`;
  terminal.complain(`rulectl: no verdict${whose} on ${packet}: ${text} (${code})`);
}

function viewOf(record: ControlRecordOf<'verdict'>): Parameters<typeof renderVerdict>[1] {
  const { record: _kind, run: _run, hash: _hash, generation: _generation, ...view } = record;
  return view;
}

// ── Offline ────────────────────────────────────────────────────────────────────────────────────────────────

interface Tally {
  packets: number;
  expected: number;
  unmet: number;
  refused: number;
}

/** A packet with what identifies it in the answers. */
interface PacketCase {
  readonly packet: Packet;
  readonly expect: ExpectedAction | undefined;
  readonly identity: { readonly line: number } | { readonly packet: string; readonly source?: string };
  /** The address that was taken for a policy. */
  readonly source?: string;
  /** For people. */
  readonly title: string;
}

async function runOffline(
  args: TestArgs,
  files: readonly string[],
  texts: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  if (args.subscriber !== undefined)
    throw usageError('--subscriber asks a live table: leave out --offline or it');
  if (texts.length === 0 && args.packets === undefined) {
    throw usageError('name packets, or a file of them with --packets FILE');
  }
  if (args.expect !== undefined && texts.length === 0) {
    throw usageError('--expect goes with packets of the command line: in a file, each line has its own');
  }
  if (texts.some(isQuestionText)) return judgeNames(args, files, texts, terminal);
  checkStdinOnce([...files, args.packets ?? '']);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const environment = { now, dns: parseAddresses('--dns', args.dns ?? QUBES_DNS) };
  const resolutions = parseResolutions(args.resolve ?? []);
  const asked = texts.map((text) => packetOf(text, args.direction));
  const loaded = await loadRuleSet(files, now, resolutions);
  if (loaded.kind === 'rejects') return refuse(loaded, args, terminal, 'packet');
  warn(loaded, terminal);
  const tally: Tally = { packets: 0, expected: 0, unmet: 0, refused: 0 };
  for (const [i, { packet: plain, policy }] of asked.entries()) {
    const text = texts[i] ?? '';
    const src = policy === undefined ? plain.src : sourceOf(loaded.ruleSet, policy, plain);
    const source = policy === undefined || src === undefined ? {} : { source: formatAddress(src) };
    const identity = { packet: text, ...source };
    const packet = { ...plain, src };
    const one: PacketCase = { packet, expect: args.expect, identity, title: text, ...source };
    answer(loaded.ruleSet, environment, one, args, terminal, tally);
  }
  if (args.packets !== undefined) {
    const before = { ...tally };
    answerFile(loaded.ruleSet, environment, args.packets, args, terminal, tally);
    if (args.json !== true) terminal.out.line(renderTally(tally));
    checkTested(args.packets, before, tally);
  }
  if (tally.refused > 0) return ExitCode.refused;
  return tally.unmet > 0 ? ExitCode.unmet : ExitCode.ok;
}

/** The questions of a command line, which has nothing else. Throws CliError. */
async function judgeNames(
  args: TestArgs,
  files: readonly string[],
  texts: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  if (args.packets !== undefined || !texts.every(isQuestionText))
    throw usageError('packets and names are judged by a command each');
  for (const option of ['resolve', 'dns'] as const)
    if (args[option] !== undefined) throw usageError(`--${option} is for packets: leave it out`);
  checkStdinOnce(files);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const questions = texts.map(questionOf);
  const loaded = await loadRuleSet(files, now, new Map(), 'explain');
  if (loaded.kind === 'rejects') return refuse(loaded, args, terminal, 'name');
  for (const warning of loaded.warnings) terminal.complain(renderWarning(warning, terminal.colors));
  let isUnmet = false;
  for (const [i, question] of questions.entries()) {
    checkAsker(loaded.ruleSet, question);
    const verdict = nameVerdictOf(loaded.ruleSet, now, question);
    const { answer } = verdict;
    const ok = args.expect === undefined || args.expect === answer.action;
    if (!ok) isUnmet = true;
    const text = texts[i] ?? '';
    const expectation = args.expect === undefined ? {} : { expect: args.expect, ok };
    if (args.json === true) terminal.out.json({ ...answer, question: text, ...expectation });
    else {
      const said = Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null));
      const view = { ...verdict, ...said, action: answer.action, answer: answer.answer, expect: args.expect };
      terminal.out.line(renderVerdict(text, view, terminal.colors));
    }
  }
  return isUnmet ? ExitCode.unmet : ExitCode.ok;
}

/** A question of the command line. Throws CliError `refused`. */
function questionOf(text: string): NameQuestion {
  const result = parseQuestionText(text);
  if (result.kind === 'question') return result.question;
  const message = `question ${JSON.stringify(text)}, column ${result.column}: ${result.reason}`;
  throw new CliError(ExitCode.refused, result.code, message);
}

/** A policy that is not there judges nobody, and would answer everything. Throws CliError `refused`. */
function checkAsker(ruleSet: RuleSet, { asker }: NameQuestion): void {
  if (asker !== undefined && 'policy' in asker) policyOf(ruleSet, asker.policy);
}

/** A policy that judges qubes. Throws CliError `refused`. */
function policyOf({ policies }: RuleSet, name: string): Policy {
  const policy = isForAllQubes(name) ? undefined : policies.get(name);
  if (policy !== undefined) return policy;
  const known = [...policies.keys()].filter((each) => !isForAllQubes(each)).join(', ');
  const text = `no policy is called ${name}: write the address of a qube, or one of ${known || 'those of a rule set'}`;
  throw new CliError(ExitCode.refused, 'unknown-policy', text);
}

/** An address of a policy; undefined: of `default`, which judges whom no other one names. Throws CliError. */
function sourceOf(ruleSet: RuleSet, name: string, { dst: { family } }: Packet): Address | undefined {
  const policy = policyOf(ruleSet, name);
  if (name === DEFAULT_POLICY) return undefined;
  const source = addressJudgedBy(ruleSet, policy, family);
  if (source !== undefined) return source;
  const text = `no address of IPv${family} is known that ${name} judges: write that of a qube`;
  throw new CliError(ExitCode.refused, 'unknown-address', text);
}

/** A file of packets that tests nothing has not passed. Throws CliError. */
function checkTested(file: string, before: Tally, after: Tally): void {
  if (after.refused > before.refused) return; // that is told, and is what counts
  const shown = shownName(file);
  if (after.packets === before.packets) {
    throw new CliError(ExitCode.refused, 'no-packet', `${shown} holds no packet: nothing was tested`);
  }
  if (after.expected > before.expected) return;
  const text = `${shown} expects nothing, so nothing was tested: give a packet "expect", as in {"dst": "192.0.2.7", "proto": "tcp", "dport": 443, "expect": "drop"}`;
  throw new CliError(ExitCode.refused, 'no-expectation', text);
}

function refuse(
  loaded: Extract<LoadedRuleSet, { kind: 'rejects' }>,
  args: TestArgs,
  terminal: Terminal,
  what: 'packet' | 'name',
): ExitCode {
  for (const reject of loaded.rejects) {
    if (args.json === true) terminal.out.json({ kind: 'reject', ...reject });
    else terminal.out.line(renderReject(reject.file, reject, terminal.colors));
  }
  const count = formatAmount(loaded.rejectCount, 'line is', 'lines are');
  terminal.complain(`rulectl: ${count} refused: no ${what} was judged`);
  return ExitCode.refused;
}

function warn(loaded: Extract<LoadedRuleSet, { kind: 'rule-set' }>, terminal: Terminal): void {
  for (const warning of loaded.warnings) terminal.complain(renderWarning(warning, terminal.colors));
  const names = unresolvedNames(loaded.ruleSet);
  if (names.length === 0) return;
  const shown = names.slice(0, NAMES_SHOWN).join(', ');
  const more = names.length > NAMES_SHOWN ? ` and ${formatCount(names.length - NAMES_SHOWN)} more` : '';
  const reason = `no address is given for ${shown}${more}: rules about them match nothing; give --resolve NAME=ADDRESS`;
  terminal.complain(renderWarning({ code: 'name-not-resolved', reason }, terminal.colors));
}

function answerFile(
  ruleSet: RuleSet,
  environment: Environment,
  file: string,
  args: TestArgs,
  terminal: Terminal,
  tally: Tally,
): void {
  const bytes = readInput(file, FORMAT_LIMITS.inputBytes);
  const decoder = new TextDecoder();
  let line = 0;
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, at);
    const end = newline < 0 ? bytes.length : newline;
    const text = decoder.decode(bytes.subarray(at, end));
    at = end + 1;
    line++;
    if (text.trim() === '') continue;
    const result = parsePacketLine(text);
    if (result.kind === 'fault') {
      tally.refused++;
      const { column, code, reason } = result;
      if (args.json === true) terminal.out.json({ kind: 'reject', file, line, column, code, reason });
      else terminal.out.line(renderReject(file, { line, column, code, reason }, terminal.colors));
      continue;
    }
    const title = `${shownName(file === STDIN_NAME ? STDIN_NAME : file)}:${line}`;
    const one: PacketCase = { packet: result.packet, expect: result.expect, identity: { line }, title };
    answer(ruleSet, environment, one, args, terminal, tally);
  }
}

function answer(
  ruleSet: RuleSet,
  environment: Environment,
  asked: PacketCase,
  args: TestArgs,
  terminal: Terminal,
  tally: Tally,
): void {
  const verdict = verdictOf(ruleSet, environment, asked.packet);
  const { expect } = asked;
  const isOk = expect === undefined ? undefined : expect === verdict.answer.action;
  tally.packets++;
  if (isOk !== undefined) tally.expected++;
  if (isOk === false) tally.unmet++;
  if (args.json === true) {
    const expectation = expect === undefined ? {} : { expect, ok: isOk };
    terminal.out.json({ ...verdict.answer, ...asked.identity, ...expectation });
    return;
  }
  const { action, policy, block, rule, list, prefix } = verdict.answer;
  const view = {
    action,
    direction: verdict.direction,
    policy: policy ?? undefined,
    rulePolicy: verdict.rulePolicy,
    block: block ?? undefined,
    rule: rule ?? undefined,
    ruleIndex: verdict.ruleIndex,
    list: list ?? undefined,
    prefix: prefix ?? undefined,
    source: asked.source,
    expect,
  };
  terminal.out.line(renderVerdict(asked.title, view, terminal.colors));
}

function renderTally(tally: Tally): string {
  const counts = [
    formatAmount(tally.packets, 'packet'),
    `${formatCount(tally.expected - tally.unmet)} of ${formatCount(tally.expected)} as expected`,
    ...(tally.refused > 0 ? [`${formatAmount(tally.refused, 'line')} refused`] : []),
  ];
  return counts.join(', ');
}
