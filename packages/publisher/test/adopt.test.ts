/**
 * A publisher that lost its store takes the newest release back from a subscriber: whose it is, what it is
 * worth, and what befalls it on the way.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  Capability,
  CHUNK_BYTES,
  ErrorCode,
  encodeChain,
  encodeManifest,
  encodeSnapshot,
  hexOf,
  joinSigned,
  type MessageOf,
  manifestFor,
  manifestHash,
  ProtocolError,
  signBytes,
  VERSION_1_CAPABILITIES,
} from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import { SYSTEM_CLOCK } from '@rulecast/sources';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { Adoption } from '../src/control/adoption.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import { WORK_IN_PLACE } from '../src/release/worker.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/session/serve.ts';
import type { Release } from '../src/store/store.ts';
import { degraded, freshPublisher, pushOf, release, startedLongAgo } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

const CAPABLE = [...VERSION_1_CAPABILITIES, Capability.content];
let count = 0;

/** What a publisher released, and that publisher without its store. */
class Lost {
  readonly publisher: Publisher;
  readonly released: readonly Release[];
  readonly stateDirectory: string;
  readonly audited: ReleaseAudit[] = [];
  readonly subscribers: Endpoint;
  readonly #control: Endpoint;

  private constructor(
    stateDirectory: string,
    released: readonly Release[],
    options: Partial<PublisherOptions>,
  ) {
    this.stateDirectory = stateDirectory;
    this.released = released;
    const audit = (entry: ReleaseAudit): void => void this.audited.push(entry);
    const workHost = WORK_IN_PLACE;
    const clock = startedLongAgo();
    this.publisher = freshPublisher({ stateDirectory, adopt: true, audit, workHost, clock, ...options });
    const id = ++count;
    this.subscribers = parseEndpoint(`memory:adopt-s${id}`);
    this.#control = parseEndpoint(`memory:adopt-c${id}`);
  }

  static async of(
    pushes: readonly Readonly<Record<string, string>>[],
    options: Partial<PublisherOptions> = {},
  ): Promise<Lost> {
    const stateDirectory = temporaryDirectory();
    const before = freshPublisher({ stateDirectory });
    const released: Release[] = [];
    for (const push of pushes) released.push(await release(before, push));
    await before.close();
    rmSync(join(stateDirectory, 'store'), { recursive: true });
    const house = new Lost(stateDirectory, released, options);
    const sessions = await serveSubscribers(house.publisher, [house.subscribers]);
    onTestFinished(() => sessions.close());
    const { askContent } = sessions;
    const control = await serveControl(house.publisher, [house.#control], sessions.ask, { askContent });
    onTestFinished(() => control.close());
    return house;
  }

  async adopt(adopt: Partial<MessageOf<'adopt'>> = {}): Promise<Answer> {
    const rulectl = await ScriptedRulectl.connect(this.#control);
    await rulectl.send({ kind: 'adopt', subscriber: undefined, dryRun: false, ...adopt });
    return rulectl.answer();
  }

  /** A subscriber that has a release, and proved it. */
  async holder(
    name: string,
    { hash, manifest, manifestBytes, signatures }: Release,
    capabilities: readonly string[] = CAPABLE,
  ): Promise<ScriptedSubscriber> {
    const { epoch, version } = manifest;
    const holds = { hash, epoch, version };
    const subscriber = await ScriptedSubscriber.greet(this.subscribers, name, {
      holds,
      capabilities: [...capabilities],
    });
    await subscriber.next('prove');
    await subscriber.send({ kind: 'proof', signatures, content: manifestBytes });
    return subscriber;
  }
}

function contentOf({ signatures, manifestBytes, ruleSet }: Release): Uint8Array {
  const signed = joinSigned({ signatures, content: manifestBytes });
  return Buffer.concat([signed, encodeChain([encodeSnapshot(ruleSet)])]);
}

/** Answers what it is asked, with these bytes, until the connection ends, or so many times. */
async function gives(
  subscriber: ScriptedSubscriber,
  { hash }: Pick<Release, 'hash'>,
  content: Uint8Array,
  times = Number.POSITIVE_INFINITY,
): Promise<void> {
  for (let i = 0; i < times; ) {
    const received = await subscriber.connection.receive();
    if (received === undefined) return;
    const { message, transaction } = received;
    if (message.kind === 'ping') await subscriber.pong();
    if (message.kind !== 'query') continue;
    i += 1;
    if (message.piece === undefined)
      await subscriber.send({ kind: 'answer', ok: true, hash, bytes: content.length }, transaction);
    else {
      const { from } = message.piece;
      const bytes = content.subarray(from, from + CHUNK_BYTES);
      await subscriber.send({ kind: 'chunk', bytes }, transaction);
    }
  }
}

async function proofs(house: Lost, behind: { epoch: number; version: number }): Promise<void> {
  await expect.poll(() => house.publisher.behind).toEqual(behind);
}

const TWO = [{ 'drop.txt': '192.0.2.1\n' }, { 'drop.txt': '192.0.2.1\n198.51.100.0/24\n' }];
const newestOf = (house: Lost): Release => house.released.at(-1) ?? expect.fail('nothing was released');

describe('a publisher that lost its store', () => {
  it('releases and offers nothing, whoever asks, until it is told what to do', async () => {
    const house = await Lost.of(TWO, { autoEpoch: true });
    const { publisher } = house;
    const push = (asNewEpoch: boolean) => publisher.push(pushOf(TWO[0] ?? {}), { asNewEpoch });
    await expect(push(false)).rejects.toMatchObject({ code: 'publisher-behind' });
    await expect(push(true)).rejects.toMatchObject({ code: 'publisher-behind' });
    expect(degraded(publisher)).toEqual([expect.stringContaining('rulectl adopt')]);
    const empty = await ScriptedSubscriber.greet(house.subscribers, 'empty', { nonce: new Uint8Array(16) });
    expect(await empty.isQuiet()).toBe(true); // nor does it say that nothing is the newest
    await house.holder('fw', newestOf(house));
    await proofs(house, { epoch: 1, version: 2 });
    await expect(push(true)).rejects.toMatchObject({ code: 'publisher-behind' });
  });

  it('has the newest release back, and goes on from it: others get it, who has it nothing', async () => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    const fw = await house.holder('fw', newest);
    await proofs(house, { epoch: 1, version: 2 });
    const giving = gives(fw, newest, contentOf(newest), 2);
    const answer = await house.adopt();
    await giving;
    expect(answer.end).toMatchObject({
      kind: 'done',
      code: 'released',
      text: 'took release 1/2 back from fw',
    });
    expect(recordsOf(answer, 'release')).toMatchObject([
      { epoch: 1, version: 2, hash: hexOf(newest.hash), entries: 2, dryRun: false },
    ]);
    expect(recordsOf(answer, 'change')).toMatchObject([{ op: 'add', name: 'drop', added: 2 }]);
    const { publisher } = house;
    expect(publisher.head).toMatchObject({ hash: newest.hash, signatures: newest.signatures });
    expect([publisher.behind, publisher.isLost, degraded(publisher)]).toEqual([undefined, false, []]);
    expect([...publisher.store.pastReleases()].map(({ notes }) => notes)).toMatchObject([
      { cause: 'adopt', detail: 'from fw', by: '(owner)', added: 2 },
    ]);
    expect(house.audited).toMatchObject([{ cause: 'adopt', by: '(owner)', epoch: 1, version: 2 }]);
    expect(await fw.isQuiet()).toBe(true);
    const other = await ScriptedSubscriber.greet(house.subscribers, 'other');
    const offer = await other.offer();
    expect(offer.hash).toEqual(newest.hash);
    await other.want(offer, undefined);
    expect((await other.receiveTransfer(offer)).ruleSet.lists.size).toBe(1);
    const next = await release(publisher, { 'drop.txt': '192.0.2.9\n' });
    expect(next.manifest).toMatchObject({ epoch: 1, version: 3, previousVersion: 2 });
    expect((await fw.offer()).hash).toEqual(next.hash);
    // It is all there over a restart, without what was proved before.
    await publisher.close();
    const again = freshPublisher({ stateDirectory: house.stateDirectory });
    expect(again.head?.hash).toEqual(next.hash);
    expect([again.behind, again.isLost]).toEqual([undefined, false]);
    expect((await again.history.ruleSetOf(2)).lists.size).toBe(1);
    await again.close();
    expect(() => freshPublisher({ stateDirectory: house.stateDirectory, adopt: true })).toThrow(
      /without --adopt/,
    );
  });

  it('waits over a restart, and is given up by one with startOver', async () => {
    const { publisher, stateDirectory } = await Lost.of(TWO);
    await publisher.close();
    const again = freshPublisher({ stateDirectory });
    expect(again.isLost).toBe(true);
    await again.close();
    const over = freshPublisher({ stateDirectory, startOver: true });
    expect((await release(over, TWO[0] ?? {})).manifest).toMatchObject({ epoch: 17, version: 1 });
  });

  it('takes one back as well after it was started over, as long as nothing was released', async () => {
    const house = await Lost.of(TWO, { adopt: false, startOver: true });
    const newest = newestOf(house);
    void gives(await house.holder('fw', newest), newest, contentOf(newest));
    await house.publisher.idle();
    expect((await house.adopt()).end).toMatchObject({ kind: 'done' });
    expect((await release(house.publisher, { 'x.txt': '192.0.2.3\n' })).manifest).toMatchObject({
      epoch: 1,
      version: 3,
    });
  });

  it('receives and verifies in a dry run, and keeps nothing', async () => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    void gives(await house.holder('fw', newest), newest, contentOf(newest));
    const answer = await house.adopt({ dryRun: true });
    expect(answer.end).toMatchObject({ kind: 'done', code: 'planned' });
    expect(recordsOf(answer, 'release')).toMatchObject([{ version: 2, dryRun: true }]);
    expect([house.publisher.isLost, house.audited]).toEqual([true, []]);
  });

  it('takes a large one in pieces, and says how far it is', async () => {
    const addresses = Array.from(
      { length: 30_000 },
      (_, i) => `10.${(i * 7919) % 251}.${i % 241}.${i % 239}\n`,
    );
    const house = await Lost.of([{ 'drop.txt': addresses.join('') }], {
      workHost: undefined, // a thread
    });
    const newest = newestOf(house);
    const content = contentOf(newest);
    void gives(await house.holder('fw', newest), newest, content);
    const answer = await house.adopt();
    expect(answer.end).toMatchObject({ kind: 'done' });
    expect(recordsOf(answer, 'progress').at(-1)).toEqual({
      record: 'progress',
      stage: 'receiving',
      done: content.length,
      total: content.length,
    });
  });
});

/** What is said of subscribers. */
function told(answer: Answer) {
  return recordsOf(answer, 'warning').filter(({ part }) => part.startsWith('subscriber '));
}

describe('whose release it is', () => {
  it('is of whoever has the newest, and who has an older one is named', async () => {
    const house = await Lost.of(TWO);
    const [older, newest] = [house.released[0] ?? expect.fail(), newestOf(house)];
    await house.holder('behind', older);
    void gives(await house.holder('fw', newest), newest, contentOf(newest));
    await proofs(house, { epoch: 1, version: 2 });
    const answer = await house.adopt();
    expect(answer.end).toMatchObject({ kind: 'done', text: 'took release 1/2 back from fw' });
    expect(told(answer)).toMatchObject([
      { code: 'not-asked', part: 'subscriber behind', reason: expect.stringContaining('1/1') },
    ]);
  });

  // Right after a start nobody is connected, and who has the newest may be the last to come.
  it('is told once those who are expected are back, if they come within some seconds of the start', async () => {
    const house = await Lost.of(TWO, { clock: SYSTEM_CLOCK });
    const [older, newest] = [house.released[0] ?? expect.fail(), newestOf(house)];
    house.publisher.subscribers.expect(['fw', 'other']);
    await house.holder('other', older);
    const adopting = house.adopt();
    void gives(await house.holder('fw', newest), newest, contentOf(newest));
    expect((await adopting).end).toMatchObject({ kind: 'done', text: 'took release 1/2 back from fw' });
  });

  it('is of the next that has it where one goes away', async () => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    const gone = await house.holder('a', newest);
    void gives(await house.holder('b', newest), newest, contentOf(newest));
    await proofs(house, { epoch: 1, version: 2 });
    const asked = gone.next('query').then(() => gone.channel.close());
    const answer = await house.adopt();
    await asked;
    expect(answer.end).toMatchObject({ kind: 'done', text: 'took release 1/2 back from b' });
    expect(told(answer)).toMatchObject([{ code: 'disconnected', part: 'subscriber a' }]);
  });

  it('is nobody’s where none is connected, and of no one who proved nothing', async () => {
    const house = await Lost.of(TWO);
    expect((await house.adopt()).end).toMatchObject({ kind: 'fail', code: 'no-such-subscriber' });
    const liar = await ScriptedSubscriber.greet(house.subscribers, 'liar', {
      holds: { hash: new Uint8Array(32).fill(1), epoch: 9, version: 9 },
      capabilities: CAPABLE,
    });
    await liar.next('prove');
    await liar.send({ kind: 'proof', signatures: Uint8Array.of(0), content: newestOf(house).manifestBytes });
    await liar.isQuiet();
    expect((await house.adopt()).end).toMatchObject({ kind: 'fail', code: 'no-such-subscriber' });
    expect((await house.adopt({ subscriber: 'fw' })).end).toMatchObject({ code: 'no-such-subscriber' });
  });

  it('is to be said where a newer one was proved by who is gone, which leaves the publisher behind', async () => {
    const house = await Lost.of(TWO);
    const [older, newest] = [house.released[0] ?? expect.fail(), newestOf(house)];
    const gone = await house.holder('gone', newest);
    await proofs(house, { epoch: 1, version: 2 });
    gone.channel.close();
    await expect.poll(() => house.publisher.subscribers.connected()).toEqual([]);
    void gives(await house.holder('fw', older), older, contentOf(older));
    await expect.poll(() => house.publisher.subscribers.holding().length).toBe(1);
    expect((await house.adopt()).end).toMatchObject({
      kind: 'fail',
      code: 'publisher-behind',
      text: expect.stringContaining('--from fw'),
    });
    expect((await house.adopt({ subscriber: 'fw' })).end).toMatchObject({
      kind: 'done',
      text: expect.stringContaining('1/2 was released as well'),
    });
    const { publisher } = house;
    expect([publisher.head?.manifest.version, publisher.behind]).toEqual([1, { epoch: 1, version: 2 }]);
    await expect(publisher.push(pushOf({ 'x.txt': '192.0.2.5\n' }))).rejects.toMatchObject({
      code: 'publisher-behind',
    });
    const next = await release(publisher, { 'x.txt': '192.0.2.5\n' }, {}, { asNewEpoch: true });
    expect(next.manifest).toMatchObject({ epoch: 2, version: 2 });
  });

  // What was signed last may be in force where nobody looks, though all who are connected have an older one.
  it('is behind what the signer knows that it signed, and a signer that forgot is told', async () => {
    const used = { epoch: 1, version: 5, previousVersion: 4 };
    const asked: Uint8Array[] = [];
    const sign = async (bytes: Uint8Array) => {
      asked.push(bytes);
      return { kind: 'used', last: used } as const;
    };
    const house = await Lost.of(TWO, { signer: { sign } });
    const newest = newestOf(house);
    void gives(await house.holder('fw', newest), newest, contentOf(newest));
    expect((await house.adopt()).end).toMatchObject({
      kind: 'done',
      text: expect.stringContaining('1/5 was released as well'),
    });
    expect(house.publisher.behind).toMatchObject({ epoch: 1, version: 5 });
    expect(asked).toEqual([newest.manifestBytes]);
  });

  it('is to be said of two of one number, and the other is a fork from then on', async () => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    const forked = resigned(house, newest, house.released[0]?.ruleSet ?? expect.fail());
    void gives(await house.holder('a', newest), newest, contentOf(newest));
    await house.holder('b', forked);
    await expect.poll(() => house.publisher.subscribers.holding().length).toBe(2);
    expect((await house.adopt()).end).toMatchObject({ kind: 'fail', code: 'forked' });
    expect((await house.adopt({ subscriber: 'a' })).end).toMatchObject({ kind: 'done' });
    expect(house.publisher.fork).toMatchObject({
      version: 2,
      own: hexOf(newest.hash),
      other: hexOf(forked.hash),
    });
  });
});

describe('a subscriber that is slow', () => {
  const HASH = new Uint8Array(32).fill(7);
  const CONTENT = new Uint8Array(3 * CHUNK_BYTES).fill(9);

  /** Asked by a clock that goes on while somebody waits. */
  function slow(
    answer: (piece: { readonly from: number } | undefined, nowMs: number) => Uint8Array | ErrorCode,
  ) {
    let nowMs = 0;
    let asked = 0;
    const clock = {
      monotonicMs: () => nowMs,
      after: (ms: number, work: () => void) => {
        nowMs += ms;
        queueMicrotask(work);
        return () => undefined;
      },
    };
    const adoption = new Adoption(async (_, piece) => {
      asked += 1;
      nowMs += 5000;
      const bytes = answer(piece, nowMs);
      if (typeof bytes === 'string') throw new ProtocolError(bytes, 'not now');
      if (piece !== undefined) return { kind: 'chunk', bytes };
      return { kind: 'answer', ok: true, hash: HASH, bytes: CONTENT.length };
    }, clock);
    const taking = adoption.take({
      subscriber: 'fw',
      check: () => expect.fail('nothing is judged'),
      onProgress: async () => undefined,
    });
    return { taking, at: () => ({ nowMs, asked }) };
  }

  it('has a minute to make it, and is asked again meanwhile', async () => {
    const { taking, at } = slow((_, nowMs) => (nowMs < 40_000 ? ErrorCode.timeout : CONTENT.subarray(0, 1)));
    await expect(taking).rejects.toMatchObject({ code: 'bad-transfer' }); // it came to the first piece
    expect(at().asked).toBe(8);
  });

  it.each([ErrorCode.timeout, ErrorCode.rateLimited])('and says %s for ever is left', async (code) => {
    const { taking, at } = slow(() => code);
    await expect(taking).rejects.toMatchObject({ code: 'timeout', message: expect.stringContaining('60 s') });
    expect(at().nowMs).toBeLessThanOrEqual(66_000);
  });

  it('has less time for a piece', async () => {
    const { taking, at } = slow((piece) => (piece === undefined ? CONTENT : ErrorCode.timeout));
    await expect(taking).rejects.toMatchObject({ code: 'timeout', message: expect.stringContaining('15 s') });
    expect(at().nowMs).toBeLessThanOrEqual(26_000);
  });

  it('is not asked by two at once', async () => {
    const adoption = new Adoption(() => expect.fail('nobody is asked'), SYSTEM_CLOCK);
    let finish: () => void = () => undefined;
    const first = adoption.alone(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    await expect(adoption.alone(async () => 1)).rejects.toMatchObject({ code: 'rate-limited' });
    finish();
    await first;
    expect(await adoption.alone(async () => 1)).toBe(1);
  });
});

/** Another release of that number and these keys. */
function resigned({ publisher }: Lost, { manifest }: Release, ruleSet: RuleSet): Release {
  const { identity } = publisher;
  const place = { ...manifest, lineage: identity.lineage };
  const other = manifestFor(ruleSet, place);
  const manifestBytes = encodeManifest(other);
  const signatures = signBytes(manifestBytes, ...identity.releaseKeys);
  return { ruleSet, manifest: other, manifestBytes, signatures, hash: manifestHash(manifestBytes) };
}

describe('what a subscriber gives', () => {
  const spoilt = (content: Uint8Array, at: number): Uint8Array => {
    const bytes = Uint8Array.from(content);
    bytes[bytes.length + at] = (bytes.at(at) ?? 0) ^ 1;
    return bytes;
  };

  it.each<[string, string, (content: Uint8Array) => Uint8Array]>([
    ['with a wrong bit in its signature', 'bad-signature', (content) => spoilt(content, 30 - content.length)],
    ['with a wrong bit in its manifest', 'bad-signature', (content) => spoilt(content, 120 - content.length)],
    ['with a wrong bit in its stream', 'bad-', (content) => spoilt(content, -3)],
    ['without a stream', 'bad-', (content) => content.subarray(0, 177)],
    ['that is less than a signed manifest', 'bad-transfer', (content) => content.subarray(0, 100)],
    [
      'with no signature at all',
      'bad-signature',
      (content) => Buffer.concat([Uint8Array.of(0), content.subarray(73)]),
    ],
    ['with signatures that are none', 'bad-message', () => new Uint8Array(5000).fill(2)],
    [
      'with more than its release can take',
      'over-budget',
      (content) => Buffer.concat([content, new Uint8Array(200_000)]),
    ],
  ])('%s is refused, and nothing is kept', async (_, code, spoil) => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    void gives(await house.holder('fw', newest), newest, spoil(contentOf(newest)));
    await proofs(house, { epoch: 1, version: 2 });
    const { end } = await house.adopt();
    expect(end).toMatchObject({ kind: 'fail', code: expect.stringMatching(`^${code}`) });
    expect([house.publisher.isLost, house.publisher.head]).toEqual([true, undefined]);
  });

  it('is refused where it is not what it proved, or longer than any release', async () => {
    const house = await Lost.of(TWO);
    const [older, newest] = [house.released[0] ?? expect.fail(), newestOf(house)];
    const fw = await house.holder('fw', newest);
    void gives(fw, newest, contentOf(older));
    await proofs(house, { epoch: 1, version: 2 });
    expect((await house.adopt()).end).toMatchObject({ kind: 'fail', code: 'bad-transfer' });
    const long = await house.holder('long', newest);
    void long.nextWithTransaction('query').then(({ transaction }) => {
      const bytes = Number.MAX_SAFE_INTEGER;
      return long.send({ kind: 'answer', ok: true, hash: newest.hash, bytes }, transaction);
    });
    expect((await house.adopt({ subscriber: 'long' })).end).toMatchObject({ code: 'over-limit' });
  });

  it('is not asked for where it does not know how, nor cut into pieces of its own', async () => {
    const house = await Lost.of(TWO);
    const newest = newestOf(house);
    const old = await house.holder('old', newest, VERSION_1_CAPABILITIES);
    await proofs(house, { epoch: 1, version: 2 });
    expect((await house.adopt()).end).toMatchObject({
      kind: 'fail',
      code: 'unsupported',
      text: expect.stringContaining('old'),
    });
    expect(await old.isQuiet()).toBe(true);
    const mean = await house.holder('mean', newest);
    void (async () => {
      const first = await mean.nextWithTransaction('query');
      await mean.send({ kind: 'answer', ok: true, hash: newest.hash, bytes: 5000 }, first.transaction);
      const { transaction } = await mean.nextWithTransaction('query');
      await mean.send({ kind: 'chunk', bytes: contentOf(newest).subarray(0, 1) }, transaction);
    })();
    expect((await house.adopt({ subscriber: 'mean' })).end).toMatchObject({ code: 'bad-transfer' });
  });

  it('is taken once: where there are releases nothing is asked for', async () => {
    const house = await Lost.of(TWO, { adopt: false, startOver: true });
    await release(house.publisher, { 'new.txt': '192.0.2.7\n' });
    await house.holder('fw', newestOf(house)).catch(() => undefined); // it has to prove nothing
    expect((await house.adopt()).end).toMatchObject({ kind: 'fail', code: 'not-lost' });
  });
});
