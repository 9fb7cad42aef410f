/** `rulectl metrics`: metrics for Prometheus. */

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Argv } from 'yargs';
import { askOrFail, controlOf } from '../control/client.ts';
import { renderMetrics, Samples } from '../render/metrics.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { STDIN_NAME } from '../terminal/input.ts';
import { recordOf } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'metrics';

const ANSWER_TIMEOUT_MS = 30_000;
/** The collector may be another user. */
const FILE_MODE = 0o644;

export interface MetricsArgs {
  readonly control: string;
  readonly output: string | undefined;
  readonly openmetrics: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<MetricsArgs> {
  return yargs
    .usage(
      '$0 metrics\n\nPrints metrics of the publisher, its lists and its firewalls, in the text format of Prometheus. The publisher adds up the counters of the firewalls about once a minute.',
    )
    .option('output', {
      type: 'string',
      requiresArg: true,
      describe:
        'write to this file, such as one of the textfile collector. It is replaced whole, and stays as it is if the publisher does not answer',
    })
    .option('openmetrics', { type: 'boolean', describe: 'OpenMetrics in place of the text format' })
    .example([
      ['$0 metrics', 'to look at'],
      ['$0 metrics --output /var/lib/prometheus/node-exporter/rulecast.prom', 'for the textfile collector'],
    ]);
}

export async function run(args: MetricsArgs, terminal: Terminal): Promise<ExitCode> {
  if (args.output === STDIN_NAME) throw usageError('--output -: leave it out for standard output');
  const samples = new Samples(terminal.nowMs());
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'metrics' }),
    onRecord: (record) => {
      if (record.record !== 'samples') return;
      samples.put(record);
      if (args.output === undefined) terminal.record(recordOf(record));
    },
  });
  const text = renderMetrics(samples, args.openmetrics === true);
  if (args.output !== undefined) replaceFile(args.output, text);
  else if (!terminal.isJson) terminal.out.write(text);
  return ExitCode.ok;
}

/** The draft beside it has another ending, which no collector reads. Throws CliError. */
function replaceFile(file: string, text: string): void {
  const draft = join(dirname(file), `.${basename(file)}.draft`);
  try {
    rmSync(draft, { force: true });
    writeFileSync(draft, text, { mode: FILE_MODE, flag: 'wx' });
    renameSync(draft, file);
  } catch (cause) {
    rmSync(draft, { force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    const hint = 'name a file in a directory that you may write to';
    throw new CliError(ExitCode.outputFailed, 'output-failed', `${file} cannot be written: ${why}; ${hint}`, {
      cause,
    });
  }
}
