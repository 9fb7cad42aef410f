/**
 * `rulecast-applier`: the applier as a process. Started by the subscriber, which it talks to on standard
 * input and output.
 */

import { once } from 'node:events';
import { supervise } from './apply/supervisor.ts';
import { parseSources } from './kernel/sources.ts';
import { DOWNSTREAM_GROUP, GROUP_MAX, KERNEL_MIB, KERNEL_MIB_MAX, LOG_GROUP_MAX } from './limits.ts';

const USAGE = `rulecast-applier [--group N] [--kernel-mib N] [--log-group N] [--openings SOCKET] [--sources LIST] [--supervise]

Loads what rulecast-subscriber --enforce decides into nftables. Needs CAP_NET_ADMIN and nothing else. It is started by
rulecast-subscriber; its standard input and output carry a private protocol.

  --supervise       run another applier and start it again whenever it dies
  --group N         link group of the interfaces of downstream qubes (default: ${DOWNSTREAM_GROUP})
  --kernel-mib N    kernel memory that the tables may take, in MiB (default: ${KERNEL_MIB})
  --log-group N     group of NFLOG that gets refused packets (default: none)
  --openings SOCKET path of the socket at which rulecast-dns asks to open addresses before it answers
  --sources LIST    interfaces and the addresses behind them, beside those of Qubes: 'eth1=10.0.0.5,fd00::5 eth2=…'
  --again           a table of ours was in force: without, let nothing pass
  --remove          delete all tables of Rulecast from the kernel, and end
`;

const MOST: Readonly<Record<string, number>> = {
  '--group': GROUP_MAX,
  '--kernel-mib': KERNEL_MIB_MAX,
  '--log-group': LOG_GROUP_MAX,
};
const OPENINGS = '--openings';
const SOURCES = '--sources';
const WORDS = ['--supervise', '--again', '--remove'];
const EXIT_USAGE = 64;

const argv = process.argv.slice(2);
for (const word of WORDS) {
  if (argv.indexOf(word) !== argv.lastIndexOf(word)) refuse(`${word} is given twice: give it once`);
}
const options = readOptions(argv.filter((word) => !WORDS.includes(word)));
process.on('SIGINT', () => undefined); // a terminal sends it to the whole group; our input ends when we are no longer needed
process.on('SIGUSR1', () => undefined); // would open a debugger, through which anybody could use our capability
if (argv.includes('--supervise')) {
  const args = [...process.execArgv, ...process.argv.slice(1).filter((word) => word !== '--supervise')];
  await supervise(process.execPath, args, process.stdin, process.stdout);
} else {
  const { removeTables, serveApplier } = await import('./apply/applier.ts'); // loads koffi
  const serving = {
    downstreamGroup: Number(options['group'] ?? DOWNSTREAM_GROUP),
    kernelMib: Number(options['kernel-mib'] ?? KERNEL_MIB),
    logGroup: options['log-group'] === undefined ? undefined : Number(options['log-group']),
    sources: parseSources(options['sources'] ?? '') ?? refuse(`${SOURCES}: write eth1=10.0.0.5,fd00::5`),
    again: argv.includes('--again'),
    openings: options['openings'],
  };
  if (argv.includes('--remove')) await removeTables(serving).catch((error: Error) => fail(error.message));
  else await serveApplier(process.stdin as AsyncIterable<Buffer>, write, serving);
}

async function write(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
}

function readOptions(args: readonly string[]): Readonly<Record<string, string>> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const read: Record<string, string> = {};
  for (let i = 0; i < args.length; i += 2) {
    const [key = '', value] = [args[i], args[i + 1]];
    const name = key.slice(2);
    const most = MOST[key];
    if (most === undefined && key !== OPENINGS && key !== SOURCES) refuse(`${key} is no option`);
    if (value === undefined || value === '') refuse(`${key} needs a value`);
    if (read[name] !== undefined) refuse(`${key} is given twice: give it once`);
    if (most !== undefined && !isNumber(value, most)) refuse(`${key} ${value}: write a number up to ${most}`);
    read[name] = value;
  }
  return read;
}

function fail(message: string): never {
  process.stderr.write(`rulecast-applier: ${message}\n`);
  process.exit(1);
}

function isNumber(text: string, most: number): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= most;
}

function refuse(message: string): never {
  process.stderr.write(`rulecast-applier: ${message}\nTry rulecast-applier --help\n`);
  process.exit(EXIT_USAGE);
}
