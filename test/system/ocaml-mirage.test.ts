/**
 * What a Mirage firewall takes of ocaml/, over stand-ins for upstream's modules: it calls the publisher, or
 * is called, by qrexec (qrexec/agent.mjs) with the policy as it is shipped, and judges packets by what is
 * released.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { blockText } from '../docs/blocks.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { OcamlFirewall, ocaml, run } from '../kit/ocaml.ts';
import { endpointsIn, PERMITTED, rulectl, startPublisherAt, trustOf } from '../processes.mjs';
import { shippedPolicy } from '../qrexec/policy.ts';

const AGENT = fileURLToPath(new URL('../qrexec/agent.mjs', import.meta.url));
const CLIENT = fileURLToPath(new URL('../qrexec/client-vm.mjs', import.meta.url));
const NAME = 'sys-mirage';
const TAGS = `mgmt rulecast-management\n${NAME} rulecast-firewall\n`;

const rules = (bad: readonly string[]): string =>
  JSON.stringify({
    unmatched: 'drop',
    lists: { bad: { entries: bad } },
    common: { egress: ['drop dst=@bad'] },
    policies: {
      work: {
        prefixes: ['10.137.0.5'],
        egress: [
          'drop dst4=203.0.113.1 expire=1',
          'accept dst4=203.0.113.2 expire=4000000000',
          'drop dst4=203.0.113.2',
          'drop proto=tcp dstports=25',
        ],
        default: 'accept',
      },
      web: {
        prefixes: ['10.137.0.6'],
        egress: [],
        ingress: ['accept src4=10.137.0.5 proto=tcp dstports=80'],
        default: 'drop',
      },
    },
  });

/** A firewall of ocaml/mirage/test, killed with the test. */
class Firewall {
  readonly process: ChildProcess;
  readonly lines: string[] = [];
  log = '';

  constructor(built: string, args: readonly string[]) {
    this.process = spawn(join(built, 'mirage/test/firewall.exe'), args, { stdio: 'pipe' });
    onTestFinished(() => void this.process.kill('SIGKILL'));
    const { stdout, stderr } = this.process;
    if (stdout === null || stderr === null) throw new Error('no output');
    createInterface({ input: stdout }).on('line', (line) => this.lines.push(line));
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
  }

  /** What becomes of a packet, without the version. */
  async judge(packet: string): Promise<string> {
    const { length } = this.lines;
    this.process.stdin?.write(`${packet}\n`);
    let answer: string | undefined;
    await expect
      .poll(() => {
        answer = this.lines.slice(length).find((line) => line.startsWith(`${packet}: `));
        return answer;
      })
      .toBeDefined();
    return (answer ?? '').slice(packet.length + 2).replace(/ \(version \d+\)$/, '');
  }

  get flips(): readonly string[] {
    return this.lines.filter((line) => line.startsWith('flip: '));
  }
}

let built = '';
let directory = '';

const at = (...names: readonly string[]): string => join(directory, ...names);

async function publisher(subscriber: string) {
  writeFileSync(at('publisher.yaml'), `subscribers: { ${NAME}: ${subscriber} }\n`);
  const listen = `qrexec:${at('mgmt', 'rulecast.Subscribe')}`;
  const args = ['--config', at('publisher.yaml')];
  const started = await startPublisherAt(directory, listen, endpointsIn(directory).control, args);
  onTestFinished(() => started.kill());
  return started;
}

/** What stands between the calls of a qube and the services of another one. */
async function agent(source: string, services: string, policy: string): Promise<string> {
  const socket = at(`${source}.agent`);
  const words = [AGENT, socket, source, policy, at('tags'), at(services)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  if (child.stdout !== null) await once(child.stdout, 'data');
  return socket;
}

async function push(bad: readonly string[]): Promise<void> {
  writeFileSync(at('rules.json'), rules(bad));
  const { code, stderr } = await rulectl(directory, [
    'push',
    at('rules.json'),
    '--wait',
    'released',
    ...PERMITTED,
  ]);
  expect(code, stderr).toBe(0);
}

async function ownStatus(): Promise<unknown> {
  const { stdout } = await rulectl(directory, ['status', '--json']);
  const records = stdout
    .trim()
    .split('\n')
    .map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
  return records.find(({ kind, name }) => kind === 'subscriber' && name === NAME);
}

describe.runIf(ocaml.isThere)('a Mirage firewall', { timeout: 60_000 }, () => {
  const tree = mkdtempSync(join(tmpdir(), 'rulecast-mirage-'));
  beforeAll(() => {
    const { built: folder, ended } = ocaml.build(tree);
    expect(ended).toEqual({ status: 0, stdout: '', stderr: '' });
    built = folder;
  });
  afterAll(() => rmSync(tree, { recursive: true }));
  beforeEach(() => {
    directory = temporaryDirectory();
    for (const services of ['mgmt', NAME]) mkdirSync(at(services));
    writeFileSync(at('tags'), TAGS);
  });

  it('has calls of qrexec and the removal of connections as they are to be', () => {
    const { status, stdout } = run(join(built, 'mirage/test/pieces.exe'), []);
    expect([status, stdout]).toEqual([0, 'the new files do as they say\n']);
  });

  it('calls the publisher by the shipped policy, and narrows by each release, but not before one', async () => {
    const first = await publisher(`{ qube: ${NAME} }`);
    const calls = await agent(NAME, 'mgmt', shippedPolicy(directory));
    const trust = await trustOf(directory);
    const own = new Firewall(built, ['--trust', trust, '--name', NAME, '--call', calls]);
    expect(await own.judge('10.137.0.5 198.51.100.1 tcp 443')).toBe(
      'drop, no published release is in force yet',
    );
    await push(['192.0.2.0/24']);
    await expect.poll(() => own.flips).toEqual(['flip: version 1, 0 entries cut, 0 left']);
    await expect.poll(ownStatus).toMatchObject({ state: 'synced', version: 1, bound: [`qube ${NAME}`] });

    const dropped = 'drop, a published rule drops this packet';
    for (const [packet, verdict] of [
      ['10.137.0.5 198.51.100.1 tcp 443', 'accept'],
      ['10.137.0.5 198.51.100.2 tcp 443', 'accept'],
      ['10.137.0.5 198.51.100.2 tcp 25', dropped],
      ['10.137.0.5 192.0.2.9 udp 53', dropped],
      ['10.137.0.9 198.51.100.1 tcp 443', dropped], // of no policy
      ['10.137.0.5 203.0.113.1 tcp 443', dropped], // without a clock: a drop that ended drops
      ['10.137.0.5 203.0.113.2 tcp 443', dropped], // and an accept that will end accepts no more
      ['10.137.0.5 198.51.100.1 icmp 8', 'accept'],
      ['10.137.0.5 198.51.100.1 icmp 0', 'drop, it belongs to no connection'], // an answer to nothing
      ['10.137.0.5 10.137.0.6 tcp 80 client', 'accept'],
      ['10.137.0.5 10.137.0.6 tcp 22 client', dropped], // by what the other may get
      ['10.137.0.6 10.137.0.5 tcp 40000 client', dropped], // by what it may send
    ])
      expect([packet, await own.judge(packet ?? '')]).toEqual([packet, verdict]);

    // A release cuts the connection that it forbids, and no other one.
    await push(['192.0.2.0/24', '198.51.100.2']);
    await expect.poll(() => own.flips.at(-1)).toBe('flip: version 2, 2 entries cut, 2 left');

    await first.kill();
    await publisher(`{ qube: ${NAME} }`);
    await push([]);
    await expect.poll(() => own.flips.at(-1)).toBe('flip: version 3, 0 entries cut, 2 left');
    expect(await own.judge('10.137.0.5 192.0.2.9 udp 53')).toBe('accept');
  });

  it('is refused by dom0 once its tag is gone, keeps what it has, and follows again with the tag', async () => {
    const first = await publisher(`{ qube: ${NAME} }`);
    const calls = await agent(NAME, 'mgmt', shippedPolicy(directory));
    await push(['192.0.2.0/24']);
    const trust = await trustOf(directory);
    const own = new Firewall(built, ['--trust', trust, '--name', NAME, '--call', calls]);
    await expect.poll(() => own.flips).toHaveLength(1);
    writeFileSync(at('tags'), TAGS.split('\n').slice(0, 1).join('\n'));
    await first.kill();
    await publisher(`{ qube: ${NAME} }`);
    await expect.poll(() => own.log).toContain('no call of rulecast.Subscribe in mgmt: refused by dom0');
    expect(await own.judge('10.137.0.5 192.0.2.9 udp 53')).toContain('drop');
    await push(['198.51.100.2']);
    // Each refusal may be a window of dom0: another call comes after minutes alone.
    expect(own.log.match(/refused by dom0/g)).toHaveLength(1);
    writeFileSync(at('tags'), TAGS);
    await expect.poll(() => own.flips.at(-1), { timeout: 20_000 }).toContain('flip: version 2, ');
  });

  it('leaves a publisher that is silent, and follows it again once it speaks', async () => {
    const halted = await publisher(`{ qube: ${NAME} }`);
    const calls = await agent(NAME, 'mgmt', shippedPolicy(directory));
    await push(['192.0.2.0/24']);
    const trust = await trustOf(directory);
    const own = new Firewall(built, ['--trust', trust, '--name', NAME, '--call', calls]);
    await expect.poll(() => own.flips).toHaveLength(1);
    halted.process.kill('SIGSTOP');
    await expect.poll(() => own.log, { timeout: 30_000 }).toContain('the session ends: timeout');
    expect(await own.judge('10.137.0.5 192.0.2.9 udp 53')).toContain('drop');
    halted.process.kill('SIGCONT');
    await push([]);
    await expect.poll(() => own.flips, { timeout: 20_000 }).toHaveLength(2);
    expect(await own.judge('10.137.0.5 192.0.2.9 udp 53')).toBe('accept');
  });

  it('is the same by rulecast-firewall-ocaml, whose calls are those of a program', async () => {
    const first = await publisher(`{ qube: ${NAME} }`);
    const calls = await agent(NAME, 'mgmt', shippedPolicy(directory));
    await push(['192.0.2.0/24']);
    const command = `exec:${process.execPath} ${CLIENT} ${calls} mgmt rulecast.Subscribe`;
    const trust = await trustOf(directory);
    const own = new OcamlFirewall(built, ['--trust', trust, '--name', NAME, '--connect', command]);
    await expect.poll(() => own.version).toBe(1);
    await expect.poll(ownStatus).toMatchObject({ state: 'synced', version: 1, bound: [`qube ${NAME}`] });
    writeFileSync(at('tags'), '');
    await first.kill();
    await publisher(`{ qube: ${NAME} }`);
    await push([]);
    await expect.poll(ownStatus).not.toMatchObject({ state: 'synced' });
    expect(own.version).toBe(1);
    writeFileSync(at('tags'), TAGS);
    await expect.poll(() => own.version, { timeout: 20_000 }).toBe(2);
  });

  it('is called by the loop of docs/explain/mirage.md, bound by the socket that is its own', async () => {
    await publisher(`{ socket: ${at('sys-mirage.sock')} }`);
    const line = blockText('docs/explain/mirage.md#A firewall that is called').trim().split('\n')[0] ?? '';
    writeFileSync(at('policy'), line);
    const calls = await agent('mgmt', NAME, at('policy'));
    const trust = await trustOf(directory);
    const service = at(NAME, 'rulecast.Subscribe');
    const own = new Firewall(built, ['--trust', trust, '--name', NAME, '--serve', service]);
    writeFileSync(
      at('qrexec-client-vm'),
      `#!/bin/sh\ntest "$1" = --buffer-size=16384 && shift\nexec "${process.execPath}" "${CLIENT}" "${calls}" "$@"\n`,
    );
    chmodSync(at('qrexec-client-vm'), 0o755);
    const loop = blockText('docs/explain/mirage.md#A firewall that is called/3').replace(
      '/run/rulecast/sys-mirage.sock',
      at('sys-mirage.sock'),
    );
    const env = { ...process.env, PATH: `${directory}:${process.env['PATH']}` };
    const looping = spawn('sh', ['-c', loop], { env, stdio: 'ignore', detached: true });
    onTestFinished(() => void process.kill(-(looping.pid ?? 0), 'SIGKILL'));
    await push(['192.0.2.0/24']);
    await expect.poll(() => own.flips, { timeout: 20_000 }).toHaveLength(1);
    await expect
      .poll(ownStatus)
      .toMatchObject({ state: 'synced', version: 1, bound: [expect.stringMatching(/^socket/)] });
    expect(await own.judge('10.137.0.5 192.0.2.9 udp 53')).toContain('drop');
    await push(['192.0.2.0/24', '198.51.100.2']);
    await expect.poll(() => own.flips).toHaveLength(2);
  });
});
