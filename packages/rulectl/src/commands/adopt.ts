/**
 * `rulectl adopt`: a publisher that lost its store takes the newest release back from a subscriber.
 */

import type { ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, controlOf } from '../control/client.ts';
import { renderChanges } from '../render/changes.ts';
import { renderWarning } from '../render/findings.ts';
import { CliError, ExitCode, exitOfFailure, usageError } from '../terminal/exit.ts';
import { Progress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'adopt';
export const describe = 'take the newest release back from a subscriber, after the store was lost';

/**
 * Without a word of the publisher: a subscriber may take a minute to make what it gives, and as long again to
 * be verified and written.
 */
const SILENCE_MS = 180_000;

export interface AdoptArgs {
  readonly control: string;
  readonly from: string | undefined;
  readonly 'dry-run': boolean | undefined;
  readonly json: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<AdoptArgs> {
  return yargs
    .usage(
      '$0 adopt [--from NAME]\n\nFor a publisher that has its identity and lost its store, and was started once with --adopt. Takes the newest release that a connected subscriber has, with its number and signatures, if it was signed by this identity and is what was signed; firewalls that have it need nothing. What was released before it stays lost: there is nothing to go back to. Where subscribers have different releases of one number, or a newer one was proved by who is not connected now, nothing is taken unless --from says whose.',
    )
    .option('from', {
      type: 'string',
      requiresArg: true,
      describe: 'take what this subscriber has, by its name in rulectl status',
      defaultDescription: 'whoever has the newest',
    })
    .option('dry-run', {
      type: 'boolean',
      describe: 'receive and verify it, say what it is, and keep nothing',
    })
    .option('json', { type: 'boolean', describe: 'records as JSON lines' })
    .example([
      ['$0 status', 'who is connected, and what they have'],
      ['$0 adopt --dry-run', 'what would come back'],
      ['$0 adopt', 'the newest release, from whoever has it'],
      ['$0 adopt --from fw1', 'what fw1 has, also where others have something else'],
    ]);
}

export async function run(args: AdoptArgs, terminal: Terminal): Promise<ExitCode> {
  const { from } = args;
  if (from !== undefined && !isPartName(from)) throw usageError(`"${from}" is no name of a subscriber`);
  const request: MessageOf<'adopt'> = { kind: 'adopt', subscriber: from, dryRun: args['dry-run'] === true };
  const isJson = args.json === true;
  const progress = new Progress(terminal.errIsTty && !isJson);
  const changes: ControlRecordOf<'change'>[] = [];
  const ending = await ask({
    ...controlOf(args),
    timeoutMs: SILENCE_MS,
    isOfEachRecord: true,
    send: (connection) => connection.send(request),
    onRecord: (record) => {
      if (record.record === 'progress') progress.show(record.stage, record.done, record.total);
      else progress.stop();
      if (isJson) terminal.out.json(record);
      else if (record.record === 'warning') terminal.out.line(renderWarning(record, terminal.colors));
      else if (record.record === 'change') changes.push(record);
      terminal.out.flush();
    },
  }).finally(() => progress.stop());
  if (ending.kind === 'fail') throw new CliError(exitOfFailure(ending.code), ending.code, failureOf(ending));
  if (isJson) terminal.out.json({ ...ending, exit: ExitCode.ok });
  else {
    if (changes.length > 0) terminal.out.line(renderChanges(changes, terminal.colors));
    terminal.out.line(ending.text);
  }
  return ExitCode.ok;
}

function failureOf({ code, text }: MessageOf<'fail'>): string {
  return `nothing was taken back: ${text} (${code})`;
}
