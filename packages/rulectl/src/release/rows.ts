/** The common part of `rulectl block`, `allow` and `cut`: their options and request. */

import {
  BLOCK_COMMENT_MAX_BYTES,
  BLOCK_MAX_SECONDS,
  BLOCK_TARGET_MAX_BYTES,
  type BlockVerb,
  type MessageOf,
  PEER_NAME_MAX_BYTES,
} from '@rulecast/protocol';
import type { Argv } from 'yargs';
import { ask, type ControlArgs, controlOf } from '../control/client.ts';
import { type ExitCode, usageError } from '../terminal/exit.ts';
import { Progress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { bounded, type ReleaseArgs, releaseFieldsOf, waitScopeOf, withReleaseOptions } from './options.ts';
import { type PermitArgs, permitsOf, withPermitOption } from './permits.ts';
import { reportTo } from './report.ts';

/** Beyond --timeout, which the publisher keeps itself: names, guards, writing the store. */
const PUBLISHER_GRACE_MS = 120_000;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

export interface ChangeArgs extends ReleaseArgs, PermitArgs, ControlArgs {}

export interface RowArgs extends ChangeArgs {
  readonly for?: string | undefined;
  readonly comment?: string | undefined;
}

export function withChangeOptions<A extends ControlArgs>(yargs: Argv<A>): Argv<A & ChangeArgs> {
  return withReleaseOptions(withPermitOption(yargs, 'push'));
}

export function withRowOptions<A extends ControlArgs>(yargs: Argv<A>): Argv<A & RowArgs> {
  return withChangeOptions(
    yargs
      .option('for', {
        type: 'string',
        requiresArg: true,
        describe: 'how long: 30s, 10m, 1h or 2d; by default until it is removed',
      })
      .option('comment', { type: 'string', requiresArg: true, describe: 'why; rulectl blocks shows it' }),
  );
}

/** Requests one more row, and shows the outcome. Throws CliError `usage`. */
export async function askForRow(
  verb: BlockVerb,
  { target, qube }: { readonly target?: string | undefined; readonly qube?: string | undefined },
  args: RowArgs,
  terminal: Terminal,
): Promise<ExitCode> {
  const request: MessageOf<'block'> = {
    kind: 'block',
    verb,
    target: target && bounded(target, BLOCK_TARGET_MAX_BYTES, 'the target'),
    qube: qube && bounded(qube, PEER_NAME_MAX_BYTES, '--qube'),
    seconds: args.for === undefined ? undefined : secondsOf(args.for),
    comment: args.comment && bounded(args.comment, BLOCK_COMMENT_MAX_BYTES, '--comment'),
    ...changeFieldsOf(args),
  };
  return askForChange(request, args, terminal);
}

/** The fields of a request from the options that every change has. Throws CliError `usage`. */
export function changeFieldsOf(
  args: ChangeArgs,
): ReturnType<typeof releaseFieldsOf> & Pick<MessageOf<'block'>, '+permit'> {
  const permits = permitsOf(args, 'push');
  return { ...releaseFieldsOf(args), '+permit': permits.size === 0 ? undefined : [...permits] };
}

export async function askForChange(
  request: MessageOf<'block' | 'unblock'>,
  args: ChangeArgs,
  terminal: Terminal,
): Promise<ExitCode> {
  const report = reportTo(terminal, { awaited: waitScopeOf(request) });
  const progress = new Progress(terminal);
  const ending = await ask({
    ...controlOf(args),
    timeoutMs: request.timeoutMs + PUBLISHER_GRACE_MS,
    send: (connection) => connection.send(request),
    onRecord: progress.around((record) => report.record(record)),
  }).finally(() => progress.stop());
  return report.end(ending);
}

function secondsOf(text: string): number {
  const [, count = '0', unit = 's'] = /^([1-9]\d{0,8})([smhd])$/.exec(text) ?? [];
  // the pattern allows only these units
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS];
  if (seconds > 0 && seconds <= BLOCK_MAX_SECONDS) return seconds;
  throw usageError(`--for ${text}: write a number and s, m, h or d, as in 10m or 2d, at most 10 years`);
}
