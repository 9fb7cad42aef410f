/** `rulecast-dns`, as it was built. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import packet from 'dns-packet';
import { expect, it, onTestFinished } from 'vitest';
import { tlsUpstream } from '../../packages/dns/test/tls-upstream.ts';
import { blockText } from '../docs/blocks.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { freePort, rcodeOf } from '../kit/dns.ts';

const BIN = fileURLToPath(new URL('../../packages/dns/bin/rulecast-dns.js', import.meta.url));

function start(args: readonly string[], cwd: string, variables: NodeJS.ProcessEnv = {}): ChildProcess {
  const env = { ...process.env, ...variables };
  const child = spawn(process.execPath, [BIN, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** How a program ends, and what it said. */
async function ended(
  args: readonly string[],
  cwd: string,
  variables?: NodeJS.ProcessEnv,
): Promise<{ readonly exit: unknown; readonly said: string }> {
  const child = start(args, cwd, variables);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += chunk));
  const [exit] = await once(child, 'close');
  return { exit, said };
}

const DOCUMENT = (name: string): string =>
  `lists: { ads: { names: [${name}], resolve: firewall } }\npolicies: { default: { unlisted: nxdomain, blocked: refused, egress: [drop dst=@ads] } }\n`;

it('blocks by its document, reads it again when told, and keeps the old one where it is refused', async () => {
  const folder = temporaryDirectory();
  const port = await freePort();
  writeFileSync(join(folder, 'names.yaml'), DOCUMENT('ads.example'));
  const child = start(
    ['--rules', 'names.yaml', '--listen', `127.0.0.1:${port}`, '--upstream', '127.0.0.1:1'],
    folder,
  );
  const lines = createInterface({ input: child.stderr ?? process.stdin })[Symbol.asyncIterator]();
  const said = async (): Promise<unknown> => JSON.parse((await lines.next()).value).msg;
  expect(await said()).toBe('ready');
  expect(await rcodeOf(port, 'ads.example')).toBe('REFUSED');
  expect(await rcodeOf(port, 'new.example')).toBe('NXDOMAIN');
  writeFileSync(join(folder, 'names.yaml'), DOCUMENT('new.example'));
  child.kill('SIGHUP');
  expect(await said()).toBe('the rules were read again');
  expect(await rcodeOf(port, 'new.example')).toBe('REFUSED');
  writeFileSync(join(folder, 'names.yaml'), 'policies: { p: { egress: [drop dst=@none] } }\n');
  child.kill('SIGHUP');
  expect(await said()).toMatch(/those before hold/);
  expect(await rcodeOf(port, 'new.example')).toBe('REFUSED');
  writeFileSync(join(folder, 'names.yaml'), DOCUMENT('last.example'));
  for (let i = 0; i < 100; i++) child.kill('SIGHUP');
  expect(await said()).toBe('the rules were read again');
  await expect.poll(() => rcodeOf(port, 'last.example')).toBe('REFUSED');
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
});

it('asks whom a resolv.conf names, follows it, and is SERVFAIL where that names nobody but itself', async () => {
  const folder = temporaryDirectory();
  const port = await freePort();
  const file = join(folder, 'resolv.conf');
  writeFileSync(join(folder, 'names.yaml'), 'policies: { default: { egress: [] } }\n');
  writeFileSync(file, 'nameserver 169.254.53.2\n');
  const child = start(['--rules', 'names.yaml', '--listen', `127.0.0.1:${port}`, '--upstream', file], folder);
  const lines = createInterface({ input: child.stderr ?? process.stdin })[Symbol.asyncIterator]();
  const said = async (): Promise<object> => JSON.parse((await lines.next()).value);
  expect(await said()).toMatchObject({ level: 50, file, skipped: ['169.254.53.2'] });
  expect(await said()).toMatchObject({ msg: 'ready', upstream: [] });
  expect(await rcodeOf(port, 'a.example')).toBe('SERVFAIL');
  writeFileSync(file, 'nameserver 127.0.0.1\n');
  expect(await said()).toMatchObject({ level: 30, upstream: ['127.0.0.1'] });
});

it('starts when a subscriber connects, where the service manager has its socket, and ends once none needs it', async () => {
  const folder = temporaryDirectory();
  const path = join(folder, 'names.sock');
  const child = spawn(
    'systemd-socket-activate',
    ['--listen', path, '--fdname', 'names', process.execPath, BIN, '--upstream', '127.0.0.1:1'],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  await expect.poll(() => said).toContain('Listening on');
  expect(said).not.toContain('"msg"');
  const subscriber = connect(path);
  await expect.poll(() => said, { timeout: 10_000 }).toContain('a subscriber is connected');
  await pause(12_000); // longer than it waits for one
  expect(child.exitCode).toBeNull();
  subscriber.destroy();
  const [exit] = await once(child, 'close');
  expect([exit, said]).toEqual([0, expect.stringContaining('no release needs names')]);
  expect(statSync(path).isSocket()).toBe(true); // the service manager's
}, 60_000);

it('logs no name that was asked for, but blocked ones where it is told to', async () => {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'names.yaml'), DOCUMENT('ads.example'));
  const linesOf = async (
    more: readonly string[],
    variables?: NodeJS.ProcessEnv,
  ): Promise<readonly object[]> => {
    const port = await freePort();
    const args = [
      '--rules',
      'names.yaml',
      '--listen',
      `127.0.0.1:${port}`,
      '--upstream',
      '127.0.0.1:1',
      ...more,
    ];
    const child = start(args, folder, variables);
    const lines: object[] = [];
    const input = createInterface({ input: child.stderr ?? process.stdin });
    input.on('line', (line) => lines.push(JSON.parse(line)));
    await once(input, 'line');
    expect(await rcodeOf(port, 'ads.example')).toBe('REFUSED');
    expect(await rcodeOf(port, 'other.example')).toBe('NXDOMAIN');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
    return lines.filter((line) => JSON.stringify(line).includes('example'));
  };
  expect(await linesOf([])).toEqual([]);
  const both = [
    { msg: 'blocked', qube: '127.0.0.1', blocked: 'ads.example', list: 'ads' },
    { msg: 'blocked', qube: '127.0.0.1', blocked: 'other.example' },
  ];
  expect(await linesOf(['--log-blocked', '1'])).toMatchObject(both);
  expect(await linesOf([], { RULECAST_LOG_BLOCKED: '1' })).toMatchObject(both);
  for (const wrong of ['0', '-1', '1.5', 'yes', '0x1', '1e9', '1000000000']) {
    const { exit, said } = await ended(
      [
        '--rules',
        'names.yaml',
        '--listen',
        '127.0.0.1',
        '--upstream',
        '127.0.0.1:1',
        `--log-blocked=${wrong}`,
      ],
      folder,
    );
    expect([exit, said]).toEqual([64, expect.stringContaining(`--log-blocked ${wrong}`)]);
  }
});

it.each([
  [[], 0o600],
  [['--releases-mode', '660'], 0o660],
])('is told releases at a socket of its user, or of its group as well: %j', async (mode, bits) => {
  const folder = temporaryDirectory();
  const at = `127.0.0.1:${await freePort()}`;
  const args = ['--releases', 'names.sock', ...mode, '--listen', at, '--upstream', '127.0.0.1:1'];
  const child = start(args, folder);
  const lines = createInterface({ input: child.stderr ?? process.stdin })[Symbol.asyncIterator]();
  expect(JSON.parse((await lines.next()).value).msg).toBe('ready');
  expect(statSync(join(folder, 'names.sock')).mode & 0o777).toBe(bits);
});

it('asks over TLS, by whom a file trusts, and says why it cannot', async () => {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'names.yaml'), DOCUMENT('ads.example').replace('unlisted: nxdomain, ', ''));
  const { at, asked } = await tlsUpstream();
  const port = await freePort();
  const args = (name: string): readonly string[] => [
    ...[
      '--rules',
      'names.yaml',
      '--listen',
      `127.0.0.1:${port}`,
      '--upstream',
      `tls://127.0.0.1:${at.port}#${name}`,
    ],
    ...['--upstream-ca', fileURLToPath(new URL('../fixtures/tls/dns-authority.pem', import.meta.url))],
  ];
  for (const [name, rcode] of [
    ['dns.example', 'NOERROR'],
    ['other.example', 'SERVFAIL'],
  ] as const) {
    const child = start(args(name), folder);
    const lines = createInterface({ input: child.stderr ?? process.stdin })[Symbol.asyncIterator]();
    const said = async (): Promise<unknown> => JSON.parse((await lines.next()).value);
    expect(await said()).toMatchObject({ msg: 'ready' });
    expect(await rcodeOf(port, 'a.example')).toBe(rcode);
    if (rcode === 'SERVFAIL') {
      const reason = expect.stringContaining('other.example');
      expect(await said()).toMatchObject({ msg: 'the upstream cannot be connected to', reason });
    }
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
  }
  expect(asked).toHaveLength(1);
});

it('warns once of an upstream that is down, and of a qube that asks too much', async () => {
  const folder = temporaryDirectory();
  writeFileSync(
    join(folder, 'names.yaml'),
    'policies: { default: { egress: [drop dsthost=ads.example] } }\n',
  );
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  const [port, upstream] = [await freePort(), `127.0.0.1:${silent.address().port}`];
  const child = start(
    ['--rules', 'names.yaml', '--listen', `127.0.0.1:${port}`, '--upstream', upstream],
    folder,
  );
  const told: { readonly level: number; readonly msg: string; readonly upstream?: unknown }[] = [];
  createInterface({ input: child.stderr ?? process.stdin }).on('line', (line) => told.push(JSON.parse(line)));
  await expect.poll(() => told.length).toBe(1);
  const flood = createSocket('udp4');
  onTestFinished(() => void flood.close());
  const question = (id: number): Buffer =>
    packet.encode({ type: 'query', id, questions: [{ type: 'A', name: 'a.example' }] });
  for (let i = 0; i < 3000; i++) {
    flood.send(question(i), port, '127.0.0.1');
    if (i % 100 === 0) await new Promise(setImmediate);
  }
  await expect.poll(() => told.length, { timeout: 20_000 }).toBe(3);
  await new Promise((resolve) => setTimeout(resolve, 2500)); // it goes on, and is told of no more
  expect(told.slice(1).map(({ level, msg, upstream: of }) => [level, msg.slice(0, 27), of])).toEqual([
    [40, 'a qube asks more than may w', undefined],
    [40, 'an upstream does not answer', upstream],
  ]);
}, 30_000);

it('takes what the command line does not say from the environment', async () => {
  const args = ['--rules', 'a', '--listen', '127.0.0.1', '--upstream', '127.0.0.1'];
  const { exit, said } = await ended(args, temporaryDirectory(), { RULECAST_OPENINGS: 'openings.sock' });
  expect(said).toContain('--openings openings.sock goes with --releases SOCKET');
  expect(exit).toBe(64);
});

it.each([
  [
    ['--rules', '/dev/zero', '--listen', '127.0.0.1:1', '--upstream', '127.0.0.1'],
    1,
    '/dev/zero is no file: write the path of one',
  ],
  [['--rules', '.', '--listen', '127.0.0.1:1', '--upstream', '127.0.0.1'], 1, '. is no file: '],
  [['--rules', 'zero.yaml', '--listen', '127.0.0.1:1', '--upstream', '127.0.0.1'], 1, 'zero is no file: '],
  [['--rules', 'none.yaml', '--listen', '127.0.0.1:1', '--upstream', '127.0.0.1'], 1, 'none.yaml'],
  [
    ['--rules', 'bad.yaml', '--listen', '127.0.0.1:1', '--upstream', '127.0.0.1'],
    1,
    'bad.yaml: unknown-list: ',
  ],
  [
    ['--rules', 'good.yaml', '--listen', 'localhost', '--upstream', '127.0.0.1'],
    64,
    '--listen localhost: write an IP address',
  ],
  [
    ['--rules', 'good.yaml', '--listen', '127.0.0.1', '--upstream', '127.0.0.1:70000'],
    64,
    '--upstream 127.0.0.1:70000',
  ],
  [
    ['--rules', 'good.yaml', '--listen', '127.0.0.1', '--upstream', '/etc/a', '--upstream', '/etc/b'],
    64,
    'a file alone',
  ],
  ...['tls://dns.quad9.net', 'tls://9.9.9.9', 'tls://9.9.9.9#9.9.9.9', '9.9.9.9#dns.quad9.net'].map(
    (upstream): [string[], number, string] => [
      ['--rules', 'good.yaml', '--listen', '127.0.0.1', '--upstream', upstream],
      64,
      `--upstream ${upstream}: write `,
    ],
  ),
  ...(
    [
      [['tls://9.9.9.9#dns.quad9.net', '--upstream', '9.9.9.9'], 64, 'all of them with tls://, or none'],
      [['9.9.9.9', '--upstream-ca', 'good.yaml'], 64, '--upstream-ca good.yaml goes with'],
      [['tls://9.9.9.9#dns.quad9.net', '--upstream-ca', 'good.yaml'], 1, 'has no certificates'],
      [['tls://9.9.9.9#dns.quad9.net', '--upstream-ca', '/dev/zero'], 1, '/dev/zero has more than'],
    ] as const
  ).map(([words, exit, said]): [string[], number, string] => [
    ['--rules', 'good.yaml', '--listen', '127.0.0.1', '--upstream', ...words],
    exit,
    said,
  ]),
  [['--rules', 'good.yaml', '--listen', '192.0.2.1:5353', '--upstream', '127.0.0.1'], 1, 'EADDRNOTAVAIL'],
  [
    ['--releases', 'a', '--releases-mode', '666', '--listen', '127.0.0.1', '--upstream', '127.0.0.1'],
    64,
    '660',
  ],
  [['--help'], 0, 'SIGHUP'],
])('ends with a sentence: %j', async (args, exit, words) => {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'good.yaml'), blockText('docs/explain/names.md#Examples'));
  writeFileSync(join(folder, 'bad.yaml'), 'policies: { p: { egress: [drop dst=@none] } }\n');
  symlinkSync('/dev/zero', join(folder, 'zero'));
  writeFileSync(join(folder, 'zero.yaml'), 'lists: { ads: { file: zero } }\n');
  const end = await ended(args, folder);
  expect(end.said).toContain(words);
  expect(end.said).not.toContain('    at ');
  expect(end.exit).toBe(exit);
});
