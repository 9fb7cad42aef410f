/**
 * Streams that mean harm behind an OFFER that is genuine: an attacker on the channel has the publisher's
 * signed messages, and may send anything after them. The subscriber is a process of its own, whose memory and
 * stalls are measured.
 */

import { type ChildProcess, fork } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import {
  Connection,
  catalogueOf,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeSnapshot,
  formatTrust,
  type Message,
  type MessageKind,
  type MessageOf,
  manifestFor,
  manifestHash,
  PROTOCOL_VERSION,
  type SignedRoot,
  signBytes,
} from '@rulecast/protocol';
import {
  EMPTY_PREFIX_SET,
  EMPTY_RULE_SET,
  emptyPolicy,
  PrefixBuilder,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import { type Channel, type Listener, listen, parseEndpoint } from '@rulecast/vchan';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshFor, soleRoot } from '../kit/roots.mjs';

const VICTIM = fileURLToPath(new URL('victim.mjs', import.meta.url));
const LINEAGE = new Uint8Array(16).fill(7);
const MIB = 2 ** 20;
/**
 * What a stream of any size may cost behind a small release: 35 MB of it twice, what it makes, and a thread
 * with the code of the decoder.
 */
const MEMORY_MAX_BYTES = 256 * MIB;
/**
 * An event loop that stands still for longer holds up packets. The promise is 50 ms; the machine of the test
 * is shared.
 */
const STALL_MAX_MS = 250;

interface Report {
  readonly stallMs: number;
  readonly peakBytes: number;
  readonly version?: number;
  readonly code?: string;
}

interface Release {
  readonly ruleSet: RuleSet;
  readonly bytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly hash: Uint8Array;
}

let directory: string;
let key: KeyObject;
let root: SignedRoot;
let trustLine: string;
let listener: Listener;
let victim: ChildProcess;
let peer: HostilePeer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-hostile-'));
  const made = soleRoot(LINEAGE);
  key = made.key;
  root = made.root;
  trustLine = formatTrust(made.trust);
  const endpoint = `unix:${join(directory, 'publisher.sock')}`;
  listener = await listen(parseEndpoint(endpoint));
  victim = fork(VICTIM, [endpoint, trustLine]);
  peer = new HostilePeer(await listener.accept());
  await peer.greet();
});

afterEach(async () => {
  victim.kill('SIGKILL');
  peer.close();
  await listener.close();
  rmSync(directory, { recursive: true, force: true });
});

/** One connection, from the side of who means harm. */
class HostilePeer {
  private readonly connection: Connection;

  constructor(channel: Channel) {
    this.connection = new Connection(channel);
  }

  send(message: Message): Promise<void> {
    return this.connection.send(message);
  }

  async receive<K extends MessageKind>(kind: K): Promise<MessageOf<K>> {
    for (;;) {
      const received = await this.connection.receive();
      if (received?.message.kind === kind) return received.message as MessageOf<K>;
      if (received?.message.kind !== 'ping')
        throw new Error(`expected ${kind}, came ${JSON.stringify(received?.message ?? 'the end')}`);
    }
  }

  async greet(): Promise<void> {
    const { nonce = LINEAGE } = await this.receive('hello');
    const welcome = { kind: 'welcome', protocol: PROTOCOL_VERSION, name: 'dom0', lineage: LINEAGE } as const;
    await this.send({ ...welcome, heartbeatMs: 15_000 });
    await this.send({ kind: 'root', signatures: root.signatures, content: root.content });
    await this.send(freshFor(nonce, root, key));
  }

  offer({ signatures, bytes }: Release): Promise<void> {
    return this.send({ kind: 'offer', signatures, content: bytes });
  }

  async transfer(stream: Uint8Array, isChain: boolean): Promise<void> {
    await this.send({ kind: 'begin', bytes: stream.length, snapshot: isChain ? undefined : true });
    for (let at = 0; at < stream.length; at += 65_512) {
      await this.send({ kind: 'chunk', bytes: stream.subarray(at, at + 65_512) });
    }
    await this.send({ kind: 'end' });
  }

  close(): void {
    this.connection.close();
  }
}

async function measured(): Promise<Report> {
  const answered = once(victim, 'message');
  victim.send('report');
  const [report] = await Promise.race([
    answered,
    once(victim, 'exit').then(([code, signal]) => {
      throw new Error(`the subscriber ended: ${code ?? signal}`);
    }),
  ]);
  return report as Report;
}

function releaseOf(ruleSet: RuleSet, version: number): Release {
  const identity = { lineage: LINEAGE, epoch: 1, version, previousVersion: version - 1, createdAtMs: 0 };
  const bytes = encodeManifest(manifestFor(ruleSet, identity));
  return { ruleSet, bytes, signatures: signBytes(bytes, key), hash: manifestHash(bytes) };
}

/** Hosts from an address on, and a policy. */
function smallRuleSet(first: number): RuleSet {
  const builder = new PrefixBuilder(4);
  for (let i = 0; i < 16; i++) builder.push(Uint32Array.of(first + 2 * i), 0, 32);
  const list = prefixListOf({ v4: builder.build(), v6: EMPTY_PREFIX_SET.v6 });
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([['blocked', list]]),
    policies: new Map([['default', emptyPolicy('default')]]),
  };
}

/** A policy of `runs` runs of one rule each, all zeros, as it is put. */
function policyBody(runs: number): Uint8Array {
  const body = Buffer.alloc(4 + 1 + 8 + 4 + runs * 4 + 4);
  body.write('RCQ1', 'latin1');
  body.writeUInt32LE(runs, 13);
  const head = Buffer.alloc(5);
  head[0] = 1; // deflated
  head.writeUInt32LE(body.length, 1);
  return Buffer.concat([head, deflateRawSync(body, { level: 9 })]);
}

function leb128(value: number): readonly number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb128(Math.floor(value / 128))];
}

/** A change that says of a part what it likes. */
function change(place: readonly number[], count: number, bytes: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from([...place, ...leb128(2 * count), ...leb128(2 * bytes), ...leb128(body.length)]),
    body,
  ]);
}

function added(kind: number, name: string): readonly number[] {
  return [3, kind, name.length, ...Buffer.from(name)];
}

/**
 * A snapshot that puts such policies, and claims that they and a list are what was signed: a list of 16 and
 * one policy of no rule.
 */
function policiesOf(names: readonly string[], runs: number): Uint8Array {
  const { lists } = smallRuleSet(2);
  const ofList = { ...EMPTY_RULE_SET, lists };
  const bytes = catalogueOf(smallRuleSet(2)).bytes - catalogueOf(ofList).bytes;
  const body = policyBody(runs);
  const list = encodeSnapshot(ofList).subarray(1);
  const policies = names.map((name, i) => change(added(3, name), 0, i === 0 ? bytes : 0, body));
  return Buffer.concat([Buffer.of(1 + names.length), list, ...policies]);
}

/** Deltas that put such a policy in place of the second part, again and again. */
function policySteps(count: number, runs: number): readonly Uint8Array[] {
  const body = policyBody(runs);
  return Array.from({ length: count }, (_, i) => {
    return Buffer.concat([Buffer.of(1), change([1, 1], i === 0 ? runs : 0, i === 0 ? runs * 4 : 0, body)]);
  });
}

/** The rule set with a list of all networks of a length, but for the first ones. */
function networks(length: number, skipped = 0): RuleSet {
  const builder = new PrefixBuilder(4, 2 ** length);
  for (let i = skipped; i < 2 ** length; i++) builder.push(Uint32Array.of(i * 2 ** (32 - length)), 0, length);
  const list = prefixListOf({ v4: builder.build(), v6: EMPTY_PREFIX_SET.v6 });
  return { ...smallRuleSet(1), lists: new Map([['blocked', list]]) };
}

/** The rule set with a policy of no rules for so many IPv4 addresses. */
function withPrefixes(count: number, first: number): RuleSet {
  const builder = new PrefixBuilder(4, count);
  for (let i = 0; i < count; i++) builder.push(Uint32Array.of(first + i), 0, 32);
  const prefixes = { v4: builder.build(), v6: EMPTY_PREFIX_SET.v6 };
  return { ...smallRuleSet(1), policies: new Map([['default', { ...emptyPolicy('default'), prefixes }]]) };
}

/** Deltas to one rule set, to another, and so on by turns. */
function byTurns(count: number, one: RuleSet, other: RuleSet): readonly Uint8Array[] {
  const deltaOf = (before: RuleSet, after: RuleSet): Uint8Array => encodeDelta(diffRuleSets(before, after));
  const [there, back] = [deltaOf(one, other), deltaOf(other, one)];
  return [
    deltaOf(smallRuleSet(1), one),
    ...Array.from({ length: count - 1 }, (_, i) => (i % 2 === 0 ? there : back)),
  ];
}

function snapshotStream({ ruleSet }: Release): Uint8Array {
  return encodeChain([encodeSnapshot(ruleSet)]);
}

const RUNS_OF_64_MIB = 16 * MIB - 8;

interface Attack {
  readonly title: string;
  /** Deltas in place of the one that was asked for: several are a chain. */
  readonly steps: () => readonly Uint8Array[];
  /** The code of the NACK; a chain may be answered by WANT for the snapshot instead. */
  readonly answer: string;
}

const ATTACKS: readonly Attack[] = [
  {
    title: 'a policy of 16 million runs in 65 KB',
    steps: () => [policiesOf(['default'], RUNS_OF_64_MIB)],
    answer: 'bad-count',
  },
  {
    title: 'three such policies in 196 KB',
    steps: () => [policiesOf(['default', 'one', 'two'], RUNS_OF_64_MIB)],
    answer: 'over-limit', // 131 kB and four bytes for each that was signed
  },
  {
    title: 'a list of 8.4 million entries in 1.5 KB',
    steps: () => [encodeSnapshot(networks(23))],
    answer: 'bad-count',
  },
  {
    title: 'a policy of 60,000 runs, 450 times: each step is within what a step may have',
    steps: () => policySteps(450, 60_000),
    answer: 'want',
  },
  {
    title: 'a list of 65,536 entries, a thousand times: each step is within what a step may have',
    steps: () => byTurns(1000, networks(16), networks(16, 30_000)),
    answer: 'want',
  },
  {
    title: 'two million prefixes of a policy, twice',
    steps: () => byTurns(2, withPrefixes(2_000_000, 0), withPrefixes(2_000_000, 1)),
    answer: 'over-limit',
  },
];

//
it.each(ATTACKS)('$title: costs little, and the genuine release is taken after it', async (attack) => {
  const [base, next] = [releaseOf(smallRuleSet(1), 1), releaseOf(smallRuleSet(2), 2)];
  await peer.offer(base);
  await peer.receive('want');
  await peer.transfer(snapshotStream(base), false);
  await peer.receive('applied');
  const before = await measured();
  const steps = attack.steps();
  const stream = encodeChain(steps);
  const isChain = steps.length > 1;
  await peer.offer(next);
  await peer.receive('want');
  const startMs = performance.now();
  await peer.transfer(stream, isChain);
  const answer = attack.answer === 'want' ? await peer.receive('want') : await peer.receive('nack');
  const tookMs = performance.now() - startMs;
  const after = await measured();
  const grown = after.peakBytes - before.peakBytes;
  console.log(
    `${stream.length} bytes: ${tookMs.toFixed(0)} ms, stall ${after.stallMs.toFixed(0)} ms, ${(grown / MIB).toFixed(0)} MiB`,
  );
  expect(after.stallMs).toBeLessThan(STALL_MAX_MS);
  expect(grown).toBeLessThan(MEMORY_MAX_BYTES);
  if (answer.kind === 'nack') {
    expect(answer).toMatchObject({ code: attack.answer, retry: 'later', retryAfterMs: 0 });
    await peer.offer(next);
    await peer.receive('want');
  } else expect(answer).toEqual({ kind: 'want', hash: next.hash });
  await peer.transfer(snapshotStream(next), false);
  expect(await peer.receive('applied')).toMatchObject({ hash: next.hash });
});
