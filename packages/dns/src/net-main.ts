/** `rulecast-dns-net`: makes the network namespace in which `rulecast-dns` listens, as root, and ends. */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { EXIT_FAILED, ProgramError, programOptions, runProgram, usageError } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';
import { foreignRouting, foreignThing } from './net/others.ts';
import { type Command, type Step, stepsToMake, undoing } from './net/steps.ts';

const cli = strictYargs('rulecast-dns-net', new URL('../package.json', import.meta.url))
  .usage(
    '$0 [--remove]\n\nMakes the network namespace in which rulecast-dns answers, and the route that takes DNS queries of qubes there (rulecast-subscriber --names auto marks them). If they exist, it makes them anew. It does not change what it did not make; if that is in the way, it says what. Needs root, iproute2 and nftables.',
  )
  .option('remove', { type: 'boolean', default: false, describe: 'Remove the namespace and the route' })
  .option('namespace', {
    type: 'string',
    requiresArg: true,
    default: 'rulecast-dns',
    describe: 'Name of the namespace, below /run/netns; one that it did not make is refused',
  })
  .example('$0', 'As rulecast-dns-net.service does')
  .example('ip netns exec rulecast-dns ss -lntu', 'What is asked there')
  .epilogue(
    'Exit codes: 0 done; 1 something that it did not make is in the way, and nothing was changed, or a step failed, and all were undone; 64 usage, 70 a bug, 74 the output cannot be written.',
  );

const argv = programOptions('rulecast-dns-net', cli, { repeatable: [], variables: {} });

const STEP_MS = 30_000;
/** A search path for programs, as systemd or sudo may give less. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;
/** The directory of network namespaces' names. */
const NAMES = '/run/netns';
const IPV6_SETTING = '/proc/sys/net/ipv6/conf/all/disable_ipv6';
const REVERSE_PATH_SETTING = '/proc/sys/net/ipv4/conf/all/rp_filter';

await runProgram('rulecast-dns-net', main);

async function main(): Promise<void> {
  const { namespace } = argv;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(namespace))
    throw usageError(`--namespace ${namespace}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  const hasIpv6 = setting(IPV6_SETTING) === '0';
  const foreign =
    foreignThing(look, namespace, existsSync(`${NAMES}/${namespace}`)) ??
    (argv.remove ? undefined : foreignRouting(look, 4)) ??
    (argv.remove || !hasIpv6 ? undefined : foreignRouting(look, 6));
  if (foreign !== undefined) throw new ProgramError(EXIT_FAILED, foreign);
  for (const command of undoing(stepsToMake({ namespace, hasIpv6: true }))) tried(command);
  if (argv.remove) return;
  if (setting(REVERSE_PATH_SETTING) === '1')
    throw new ProgramError(
      EXIT_FAILED,
      'net.ipv4.conf.all.rp_filter is 1, so that the kernel drops the answers that rulecast-dns sends in the name of a resolver: set it to 2 (loose) or 0',
    );
  const done: Step[] = [];
  try {
    for (const step of stepsToMake({ namespace, hasIpv6 })) {
      run(step.command, step.input);
      done.push(step);
    }
  } catch (error) {
    for (const command of undoing(done)) tried(command);
    throw error;
  }
}

/** The output of a command; undefined: the object it shows does not exist. Throws ProgramError. */
function look(command: Command): string | undefined {
  return run(command, '', /does not exist/);
}

function run(command: Command, input = '', absent?: RegExp): string | undefined {
  const { status, stdout, stderr, error } = ran(command, input);
  if (status === 0) return stdout;
  if (absent?.test(stderr ?? '')) return undefined;
  const said = stderr?.trim() || error?.message || `it ended with ${status}`;
  throw new ProgramError(EXIT_FAILED, `${command.join(' ')}: ${said}`);
}

/**
 * Runs a command that removes something, which may not exist. Throws ProgramError if it cannot be started, or
 * hangs.
 */
function tried(command: Command): void {
  const { error } = ran(command);
  if (error !== undefined) throw new ProgramError(EXIT_FAILED, `${command.join(' ')}: ${error.message}`);
}

function ran([program, ...args]: Command, input = ''): SpawnSyncReturns<string> {
  const env = { PATH, LC_ALL: 'C' };
  return spawnSync(program, args, { input, encoding: 'utf8', timeout: STEP_MS, env });
}

/** Undefined if the kernel lacks the setting. */
function setting(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
