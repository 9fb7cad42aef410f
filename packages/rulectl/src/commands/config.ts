/** `rulectl config check`: what the publisher would say of its configuration, without a publisher. */

import { FORMAT_LIMITS, type PublisherConfig, parseConfig, type Reject } from '@rulecast/formats';
import { EndpointError, parseEndpoint } from '@rulecast/vchan';
import type { Argv } from 'yargs';
import { formatAmount } from '../render/amounts.ts';
import { renderReject } from '../render/findings.ts';
import { ExitCode } from '../terminal/exit.ts';
import { readInput, shownName } from '../terminal/input.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'config <action> <file>';

export interface ConfigArgs {
  readonly action: 'check';
  readonly file: string;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<ConfigArgs> {
  return yargs
    .usage(
      '$0 config check FILE\n\nReads a configuration of rulecast-publisher as it would, and says what it would refuse. FILE may be - for standard input.',
    )
    .positional('action', {
      choices: ['check'] as const,
      demandOption: true,
      describe: 'what to do with it',
    })
    .positional('file', { type: 'string', demandOption: true, describe: 'the configuration' })
    .option('json', { type: 'boolean', describe: 'one JSON object a fault, then a summary' })
    .example([
      ['$0 config check /etc/rulecast/publisher.yaml', 'what is wrong with it'],
      ['$0 config check --json publisher.yaml', 'for a program'],
    ]);
}

export async function run(args: ConfigArgs, terminal: Terminal): Promise<ExitCode> {
  const { out, colors } = terminal;
  const { file } = args;
  const read = parseConfig(file, readInput(file, FORMAT_LIMITS.documentBytes));
  const faults = [...read.rejects, ...(read.config === undefined ? [] : endpointFaults(read.config))];
  const faultCount = Math.max(read.rejectCount, faults.length);
  const lists = read.config?.lists.size ?? 0;
  if (args.json === true) {
    for (const { line, column, code, reason } of faults) {
      out.json({ file, line, kind: 'reject', code, column, reason });
    }
    out.json({ kind: 'summary', lists, tables: read.config?.tables.size ?? 0, rejects: faultCount });
  } else {
    for (const fault of faults) out.line(renderReject(file, fault, colors));
    const verdict =
      faultCount === 0
        ? `${formatAmount(lists, 'list')}, ${colors.green('nothing refused')}`
        : colors.red(`${formatAmount(faultCount, 'fault')}`);
    out.line(`${shownName(file)}: a publisher configuration, ${verdict}`);
  }
  return faultCount === 0 ? ExitCode.ok : ExitCode.refused;
}

/** Endpoints that nobody can open. */
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
