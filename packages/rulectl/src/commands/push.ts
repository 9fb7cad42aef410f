/** `rulectl push`: sends files to the publisher and shows the outcome, up to each firewall. */

import { basename, extname } from 'node:path';
import { detectFormat } from '@rulecast/formats/detect';
import type { ControlRecord, ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { permitFields } from '@rulecast/publisher/permits';
import { DEFAULT_POLICY } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { ask, type ControlArgs, controlOf, type Ending } from '../control/client.ts';
import { confirmed, rehearse } from '../release/confirmation.ts';
import {
  type FileArgs,
  nameFieldsOf,
  type PushFile,
  readPushFiles,
  withFileOptions,
} from '../release/files.ts';
import {
  checkPartNames,
  type ReleaseArgs,
  releaseFieldsOf,
  waitScopeOf,
  withReleaseOptions,
} from '../release/options.ts';
import { DROP_ALL, type PermitArgs, permitsOf, withPermitOption } from '../release/permits.ts';
import { type Report, reportTo } from '../release/report.ts';
import { type PushPlan, sendPush } from '../release/sending.ts';
import { partName, renderChanges } from '../render/changes.ts';
import { type ExitCode, usageError } from '../terminal/exit.ts';
import { STDIN_NAME, shownName } from '../terminal/input.ts';
import { Progress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'push <file..>';

/** Time beyond --timeout, which the publisher itself observes: it sends progress every few seconds. */
const PUBLISHER_GRACE_MS = 60_000;

export interface PushArgs extends FileArgs, ReleaseArgs, PermitArgs, ControlArgs {
  readonly replace?: boolean | undefined;
  readonly merge?: boolean | undefined;
  readonly withdraw?: boolean | undefined;
  readonly 'if-present'?: boolean | undefined;
  readonly 'replace-all'?: boolean | undefined;
  readonly yes?: boolean | undefined;
}

export function builder(yargs: Argv<{ readonly control: string }>): Argv<PushArgs> {
  const own = withFileOptions(yargs)
    .usage(
      '$0 push FILE...\n\nSends lists, rule lines and rule set documents, with the files that documents name, to the publisher. All of them become one release, or none does. A list has the name of its file; FILE may be - for standard input.',
    )
    .option('replace', {
      type: 'boolean',
      describe: 'lists and policies become what the files say (the default)',
    })
    .option('merge', {
      type: 'boolean',
      describe: 'add the entries and rules of the files to lists and policies',
    })
    .option('withdraw', {
      type: 'boolean',
      describe: 'remove the entries and rules of the files from lists and policies',
    })
    .option('if-present', {
      type: 'boolean',
      describe: 'with --withdraw: ignore entries and rules that are not there',
    })
    .option('replace-all', {
      type: 'boolean',
      describe: 'also remove every list and policy that is not in the files; asks first',
    })
    .option('yes', {
      type: 'boolean',
      describe: 'do not ask before --replace-all removes parts, or before nothing is accepted any more',
    });
  return withReleaseOptions(withPermitOption(own, 'push')).example([
    ['$0 push office.yaml', 'a rule set document, with the lists it names'],
    ['curl … | $0 push --list drop -', 'a list from elsewhere'],
    ['$0 push --policy work work.rules', 'rules from qvm-firewall work list --raw'],
    ['$0 push office.yaml --message "printer in room 4"', 'say why: rulectl history shows it'],
    ['$0 push --merge --list drop today.txt', 'add to a list'],
    ['$0 push --replace-all --dry-run office.yaml', 'what would come and go'],
    ['$0 push --list drop --permit shrunk drop.txt', 'although it is much shorter now'],
    ['echo drop | $0 push --policy first --yes -', 'in an emergency: nothing that qubes send gets through'],
  ]);
}

export async function run(args: PushArgs, terminal: Terminal): Promise<ExitCode> {
  const request = requestOf(args);
  const files = await readPushFiles(args, 'push');
  if (!terminal.isJson) for (const note of rulesNotes(args, files)) terminal.complain(note);
  const push: PushPlan = { request: { ...request, files: files.length }, files };
  if (args['replace-all'] !== true || args['dry-run'] === true) return execute(push, args, terminal);
  const ifVersion = await confirmRemovals(push, args, terminal);
  return execute({ ...push, request: { ...push.request, ifVersion } }, args, terminal);
}

// ── What is asked ──────────────────────────────────────────────────────────────────────────────────────────

/** Throws CliError `usage`. */
function requestOf(args: PushArgs): MessageOf<'push'> {
  const actions = (['replace', 'merge', 'withdraw'] as const).filter((action) => args[action] === true);
  const [action = 'replace', second] = actions;
  if (second !== undefined) throw usageError(`--${action} and --${second} exclude each other`);
  if (args['replace-all'] === true && action !== 'replace') {
    throw usageError(`--replace-all and --${action} exclude each other`);
  }
  if (args['if-present'] === true && action !== 'withdraw')
    throw usageError('--if-present goes with --withdraw');
  checkPartNames(args);
  return {
    kind: 'push',
    action,
    list: args.list,
    policy: args.policy,
    format: args.format,
    ...nameFieldsOf(args),
    replaceAll: args['replace-all'] === true,
    ifPresent: args['if-present'] === true ? true : undefined,
    ...releaseFieldsOf(args),
    files: 0,
    ...permitFields('push', permitsOf(args, 'push')),
    ...(args.yes === true && { allowDropAll: true }),
  };
}

/** Notes that say whose rules a file is read as, if its name does not tell. */
function rulesNotes({ policy, format }: PushArgs, files: readonly PushFile[]): readonly string[] {
  if (policy !== undefined || format !== undefined) return [];
  const rules = files.filter(
    ({ name, role, bytes }) =>
      role === 'pushed' && name !== STDIN_NAME && detectFormat(name, bytes) === 'rules',
  );
  const others = rules.filter(({ name }) => basename(name, extname(name)) !== DEFAULT_POLICY);
  return others.map(
    ({ path }) =>
      `${shownName(path)}: taken for the rules of policy ${DEFAULT_POLICY}; --policy NAME says another`,
  );
}

// ── Asking ─────────────────────────────────────────────────────────────────────────────────────────────────

async function askPush(
  plan: PushPlan,
  args: PushArgs,
  progress: Progress,
  onRecord: (record: ControlRecord) => void,
): Promise<Ending> {
  return ask({
    ...controlOf(args),
    timeoutMs: plan.request.timeoutMs + PUBLISHER_GRACE_MS,
    send: (connection) => sendPush(connection, plan, progress),
    onRecord: progress.around(onRecord),
  }).finally(() => progress.stop());
}

/** The version the head must still have. Throws CliError where the push ends here. */
async function confirmRemovals(plan: PushPlan, args: PushArgs, terminal: Terminal): Promise<number> {
  // The dry run permits dropping everything; the release itself asks for that permit.
  const rehearsal: PushPlan = { ...plan, request: { ...plan.request, dryRun: true, allowDropAll: true } };
  const found = await rehearse(
    (onRecord) => askPush(rehearsal, args, new Progress(terminal), onRecord),
    reportOf(plan, terminal),
  );
  const removed = found.changes.filter(({ op }) => op === 'remove');
  if (removed.length === 0) return found.headVersion;
  if (!terminal.isJson) terminal.out.line(`--replace-all removes ${removed.map(partName).join(', ')}:`);
  if (args.yes !== true) await confirmed('Remove them?', removed, terminal);
  else if (!terminal.isJson) terminal.out.line(renderChanges(removed, terminal.colors));
  return found.headVersion;
}

function reportOf({ request, files }: PushPlan, terminal: Terminal): Report {
  const paths = new Map(files.map(({ name, path }) => [name, path]));
  return reportTo(terminal, { awaited: waitScopeOf(request), paths });
}

async function execute(plan: PushPlan, args: PushArgs, terminal: Terminal): Promise<ExitCode> {
  const report = reportOf(plan, terminal);
  const refusals: ControlRecordOf<'refusal'>[] = [];
  const ending = await askPush(plan, args, new Progress(terminal), (record) => {
    if (record.record === 'refusal') refusals.push(record);
    report.record(record);
  });
  const asksToDropAll = refusals.length > 0 && refusals.every(({ permit }) => permit === DROP_ALL);
  if (!asksToDropAll || args['dry-run'] === true) return report.end(ending);
  await confirmed('Drop everything?', [], terminal);
  const permitted: PushPlan = { ...plan, request: { ...plan.request, allowDropAll: true } };
  const again = reportOf(plan, terminal);
  return again.end(await askPush(permitted, args, new Progress(terminal), (record) => again.record(record)));
}
