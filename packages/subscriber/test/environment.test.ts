/** What the firewall itself adds: time and DNS addresses. A change makes a generation, never a version. */

import { setImmediate as turn } from 'node:timers/promises';
import type { RuleSet } from '@rulecast/rules';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { SubscriberOptions } from '../src/peer/options.ts';
import type { Subscriber } from '../src/peer/subscriber.ts';
import { addressOf, DNS, expectEnforces, NOW, packetOf, ruleSetOf, sampleRuleSet } from './sample.ts';
import { chainOf, ScriptedPublisher } from './scripted-publisher.ts';
import { Gate, nobody, RecordingSink, startedSubscriber } from './started.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
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

/** Lets time pass, and what it began come to its end. */
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  for (let turns = 0; turns < 20; turns++) await turn();
}

describe('a rule with expire', () => {
  it('falls out when the clock reaches it: a new generation, the same version; each in its turn', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now, sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    const generation = generationOf(subscriber);

    await pass(59_999);
    expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'accept', generation });
    await pass(1);
    expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'drop', generation: generation + 1 });
    await expectEnforces(subscriber, EXPIRING, { now: NOW + 60, dns: [DNS] });
    await pass(30_000);
    await expectEnforces(subscriber, EXPIRING, { now: NOW + 90, dns: [DNS] });
    expect(generationOf(subscriber)).toBe(generation + 2);
    // The publisher of this test says nothing for longer than a session lasts.
    expect(subscriber.status()).toMatchObject({ version: 1, lastError: { code: 'timeout' } });
    expect(sink.prepared.map(({ environment }) => environment.now)).toEqual([NOW, NOW + 60, NOW + 90]);

    await pass(3_600_000);
    await expectEnforces(subscriber, EXPIRING, { now: NOW + 3690, dns: [DNS] });
    const last = generationOf(subscriber);
    await pass(36_000_000);
    expect(generationOf(subscriber)).toBe(last);
  });

  it('of a release that is superseded makes no generation any more', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    await peer.bring(publisher.release(sampleRuleSet(2), { version: 2 }));
    const generation = generationOf(subscriber);
    await pass(7_200_000);
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
    await pass(0);
    await expectEnforces(subscriber, EXPIRING, { now: NOW + 61, dns: [DNS] });
  });

  it('that the sink would not let go is tried again, and the table stays with the sink meanwhile', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { nowMs: Date.now, sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(EXPIRING, { version: 1 }));
    sink.onCommit = () => Promise.reject(new Error('busy'));
    await pass(60_000);
    expect(subscriber.lookup(PACKET).action).toBe('accept');
    expect(sink.calls.slice(-3)).toEqual(['prepare', 'commit', 'discard']);
    sink.onCommit = () => undefined;
    await pass(1000);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });
});

/** A machine whose clocks a test moves one by one; timers run by neither. */
class Machine {
  wallMs = NOW * 1000;
  sinceBootMs = 500_000;
  bootId = 'first';

  options(): Pick<SubscriberOptions, 'nowMs' | 'boot'> {
    return { nowMs: () => this.wallMs, boot: { bootMs: () => this.sinceBootMs, bootId: this.bootId } };
  }

  pass(seconds: number): void {
    this.wallMs += seconds * 1000;
    this.sinceBootMs += seconds * 1000;
  }

  set(seconds: number): void {
    this.wallMs += seconds * 1000;
  }
}

/** Time for one look at the clocks, and no more: they stand still meanwhile. */
async function look(): Promise<void> {
  await vi.advanceTimersByTimeAsync(5000);
}

//
describe('a rule with expire, by two clocks,', () => {
  const ENDING = { accept: ruleSetEnding('accept'), drop: ruleSetEnding('drop') };

  function ruleSetEnding(action: 'accept' | 'drop'): RuleSet {
    const egress = [`${action} expire=${NOW + 60}`, action === 'accept' ? 'drop' : 'accept'];
    return ruleSetOf({ policies: { work: { prefixes: ['10.137.0.0/24'], egress } } });
  }

  async function enforcing(machine: Machine, action: 'accept' | 'drop'): Promise<Subscriber> {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, machine.options());
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(ENDING[action], { version: 1 }));
    return subscriber;
  }

  // No timer runs through suspend, so that an accept rule lived on for as long as the machine had slept.
  it.each(['accept', 'drop'] as const)('that is %s ends within a look after suspend', async (action) => {
    const machine = new Machine();
    const subscriber = await enforcing(machine, action);
    expect(subscriber.lookup(PACKET).action).toBe(action);
    machine.pass(3600);
    await look();
    expect(subscriber.lookup(PACKET).action).not.toBe(action);
  });

  // A clock that was set back kept an accept rule in force for as long again.
  it('that is accept ends by the time since boot where the wall clock was set back', async () => {
    const machine = new Machine();
    const subscriber = await enforcing(machine, 'accept');
    machine.set(-86_400);
    machine.pass(59);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('accept');
    machine.pass(1);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });

  it('that is accept ends by a wall clock that was set forward, and does not come back when that is set back', async () => {
    const machine = new Machine();
    const subscriber = await enforcing(machine, 'accept');
    machine.set(3600);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    machine.set(-3600);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    await subscriber.setDns([]);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });

  it('that was set far forward and back leaves later rules what they are', async () => {
    const machine = new Machine();
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, machine.options());
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(ENDING.accept, { version: 1 }));
    machine.set(10 * 365 * 86_400);
    await look();
    machine.set(-10 * 365 * 86_400);
    const egress = [`accept expire=${NOW + 61}`];
    const later = ruleSetOf({ policies: { work: { prefixes: ['10.137.0.0/24'], egress } } });
    await peer.bring(publisher.release(later, { version: 2 }));
    expect(subscriber.lookup(PACKET).action).toBe('accept');
  });

  // A clock that was set forward ended a block at once.
  it('that is drop ends only when both clocks say so, and comes back with a clock that is set back', async () => {
    const machine = new Machine();
    const subscriber = await enforcing(machine, 'drop');
    machine.set(3600);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    machine.pass(60);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('accept');
    machine.set(-7200);
    await look();
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });

  it('ends once by clocks that were wrong at boot and are set right: accept at once, drop by the time since boot', async () => {
    const [atAccept, atDrop] = [new Machine(), new Machine()];
    const accept = await enforcing(atAccept, 'accept');
    const drop = await enforcing(atDrop, 'drop');
    for (const machine of [atAccept, atDrop]) machine.set(120);
    await look();
    expect([accept.lookup(PACKET).action, drop.lookup(PACKET).action]).toEqual(['drop', 'drop']);
  });

  it('is not taken for earlier than its release was made, by a clock without a battery', async () => {
    const machine = new Machine();
    machine.wallMs = 0;
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, machine.options());
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(ENDING.accept, { version: 1, createdAtMs: (NOW + 60) * 1000 }));
    expect(subscriber.lookup(PACKET).action).toBe('drop');
  });

  describe('over a restart of the process', () => {
    async function restarted(
      machine: Machine,
      action: 'accept' | 'drop',
      meanwhile: () => Promise<void>,
      between: () => void,
    ): Promise<Subscriber> {
      const publisher = new ScriptedPublisher();
      const stateDirectory = temporaryDirectory();
      const first = await startedSubscriber(publisher, { ...machine.options(), stateDirectory });
      const { peer } = await publisher.greeted();
      await peer.bring(publisher.release(ENDING[action], { version: 1 }));
      await meanwhile();
      await first.close();
      between();
      return startedSubscriber(publisher, { ...machine.options(), stateDirectory, channel: nobody });
    }

    const nothing = (): Promise<void> => Promise.resolve();

    it('counts on from the same moment: a clock that was set meanwhile ends no drop rule', async () => {
      const machine = new Machine();
      const drop = await restarted(machine, 'drop', nothing, () => machine.set(3600));
      expect(drop.lookup(PACKET).action).toBe('drop');
    });

    it('counts on from the same moment: a clock that was set back meanwhile keeps no accept rule', async () => {
      const machine = new Machine();
      const accept = await restarted(machine, 'accept', nothing, () => {
        machine.pass(60);
        machine.set(-86_400);
      });
      expect(accept.lookup(PACKET).action).toBe('drop');
    });

    it('knows what has ended in this boot', async () => {
      const machine = new Machine();
      const meanwhile = async (): Promise<void> => {
        machine.set(3600);
        await look();
      };
      const accept = await restarted(machine, 'accept', meanwhile, () => machine.set(-3600));
      expect(accept.lookup(PACKET).action).toBe('drop');
    });

    it.each([
      ['another boot', 'second', 100],
      ['a container that starts anew under one boot id', 'first', 100],
    ])('takes the wall clock as it stands after %s', async (_title, bootId, sinceBootMs) => {
      const machine = new Machine();
      const drop = await restarted(machine, 'drop', nothing, () => {
        Object.assign(machine, { bootId, sinceBootMs });
        machine.set(3600);
      });
      expect(drop.lookup(PACKET).action).toBe('accept');
    });
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
    await expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [OTHER, V6] });
    expect(subscriber.status().version).toBe(1);
    await subscriber.setDns([]);
    await expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [] });
  });

  it('before the first release holds for the first release', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    await subscriber.setDns([OTHER]);
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    await expectEnforces(subscriber, sampleRuleSet(1), { now: NOW, dns: [OTHER] });
  });

  it('that the sink refuses rejects, and sink and table stay as they were', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { sink });
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    sink.onPrepare = () => Promise.reject(new Error('busy'));
    await expect(subscriber.setDns([OTHER])).rejects.toMatchObject({ code: 'sink-failed' });
    await expectEnforces(subscriber, sampleRuleSet(1));
  });

  // Compiling for the new addresses took the place of the release that was prepared, and its flip failed
  // after the sink's commit.
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
    await expectEnforces(subscriber, one.ruleSet);
    gate.open();
    await applied;
    await changed;
    await expectEnforces(subscriber, two.ruleSet, { now: NOW, dns: [OTHER] });
    expect(sink.calls).toEqual(['prepare', 'commit', 'prepare', 'commit', 'prepare', 'commit']);
    expect(subscriber.status()).toMatchObject({ version: 2, lastError: undefined });
  });
});
