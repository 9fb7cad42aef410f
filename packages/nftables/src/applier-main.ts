/** `rulecast-applier`: the applier as a process. Started by the subscriber, which it talks to on standard input and output. */

import { once } from 'node:events';
import { serveApplier } from './applier.ts';
import { supervise } from './supervisor.ts';

const USAGE = `rulecast-applier [--nft PATH] [--conntrack PATH] [--supervise]

Loads what rulecast-subscriber --enforce decides into nftables. Needs CAP_NET_ADMIN and nothing else. It is started by
rulecast-subscriber; its standard input and output carry a private protocol.

  --nft PATH        the nft program (default: nft)
  --conntrack PATH  the conntrack program (default: conntrack)
  --supervise       run another applier and start it again whenever it dies
`;

const KEYS = ['--nft', '--conntrack'];
const EXIT_USAGE = 64;

const argv = process.argv.slice(2);
if (argv.indexOf('--supervise') !== argv.lastIndexOf('--supervise'))
  refuse('--supervise is given twice: give it once');
const options = readOptions(argv.filter((word) => word !== '--supervise'));
process.on('SIGINT', () => undefined); // a terminal sends it to the whole group; our input ends when we are no longer needed
process.on('SIGUSR1', () => undefined); // would open a debugger, through which anybody could use our capability
if (argv.includes('--supervise')) {
  const args = [...process.execArgv, ...process.argv.slice(1).filter((word) => word !== '--supervise')];
  await supervise(process.execPath, args, process.stdin, process.stdout);
} else {
  const serving = {
    nft: options['nft'] ?? 'nft',
    conntrack: options['conntrack'] ?? 'conntrack',
  };
  await serveApplier(process.stdin as AsyncIterable<Buffer>, write, serving);
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
    if (!KEYS.includes(key)) refuse(`${key} is no option`);
    if (value === undefined || value === '') refuse(`${key} needs a value`);
    if (read[name] !== undefined) refuse(`${key} is given twice: give it once`);
    read[name] = value;
  }
  return read;
}

function refuse(message: string): never {
  process.stderr.write(`rulecast-applier: ${message}\nTry rulecast-applier --help\n`);
  process.exit(EXIT_USAGE);
}
