/** Packets and names judged by files, without a publisher: `rulectl check --test` and `--packets`. */

import { type ExpectedAction, FORMAT_LIMITS, isQuestionText, parsePacketLine } from '@rulecast/formats';
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
import type { FileArgs } from '../release/files.ts';
import { formatAmount, formatCount } from '../render/amounts.ts';
import { renderReject, renderWarning } from '../render/findings.ts';
import { renderVerdict } from '../render/verdict.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { checkStdinOnce, readInput, STDIN_NAME, shownName } from '../terminal/input.ts';
import { type PacketDirection, packetOf, questionOf } from '../terminal/packets.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { parseAddresses, parseResolutions, parseTime } from './environment.ts';
import { type LoadedRuleSet, loadRuleSet, unresolvedNames } from './rule-set.ts';
import { nameVerdictOf, verdictOf } from './verdict.ts';

/** The addresses of Qubes' virtual DNS servers. */
export const QUBES_DNS = '10.139.1.1,10.139.1.2';
/** What else may stand where a policy is named as the source of a packet. */
const OR_ADDRESS = 'the address of a qube, or ';
/** How many names without addresses a warning lists. */
const NAMES_SHOWN = 8;

export interface JudgeArgs extends FileArgs {
  readonly test?: readonly string[] | undefined;
  readonly packets?: string | undefined;
  readonly direction?: PacketDirection | undefined;
  readonly expect?: ExpectedAction | undefined;
  readonly address?: readonly string[] | undefined;
  readonly dns?: string | undefined;
  readonly at?: string | undefined;
  readonly json?: boolean | undefined;
}

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

/** Judges the packets, or the questions, by the files. Throws CliError. */
export async function judge(args: JudgeArgs, terminal: Terminal): Promise<ExitCode> {
  const texts = args.test ?? [];
  if (args.expect !== undefined && texts.length === 0) {
    throw usageError('--expect goes with --test: in a file of packets, each line has its own');
  }
  if (texts.some(isQuestionText)) return judgeNames(args, texts, terminal);
  checkStdinOnce([...(args.file ?? []), args.packets ?? '']);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const environment = { now, dns: parseAddresses('--dns', args.dns ?? QUBES_DNS) };
  const resolutions = parseResolutions(args.address ?? []);
  const asked = texts.map((text) => packetOf(text, args.direction ?? 'egress'));
  const loaded = await loadRuleSet(args, now, resolutions);
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
async function judgeNames(args: JudgeArgs, texts: readonly string[], terminal: Terminal): Promise<ExitCode> {
  if (args.packets !== undefined || !texts.every(isQuestionText))
    throw usageError('packets and names are judged by a command each');
  for (const option of ['address', 'dns'] as const)
    if (args[option] !== undefined) throw usageError(`--${option} is for packets: leave it out`);
  checkStdinOnce(args.file ?? []);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const questions = texts.map(questionOf);
  const loaded = await loadRuleSet(args, now, new Map(), 'explain');
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

/** A policy that is not there judges nobody, and would answer everything. Throws CliError `refused`. */
function checkAsker(ruleSet: RuleSet, { asker }: NameQuestion): void {
  if (asker !== undefined && 'policy' in asker) policyOf(ruleSet, asker.policy, OR_ADDRESS);
}

/** A policy that judges qubes; `other` is what else may be written. Throws CliError `refused`. */
export function policyOf({ policies }: RuleSet, name: string, other = ''): Policy {
  const policy = isForAllQubes(name) ? undefined : policies.get(name);
  if (policy !== undefined) return policy;
  const known = [...policies.keys()].filter((each) => !isForAllQubes(each)).join(', ');
  const text = `no policy is called ${name}: write ${other}one of ${known || 'those of a rule set'}`;
  throw new CliError(ExitCode.refused, 'unknown-policy', text);
}

/** An address of a policy; undefined: of `default`, which judges whom no other one names. Throws CliError. */
function sourceOf(ruleSet: RuleSet, name: string, { dst: { family } }: Packet): Address | undefined {
  const policy = policyOf(ruleSet, name, OR_ADDRESS);
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
  args: JudgeArgs,
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
  const reason = `no address is given for ${shown}${more}: rules about them match nothing; give --address NAME=ADDRESS`;
  terminal.complain(renderWarning({ code: 'name-not-resolved', reason }, terminal.colors));
}

function answerFile(
  ruleSet: RuleSet,
  environment: Environment,
  file: string,
  args: JudgeArgs,
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
  args: JudgeArgs,
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
