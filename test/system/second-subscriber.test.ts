/**
 * A subscriber that was written from PROTOCOL.md, in Python (test/python), in whole sessions with the real
 * publisher: what it had to look up elsewhere would be a gap of the document.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { RESUMED_MIN_BYTES } from '@rulecast/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { python } from '../kit/python.ts';
import { seededNumbers } from '../kit/random.mjs';
import { endpointsIn, PERMITTED, rulectl, startPublisher, startSubscriber, trustOf } from '../processes.mjs';

const SCRIPT = fileURLToPath(new URL('../python/subscriber.py', import.meta.url));
const NAME = 'py';

/** A line that it tells: `event`, and more by its kind. */
interface Told {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** What is told of what is newest, which comes when it comes. */
const AT_ANY_TIME = new Set(['fresh', 'outdone', 'doubt']);

/** Where the publisher listens. */
function pathIn(directory: string): string {
  return endpointsIn(directory).listen.slice('unix:'.length);
}

/** Goes between, and ends each connection that brings as many bytes as it may; how many came of each. */
async function cutter(directory: string, mayBring: number): Promise<{ path: string; brought: number[] }> {
  const path = join(directory, 'cut.sock');
  const brought: number[] = [];
  const server = createServer((subscriber) => {
    const publisher = createConnection(pathIn(directory));
    const at = brought.push(0) - 1;
    const end = (): void => {
      subscriber.destroy();
      publisher.destroy();
    };
    for (const side of [subscriber, publisher]) side.on('error', end).on('close', end);
    subscriber.pipe(publisher);
    publisher.on('data', (bytes) => {
      const left = mayBring - (brought[at] ?? 0);
      if (left <= 0) return; // ended below: to write now would destroy what is on its way
      brought[at] = mayBring - left + Math.min(bytes.length, left);
      subscriber.write(bytes.subarray(0, left));
      if (bytes.length >= left) subscriber.end();
    });
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  return { path, brought };
}

/** Goes between, and keeps what the publisher says; `replay` says all of it again, to whoever comes. */
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
    const publisher = createConnection(pathIn(directory));
    publisher.on('data', (bytes) => said.push(bytes)).on('error', () => undefined);
    subscriber.pipe(publisher).pipe(subscriber);
  });
  const replay = (): Promise<string> =>
    opened('replay.sock', (subscriber) => void subscriber.write(Buffer.concat(said)));
  return { path, replay };
}

class SecondSubscriber {
  readonly #process: ChildProcess;
  readonly #told: Told[] = [];
  /** Whether it knows that what it has is the newest, and why not. */
  readonly standings: Told[] = [];
  #isNew = true; // it has not seen the root of its trust line
  #waiting: (() => void) | undefined;

  constructor(
    trust: string,
    directory: string,
    capabilities: readonly string[] = [],
    path: string = pathIn(directory),
  ) {
    this.#process = spawn('python3', ['-B', SCRIPT, trust, path, NAME, ...capabilities], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => {
      this.#process.kill('SIGKILL');
    });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('no standard output');
    createInterface({ input: stdout }).on('line', (line) => {
      const told: Told = JSON.parse(line);
      (AT_ANY_TIME.has(told.event) ? this.standings : this.#told).push(told);
      this.#waiting?.();
    });
  }

  say(command: 'join' | 'leave' | 'forget'): void {
    this.#process.stdin?.write(`${command}\n`);
  }

  /** The next thing it tells. */
  async next(): Promise<Told> {
    for (;;) {
      const told = this.#told.shift();
      if (told !== undefined) return told;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** It connects, is welcomed, and tells what comes then. */
  async join(): Promise<void> {
    this.say('join');
    expect(await this.next()).toMatchObject({ event: 'welcome' });
    if (this.#isNew) expect(await this.next()).toMatchObject({ event: 'root', number: 1 });
    this.#isNew = false;
  }

  async leave(): Promise<void> {
    this.say('leave');
    expect(await this.next()).toMatchObject({ event: 'left', code: 'shutting-down' });
  }
}

const RULES = {
  unmatched: 'drop',
  lists: {
    bad: { entries: ['192.0.2.0/24', '2001:db8:bad::/48', '198.51.100.7'] },
    hosts: { names: ['a.example', 'b.example'] },
  },
  common: { egress: ['drop dst=@bad'] },
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

async function push(directory: string, name: string, content: unknown): Promise<void> {
  const file = join(directory, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  const { code, stderr } = await rulectl(directory, ['push', file, '--wait', 'released', ...PERMITTED]);
  expect(code, stderr).toBe(0);
}

/** A publisher with rules, and the second subscriber, not connected yet. */
async function house(): Promise<{
  directory: string;
  stop: () => Promise<unknown>;
  second: SecondSubscriber;
}> {
  const directory = temporaryDirectory();
  const publisher = await startPublisher(directory);
  onTestFinished(async () => {
    await publisher.stop();
  });
  await push(directory, 'rules.yaml', RULES);
  return {
    directory,
    stop: () => publisher.stop(),
    second: new SecondSubscriber(await trustOf(directory), directory),
  };
}

function recordsIn(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const addresses = (count: number): string =>
  Array.from({ length: count }, (_, i) => `100.${64 + (i % 64)}.${(i * 7) % 256}.${i % 251}`).join('\n');

describe.runIf(python.isThere)('a subscriber written from PROTOCOL.md', () => {
  it('takes a snapshot, deltas as they come, and all that it missed in one transfer', async () => {
    const { directory, second } = await house();
    await second.join();
    expect(await second.next()).toMatchObject({ event: 'applied', version: 1, chain: false, parts: 5 });
    await push(directory, 'bad.txt', addresses(3000));
    expect(await second.next()).toMatchObject({ event: 'applied', version: 2, chain: true });
    await second.leave();
    for (const more of [10, 20, 30]) await push(directory, 'bad.txt', addresses(3000 + more));
    await push(directory, 'hosts.txt', 'a.example\nwww.a.example\nc.example\n');
    await second.join();
    const caughtUp = await second.next();
    expect(caughtUp).toMatchObject({ event: 'applied', version: 6, chain: true });
    expect(caughtUp['bytes']).toBeLessThan(2000);
    await second.leave();
    second.say('forget');
    await second.join(); // it may take the release of its floor again, and nothing older
    expect(await second.next()).toMatchObject({ event: 'applied', version: 6, chain: false });
    const { stdout } = await rulectl(directory, ['status', '--json']);
    const own = recordsIn(stdout).find(({ record }) => record === 'subscriber');
    expect(own).toMatchObject({ name: NAME, state: 'synced', version: 6, matches: true });
  });

  it('goes on with a snapshot of which a connection brought half', async () => {
    const { directory } = await house();
    const draw = seededNumbers(3);
    const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const comment = (): string => Array.from({ length: 4000 }, () => LETTERS[draw(64)]).join('');
    const rules = Array.from({ length: 900 }, () => `drop comment=${comment()}`); // 2.7 MB, deflated
    await push(directory, 'default.rules', rules.join('\n'));
    const { path, brought } = await cutter(directory, 1_500_000);
    const second = new SecondSubscriber(await trustOf(directory), directory, undefined, path);
    await second.join();
    expect(await second.next()).toMatchObject({ event: 'left', code: 'truncated' });
    await second.join();
    const applied = await second.next();
    expect(applied).toMatchObject({ event: 'applied', version: 2, chain: false });
    // A connection that is ended for its bytes would bring nothing: the second brings what is left of them.
    expect(brought).toHaveLength(2);
    expect(applied['bytes']).toBeGreaterThan(RESUMED_MIN_BYTES);
    expect(brought[1]).toBeLessThan(Number(applied['bytes']) - 1_000_000);
  });

  it('knows that it has the newest, and takes nothing from who says again what was said to another', async () => {
    const { directory } = await house();
    const trust = await trustOf(directory);
    const { path, replay } = await recorder(directory);
    const first = new SecondSubscriber(trust, directory, undefined, path);
    await first.join();
    expect(await first.next()).toMatchObject({ event: 'applied', version: 1 });
    await expect.poll(() => first.standings).toEqual([{ event: 'fresh', version: 1 }]);
    await first.leave();
    await push(directory, 'bad.txt', addresses(50));
    // A disposable firewall, made from the same template, and somebody who kept every byte of before.
    const again = new SecondSubscriber(trust, directory, undefined, await replay());
    await again.join();
    expect(await again.next()).toMatchObject({ event: 'nack', code: 'not-fresh', retry: 'later' });
    const honest = new SecondSubscriber(trust, directory);
    await honest.join();
    expect(await honest.next()).toMatchObject({ event: 'applied', version: 2 });
  });

  it('gives the verdicts that ours gives, with rule, run, list and prefix', async () => {
    const { directory, second } = await house();
    const first = await startSubscriber(directory, 'ts');
    onTestFinished(async () => {
      await first.stop();
    });
    await second.join();
    expect(await second.next()).toMatchObject({ event: 'applied', version: 1 });
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
      const { code, stdout, stderr } = await rulectl(directory, asked);
      expect(code, stderr).toBe(0);
      const verdicts = recordsIn(stdout)
        .filter(({ record }) => record === 'verdict')
        .map(({ generation: _, ...verdict }) => verdict);
      const of = (name: string): unknown[] =>
        verdicts.filter(({ subscriber }) => subscriber === name).map(({ subscriber: _, ...rest }) => rest);
      expect(of(NAME)).toEqual(of('ts'));
      expect(of(NAME)).toHaveLength(PACKETS.length);
    }
  });

  it('ends with a publisher that has not the root of its trust line, and with one of another lineage', async () => {
    const { directory } = await house();
    const trust = await trustOf(directory);
    const [word, lineage, root = ''] = trust.split(':');
    const spoiled = root.replace(/^./, (first) => (first === '0' ? '1' : '0'));
    const other = new SecondSubscriber(`${word}:${lineage}:${spoiled}`, directory);
    other.say('join');
    expect(await other.next()).toMatchObject({ event: 'bye', code: 'unknown-root' });
    const foreign = new SecondSubscriber(`${word}:${'0'.repeat(32)}:${root}`, directory);
    foreign.say('join');
    expect(await foreign.next()).toMatchObject({ event: 'bye', code: 'wrong-lineage' });
  });

  it('without inflate gets nothing deflated; without what the head needs it is told, and keeps what it has', async () => {
    const { directory } = await house();
    const plain = ['names', 'exceptions', 'unmatched', 'no-deflate'];
    const second = new SecondSubscriber(await trustOf(directory), directory, plain);
    const lines = Array.from({ length: 200 }, (_, i) => `drop dst4=192.0.2.${i} comment=the rule ${i}`);
    const { work } = RULES.policies;
    await push(directory, 'rules.yaml', { ...RULES, policies: { work: { ...work, egress: lines } } });
    await second.join();
    const told = await second.next();
    expect(told).toMatchObject({ event: 'applied', version: 2, chain: false });
    expect(told['forms']).toContain('packing 0');
    expect(told['forms']).not.toContain('packing 1');
    await second.leave();
    const less = new SecondSubscriber(await trustOf(directory), directory, ['names']);
    await less.join();
    expect(await less.next()).toMatchObject({
      event: 'unsupported',
      capabilities: ['exceptions', 'unmatched'],
    });
    const { stdout } = await rulectl(directory, ['status', '--json']);
    const own = recordsIn(stdout).find(({ record }) => record === 'subscriber');
    expect(own).toMatchObject({ name: NAME, state: 'behind', lastError: { code: 'unsupported' } });
  });

  it.each([
    ['holds', false],
    ['held, and has lost but for its floor', true],
  ])('proves to a publisher that was restored from a backup what it %s', async (_, isLost) => {
    const { directory, stop, second } = await house();
    await stop();
    const [state, backup] = [join(directory, 'publisher'), join(directory, 'backup')];
    cpSync(state, backup, { recursive: true });
    let publisher = await startPublisher(directory);
    await push(directory, 'bad.txt', addresses(50));
    await second.join();
    expect(await second.next()).toMatchObject({ event: 'applied', version: 2 });
    await publisher.stop();
    expect(await second.next()).toMatchObject({ event: 'bye', code: 'shutting-down' });
    rmSync(state, { recursive: true });
    cpSync(backup, state, { recursive: true });
    publisher = await startPublisher(directory);
    onTestFinished(async () => {
      await publisher.stop();
    });
    if (isLost) second.say('forget');
    await second.join();
    await publisher.logged(({ msg }) => String(msg).startsWith('a subscriber proved a release'));
    const rollback = await rulectl(directory, [
      'rollback',
      '1',
      '--as-new-epoch',
      '--yes',
      '--wait',
      'released',
    ]);
    expect(rollback.code, rollback.stderr).toBe(0);
    expect(await second.next()).toMatchObject({ event: 'applied', epoch: 2 });
  });
});
