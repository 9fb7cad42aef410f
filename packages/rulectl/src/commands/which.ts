/** `rulectl which`: the lists and rules that contain an address, a prefix or a name, and the verdict. */

import { BLOCK_TARGET_MAX_BYTES, type MessageOf, PEER_NAME_MAX_BYTES } from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { askOrFail, type ControlArgs, controlOf } from '../control/client.ts';
import { bounded } from '../release/options.ts';
import { renderDecision, renderHolder, renderStep } from '../render/holding.ts';
import { ExitCode } from '../terminal/exit.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'which <what>';

/** All rules of a release are looked at: a second for the largest. */
const ANSWER_TIMEOUT_MS = 60_000;

export interface WhichArgs extends ControlArgs {
  readonly what: string;
  readonly qube: string | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<WhichArgs> {
  return yargs
    .usage(
      '$0 which ADDRESS | PREFIX | NAME [--qube QUBE]\n\nShows each list that holds it, used or not, and where the list comes from. Then it shows the rules that hold it, in the order in which they are judged, and which one decides. A rule for some ports, or for part of a prefix, decides only some of it. The answer is that of the newest release; rulectl test asks the firewalls, which also know what they opened by name.',
    )
    .positional('what', { type: 'string', demandOption: true, describe: 'an address, a prefix or a name' })
    .option('qube', {
      type: 'string',
      requiresArg: true,
      describe: 'only for the qube with this address, or for the qubes of this policy',
    })
    .example([
      ['$0 which 192.0.2.7', 'which list has an address, and whether that matters'],
      ['$0 which 192.0.2.0/24 --qube work', 'what decides of a network for the qubes of a policy'],
      ['$0 which ads.example', 'which lists have a name, or names below it'],
    ]);
}

export async function run(args: WhichArgs, terminal: Terminal): Promise<ExitCode> {
  const { out, colors } = terminal;
  const what = bounded(args.what, BLOCK_TARGET_MAX_BYTES, 'what to look for');
  const qube = args.qube && bounded(args.qube, PEER_NAME_MAX_BYTES, '--qube');
  const request: MessageOf<'which'> = { kind: 'which', what, qube };
  let isHeld = false;
  const ending = await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send(request),
    onRecord: (record) => {
      isHeld ||= record.record === 'holder' || record.record === 'decision';
      if (terminal.isJson) return terminal.record(recordOf(record));
      if (record.record === 'holder') out.line(renderHolder(record, colors));
      if (record.record === 'decision') out.line(renderDecision(record, colors));
      if (record.record === 'step') out.line(renderStep(record, colors));
      if (record.record === 'warning') out.line(record.reason);
    },
  });
  terminal.endsWith(ending.code, ending.text);
  if (!terminal.isJson) out.line(isHeld ? ending.text : `nothing holds it, ${ending.text}`);
  return ExitCode.ok;
}
