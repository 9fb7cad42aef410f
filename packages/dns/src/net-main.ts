/** `rulecast-dns-net`: makes the network namespace in which `rulecast-dns` is asked, as root, and ends. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  EXIT_FAILED,
  ProgramError,
  programOptions,
  runProgram,
  strictYargs,
  usageError,
} from '@rulecast/program';
import { type Step, stepsToMake, stepsToRemove } from './net/steps.ts';

const cli = strictYargs('rulecast-dns-net', new URL('../package.json', import.meta.url))
  .usage(
    '$0 [--remove]\n\nMakes the network namespace in which rulecast-dns is asked by qubes that ask their resolvers, and the route to it of what rulecast-subscriber --dns-mode own marks; anew where they are there. Needs root, iproute2 and nftables.',
  )
  .option('remove', { type: 'boolean', default: false, describe: 'Take all of it away' })
  .option('namespace', {
    type: 'string',
    requiresArg: true,
    default: 'rulecast-dns',
    describe: 'Name of the namespace, below /run/netns',
  })
  .example('$0', 'As rulecast-dns-net.service does')
  .example('ip netns exec rulecast-dns ss -lntu', 'What is asked there')
  .epilogue(
    'Exit codes: 0 done, 1 the machine does not take it, and then nothing of it is there, 64 usage, 70 a bug, 74 the output cannot be written.',
  );

const argv = programOptions('rulecast-dns-net', cli, { repeatable: [], variables: {} });

const STEP_MS = 30_000;
/** Where they are looked for by whom systemd or sudo starts with less. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;
const IPV6_SETTING = '/proc/sys/net/ipv6/conf/all/disable_ipv6';
const REVERSE_PATH_SETTING = '/proc/sys/net/ipv4/conf/all/rp_filter';

await runProgram('rulecast-dns-net', main);

async function main(): Promise<void> {
  const { namespace } = argv;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(namespace))
    throw usageError(`--namespace ${namespace}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  const options = { namespace, hasIpv6: setting(IPV6_SETTING) === '0' };
  const remove = (): void => {
    for (const step of stepsToRemove({ ...options, hasIpv6: true })) run(step);
  };
  remove();
  if (argv.remove) return;
  if (setting(REVERSE_PATH_SETTING) === '1')
    throw new ProgramError(
      EXIT_FAILED,
      'net.ipv4.conf.all.rp_filter is 1, by which the kernel drops what rulecast-dns answers in the name of a resolver: set it to 2 (loose) or 0',
    );
  try {
    for (const step of stepsToMake(options)) run(step);
  } catch (error) {
    remove();
    throw error;
  }
}

/** Throws ProgramError. */
function run({ command: [program, ...args], input = '', mayFail = false }: Step): void {
  const { status, stderr, error } = spawnSync(program, args, {
    input,
    encoding: 'utf8',
    timeout: STEP_MS,
    env: { PATH, LC_ALL: 'C' },
  });
  if (status === 0 || (mayFail && error === undefined)) return;
  const said = stderr?.trim() || error?.message || `it ended with ${status}`;
  throw new ProgramError(EXIT_FAILED, `${[program, ...args].join(' ')}: ${said}`);
}

/** Undefined where the kernel has no such thing. */
function setting(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
