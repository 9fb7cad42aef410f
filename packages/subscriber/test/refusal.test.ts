/** Releases that are bad, or come at a bad time: what was in force stays, and the NACK says what is wrong. */

import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeSnapshot,
  type Manifest,
  type MessageOf,
  manifestHash,
  signBytes,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';
import { Table, TableLimitCode, TableLimitError } from '@rulecast/table';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { flipped } from '../../../test/kit/bytes.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { SubscriberOptions } from '../src/peer/options.ts';
import { type Disk, NODE_DISK } from '../src/state/disk.ts';
import { answersOf, badEntries, expectEnforces, faultyRuleSet, ruleSetOf, sampleRuleSet } from './sample.ts';
import {
  chainOf,
  type Peer,
  ScriptedPublisher,
  type ScriptedRelease,
  type ScriptedTransfer,
  snapshotOf,
  streamTransfer,
} from './scripted-publisher.ts';
import { Gate, RecordingSink, startedSubscriber } from './started.ts';
import { TestClock } from './test-clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Version 4 of epoch 2 is in force when the bad one comes. */
const HELD = { version: 4, epoch: 2 } as const;
const NEXT = { version: 5, epoch: 2 } as const;

interface BadOffer {
  readonly title: string;
  readonly code: string;
  spoil(publisher: ScriptedPublisher): Pick<ScriptedRelease, 'bytes' | 'signatures'>;
}

const good = (publisher: ScriptedPublisher): ScriptedRelease => publisher.release(sampleRuleSet(5), NEXT);

const BAD_OFFERS: readonly BadOffer[] = [
  {
    title: 'a signature with a bit flipped',
    code: 'bad-signature',
    spoil: (publisher) => {
      const release = good(publisher);
      return { ...release, signatures: flipped(release.signatures, 8 * 20) };
    },
  },
  {
    title: 'a manifest changed after it was signed',
    code: 'bad-signature',
    spoil: (publisher) => {
      const release = good(publisher);
      return { ...release, bytes: flipped(release.bytes, 8 * 30) };
    },
  },
  {
    title: 'the signature of another key',
    code: 'bad-signature',
    spoil: (publisher) => good(new ScriptedPublisher(publisher.trust.lineage)),
  },
  {
    title: 'another lineage under the same key',
    code: 'wrong-lineage',
    spoil: (publisher) =>
      publisher.release(sampleRuleSet(5), { ...NEXT, lineage: new Uint8Array(16).fill(1) }),
  },
  {
    title: 'signed bytes that are no manifest',
    code: 'bad-manifest',
    spoil: (publisher) => {
      const bytes = good(publisher).bytes.subarray(0, -1);
      return { bytes, signatures: signBytes(bytes, publisher.privateKey) };
    },
  },
  {
    title: 'an older version',
    code: 'not-newer',
    spoil: (publisher) => publisher.release(sampleRuleSet(5), { version: 3, epoch: 2 }),
  },
  {
    title: 'an equal version of other content',
    code: 'forked',
    spoil: (publisher) => publisher.release(sampleRuleSet(5), HELD),
  },
  {
    title: 'a lower epoch, whatever its version',
    code: 'not-newer',
    spoil: (publisher) => publisher.release(sampleRuleSet(5), { version: 900, epoch: 1 }),
  },
  {
    title: 'more entries and rules than are taken',
    code: 'over-limit',
    spoil: (publisher) => {
      const entries = Array.from({ length: 100 }, (_, i) => `192.0.2.${i * 2}`);
      return publisher.release(ruleSetOf({ lists: { many: entries } }), NEXT);
    },
  },
  {
    title: 'older and too large: its age is judged first',
    code: 'not-newer',
    spoil: (publisher) => {
      const entries = Array.from({ length: 100 }, (_, i) => `192.0.2.${i * 2}`);
      return publisher.release(ruleSetOf({ lists: { many: entries } }), { version: 3, epoch: 2 });
    },
  },
];

async function holding(options: Partial<SubscriberOptions> = {}): Promise<{
  readonly publisher: ScriptedPublisher;
  readonly subscriber: Awaited<ReturnType<typeof startedSubscriber>>;
  readonly peer: Peer;
  readonly held: ScriptedRelease;
  readonly sink: RecordingSink;
  /** Expects that what is held is enforced, and nothing was flipped, marked or told otherwise. */
  expectHeld(code: string): Promise<void>;
}> {
  const publisher = new ScriptedPublisher();
  const sink = new RecordingSink();
  const subscriber = await startedSubscriber(publisher, { sink, ...options });
  const { peer } = await publisher.greeted();
  const held = publisher.release(sampleRuleSet(4), HELD);
  await peer.bring(held);
  const before = await answersOf(subscriber);
  const status = subscriber.status();
  sink.calls.splice(0);
  const expectHeld = async (code: string): Promise<void> => {
    expect(await answersOf(subscriber)).toEqual(before);
    expect(subscriber.status()).toEqual({
      ...status,
      freshAgeMs: expect.any(Number),
      lastError: { code, text: expect.stringMatching(/\w/), atMs: status.appliedAtMs },
    });
  };
  return { publisher, subscriber, peer, held, sink, expectHeld };
}

describe('an offer is refused before anything of it is wanted, and what is in force stays:', () => {
  //
  it.each(BAD_OFFERS)('$title', async ({ code, spoil }) => {
    const { publisher, subscriber, peer, held, sink, expectHeld } = await holding({ entriesMax: 60 });
    const refused: unknown[] = [];
    subscriber.events.on('refused', (event) => refused.push(event.code));
    const bad = spoil(publisher);
    await peer.offer(bad);
    expect(await peer.receive('nack')).toEqual({
      kind: 'nack',
      hash: manifestHash(bad.bytes),
      code,
      text: expect.stringMatching(/\w/),
      // Signatures themselves are not signed: an attacker who has the channel for a moment cannot have a
      // release refused for good.
      retry: code === 'bad-signature' ? 'later' : 'never',
      keeps: held.hash,
    });
    await expectHeld(code);
    expect(refused).toEqual([code]);
    expect(sink.calls).toEqual([]);
    await peer.bring(good(publisher));
    await expectEnforces(subscriber, sampleRuleSet(5));
    expect(subscriber.status().lastError).toBeUndefined();
  });

  //
  it('a good signature makes good a manifest that came with a bad one before', async () => {
    const { publisher, peer, subscriber } = await holding();
    const release = good(publisher);
    await peer.offer({ ...release, signatures: flipped(release.signatures, 8 * 20) });
    expect(await peer.receive('nack')).toMatchObject({ code: 'bad-signature' });
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });
});

interface BadTransfer {
  readonly title: string;
  readonly code: string;
  /** The `retry` of the NACK for a snapshot, or for a chain of deltas. */
  readonly retry: 'never' | 'later';
  readonly part?: string;
  /** A release to offer, and what to send for it: a snapshot, or deltas from `held`. */
  spoil(
    publisher: ScriptedPublisher,
    held: ScriptedRelease,
  ): { readonly release: ScriptedRelease; readonly transfer: ScriptedTransfer };
}

/** A release whose manifest says something else than its content. */
function lying(
  publisher: ScriptedPublisher,
  lie: (manifest: Manifest) => Partial<Manifest>,
): ScriptedRelease {
  const { manifest, ruleSet } = good(publisher);
  return publisher.sign({ ...manifest, ...lie(manifest) }, ruleSet);
}

/** The transfer of other content than the release has. */
function ofOther(release: ScriptedRelease, ruleSet: RuleSet): ScriptedTransfer {
  return snapshotOf({ ...release, ruleSet });
}

const OTHER_COUNT = sampleRuleSet(5);
const withList = (name: string): RuleSet => ({
  ...OTHER_COUNT,
  lists: new Map([
    ...OTHER_COUNT.lists,
    [name, ruleSetOf({ lists: { x: ['192.0.2.0/24'] } }).lists.get('x')!],
  ]),
});
const withoutDefault = (): RuleSet => ({
  ...OTHER_COUNT,
  policies: new Map([...OTHER_COUNT.policies].filter(([name]) => name !== 'default')),
});

/** What the key signed, and cannot be taken. */
const BAD_CONTENT: readonly BadTransfer[] = [
  {
    title: 'a rule set with a fault: a rule that uses a list that is not there',
    code: 'bad-rule-set',
    retry: 'never',
    part: 'policy work',
    spoil: (publisher) => {
      const release = publisher.release(faultyRuleSet(), NEXT);
      return { release, transfer: snapshotOf(release) };
    },
  },
  {
    title: 'an accept in first, which would open for all qubes',
    code: 'bad-rule-set',
    retry: 'never',
    part: 'policy first',
    spoil: (publisher) => {
      const first = { egress: ['drop dst4=192.0.2.1', 'accept'] };
      const release = publisher.release(ruleSetOf({ policies: { first }, unmatched: 'drop' }), NEXT);
      return { release, transfer: snapshotOf(release) };
    },
  },
];

/** Whole streams that do not make what was signed. */
const WRONG_STREAMS: readonly BadTransfer[] = [
  {
    title: 'a digest that is not the content',
    code: 'bad-digest',
    retry: 'later',
    spoil: (publisher) => {
      const release = lying(publisher, () => ({ catalogue: new Uint8Array(32) }));
      return { release, transfer: snapshotOf(release) };
    },
  },
  {
    title: 'content of another release with as many entries',
    code: 'bad-digest',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: ofOther(release, sampleRuleSet(7)) };
    },
  },
  {
    title: 'a count that is not the content',
    code: 'bad-count',
    retry: 'later',
    spoil: (publisher) => {
      const release = lying(publisher, ({ prefixes }) => ({ prefixes: prefixes + 1 }));
      return { release, transfer: snapshotOf(release) };
    },
  },
  {
    title: 'a part too many',
    code: 'bad-rule-set',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: ofOther(release, withList('zzz')) };
    },
  },
  {
    title: 'a part too few',
    code: 'bad-rule-set',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: ofOther(release, withoutDefault()) };
    },
  },
  {
    title: 'bytes that are no delta',
    code: 'bad-delta',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: streamTransfer(encodeChain([Uint8Array.of(1, 7, 0)])) };
    },
  },
  {
    title: 'a snapshot that changes a part of what is held',
    code: 'bad-base',
    retry: 'later',
    spoil: (publisher, held) => {
      const release = good(publisher);
      const delta = encodeDelta(diffRuleSets(held.ruleSet, release.ruleSet));
      return { release, transfer: streamTransfer(encodeChain([delta])) };
    },
  },
  {
    title: 'more bytes than a transfer may have',
    code: 'over-limit',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const { begin } = snapshotOf(release);
      return { release, transfer: { begin: { ...begin, bytes: 4097 }, chunks: [] } };
    },
  },
  {
    title: 'more bytes than memory holds is announced beyond any limit',
    code: 'over-limit',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const { begin } = snapshotOf(release);
      const bytes = Number.MAX_SAFE_INTEGER;
      return { release, transfer: { begin: { ...begin, bytes }, chunks: [] } };
    },
  },
  {
    title: 'more entries in the stream than the manifest says',
    code: 'bad-count',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const { lists, ...rest } = release.ruleSet;
      const entries = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`).filter((_, i) => i % 2 === 0);
      const other = ruleSetOf({ lists: { bad: [...badEntries(5), ...entries] } });
      return { release, transfer: ofOther(release, { ...rest, lists: new Map([...lists, ...other.lists]) }) };
    },
  },
];

const BAD_STREAMS: readonly BadTransfer[] = [
  {
    title: 'a stream cut short',
    code: 'bad-transfer',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const whole = snapshotOf(release);
      return { release, transfer: { ...whole, chunks: whole.chunks.slice(0, 1) } };
    },
  },
  {
    title: 'a stream of one byte too many',
    code: 'bad-transfer',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const whole = snapshotOf(release);
      return { release, transfer: { ...whole, chunks: [...whole.chunks, Uint8Array.of(0)] } };
    },
  },
  {
    title: 'a stream with a bit flipped on the way',
    code: 'bad-canonical',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const whole = snapshotOf(release);
      const chunks = whole.chunks.map((chunk, i) => (i === 1 ? flipped(chunk, 8 * 3) : chunk));
      return { release, transfer: { ...whole, chunks } };
    },
  },
  {
    title: 'a stream that is no chain',
    code: 'bad-delta',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: streamTransfer(Uint8Array.of(9, 0, 0)) };
    },
  },
  {
    title: 'no bytes at all',
    code: 'bad-delta',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      return { release, transfer: streamTransfer(new Uint8Array(0)) };
    },
  },
  {
    title: 'deltas from a release that is not held',
    code: 'bad-digest',
    retry: 'later',
    spoil: (publisher) => {
      const release = good(publisher);
      const other = publisher.release(sampleRuleSet(3), { version: 3, epoch: 2 });
      return { release, transfer: chainOf(other, release) };
    },
  },
];

async function refusedTransfer(
  peer: Peer,
  release: ScriptedRelease,
  transfer: ScriptedTransfer,
): Promise<MessageOf<'nack'>> {
  await peer.offer(release);
  await peer.receive('want');
  await peer.transfer(transfer);
  return peer.receive('nack');
}

function files(directory: string): readonly string[] {
  return readdirSync(directory).sort();
}

const LIMITS = { entriesMax: 60, transferBytesMax: 4096 } as const;

//
describe('a transfer is refused, and what is in force stays:', () => {
  it.each([...BAD_CONTENT, ...WRONG_STREAMS, ...BAD_STREAMS])(
    '$title',
    async ({ code, retry, part, spoil }) => {
      const stateDirectory = temporaryDirectory();
      const world = await holding({ ...LIMITS, stateDirectory });
      const { publisher, subscriber, peer, held, sink, expectHeld } = world;
      const before = files(stateDirectory);
      const { release, transfer } = spoil(publisher, held);
      const nack = await refusedTransfer(peer, release, transfer);
      expect(files(stateDirectory)).toEqual(before);
      expect(nack).toMatchObject({ hash: release.hash, code, retry, keeps: held.hash });
      if (part !== undefined) expect(nack.part).toBe(part);
      await expectHeld(code);
      expect(sink.calls).toEqual([]);
      const next = publisher.release(sampleRuleSet(6), { version: 6, epoch: 2 });
      await peer.bring(next, chainOf(held, next));
      await expectEnforces(subscriber, next.ruleSet);
    },
  );

  //
  it.each(BAD_CONTENT)(
    'for good, and refused again unasked in later sessions: $title',
    async ({ code, spoil }) => {
      const { publisher, peer, held, expectHeld } = await holding(LIMITS);
      const { release, transfer } = spoil(publisher, held);
      const first = await refusedTransfer(peer, release, transfer);
      await peer.offer(release);
      expect(await peer.receive('nack')).toEqual(first);
      peer.close();
      const next = await publisher.greeted();
      expect(next.hello.refused).toEqual([release.hash]);
      expect(next.hello.holds?.hash).toEqual(held.hash);
      await next.peer.offer(release);
      expect(await next.peer.receive('nack')).toEqual(first);
      await expectHeld(code);
    },
  );

  //
  it.each([...WRONG_STREAMS, ...BAD_STREAMS])(
    'for now: the release is wanted by the next session, and taken once its own stream comes: $title',
    async ({ spoil }) => {
      const { publisher, subscriber, peer, held } = await holding(LIMITS);
      const { release, transfer } = spoil(publisher, held);
      expect(await refusedTransfer(peer, release, transfer)).toMatchObject({ retryAfterMs: 0 });
      peer.close();
      const next = await publisher.greeted();
      expect(next.hello.refused).toEqual([]);
      await next.peer.offer(release);
      expect(await next.peer.receive('want')).toMatchObject({ hash: release.hash });
      next.peer.close();
      const last = await publisher.greeted();
      const sound = good(publisher);
      await last.peer.bring(sound);
      await expectEnforces(subscriber, sound.ruleSet);
    },
  );

  //
  it('again and again: after pauses that grow, over connections too, and end when a release is applied', async () => {
    let nowMs = 0;
    const { after } = new TestClock();
    const clock = { after, monotonicMs: () => nowMs };
    const { publisher, peer } = await holding({ clock });
    const release = good(publisher);
    const spoiled = ofOther(release, sampleRuleSet(7));
    const pauses: (number | undefined)[] = [];
    let link = peer;
    for (let i = 0; i < 7; i++) {
      const nack = await refusedTransfer(link, release, spoiled);
      pauses.push(nack.retryAfterMs);
      const pauseMs = nack.retryAfterMs ?? 0;
      if (pauseMs > 0) {
        nowMs += pauseMs - 1;
        await link.offer(release);
        expect(await link.receive('nack')).toMatchObject({
          code: 'bad-transfer',
          retry: 'later',
          retryAfterMs: 1,
        });
        nowMs += 1;
      }
      link.close();
      ({ peer: link } = await publisher.greeted());
    }
    expect(pauses).toEqual([0, 1000, 4000, 16_000, 60_000, 60_000, 60_000]);
    await link.bring(release);
    const next = publisher.release(sampleRuleSet(6), { version: 6, epoch: 2 });
    expect(await refusedTransfer(link, next, spoiled)).toMatchObject({ retryAfterMs: 0 });
  });

  it('a chain where a snapshot was asked for is refused', async () => {
    const { publisher, peer, held } = await holding();
    const release = good(publisher);
    const wrong = encodeChain([encodeDelta(diffRuleSets(held.ruleSet, sampleRuleSet(7)))]);
    await refusedTransfer(peer, release, streamTransfer(wrong, held));
    const nack = await refusedTransfer(peer, release, chainOf(held, release));
    expect(nack).toMatchObject({ code: 'bad-base', retry: 'later' });
  });

  //
  it.each([
    ['far larger than base and result', {}],
    ['larger than what is taken here', { entriesMax: 60 }],
  ])(
    'a chain that leads through a release %s is no fault: its snapshot is asked for, and taken',
    async (_, options) => {
      const { publisher, subscriber, peer, held } = await holding(options);
      const release = good(publisher);
      const many = Array.from(
        { length: 70_000 },
        (_, i) => `10.${i >> 15}.${(i >> 7) & 255}.${(i & 127) * 2}`,
      );
      const large = publisher.release(ruleSetOf({ lists: { many } }), { version: 5, epoch: 2 });
      await peer.offer(release);
      await peer.receive('want');
      await peer.transfer(chainOf(held, large, release));
      expect(await peer.receive('want')).toEqual({ kind: 'want', hash: release.hash });
      await peer.transfer(snapshotOf(release));
      await peer.receive('applied');
      await expectEnforces(subscriber, release.ruleSet);
    },
  );

  it('for now, and wanted again when offered again: a stream cut short', async () => {
    const { publisher, subscriber, peer } = await holding();
    const release = good(publisher);
    const whole = snapshotOf(release);
    await refusedTransfer(peer, release, { ...whole, chunks: [] });
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });

  //
  it('a chain that leads to another release is asked for as a snapshot at once, which then serves', async () => {
    const { publisher, subscriber, peer, held, expectHeld } = await holding();
    const release = good(publisher);
    const stream = encodeChain([encodeDelta(diffRuleSets(held.ruleSet, sampleRuleSet(7)))]);
    const nack = await refusedTransfer(peer, release, streamTransfer(stream, held));
    expect(nack).toMatchObject({ code: 'bad-digest', retry: 'later', retryAfterMs: 0 });
    await expectHeld('bad-digest');
    await peer.offer(release);
    expect(await peer.receive('want')).toEqual({ kind: 'want', hash: release.hash });
    await peer.transfer(snapshotOf(release));
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('a delta that does not fit what is held is refused without a trace, then the snapshot, which is not what was signed', async () => {
    const { publisher, peer, held, expectHeld } = await holding();
    const release = lying(publisher, () => ({ prefixes: 57 }));
    const stream = encodeChain([encodeSnapshot(EMPTY_RULE_SET), Uint8Array.of(1, 7, 0)]);
    const chain = await refusedTransfer(peer, release, streamTransfer(stream, held));
    expect(chain).toMatchObject({ code: 'bad-delta', retry: 'later', retryAfterMs: 0 });
    const snapshot = await refusedTransfer(peer, release, snapshotOf(release));
    expect(snapshot).toMatchObject({ code: 'bad-count', retry: 'later', retryAfterMs: 1000 });
    await expectHeld('bad-count');
  });

  //
  it('given up by the publisher: NACK with the code of the ABORT, and the next release is taken', async () => {
    const { publisher, peer, held, subscriber } = await holding();
    const release = good(publisher);
    const whole = snapshotOf(release);
    await peer.offer(release);
    await peer.receive('want');
    await peer.send({ kind: 'begin', ...whole.begin });
    await peer.send({ kind: 'abort', code: 'superseded', text: 'a newer one is there' });
    expect(await peer.receive('nack')).toMatchObject({
      hash: release.hash,
      code: 'superseded',
      retry: 'later',
      keeps: held.hash,
    });
    await expectEnforces(subscriber, held.ruleSet);
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('before any release: nothing is kept, and the boot mode holds', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const before = await answersOf(subscriber);
    const { peer } = await publisher.greeted();
    const release = publisher.release(faultyRuleSet(), { version: 1 });
    const nack = await refusedTransfer(peer, release, snapshotOf(release));
    expect(nack.keeps).toBeUndefined();
    expect(await answersOf(subscriber)).toEqual(before);
    expect(subscriber.status()).toMatchObject({ version: undefined, lastError: { code: 'bad-rule-set' } });
  });
});

describe("the subscriber's own trouble refuses a release for now, and what is in force stays:", () => {
  async function refusedThenTaken(
    code: string,
    world: Awaited<ReturnType<typeof holding>>,
    calls: readonly string[],
    mend: () => void,
  ): Promise<void> {
    const { publisher, subscriber, peer, held, sink, expectHeld } = world;
    const release = good(publisher);
    const nack = await refusedTransfer(peer, release, chainOf(held, release));
    expect(nack).toMatchObject({ hash: release.hash, code, retry: 'later', keeps: held.hash });
    expect(nack.retryAfterMs).toBeUndefined();
    await expectHeld(code);
    expect(sink.calls).toEqual(calls);
    mend();
    await peer.bring(release, chainOf(held, release));
    await expectEnforces(subscriber, release.ruleSet);
  }

  it('the table does not take it', async () => {
    const directory = temporaryDirectory();
    const world = await holding({ stateDirectory: directory });
    const before = files(directory);
    const error = new TableLimitError(TableLimitCode.classes, 3, 'address classes');
    vi.spyOn(Table.prototype, 'prepare').mockImplementationOnce(() => {
      throw error;
    });
    await refusedThenTaken('compile-failed', world, ['prepare', 'discard'], () => {
      expect(files(directory)).toEqual(before);
    });
  });

  it('the sink cannot prepare it', async () => {
    const directory = temporaryDirectory();
    const world = await holding({ stateDirectory: directory });
    const before = files(directory);
    world.sink.onPrepare = () => Promise.reject(new Error('nft: no such chain'));
    await refusedThenTaken('sink-failed', world, ['prepare', 'discard'], () => {
      expect(files(directory)).toEqual(before);
      world.sink.onPrepare = () => undefined;
    });
  });

  it('the sink cannot commit it: discarded, and the candidate file is gone', async () => {
    const directory = temporaryDirectory();
    const world = await holding({ stateDirectory: directory });
    const before = files(directory);
    let during: readonly string[] = [];
    world.sink.onCommit = () => {
      during = files(directory);
      throw new Error('nft: busy');
    };
    const flip = vi.spyOn(Table.prototype, 'flip');
    await refusedThenTaken('sink-failed', world, ['prepare', 'commit', 'discard'], () => {
      expect(during).toHaveLength(before.length + 2); // and the draft of its mark
      expect(files(directory)).toEqual(before);
      expect(flip).not.toHaveBeenCalled();
      world.sink.onCommit = () => undefined;
    });
    expect(world.subscriber.status().persisted).toBe(true);
  });

  it('the state directory has become a file', async () => {
    const directory = join(temporaryDirectory(), 'state');
    const world = await holding({ stateDirectory: directory });
    rmSync(directory, { recursive: true });
    writeFileSync(directory, 'in the way');
    await refusedThenTaken('storage-failed', world, [], () => rmSync(directory));
  });

  it('the draft cannot be written: nothing of it is left, and nothing is prepared', async () => {
    const directory = temporaryDirectory();
    const world = await holding({ stateDirectory: directory });
    const before = files(directory);
    const inTheWay = join(
      directory,
      `${Buffer.from(good(world.publisher).hash).toString('hex')}.release.part`,
    );
    mkdirSync(inTheWay);
    await refusedThenTaken('storage-failed', world, [], () => {
      rmdirSync(inTheWay);
      expect(files(directory)).toEqual(before);
    });
  });

  it('the candidate cannot be written, and leaves no draft', async () => {
    const directory = temporaryDirectory();
    const world = await holding({ stateDirectory: directory });
    const before = files(directory);
    const inTheWay = join(directory, `${Buffer.from(good(world.publisher).hash).toString('hex')}.release`);
    mkdirSync(join(inTheWay, 'full'), { recursive: true });
    await refusedThenTaken('storage-failed', world, ['prepare', 'discard'], () => {
      rmSync(inTheWay, { recursive: true });
      expect(files(directory)).toEqual(before);
    });
  });
});

describe('a mark that takes long to write', () => {
  // Lookups were answered by a release for as long, and the status said the one before.
  it('leaves no doubt of what is in force: the status says what lookups say, and that it is not persisted', async () => {
    const stateDirectory = temporaryDirectory();
    const gate = new Gate();
    let isSlow = false;
    const disk: Disk = {
      ...NODE_DISK,
      async rename(from, to) {
        if (isSlow && to === join(stateDirectory, 'active')) await gate.pass();
        await NODE_DISK.rename(from, to);
      },
    };
    const { publisher, subscriber, peer, held } = await holding({ stateDirectory, disk });
    isSlow = true;
    const release = good(publisher);
    const applied = peer.bring(release, chainOf(held, release));
    await gate.reached;
    await expectEnforces(subscriber, release.ruleSet);
    expect(subscriber.status()).toMatchObject({ version: 5, persisted: false });
    gate.open();
    expect((await applied).persisted).toBe(true);
    expect(subscriber.status()).toMatchObject({ version: 5, persisted: true });
  });
});

describe('a mark that cannot be written', () => {
  it('leaves the release in force, not persisted; the next one is persisted as a snapshot', async () => {
    const directory = temporaryDirectory();
    const { publisher, subscriber, peer, held } = await holding({ stateDirectory: directory });
    const [five, six] = [
      good(publisher),
      publisher.release(sampleRuleSet(6), { version: 6, epoch: 2 }),
    ] as const;
    const active = join(directory, 'active');
    rmSync(active);
    mkdirSync(join(active, 'in the way'), { recursive: true });
    const unmarked = await peer.bring(five, chainOf(held, five));
    expect(unmarked.persisted).toBe(false);
    await expectEnforces(subscriber, five.ruleSet);
    expect(subscriber.status()).toMatchObject({ version: 5, persisted: false, lastError: undefined });
    rmSync(active, { recursive: true });
    const marked = await peer.bring(six, chainOf(five, six));
    expect(marked.persisted).toBe(true);
    expect(readdirSync(directory).sort()).toEqual(
      [`${Buffer.from(six.hash).toString('hex')}.release`, 'active', 'clock', 'copy', 'roots'].sort(),
    );
    const again = await startedSubscriber(publisher, { stateDirectory: directory });
    await expectEnforces(again, six.ruleSet);
  });
});
