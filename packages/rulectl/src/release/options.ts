/** Options of commands that make a release: the version it must follow, and what to wait for. */

import { MESSAGE_MAX_BYTES, type MessageOf, REQUIRE_MAX, WAIT_MAX_MS } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { parseVersion } from '../control/past.ts';
import type { WaitScope } from '../render/standing.ts';
import { usageError } from '../terminal/exit.ts';

/** Enough for a busy machine and the largest releases. */
const DEFAULT_TIMEOUT_SECONDS = '300';
/** A share of the names that report besides: words, for shells complete them. */
const WAITS = ['released', 'applied', '50%', '90%', '95%', '99%', '100%'] as const;
/** The value for: no subscriber must apply it. */
const NOBODY = 'none';

export interface ReleaseArgs {
  readonly 'if-version'?: string | undefined;
  readonly 'dry-run'?: boolean | undefined;
  readonly 'as-new-epoch'?: boolean | undefined;
  readonly wait?: (typeof WAITS)[number] | undefined;
  readonly 'no-wait'?: boolean | undefined;
  readonly timeout: string;
  readonly require?: readonly string[] | undefined;
  readonly message?: string | undefined;
}

/** The fields of PUSH and ROLLBACK for the options. */
export interface ReleaseFields {
  readonly ifVersion: number | undefined;
  readonly dryRun: boolean;
  readonly asNewEpoch: true | undefined;
  readonly wait: 'released' | 'applied';
  readonly timeoutMs: number;
  readonly require: readonly string[] | undefined;
  readonly share: number | undefined;
  readonly message: string | undefined;
}

/** Adds the options. */
export function withReleaseOptions<A>(yargs: Argv<A>): Argv<A & ReleaseArgs> {
  return yargs
    .option('if-version', {
      type: 'string',
      requiresArg: true,
      describe: 'only if the newest release has this version',
    })
    .option('dry-run', { type: 'boolean', describe: 'show what would change, and release nothing' })
    .option('as-new-epoch', {
      type: 'boolean',
      describe: 'start a new epoch, above all earlier releases: for a publisher whose newest state is lost',
    })
    .option('wait', {
      choices: WAITS,
      requiresArg: true,
      describe:
        'what to wait for. released: it is stored; applied: every expected or connected subscriber answered; 99%: that share of the reporting names has it, too',
      defaultDescription: 'applied',
    })
    .option('no-wait', { type: 'boolean', describe: 'the same as --wait released' })
    .option('timeout', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_TIMEOUT_SECONDS,
      describe: 'seconds to wait for subscribers after the release',
    })
    .option('require', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'subscriber that must apply it, instead of those that the publisher expects; none: no one must; may be repeated',
    })
    .option('message', {
      type: 'string',
      requiresArg: true,
      describe: 'why; rulectl history shows it. At most 200 bytes, not sent to firewalls',
    });
}

/** Throws CliError `usage`. */
export function releaseFieldsOf(args: ReleaseArgs): ReleaseFields {
  if (args['no-wait'] === true && args.wait !== undefined) {
    throw usageError('--no-wait and --wait exclude each other');
  }
  const { wait = 'applied' } = args;
  return {
    ifVersion: args['if-version'] === undefined ? undefined : ifVersionOf(args['if-version']),
    dryRun: args['dry-run'] === true,
    asNewEpoch: args['as-new-epoch'] === true ? true : undefined,
    wait: args['no-wait'] === true || wait === 'released' ? 'released' : 'applied',
    timeoutMs: timeoutOf(args.timeout),
    require: requiredOf(args.require),
    share: wait.endsWith('%') ? Number.parseInt(wait, 10) : undefined,
    message: args.message && bounded(args.message, MESSAGE_MAX_BYTES, '--message'),
  };
}

/** Throws CliError `usage`. */
export function bounded(text: string, maxBytes: number, what: string): string {
  if (Buffer.byteLength(text) <= maxBytes && !/[\p{Cc}\p{Cs}]/u.test(text)) return text;
  throw usageError(`${what}: at most ${maxBytes} bytes, without control characters`);
}

/** The scope of the wait, for a report. */
export function waitScopeOf({
  wait,
  require,
  share,
}: Pick<MessageOf<'push'>, 'wait' | 'require' | 'share'>): WaitScope {
  return { wait, isNobodyRequired: require?.length === 0, share };
}

function requiredOf(names: readonly string[] | undefined): readonly string[] | undefined {
  if (names === undefined) return undefined;
  if (names.includes(NOBODY)) {
    if (names.length > 1) throw usageError(`--require ${NOBODY} excludes names`);
    return [];
  }
  if (names.length > REQUIRE_MAX) throw usageError(`--require: at most ${REQUIRE_MAX} names`);
  for (const name of names) {
    if (!isPartName(name)) throw usageError(`--require ${JSON.stringify(name)}: no name of a subscriber`);
  }
  return [...new Set(names)];
}

function ifVersionOf(text: string): number {
  const version = parseVersion(text);
  if (version !== undefined) return version;
  throw usageError(`--if-version ${text}: write the number of a version; 0 is before the first release`);
}

function timeoutOf(text: string): number {
  const ms = /^\d{1,6}(?:\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1000) : 0;
  if (ms > 0 && ms <= WAIT_MAX_MS) return ms;
  throw usageError(`--timeout ${text}: write seconds, more than 0 and at most ${WAIT_MAX_MS / 1000}`);
}

/** The part that a command is about. */
export interface PartArgs {
  readonly list?: string | undefined;
  readonly policy?: string | undefined;
}

/** Throws CliError `usage` for --list or --policy with what names no part. */
export function checkPartNames(args: PartArgs): void {
  for (const option of ['list', 'policy'] as const) {
    const name = args[option];
    if (name === undefined || isPartName(name)) continue;
    throw usageError(
      `--${option} ${JSON.stringify(name)}: a name has 1 to 63 of A-Z a-z 0-9 . _ - and starts with a letter or digit`,
    );
  }
}

/** Likewise, and refuses both at once. */
export function checkOnePart(args: PartArgs): void {
  if (args.list !== undefined && args.policy !== undefined) {
    throw usageError('--list and --policy exclude each other');
  }
  checkPartNames(args);
}
