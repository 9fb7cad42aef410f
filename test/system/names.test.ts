/**
 * Names with programs of others: unbound and dnsmasq as resolvers above, dig as the asking qube. Nothing
 * outside this machine is asked.
 */

import { execFile, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { freePort } from '../kit/dns.ts';
import { type Daemon, rulectl, startDns, startPublisher, startSubscriber } from '../processes.mjs';

/** What is not installed, printed; throws instead where CI=true. */
const MISSING = ['unbound', 'dnsmasq', 'dig'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
);
if (MISSING.length > 0 && process.env['CI'] === 'true')
  throw new Error(`names cannot be tested: ${MISSING.join(', ')} not installed`);
if (MISSING.length > 0) console.log(`tests of names are skipped: ${MISSING.join(', ')} not installed`);

const run = promisify(execFile);
const LONG = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(250, 'x'));

function unbound(folder: string, port: number): readonly string[] {
  const data = [
    'good.example. 60 IN A 93.184.2.7',
    'ads.example. 60 IN A 93.184.2.8',
    'www.example. 60 IN CNAME x.ads.example.',
    `long.example. 60 IN TXT ${LONG.map((text) => `\\"${text}\\"`).join(' ')}`,
  ];
  const lines = data.map((text) => `  local-data: '${text.replaceAll('\\"', '"')}'`);
  const file = join(folder, 'unbound.conf');
  writeFileSync(
    file,
    `server:\n  interface: 127.0.0.1\n  port: ${port}\n  username: ""\n  chroot: ""\n  directory: "${folder}"\n  pidfile: ""\n  use-syslog: no\n  do-daemonize: no\n  module-config: "iterator"\n  local-zone: "example." static\n${lines.join('\n')}\nremote-control:\n  control-enable: no\n`,
  );
  return ['unbound', '-d', '-c', file];
}

function dnsmasq(_folder: string, port: number): readonly string[] {
  return [
    'dnsmasq',
    ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--bind-interfaces'],
    ...[
      '--pid-file=',
      '--user=',
      '--group=',
      '--listen-address=127.0.0.1',
      `--port=${port}`,
      '--local=/example/',
    ],
    ...['--host-record=good.example,93.184.2.7', '--host-record=ads.example,93.184.2.8'],
    ...['--host-record=x.ads.example,93.184.2.9', '--cname=www.example,x.ads.example'],
    `--txt-record=long.example,${LONG.join(',')}`,
  ];
}

/** What dig prints of a question, in few words: its status, extended error and answers. */
async function dig(port: number, name: string, ...options: readonly string[]): Promise<string> {
  const args = ['@127.0.0.1', '-p', `${port}`, '+time=10', '+tries=1', '+nocookie', name, ...options];
  const { stdout } = await run('dig', args);
  const status = /status: (\w+)/.exec(stdout)?.[1];
  const error = /EDE: (\d+)/.exec(stdout)?.[1];
  const answers = [...stdout.matchAll(/^[^;\s]\S*\s+\d+\s+IN\s+(?:A|CNAME)\s+(\S+)$/gm)].map(
    ([, data]) => data,
  );
  const long = stdout.includes('"11xx') ? ' long' : '';
  return [status, ...(error === undefined ? [] : [`EDE ${error}`]), ...answers].join(' ') + long;
}

/** A resolver that answers, which is known by asking it. */
async function above(command: readonly string[], port: number): Promise<() => void> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await expect
    .poll(() => dig(port, 'good.example').catch(() => ''), { timeout: 20_000 })
    .toContain('93.184.2.7');
  return () => void child.kill('SIGKILL');
}

function stopped(daemon: Daemon): Daemon {
  onTestFinished(async () => {
    await daemon.stop();
  });
  return daemon;
}

const RULES = (names: readonly string[]): string =>
  JSON.stringify({
    lists: { ads: { names, resolve: 'firewall' } },
    policies: { default: { default: 'accept', egress: ['drop dst=@ads'] } },
  });

it.skipIf(MISSING.length > 0).each([
  ['unbound', unbound],
  ['dnsmasq', dnsmasq],
])(
  'are blocked before %s, by datagram and by stream, through releases that come and go',
  async (_, commandOf) => {
    const folder = temporaryDirectory();
    const [port, up, dead] = [await freePort(), await freePort(), await freePort()];
    const kill = await above(commandOf(folder, up), up);
    const socket = join(folder, 'names.sock');
    stopped(await startPublisher(folder));
    const upstreams = ['--upstream', `127.0.0.1:${dead}`, '--upstream', `127.0.0.1:${up}`];
    const dns = stopped(
      await startDns(['--releases', socket, '--listen', `127.0.0.1:${port}`, ...upstreams]),
    );
    expect(await dig(port, 'good.example')).toBe('SERVFAIL EDE 14');
    const state = join(folder, 'fw');
    const subscriber = stopped(
      await startSubscriber(folder, 'fw', ['--names', 'router', '--names-folder', folder, '--state', state]),
    );
    const push = async (names: readonly string[]): Promise<void> => {
      const file = join(folder, 'rules.json');
      writeFileSync(file, RULES(names));
      const args = ['push', file, '--yes', '--require', 'fw', '--permit', 'accept-all,shrunk,grown'];
      const { code, stdout, stderr } = await rulectl(folder, args);
      expect([code, stdout + stderr]).toEqual([0, expect.stringContaining('applied by fw')]);
    };
    await push(['.ads.example']);
    const [blocked, good] = ['NXDOMAIN EDE 15', 'NOERROR 93.184.2.7'];
    for (const by of ['+notcp', '+tcp']) {
      expect(await dig(port, 'ads.example', by)).toBe(blocked);
      expect(await dig(port, 'WWW.example', by)).toBe(blocked); // an alias of x.ads.example
      expect(await dig(port, 'good.example', by)).toBe(good);
    }
    expect(await dig(port, 'good.example', 'AAAA')).toBe('NOERROR');
    expect(await dig(port, 'long.example', 'TXT')).toBe('NOERROR long'); // cut short, and asked by TCP
    expect(await dig(port, 'none.example')).toBe('NXDOMAIN');

    // A stream of questions while releases take each other's place: what all of them block is never answered.
    let isOver = false;
    const asking = (async () => {
      const seen = new Map<string, number>();
      while (!isOver) {
        for (const said of [await dig(port, 'ads.example'), `good ${await dig(port, 'good.example')}`])
          seen.set(said, (seen.get(said) ?? 0) + 1);
      }
      return seen;
    })();
    for (let i = 0; i < 5; i++)
      await push(['.ads.example', `n${i}.example`, ...(i % 2 === 0 ? ['good.example'] : [])]);
    isOver = true;
    expect(
      [...(await asking).keys()].filter((said) => said !== `good ${blocked}` && said !== `good ${good}`),
    ).toEqual([blocked]);

    // The subscriber dies: names are blocked as before, and by the next life of it.
    await subscriber.kill();
    expect(await dig(port, 'ads.example')).toBe(blocked);
    const next = stopped(
      await startSubscriber(folder, 'fw', ['--names', 'router', '--names-folder', folder, '--state', state]),
    );
    await next.logged(({ msg }) => msg === 'rulecast-dns judges names by it');
    await push(['.ads.example', 'good.example']);
    expect([await dig(port, 'ads.example'), await dig(port, 'good.example')]).toEqual([blocked, blocked]);

    kill();
    expect(await dig(port, 'other.example')).toBe('SERVFAIL EDE 22');
    expect(await dig(port, 'ads.example')).toBe(blocked);
    expect(await dns.stop()).toBe(0);
  },
  180_000,
);
