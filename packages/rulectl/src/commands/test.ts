/** `rulectl test`: the verdict on a packet, or on a name, by the live tables of the firewalls. */

import { type ExpectedAction, PACKET_TEXT_HELP } from '@rulecast/formats/packet';
import { isQuestionText, QUESTION_TEXT_HELP } from '@rulecast/formats/question';
import type { ControlRecordOf } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, controlOf } from '../control/client.ts';
import {
  type AskOnce,
  askForVerdicts,
  type MissingVerdict,
  missingError,
  testFieldsOf,
  Witnesses,
  withSources,
} from '../control/live.ts';
import { renderVerdict, viewOf } from '../render/verdict.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import { DIRECTIONS, type PacketDirection } from '../terminal/packets.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'test [packet..]';

/**
 * A subscriber answers in milliseconds; the publisher itself gives up on each after five seconds, one after
 * the other.
 */
const ANSWER_TIMEOUT_MS = 60_000;

export const ACTIONS = ['accept', 'drop', 'none'] as const satisfies readonly ExpectedAction[];

export interface TestArgs {
  readonly control: string;
  readonly packet: readonly string[] | undefined;
  readonly direction: PacketDirection;
  readonly subscriber: string | undefined;
  readonly expect: ExpectedAction | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<TestArgs> {
  return yargs
    .usage(
      `$0 test PACKET...\n\nAsks the live tables of the subscribers through the publisher. Before a release, rulectl check FILE --test PACKET judges by files.\n\n${PACKET_TEXT_HELP.replaceAll('\n', ' ')}\n\nA name is judged as docs/explain/names.md says, by the release that each subscriber has in force, whether or not its rulecast-dns works, which rulectl status says. ${QUESTION_TEXT_HELP.replaceAll('\n', ' ')}`,
    )
    .positional('packet', { type: 'string', array: true, describe: 'packets, or questions' })
    .option('direction', {
      choices: DIRECTIONS,
      default: 'egress' as const,
      describe: 'from a qube, to a qube, or between two qubes',
    })
    .option('subscriber', { type: 'string', requiresArg: true, describe: 'ask this one only' })
    .option('expect', {
      choices: ACTIONS,
      requiresArg: true,
      describe: 'end with 1 unless each packet gets this',
    })
    .example([
      ['$0 test "10.137.0.5 > 192.0.2.7 tcp/443"', 'what every firewall does with it now'],
      ['$0 test 192.0.2.7 --subscriber sys-firewall', 'whether one firewall blocks an address'],
      ['$0 test "work > 192.0.2.7 tcp/443"', 'what happens to a packet of a qube of a policy'],
      ['$0 test "work ? ads.example"', 'whether a name is blocked'],
    ]);
}

export async function run(args: TestArgs, terminal: Terminal): Promise<ExitCode> {
  const texts = args.packet ?? [];
  if (texts.length === 0)
    throw usageError(
      'name a packet, as in rulectl test "10.137.0.5 > 192.0.2.7 tcp/443", or a name, as in rulectl test "work ? ads.example"',
    );
  const { subscriber } = args;
  if (subscriber !== undefined && !isPartName(subscriber))
    throw usageError(`--subscriber ${JSON.stringify(subscriber)}: no name of a subscriber`);
  const asked = texts.map((text) => testFieldsOf(text, args.direction));
  const patience = { nowMs: () => terminal.nowMs(), waitMs: (ms: number) => terminal.waitMs(ms) };
  const witnesses = new Witnesses();
  const counts = { verdicts: 0, missing: 0, unmet: 0 };
  for (const [i, one] of asked.entries()) {
    const text = texts[i] ?? '';
    const once: AskOnce = (name, onRecord) =>
      ask({
        ...controlOf(args),
        timeoutMs: ANSWER_TIMEOUT_MS,
        send: (connection) => connection.send({ kind: 'test', ...one, subscriber: name }),
        onRecord,
      });
    const answers = withSources(await askForVerdicts(once, subscriber, patience), one.policy);
    const { verdicts, missing } = witnesses.complete(answers);
    for (const record of verdicts) if (!tellVerdict(record, text, args, terminal)) counts.unmet++;
    for (const one of missing) tellMissing(one, text, terminal);
    counts.verdicts += verdicts.length;
    counts.missing += missing.length;
  }
  if (counts.missing > 0) throw missingError(counts.missing, counts.verdicts);
  return counts.unmet > 0 ? ExitCode.unmet : ExitCode.ok;
}

/** Whether it is what was expected, if anything was. */
function tellVerdict(
  record: ControlRecordOf<'verdict'>,
  packet: string,
  { expect }: TestArgs,
  terminal: Terminal,
): boolean {
  const ok = expect === undefined || expect === record.action;
  const expectation = expect === undefined ? {} : { expect, ok };
  if (terminal.isJson) terminal.record({ ...recordOf(record), ...identityOf(packet), ...expectation });
  else terminal.out.line(renderVerdict(packet, { ...viewOf(record), expect }, terminal.colors));
  return ok;
}

function tellMissing({ subscriber, code, text }: MissingVerdict, packet: string, terminal: Terminal): void {
  const part = subscriber === undefined ? '' : `subscriber ${subscriber}`;
  terminal.record({ kind: 'warning', code, part, reason: text, ...identityOf(packet) });
  const whose = part === '' ? '' : ` of ${part}`;
  terminal.complain(`rulectl: no verdict${whose} on ${packet}: ${text} (${code})`);
}

/** What programs know a verdict by. */
function identityOf(text: string): { readonly question: string } | { readonly packet: string } {
  return isQuestionText(text) ? { question: text } : { packet: text };
}
