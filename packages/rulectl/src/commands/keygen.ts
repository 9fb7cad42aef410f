/** `rulectl keygen`: the keys by which two ends of a ZeroMQ connection know each other. */

import { EndpointError, openCurveKeyPair } from '@rulecast/vchan';
import type { Argv } from 'yargs';
import { CliError, ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'keygen <file>';
export const describe = 'make a secret key for zmq+tcp: endpoints, and print its public key';

export interface KeygenArgs {
  readonly control: string;
  readonly file: string;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<KeygenArgs> {
  return yargs
    .usage(
      '$0 keygen FILE\n\nMakes a secret key for CURVE, the encryption of ZeroMQ, in FILE, for its owner alone, and prints the public key that belongs to it. A FILE that is there already is left, and its public key printed. Each end has a key of its own, and is given the public key of the other.',
    )
    .positional('file', { type: 'string', demandOption: true, describe: 'for the secret key' })
    .example([
      ['$0 keygen publisher.key > publisher.pub', 'the publisher: --curve-key publisher.key'],
      ['$0 keygen firewall.key > firewall.pub', 'a firewall: --curve-key firewall.key'],
      ['$0 status --curve-key me.key --curve-peer publisher.pub …', 'rulectl, with a key of its own'],
    ]);
}

export async function run(args: KeygenArgs, terminal: Terminal): Promise<ExitCode> {
  try {
    terminal.out.line(openCurveKeyPair(args.file).publicKey);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    throw new CliError(ExitCode.refused, error.code.replace('_', '-'), error.message, { cause: error });
  }
}
