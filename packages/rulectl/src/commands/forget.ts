/** `rulectl forget`: stops expecting a subscriber that is gone for good. */

import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { askOrFail, controlOf } from '../control/client.ts';
import { ExitCode, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'forget <name>';

const ANSWER_TIMEOUT_MS = 30_000;

export interface ForgetArgs {
  readonly control: string;
  readonly name: string;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<ForgetArgs> {
  return yargs
    .usage(
      '$0 forget NAME\n\nForgets a subscriber that is not connected, or what a name reported last. Whatever ever applied a release is expected to apply the next one, unless the configuration or --require says who is; a firewall that was taken down makes each push end with 5 until it is forgotten. If it connects again it is a new one.',
    )
    .positional('name', {
      type: 'string',
      demandOption: true,
      describe: 'its name, as rulectl status shows it',
    })
    .example([['$0 forget old-firewall', 'it is gone']]);
}

export async function run(args: ForgetArgs, terminal: Terminal): Promise<ExitCode> {
  const { name } = args;
  if (!isPartName(name)) throw usageError(`"${name}" is no name of a subscriber`);
  const ending = await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'forget', name }),
    onRecord: () => undefined,
  });
  terminal.endsWith(ending.code, ending.text);
  if (!terminal.isJson) terminal.out.line(ending.text);
  return ExitCode.ok;
}
