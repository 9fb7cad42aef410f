/**
 * `rulectl rollback`: releases the content of an earlier version again, and waits until the firewalls have
 * it.
 */

import type { ControlRecord, ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { permitFields } from '@rulecast/publisher/permits';
import type { Argv } from 'yargs';
import { ask, controlOf, type Ending } from '../control/client.ts';
import { parsePoint, versionsAt } from '../control/past.ts';
import { confirmed, rehearse } from '../release/confirmation.ts';
import {
  checkOnePart,
  type ReleaseArgs,
  releaseFieldsOf,
  waitScopeOf,
  withReleaseOptions,
} from '../release/options.ts';
import { DROP_ALL, type PermitArgs, permitsOf, withPermitOption } from '../release/permits.ts';
import { reportTo } from '../release/report.ts';
import { type ExitCode, usageError } from '../terminal/exit.ts';
import { Progress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'rollback <number>';

/**
 * Beyond --timeout, which the publisher keeps itself: rebuilding a release, resolving names, writing the
 * store.
 */
const PUBLISHER_GRACE_MS = 120_000;

export interface RollbackArgs extends ReleaseArgs, PermitArgs {
  readonly control: string;
  readonly number: string;
  readonly list: string | undefined;
  readonly policy: string | undefined;
  readonly yes: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<RollbackArgs> {
  const own = yargs
    .usage(
      '$0 rollback VERSION [--list NAME | --policy NAME]\n\nMakes a new release, with a higher version, of what VERSION said: everything, or one list or policy. What was not there then is removed. Names in rules are resolved anew. Shows what would change and asks first. rulectl history lists the versions that are kept. A time, such as yesterday, stands for the version in force then (rulectl diff --help).',
    )
    .positional('number', {
      type: 'string',
      demandOption: true,
      describe: 'version whose content comes back, or a time at which it was in force',
    })
    .option('list', { type: 'string', requiresArg: true, describe: 'only this list' })
    .option('policy', { type: 'string', requiresArg: true, describe: 'only this policy' })
    .option('yes', { type: 'boolean', describe: 'do not ask, also where nothing is accepted any more' });
  return withReleaseOptions(withPermitOption(own, 'push')).example([
    ['$0 rollback 41 --dry-run', 'what would change'],
    ['$0 rollback yesterday --dry-run', 'what would change back to what was in force as yesterday began'],
    ['$0 rollback 41', 'everything as it was in version 41; asks first'],
    ['$0 rollback 41 --yes', 'at once, as in a script'],
    ['$0 rollback 41 --list drop', 'one list as it was, and the rest as it is'],
    ['$0 rollback 41 --list drop --permit shrunk', 'although it was much shorter then'],
    ['$0 rollback 41 --as-new-epoch', 'go on from here, after the state of the publisher was lost'],
    ['$0 rollback 41 --if-version 43', 'unless somebody has pushed meanwhile'],
  ]);
}

export async function run(args: RollbackArgs, terminal: Terminal): Promise<ExitCode> {
  const point = parsePoint(args.number, terminal.nowMs());
  if (point === undefined) throw usageError(`${args.number}: write the number of a version, or a time`);
  checkOnePart(args);
  const fields = releaseFieldsOf(args);
  const [version = 0] = await versionsAt([point], args, terminal);
  const request: MessageOf<'rollback'> = {
    kind: 'rollback',
    version,
    list: args.list,
    policy: args.policy,
    ...fields,
    ...permitFields('push', permitsOf(args, 'push')),
  };
  if (args.yes === true || fields.dryRun) return execute(request, args, terminal);
  const report = reportTo(terminal, { awaited: waitScopeOf(fields) });
  const found = await rehearse(
    (onRecord) => askRollback({ ...request, dryRun: true }, args, terminal, onRecord),
    report,
  );
  const { changes, headVersion, isNew } = found;
  const question = `Release what version ${version} said over version ${headVersion}?`;
  if (isNew) await confirmed(question, changes, terminal);
  return execute({ ...request, ifVersion: headVersion }, args, terminal);
}

function askRollback(
  request: MessageOf<'rollback'>,
  args: RollbackArgs,
  terminal: Terminal,
  onRecord: (record: ControlRecord) => void,
): Promise<Ending> {
  const progress = new Progress(terminal);
  return ask({
    ...controlOf(args),
    timeoutMs: request.timeoutMs + PUBLISHER_GRACE_MS,
    send: (connection) => connection.send(request),
    onRecord: progress.around(onRecord),
  }).finally(() => progress.stop());
}

async function execute(
  request: MessageOf<'rollback'>,
  args: RollbackArgs,
  terminal: Terminal,
): Promise<ExitCode> {
  const report = reportTo(terminal, { awaited: waitScopeOf(request) });
  const refusals: ControlRecordOf<'refusal'>[] = [];
  const ending = await askRollback(request, args, terminal, (record) => {
    if (record.record === 'refusal') refusals.push(record);
    report.record(record);
  });
  // Requested only if needed, as it takes another role.
  const asksToDropAll = refusals.length > 0 && refusals.every(({ permit }) => permit === DROP_ALL);
  if (!asksToDropAll || args.yes !== true || request.dryRun) return report.end(ending);
  return execute({ ...request, allowDropAll: true }, { ...args, yes: false }, terminal);
}
