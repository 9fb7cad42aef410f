/** The two large inputs of the design: a million random hosts in one list, and 2^18 rules in one policy. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Publisher, serveSubscribers } from '@rulecast/publisher';
import { type Environment, evaluate, type Packet } from '@rulecast/rules';
import { createSubscriber, type Subscriber } from '@rulecast/subscriber';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pushOf } from '../../packages/publisher/test/fresh-publisher.ts';
import { millionHosts, seedPolicy } from '../inputs.mjs';
import { seededWords } from '../kit/random.mjs';
import { type Daemon, PERMITTED, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

const ENVIRONMENT: Environment = { now: 0, dns: [] };

function packetTo(word: number): Packet {
  const dst = { family: 4 as const, words: Uint32Array.of(word) };
  return { direction: 'egress', src: undefined, dst, proto: 6, port: 443, icmpType: undefined };
}

describe('large inputs through real processes', () => {
  let directory: string;
  let publisher: Daemon;
  let firewall: Daemon;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'rulecast-large-'));
    publisher = await startPublisher(directory);
    firewall = await startSubscriber(directory, 'fw', ['--state', join(directory, 'subscriber')]);
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
  });

  afterAll(async () => {
    await firewall.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function push(name: string, text: string | Uint8Array, ...args: string[]): Promise<string> {
    const path = join(directory, name);
    writeFileSync(path, text);
    const { code, stdout, stderr } = await rulectl(directory, [
      'push',
      path,
      ...args,
      ...PERMITTED,
      '--json',
    ]);
    expect(code, stdout + stderr).toBe(0);
    return stdout;
  }

  async function action(packet: string): Promise<unknown> {
    const { stdout } = await rulectl(directory, ['test', packet, '--json']);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line));
    return rows.find((row) => row['kind'] === 'verdict')?.['action'];
  }

  it('puts 1,000,000 random hosts in force from one file', async () => {
    const { text, words } = millionHosts(1_000_000, 7);
    await push('million.txt', text);
    const applied = await push('policy.rules', 'drop dst=@million\naccept\n');
    expect(applied).toContain('"state":"applied"');
    const some = words[123_456] ?? 0;
    const members = new Set(words);
    let absent = some + 1;
    while (members.has(absent)) absent++;
    const ip = (word: number): string => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.');
    expect(await action(ip(some))).toBe('drop');
    expect(await action(ip(absent))).toBe('accept');
  });

  it('puts 2^18 rules of one policy in force from one file', async () => {
    await push('seed.rules', seedPolicy());
    expect(await action('172.16.0.0')).toBe('drop');
    expect(await action('172.31.255.255')).toBe('drop');
    expect(await action('172.32.0.0')).toBe('accept');
    expect(await action('172.15.255.255')).toBe('accept');
  });
});

describe('large inputs against the reference evaluator', () => {
  let directory: string;
  let publisher: Publisher;
  let subscriber: Subscriber;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'rulecast-large-'));
    const logger = pino({ level: 'silent' });
    const resolve = async (): Promise<never> => Promise.reject(new Error('no names here'));
    publisher = new Publisher({ stateDirectory: directory, name: 'publisher', resolve, logger });
    const endpoint = parseEndpoint('memory:large?buffer=1MiB');
    const served = await serveSubscribers(publisher, [endpoint]);
    const channel = (signal: AbortSignal): ReturnType<typeof connect> => connect(endpoint, { signal });
    subscriber = await createSubscriber({ channel, trust: publisher.identity, name: 'fw', logger });
    stop = async () => {
      await subscriber.close();
      await served.close();
      await publisher.close();
    };
  });

  afterAll(async () => {
    await stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function push(name: string, text: string): Promise<void> {
    const applied = new Promise((resolve) => subscriber.events.once('applied', resolve));
    const outcome = await publisher.push(pushOf({ [name]: text }), { permits: new Set(['grown', 'shrunk']) });
    expect(outcome.kind).toBe('released');
    await applied;
  }

  it('gives the verdicts of the evaluator for 2^18 rules, at the edges of rules and at random', async () => {
    await push('seed.rules', seedPolicy());
    const ruleSet = publisher.head?.ruleSet;
    if (ruleSet === undefined) throw new Error('nothing was released');
    const random = seededWords(11);
    const words: number[] = [0, 0xffffffff];
    // A rule far down costs the evaluator 2^18 comparisons, so a few hundred packets are what a test can
    // afford.
    for (let i = 0; i < 200; i++) {
      const rule = 0xac100000 + (random() % 2 ** 18) * 4;
      words.push(rule, rule + 3, random());
    }
    words.push(0xac0fffff, 0xac100000, 0xac1fffff, 0xac200000);
    for (const word of words) {
      const packet = packetTo(word >>> 0);
      expect((await subscriber.explain(packet)).verdict).toEqual(evaluate(ruleSet, ENVIRONMENT, packet));
    }
  });
});
