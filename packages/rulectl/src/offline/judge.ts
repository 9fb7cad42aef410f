/** Judges packets and names by files, without a publisher: `rulectl check --test` and `--packets`. */

import { type ExpectedAction, FORMAT_LIMITS, isQuestionText, parsePacketLine } from '@rulecast/formats';
import {
  type Address,
  addressJudgedBy,
  DEFAULT_POLICY,
  type Environment,
  formatAddress,
  isForAllQubes,
  type Packet,
  type Policy,
  type RuleSet,
} from '@rulecast/rules';
import type { FileArgs } from '../release/files.ts';
import { formatAmount, formatCount } from '../render/amounts.ts';
import { renderReject, renderWarning } from '../render/findings.ts';
import { renderVerdict, type VerdictView } from '../render/verdict.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { checkStdinOnce, readInput, shownName } from '../terminal/input.ts';
import { type PacketDirection, packetOf, questionOf } from '../terminal/packets.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { parseAddresses, parseResolutions, parseTime } from './environment.ts';
import { type LoadedRuleSet, loadRuleSet, unresolvedNames } from './rule-set.ts';
import { nameVerdictOf, verdictOf } from './verdict.ts';

/** The addresses of Qubes' virtual DNS servers. */
export const QUBES_DNS = '10.139.1.1,10.139.1.2';
/** Advice on what else may be the source of a packet, beside a policy. */
const OR_ADDRESS = 'the address of a qube, or ';
/** The most names without addresses in a warning. */
const NAMES_SHOWN = 8;

export interface JudgeArgs extends FileArgs {
  readonly test?: readonly string[] | undefined;
  readonly packets?: string | undefined;
  readonly direction?: PacketDirection | undefined;
  readonly expect?: ExpectedAction | undefined;
  readonly address?: readonly string[] | undefined;
  readonly dns?: string | undefined;
  readonly at?: string | undefined;
}

interface Tally {
  packets: number;
  expected: number;
  unmet: number;
  refused: number;
}

/** A packet or a name that was judged. */
interface Judged {
  readonly verdict: VerdictView;
  /** The fields that identify it to programs. */
  readonly identity: { readonly line: number } | { readonly packet: string } | { readonly question: string };
  /** The address that was taken for a policy. */
  readonly source?: string;
}

/** Judges the packets, or the questions, by the files. Throws CliError. */
export async function judge(args: JudgeArgs, terminal: Terminal): Promise<ExitCode> {
  const texts = args.test ?? [];
  if (args.expect !== undefined && texts.length === 0) {
    throw usageError('--expect goes with --test: in a file of packets, each line has its own');
  }
  const isAboutNames = texts.some(isQuestionText);
  if (isAboutNames && (args.packets !== undefined || !texts.every(isQuestionText)))
    throw usageError('packets and names are not judged together: run it once for each');
  for (const option of ['address', 'dns'] as const)
    if (isAboutNames && args[option] !== undefined)
      throw usageError(`--${option} is for packets: leave it out`);
  checkStdinOnce([...(args.file ?? []), args.packets ?? '']);
  const now = args.at === undefined ? Math.floor(terminal.nowMs() / 1000) : parseTime('--at', args.at);
  const environment = { now, dns: parseAddresses('--dns', args.dns ?? QUBES_DNS) };
  const resolutions = parseResolutions(args.address ?? []);
  const asked = texts.map((text) => (isAboutNames ? nameIn(text, now) : packetIn(text, args, environment)));
  const loaded = await loadRuleSet(args, now, resolutions, isAboutNames ? 'explain' : undefined);
  if (loaded.kind === 'rejects') return refuse(loaded, terminal, isAboutNames ? 'name' : 'packet');
  for (const { code, part, reason } of loaded.warnings) warn({ code, part, reason }, terminal);
  if (!isAboutNames) warnOfNames(loaded.ruleSet, terminal);
  const tally: Tally = { packets: 0, expected: 0, unmet: 0, refused: 0 };
  for (const [i, judged] of asked.entries())
    answer(judged(loaded.ruleSet), texts[i] ?? '', args.expect, terminal, tally);
  if (args.packets !== undefined) {
    const before = { ...tally };
    answerFile(loaded.ruleSet, environment, args.packets, terminal, tally);
    if (!terminal.isJson) terminal.out.line(renderTally(tally));
    checkTested(args.packets, before, tally);
  }
  if (tally.refused > 0) {
    terminal.endsWith('bad-input');
    return ExitCode.refused;
  }
  return tally.unmet > 0 ? ExitCode.unmet : ExitCode.ok;
}

/** Judges a question, once there is a rule set. Throws CliError `refused`. */
function nameIn(text: string, now: number): (ruleSet: RuleSet) => Judged {
  const question = questionOf(text);
  const { asker } = question;
  return (ruleSet) => {
    // A policy that is not there judges no name, and would answer every question.
    if (asker !== undefined && 'policy' in asker) policyOf(ruleSet, asker.policy, OR_ADDRESS);
    return { verdict: nameVerdictOf(ruleSet, now, question), identity: { question: text } };
  };
}

/** Judges a packet, once there is a rule set. Throws CliError `refused`. */
function packetIn(
  text: string,
  { direction = 'egress' }: JudgeArgs,
  environment: Environment,
): (ruleSet: RuleSet) => Judged {
  const { packet, policy } = packetOf(text, direction);
  return (ruleSet) => {
    const src = policy === undefined ? packet.src : sourceOf(ruleSet, policy, packet);
    const source = policy === undefined || src === undefined ? {} : { source: formatAddress(src) };
    const verdict = verdictOf(ruleSet, environment, { ...packet, src });
    return { verdict, identity: { packet: text }, ...source };
  };
}

/** A policy that judges qubes; `other` is advice on what else may be written. Throws CliError `refused`. */
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
  const text = `the policy ${name} has no IPv${family} address: write the address of a qube instead`;
  throw new CliError(ExitCode.refused, 'unknown-address', text);
}

/** A file of packets that tests nothing has not passed. Throws CliError. */
function checkTested(file: string, before: Tally, after: Tally): void {
  if (after.refused > before.refused) return; // the refusal was reported, and counts
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
  terminal: Terminal,
  what: 'packet' | 'name',
): never {
  for (const reject of loaded.rejects) {
    terminal.record({ kind: 'reject', ...reject });
    if (!terminal.isJson) terminal.out.line(renderReject(reject.file, reject, terminal.colors));
  }
  const count = formatAmount(loaded.rejectCount, 'line is', 'lines are');
  throw new CliError(ExitCode.refused, 'bad-input', `${count} refused: no ${what} was judged`);
}

function warnOfNames(ruleSet: RuleSet, terminal: Terminal): void {
  const names = unresolvedNames(ruleSet);
  if (names.length === 0) return;
  const shown = names.slice(0, NAMES_SHOWN).join(', ');
  const more = names.length > NAMES_SHOWN ? ` and ${formatCount(names.length - NAMES_SHOWN)} more` : '';
  const reason = `no address is given for ${shown}${more}: rules about them match nothing; give --address NAME=ADDRESS`;
  warn({ code: 'name-not-resolved', part: '', reason }, terminal);
}

function warn(
  warning: { readonly code: string; readonly part: string; readonly reason: string },
  terminal: Terminal,
): void {
  terminal.record({ kind: 'warning', ...warning });
  terminal.complain(renderWarning(warning, terminal.colors));
}

function answerFile(
  ruleSet: RuleSet,
  environment: Environment,
  file: string,
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
      terminal.record({ kind: 'reject', file, line, column, code, reason });
      if (!terminal.isJson)
        terminal.out.line(renderReject(file, { line, column, code, reason }, terminal.colors));
      continue;
    }
    const verdict = verdictOf(ruleSet, environment, result.packet);
    const title = `${shownName(file)}:${line}`;
    answer({ verdict, identity: { line } }, title, result.expect, terminal, tally);
  }
}

/** Prints a verdict; `title` is for people. */
function answer(
  { verdict, identity, source }: Judged,
  title: string,
  expect: ExpectedAction | undefined,
  terminal: Terminal,
  tally: Tally,
): void {
  const ok = expect === undefined || expect === verdict.action;
  tally.packets++;
  if (expect !== undefined) tally.expected++;
  if (!ok) tally.unmet++;
  const expectation = expect === undefined ? {} : { expect, ok };
  terminal.record({ kind: 'verdict', ...verdict, source, ...identity, ...expectation });
  if (!terminal.isJson)
    terminal.out.line(renderVerdict(title, { ...verdict, source, expect }, terminal.colors));
}

function renderTally(tally: Tally): string {
  const counts = [
    formatAmount(tally.packets, 'packet'),
    `${formatCount(tally.expected - tally.unmet)} of ${formatCount(tally.expected)} as expected`,
    ...(tally.refused > 0 ? [`${formatAmount(tally.refused, 'line')} refused`] : []),
  ];
  return counts.join(', ');
}
