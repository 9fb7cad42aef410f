/**
 * `rulecast-firewall-ocaml`, the session in OCaml as a process, beside the real publisher: it follows it
 * through releases, kills, silence, keys that change; and gives the verdicts that ours gives.
 */

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RESUMED_MIN_BYTES } from '@rulecast/protocol';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { OcamlFirewall, ocaml, run } from '../kit/ocaml.ts';
import { seededNumbers } from '../kit/random.mjs';
import {
  endpointsIn,
  PERMITTED,
  rulectl,
  rulectlOffline,
  startPublisher,
  startSubscriber,
  trustOf,
} from '../processes.mjs';

const NAME = 'mirage';
const RULES = {
  unmatched: 'drop',
  lists: {
    bad: { entries: ['192.0.2.0/24', '2001:db8:bad::/48', '198.51.100.7'] },
    hosts: { names: ['a.example', 'b.example'] },
  },
  common: { egress: ['drop dst=@bad comment=known to be bad'] },
  policies: {
    work: {
      prefixes: ['10.137.0.0/24'],
      exceptions: { egress: ['accept dst4=192.0.2.7 proto=tcp dstports=443'] },
      egress: ['accept dst4=203.0.113.0/24', 'accept dst4=203.0.114.0/24', 'drop proto=icmp icmptype=8'],
      ingress: ['accept src4=203.0.113.9 proto=tcp dstports=22'],
      default: 'accept',
    },
  },
};

let built = '';

async function push(directory: string, name: string, content: string): Promise<void> {
  const file = join(directory, name);
  writeFileSync(file, content);
  const { code, stderr } = await rulectl(directory, ['push', file, '--wait', 'released', ...PERMITTED]);
  expect(code, stderr).toBe(0);
}

const addresses = (count: number): string =>
  Array.from({ length: count }, (_, i) => `100.${64 + (i % 64)}.${(i * 7) % 256}.${i % 251}`).join('\n');

async function house(): Promise<{
  directory: string;
  publisher: Awaited<ReturnType<typeof startPublisher>>;
}> {
  const directory = temporaryDirectory();
  const publisher = await startPublisher(directory);
  onTestFinished(() => publisher.kill());
  await push(directory, 'rules.yaml', JSON.stringify(RULES));
  return { directory, publisher };
}

/** Goes between, and keeps what the publisher says; `replay` says all of it again to each that comes. */
async function recorder(directory: string): Promise<{ path: string; replay: () => Promise<string> }> {
  const said: Uint8Array[] = [];
  const opened = async (name: string, serve: (subscriber: Socket) => void): Promise<string> => {
    const path = join(directory, name);
    const server = createServer((socket) => serve(socket.on('error', () => undefined)));
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => {
      server.listen(path, resolve);
    });
    return path;
  };
  const path = await opened('record.sock', (subscriber) => {
    const publisher = createConnection(endpointsIn(directory).listen.slice('unix:'.length));
    publisher.on('data', (bytes) => said.push(bytes)).on('error', () => undefined);
    subscriber.pipe(publisher).pipe(subscriber);
  });
  const replay = (): Promise<string> =>
    opened('replay.sock', (subscriber) => void subscriber.write(Buffer.concat(said)));
  return { path, replay };
}

/** Goes between, and ends a connection that brings more bytes than it may; how many came of each. */
async function cutter(
  directory: string,
): Promise<{ path: string; brought: number[]; allow: (bytes: number) => void }> {
  const path = join(directory, 'cut.sock');
  const brought: number[] = [];
  const open = new Set<() => void>();
  let mayBring = Number.MAX_SAFE_INTEGER;
  const server = createServer((subscriber) => {
    const publisher = createConnection(endpointsIn(directory).listen.slice('unix:'.length));
    const at = brought.push(0) - 1;
    const end = (): void => {
      open.delete(end);
      subscriber.destroy();
      publisher.destroy();
    };
    open.add(end);
    for (const side of [subscriber, publisher]) side.on('error', end).on('close', end);
    subscriber.pipe(publisher);
    publisher.on('data', (bytes) => {
      const sum = (brought[at] ?? 0) + bytes.length;
      brought[at] = sum;
      if (sum <= mayBring) return void subscriber.write(bytes);
      publisher.off('close', end).destroy();
      subscriber.end(bytes.subarray(0, Math.max(0, bytes.length - (sum - mayBring))));
    });
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  const allow = (bytes: number): void => {
    mayBring = bytes;
    if (bytes === 0) for (const end of open) end();
  };
  return { path, brought, allow };
}

/** Rules whose snapshot is larger than what a cut transfer is gone on with: 2.7 MB, deflated. */
function largeRules(seed: number): string {
  const draw = seededNumbers(seed);
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const comment = (): string => Array.from({ length: 4000 }, () => LETTERS[draw(64)]).join('');
  return Array.from({ length: 900 }, () => `drop comment=${comment()}`).join('\n');
}

async function firewall(
  directory: string,
  args: readonly string[] = [],
  trust?: string,
): Promise<OcamlFirewall> {
  const line = trust ?? (await trustOf(directory));
  const { listen } = endpointsIn(directory);
  return new OcamlFirewall(built, ['--trust', line, '--connect', listen, '--name', NAME, ...args]);
}

async function recordsOf(
  directory: string,
  args: readonly string[],
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { code, stdout, stderr } = await rulectl(directory, args);
  expect(code, stderr).toBe(0);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

async function ownIn(directory: string): Promise<unknown> {
  const records = await recordsOf(directory, ['status', '--json']);
  return records.find(({ kind, name }) => kind === 'subscriber' && name === NAME);
}

describe.runIf(ocaml.isThere)('a firewall in OCaml', () => {
  const tree = mkdtempSync(join(tmpdir(), 'rulecast-ocaml-'));
  beforeAll(() => {
    built = ocaml.build(tree).built;
  });
  afterAll(() => rmSync(tree, { recursive: true }));

  it('takes a snapshot and 50 deltas, and ends in order', async () => {
    const { directory } = await house();
    const own = await firewall(directory);
    await expect.poll(() => own.version).toBe(1);
    for (let version = 2; version <= 51; version++)
      await push(directory, 'bad.txt', addresses(200 + 13 * version));
    await expect.poll(() => own.version).toBe(51);
    await expect.poll(() => ownIn(directory)).toMatchObject({ state: 'synced', version: 51, matches: true });
    expect(await own.stop()).toBe(0);
    expect(own.told).toContain('shutting-down');
  });

  it('follows a publisher that was killed, and takes all again after it was killed itself', async () => {
    const { directory, publisher } = await house();
    const own = await firewall(directory);
    await expect.poll(() => own.version).toBe(1);
    await publisher.kill();
    const again = await startPublisher(directory);
    onTestFinished(() => again.kill());
    await push(directory, 'bad.txt', addresses(50));
    await expect.poll(() => own.version).toBe(2);
    await own.kill();
    const next = await firewall(directory);
    await expect.poll(() => next.version).toBe(2);
  });

  it('takes all that it missed in one transfer', async () => {
    const { directory } = await house();
    const { path, brought, allow } = await cutter(directory);
    await push(directory, 'bad.txt', addresses(3000));
    const own = await firewall(directory, ['--connect', `unix:${path}`]);
    await expect.poll(() => own.version).toBe(2);
    allow(0);
    for (const more of [10, 20, 30]) await push(directory, 'bad.txt', addresses(3000 + more));
    const before = brought.length;
    allow(20_000);
    await expect.poll(() => own.version).toBe(5);
    expect(Math.max(...brought.slice(before))).toBeLessThan(3000);
  });

  it('goes on with a snapshot that was cut, and not with that of a release that is the head no more', async () => {
    const { directory } = await house();
    await push(directory, 'default.rules', largeRules(3));
    const { path, brought, allow } = await cutter(directory);
    allow(1_500_000);
    const own = await firewall(directory, ['--connect', `unix:${path}`]);
    await expect.poll(() => own.version).toBe(2);
    const [first = 0, second = 0] = brought;
    expect(brought).toHaveLength(2);
    expect(first + second).toBeGreaterThan(RESUMED_MIN_BYTES);
    expect(second).toBeLessThan(first);
    await own.kill();

    const other = await firewall(directory, ['--connect', `unix:${path}`]);
    await expect.poll(() => brought[2]).toBeGreaterThan(1_000_000);
    allow(0);
    await push(directory, 'default.rules', largeRules(4));
    const before = brought.length;
    allow(Number.MAX_SAFE_INTEGER);
    await expect.poll(() => other.version).toBe(3);
    expect(Math.max(...brought.slice(before))).toBeGreaterThan(RESUMED_MIN_BYTES);
  });

  it('without inflate gets nothing deflated; without what the head needs it says so, and keeps what it has', async () => {
    const { directory } = await house();
    const lines = Array.from({ length: 200 }, (_, i) => `drop dst4=192.0.2.${i} comment=the rule ${i}`);
    const { work } = RULES.policies;
    await push(
      directory,
      'rules.yaml',
      JSON.stringify({ ...RULES, policies: { work: { ...work, egress: lines } } }),
    );
    // What is deflated would be refused.
    const plain = await firewall(directory, [
      '--capabilities',
      'names,exceptions,unmatched,private-rules,no-deflate',
    ]);
    await expect.poll(() => plain.version).toBe(2);
    await plain.stop();
    const less = await firewall(directory, ['--capabilities', 'names']);
    await expect.poll(() => less.told).toContain('it needs exceptions, unmatched');
    expect(less.version).toBeUndefined();
    await expect
      .poll(() => ownIn(directory))
      .toMatchObject({ state: 'behind', lastError: { code: 'unsupported' } });
  });

  it('lists no capability that it does not have', async () => {
    const { directory } = await house();
    const trust = await trustOf(directory);
    const args = [
      '--trust',
      trust,
      '--connect',
      'unix:/x',
      '--name',
      NAME,
      '--capabilities',
      'firewall-names',
    ];
    const ended = run(join(built, 'unix/rulecast_firewall_ocaml.exe'), args);
    expect(ended).toMatchObject({ status: 2 });
    expect(ended.stderr).toContain('it has no capability firewall-names');
  });

  it('is called by qrexec, whose line before the session it takes, and turns others away', async () => {
    const { directory } = await house();
    const path = join(directory, 'called.sock');
    const own = await firewall(directory, ['--connect', `accept:${path}`]);
    const call = async (line: string): Promise<void> => {
      await expect.poll(() => existsSync(path)).toBe(true);
      const firewallEnd = createConnection(path).on('error', () => undefined);
      const publisher = createConnection(endpointsIn(directory).listen.slice('unix:'.length));
      publisher.on('error', () => undefined);
      firewallEnd.write(line, 'latin1');
      firewallEnd.pipe(publisher).pipe(firewallEnd);
      onTestFinished(() => void [firewallEnd, publisher].map((socket) => socket.destroy()));
    };
    await call('rulecast.Control+ mgmt\0');
    await expect.poll(() => own.told).toContain('another service than rulecast.Subscribe');
    await call('');
    await expect.poll(() => own.told).toContain('qrexec does not say what is called');
    await call(`rulecast.Subscribe ${'x'.repeat(300)}`);
    await expect.poll(() => own.told).toContain('its header is too long');
    expect(own.version).toBeUndefined();
    await call('rulecast.Subscribe+ mgmt\0');
    await expect.poll(() => own.version).toBe(1);
  });

  it('is stale and ends a session while the publisher is silent, and is neither once it speaks', async () => {
    const { directory, publisher } = await house();
    const own = await firewall(directory, ['--stale-after', '7000']);
    await expect.poll(() => own.told).toContain('the active release is the newest');
    publisher.process.kill('SIGSTOP');
    await expect.poll(() => own.told).toContain('stale: ');
    await expect.poll(() => own.told).toContain('timeout');
    expect(own.version).toBe(1);
    publisher.process.kill('SIGCONT');
    await expect
      .poll(() => own.told.slice(own.told.indexOf('timeout')))
      .toContain('the active release is the newest');
    await push(directory, 'bad.txt', addresses(50));
    await expect.poll(() => own.version).toBe(2);
  });

  it('takes nothing from a publisher whose root its trust line does not have, or whose lineage', async () => {
    const { directory } = await house();
    const [word, lineage, root = ''] = (await trustOf(directory)).split(':');
    const spoiled = root.replace(/^./, (first) => (first === '0' ? '1' : '0'));
    const other = await firewall(directory, [], `${word}:${lineage}:${spoiled}`);
    const foreign = await firewall(directory, [], `${word}:${'0'.repeat(32)}:${root}`);
    await expect.poll(() => other.told).toContain('unknown-root');
    await expect.poll(() => foreign.told).toContain('wrong-lineage');
    expect([other.version, foreign.version]).toEqual([undefined, undefined]);
  });

  it('follows to new keys', async () => {
    const { directory, publisher } = await house();
    const own = await firewall(directory);
    await expect.poll(() => own.version).toBe(1);
    await publisher.stop();
    const identity = join(directory, 'publisher', 'identity');
    const rotated = await rulectlOffline(['keys', 'rotate', '--identity', identity]);
    expect(rotated.code, rotated.stderr).toBe(0);
    const again = await startPublisher(directory);
    onTestFinished(() => again.kill());
    await expect.poll(() => own.told).toContain('root 2 is in force');
    await push(directory, 'bad.txt', addresses(50));
    await expect.poll(() => ownIn(directory)).toMatchObject({ state: 'synced', matches: true });
  });

  it('takes nothing from who says again what was said to another', async () => {
    const { directory } = await house();
    const trust = await trustOf(directory);
    const { path, replay } = await recorder(directory);
    const at = (socket: string): string[] => [
      '--trust',
      trust,
      '--connect',
      `unix:${socket}`,
      '--name',
      NAME,
    ];
    const first = new OcamlFirewall(built, at(path));
    await expect.poll(() => first.told).toContain('the active release is the newest');
    await first.stop();
    await push(directory, 'bad.txt', addresses(50));
    const again = new OcamlFirewall(built, at(await replay()));
    await expect.poll(() => again.told).toContain('a release is refused: not-fresh');
    expect(again.version).toBeUndefined();
  });

  it.each([
    ['what is active', false],
    ['the floor alone', true],
  ])('proves %s to a publisher that was restored from a backup', async (_, isLost) => {
    const { directory, publisher } = await house();
    await publisher.stop();
    const [state, backup] = [join(directory, 'publisher'), join(directory, 'backup')];
    cpSync(state, backup, { recursive: true });
    const newer = await startPublisher(directory);
    await push(directory, 'bad.txt', addresses(50));
    const floor = ['--floor', join(directory, 'floor')];
    const own = await firewall(directory, floor);
    await expect.poll(() => own.version).toBe(2);
    await newer.stop();
    if (isLost) await own.kill();
    rmSync(state, { recursive: true });
    cpSync(backup, state, { recursive: true });
    const older = await startPublisher(directory);
    onTestFinished(() => older.kill());
    const again = isLost ? await firewall(directory, floor) : own;
    await older.logged(({ msg }) => String(msg).startsWith('a subscriber proved a release'));
    if (isLost) {
      expect(again.told).toContain('not-newer'); // of the first connection, whose root let the floor count
      expect(again.version).toBeUndefined();
    }
    const asked = ['rollback', '1', '--as-new-epoch', '--yes', '--wait', 'released'];
    const { code, stderr } = await rulectl(directory, asked);
    expect(code, stderr).toBe(0);
    await expect.poll(() => ownIn(directory)).toMatchObject({ state: 'synced', epoch: 2, matches: true });
  });

  it('takes the release of its floor again, and does not start with a floor that is damaged or of others', async () => {
    const { directory } = await house();
    const path = join(directory, 'floor');
    const own = await firewall(directory, ['--floor', path]);
    await expect.poll(() => own.version).toBe(1);
    await own.kill();
    const again = await firewall(directory, ['--floor', path]);
    await expect.poll(() => again.version).toBe(1);
    await again.stop();
    const bytes = readFileSync(path);
    const [word, , root] = (await trustOf(directory)).split(':');
    const trust = await trustOf(directory);
    for (const [line, content, why] of [
      [`${word}:${'0'.repeat(32)}:${root}`, bytes, 'another lineage'],
      [trust, bytes.subarray(1), 'the floor is damaged'],
      [trust, Buffer.alloc(0), 'the floor is damaged'],
    ] as const) {
      writeFileSync(path, content);
      const args = ['--trust', line, '--connect', 'unix:/x', '--name', NAME, '--floor', path];
      const ended = run(join(built, 'unix/rulecast_firewall_ocaml.exe'), args);
      expect(ended.status).toBe(2);
      expect(ended.stderr).toContain(why);
    }
  });

  it('gives the verdicts that ours gives, with rule, run, list and prefix', async () => {
    const { directory } = await house();
    const ours = await startSubscriber(directory, 'ts');
    onTestFinished(() => ours.kill());
    const own = await firewall(directory);
    await expect.poll(() => own.version).toBe(1);
    const PACKETS = [
      '10.137.0.5 > 192.0.2.7 tcp/443',
      '10.137.0.5 > 192.0.2.7 tcp/80',
      '10.137.0.5 > 203.0.114.1 udp/53',
      '10.137.0.5 > 8.8.8.8 icmp/8',
      '10.137.0.5 > 8.8.8.8 udp/53',
      '10.2.0.1 > 198.51.100.7 tcp/1',
      '10.2.0.1 > 198.51.100.8 tcp/1',
      'fd00::1 > 2001:db8:bad::1 tcp/1',
      '203.0.113.9 > 10.137.0.5 tcp/22',
      '10.137.0.5 > 10.137.0.6 tcp/22',
    ];
    for (const direction of ['egress', 'ingress', 'both']) {
      const asked = ['test', '--json', '--direction', direction, ...PACKETS];
      const verdicts = (await recordsOf(directory, asked))
        .filter(({ kind }) => kind === 'verdict')
        .map(({ generation: _, ...verdict }) => verdict);
      const of = (name: string): unknown[] =>
        verdicts.filter(({ subscriber }) => subscriber === name).map(({ subscriber: _, ...rest }) => rest);
      expect(of(NAME)).toEqual(of('ts'));
      expect(of(NAME)).toHaveLength(PACKETS.length);
    }
  });
});
