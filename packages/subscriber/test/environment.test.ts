/** What the firewall itself adds: time and DNS addresses. A change makes a generation, never a version. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Subscriber } from '../src/subscriber.ts';
import { addressOf, DNS, expectEnforces, NOW, packetOf, ruleSetOf, sampleRuleSet } from './sample.ts';
import { chainOf, ScriptedPublisher } from './scripted-publisher.ts';
import { Gate, nobody, RecordingSink, startedSubscriber, temporaryDirectory } from './started.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  vi.setSystemTime(NOW * 1000);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const PACKET = packetOf('egress', '10.137.0.5', '192.0.2.1');
const EXPIRING = ruleSetOf({
  policies: {
    work: {
      prefixes: ['10.137.0.0/24'],
      egress: [
        `accept proto=tcp dstports=443 expire=${NOW + 60}`,
        `accept proto=tcp dstports=22 expire=${NOW + 90}`,
      ],
      ingress: [`accept proto=tcp dstports=22 expire=${NOW + 3600}`],
    },
  },
});

function generationOf(subscriber: Subscriber): number {
  return subscriber.lookup(PACKET).generation;
}

describe('a rule with expire', () => {
  it('falls out when the clock reaches it: a new generation, the same version; each in its turn', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now, sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    const generation = generationOf(subscriber);

    await vi.advanceTimersByTimeAsync(59_999);
    expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'accept', generation });
    await vi.advanceTimersByTimeAsync(1);
    expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'drop', generation: generation + 1 });
    expectEnforces(subscriber, EXPIRING, { now: NOW + 60, dns: [DNS] });
    await vi.advanceTimersByTimeAsync(30_000);
    expectEnforces(subscriber, EXPIRING, { now: NOW + 90, dns: [DNS] });
    expect(generationOf(subscriber)).toBe(generation + 2);
    expect(subscriber.status()).toMatchObject({ version: 1, lastError: undefined });
    expect(sink.prepared.map(({ environment }) => environment.now)).toEqual([NOW, NOW + 60, NOW + 90]);

    await vi.advanceTimersByTimeAsync(3_600_000);
    expectEnforces(subscriber, EXPIRING, { now: NOW + 3690, dns: [DNS] });
    const last = generationOf(subscriber);
    await vi.advanceTimersByTimeAsync(36_000_000);
    expect(generationOf(subscriber)).toBe(last);
  });

  it('of a release that is superseded makes no generation any more', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    await peer.bring(publisher.release(sampleRuleSet(2), { version: 2 }));
    const generation = generationOf(subscriber);
    await vi.advanceTimersByTimeAsync(7_200_000);
    expect(generationOf(subscriber)).toBe(generation);
  });

  // A rule whose time came between compiling and the flip was in force until the next release.
  it('that expires while its release is being applied falls out right after', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const gate = new Gate();
    sink.onCommit = () => gate.pass();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now, sink });
    const { peer } = await publisher.greeted();
    const applied = peer.bring(publisher.release(EXPIRING, { version: 1 }));
    await gate.reached;
    vi.setSystemTime((NOW + 61) * 1000);
    gate.open();
    await applied;
    await vi.advanceTimersByTimeAsync(0);
    expectEnforces(subscriber, EXPIRING, { now: NOW + 61, dns: [DNS] });
  });

  it('that the sink would not let go is tried again, and the table stays with the sink meanwhile', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now, sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    sink.onCommit = () => Promise.reject(new Error('busy'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(subscriber.lookup(PACKET).action).toBe('accept');
    expect(sink.calls.slice(-3)).toEqual(['prepare', 'commit', 'discard']);
    sink.onCommit = () => undefined;
    await vi.advanceTimersByTimeAsync(1000);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });

  it('further away than a timer reaches falls out in time', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    const first = await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    const days40Ms = 40 * 86_400_000;
    const egress = [`accept proto=tcp dstports=443 expire=${NOW + days40Ms / 1000}`];
    const ruleSet = ruleSetOf({ policies: { work: { prefixes: ['10.137.0.0/24'], egress } } });
    await peer.bring(publisher.release(ruleSet, { version: 1 }));
    await first.close();
    // Without a session there are no other timers to run through for 40 days.
    const subscriber = await startedSubscriber(publisher, {
      stateDirectory,
      channel: nobody,
      nowMs: Date.now,
    });
    await vi.advanceTimersByTimeAsync(days40Ms - 1);
    expect(subscriber.lookup(PACKET).action).toBe('accept');
    await vi.advanceTimersByTimeAsync(1);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });
});

describe('setDns', () => {
  const OTHER = addressOf('10.139.1.2');
  const V6 = addressOf('fd00::53');

  it('changes what specialtarget=dns means: a new generation, the same version', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    const generation = generationOf(subscriber);
    const ask = packetOf('egress', '10.137.0.5', '10.139.1.2', 17, 53);
    expect(subscriber.lookup(ask).action).toBe('drop');
    await subscriber.setDns([OTHER, V6]);
    expect(subscriber.lookup(ask)).toMatchObject({ action: 'accept', generation: generation + 1 });
    expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [OTHER, V6] });
    expect(subscriber.status().version).toBe(1);
    await subscriber.setDns([]);
    expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [] });
  });

  it('before the first release holds for the first release', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    await subscriber.setDns([OTHER]);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [OTHER] });
  });

  it('that the sink refuses rejects, and sink and table stay as they were', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    sink.onPrepare = () => Promise.reject(new Error('busy'));
    await expect(subscriber.setDns([OTHER])).rejects.toMatchObject({ code: 'sink-failed' });
    expectEnforces(subscriber, sampleRuleSet(1));
  });

  // Compiling for the new addresses took the place of the release that was prepared, and its flip failed after the sink's commit.
  it('while a release is being applied waits for it: both come into force, and the sink sees one after the other', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { sink });
    const { peer } = await publisher.greeted();
    const one = publisher.release(sampleRuleSet(1), { version: 1 });
    const two = publisher.release(sampleRuleSet(2), { version: 2 });
    await peer.bring(one);
    const gate = new Gate();
    sink.onCommit = () => gate.pass();
    const applied = peer.bring(two, chainOf(one, two));
    await gate.reached;
    const changed = subscriber.setDns([OTHER]);
    expectEnforces(subscriber, one.ruleSet);
    gate.open();
    await applied;
    await changed;
    expectEnforces(subscriber, two.ruleSet, { now: NOW, dns: [OTHER] });
    expect(sink.calls).toEqual(['prepare', 'commit', 'prepare', 'commit', 'prepare', 'commit']);
    expect(subscriber.status()).toMatchObject({ version: 2, lastError: undefined });
  });
});
