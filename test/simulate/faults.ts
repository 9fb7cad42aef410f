/** Faults, one by one: what each does to a simulated house, and to which of its machines. */

import type { Random } from '../kit/random.mjs';
import { air, type Process } from './air.ts';
import { ROTATIONS_MAX } from './house-keys.ts';
import { impersonate, type Link } from './network.ts';
import { type Fault, LINK_FAULTS, type PUBLISHER_FAULTS, SUBSCRIBER_FAULTS } from './plan.ts';
import type { PublisherNode } from './publisher-node.ts';
import type { SubscriberNode } from './subscriber-node.ts';
import type { MachineState } from './witness.ts';
import type { World } from './world.ts';

type LinkFault = (typeof LINK_FAULTS)[number];
type SubscriberFault = (typeof SUBSCRIBER_FAULTS)[number];
type PublisherFault = (typeof PUBLISHER_FAULTS)[number];

/** What was hit. */
interface Struck {
  readonly text: string;
  /** The states of its connections; both ends are closed if there is none. */
  readonly states: readonly MachineState[];
}

const CLOSED: readonly MachineState[] = ['publisher closed', 'subscriber closed'];
const DAY_MS = 86_400_000;
/** To the owner of the content, and from it: those of a release, and some more. */
const OWNER_MESSAGES = 24;
/** Share of lies of a disk after which the power goes. */
const LIE_TOLD = 0.6;
/** Share of backups of a publisher that are put in the place of the record of its signer, too. */
const RECORD_TOO = 0.3;

/**
 * Does a fault to what is at one end of a link, or to anybody. Undefined where there is nothing to do it to.
 */
export function inflict(
  world: World,
  fault: Fault,
  random: Random,
  at: Link | undefined,
): Struck | undefined {
  const link = at ?? (world.links.size === 0 ? undefined : random.pick([...world.links]));
  const states = (process: Process): readonly MachineState[] => {
    const own = [...world.links].filter(
      ({ subscriber, publisher }) => subscriber === process || publisher === process,
    );
    return own.length === 0 ? CLOSED : own.flatMap(({ witness }) => witness.states);
  };
  if (isOneOf(LINK_FAULTS, fault)) {
    const before = link?.witness.states ?? [];
    if (link === undefined || link.isOver) return undefined;
    const text = onLink(world, fault, random, link);
    return text === undefined ? undefined : { text, states: before };
  }
  if (isOneOf(SUBSCRIBER_FAULTS, fault)) {
    const node =
      world.subscribers.find(({ process }) => process === at?.subscriber) ?? random.pick(world.subscribers);
    const before = states(node.process);
    const text = onSubscriber(world, fault, random, node);
    return text === undefined ? undefined : { text: `${node.name} ${text}`, states: before };
  }
  const node = world.publishers.find(({ process }) => process === at?.publisher) ?? world.publisher;
  const before = states(node.process);
  const text = onPublisher(world, fault, random, node);
  return text === undefined ? undefined : { text: `${node.name} ${text}`, states: before };
}

function isOneOf<T extends string>(all: readonly T[], one: string): one is T {
  return all.some((other) => other === one);
}

function onLink(world: World, fault: LinkFault, random: Random, link: Link): string | undefined {
  const seconds = (least: number, most: number): number => 1000 * (least + random.below(most - least));
  const name = link.subscriber.name;
  switch (fault) {
    case 'cut':
      link.cut(random.below(200));
      return name;
    case 'half-open': {
      const laterMs = seconds(1, 25);
      link.cut(laterMs);
      return `${name}, the publisher hears of it ${laterMs} ms later`;
    }
    case 'stall': {
      link.stalledUntilMs = air.nowMs + random.below(25_000);
      return name;
    }
    case 'delay':
      link.slow = { byMs: 20 + random.below(6000), untilMs: air.nowMs + seconds(5, 60) };
      return `${name} by ${link.slow.byMs} ms`;
    case 'bytewise':
      link.bytewiseUntilMs = air.nowMs + seconds(2, 30);
      return name;
    case 'duplicate': {
      const node = world.publishers.find(({ process }) => process === link.publisher);
      const hello = link.hello.length > 0 ? link.hello : world.hellos.get(name.split('#')[0] ?? '');
      if (hello === undefined || node === undefined) return undefined;
      void impersonate(node.endpoint, hello, seconds(1, 30));
      return name;
    }
    case 'slow-reader':
      link.sippingUntilMs = air.nowMs + seconds(5, 60);
      return name;
    case 'spoil':
      link.isSpoiling = true;
      return name;
    case 'replay':
    case 'strange-fresh':
    case 'forged-stream':
      link.relay.forge(fault);
      return name;
    case 'freeze':
      link.freezeMs = seconds(5, 240);
      return `${name} for ${link.freezeMs} ms`;
  }
}

function onSubscriber(
  world: World,
  fault: SubscriberFault,
  random: Random,
  node: SubscriberNode,
): string | undefined {
  const { troubles, disk, machine } = node;
  const forMs = 1000 * (2 + random.below(60));
  const trouble = (): void => {
    node.troubledUntilMs = Math.max(node.troubledUntilMs, air.nowMs + forMs + 60_000);
  };
  switch (fault) {
    case 'subscriber-killed':
      return endSubscriber(world, node, false, () => node.restartIn(random.below(10_000)));
    case 'subscriber-owner-killed':
      if (node.subscriber === undefined) return undefined; // a start fails with it, which is no fault of the start
      node.process.threadDiesIn = 1 + random.below(OWNER_MESSAGES);
      return `in message ${node.process.threadDiesIn}`;
    case 'subscriber-power-cut':
      return losePower(world, node);
    case 'subscriber-torn-write':
      troubles.crashIn = 1 + random.below(30);
      return `in call ${troubles.crashIn}`;
    case 'subscriber-disk-full':
      trouble();
      disk.capacityBytes = disk.usedBytes + random.below(3000);
      air.after(forMs, () => {
        disk.capacityBytes = Number.POSITIVE_INFINITY;
      });
      return `with room for ${disk.capacityBytes - disk.usedBytes} bytes`;
    case 'subscriber-disk-error':
      trouble();
      troubles.failing = { share: random.pick([0.1, 0.5, 1]), untilMs: air.nowMs + forMs };
      return `for ${troubles.failing.share} of calls`;
    case 'subscriber-disk-slow':
      trouble();
      troubles.slow = { byMs: 50 + random.below(8000), untilMs: air.nowMs + forMs };
      return `by ${troubles.slow.byMs} ms`;
    case 'subscriber-disk-doubtful':
      trouble();
      troubles.doubtfulIn = 1 + random.below(30);
      return `in call ${troubles.doubtfulIn}`;
    case 'subscriber-fsync-lies': {
      const isPowerLost = random.chance(LIE_TOLD);
      trouble();
      disk.isLying = true;
      air.after(forMs, () => {
        disk.isLying = false;
        if (isPowerLost && node.isUp) losePower(world, node);
      });
      return `for ${forMs} ms${isPowerLost ? ', until its power is lost' : ''}`;
    }
    case 'subscriber-bit-flip':
      return node.flip(random);
    case 'subscriber-state-lost':
      return endSubscriber(world, node, false, () => {
        node.loseState();
        node.restartIn(1000 + random.below(5000));
      });
    case 'subscriber-state-restored':
      return endSubscriber(world, node, false, () => {
        node.restoreState();
        node.restartIn(1000 + random.below(5000));
      });
    case 'subscriber-releases-lost':
      return endSubscriber(world, node, false, () => {
        node.loseReleases();
        node.restartIn(1000 + random.below(5000));
      });
    case 'subscriber-clock-jump':
      machine.wallAheadMs += jumpOf(random);
      node.isClockSet = true;
      trouble();
      return `to ${machine.wallAheadMs} ms`;
    case 'subscriber-frozen':
      trouble();
      node.process.frozenUntilMs = air.nowMs + random.below(30_000);
      return `until ${node.process.frozenUntilMs}`;
  }
}

function losePower(world: World, node: SubscriberNode): string {
  const { process } = node;
  node.powerOff('at once');
  world.sever(process, true);
  return process.name;
}

function endSubscriber(
  world: World,
  node: SubscriberNode,
  isSilent: boolean,
  then: () => void,
): string | undefined {
  const { process } = node;
  if (!process.isAlive) return undefined;
  node.kill();
  world.sever(process, isSilent);
  then();
  return process.name;
}

function jumpOf(random: Random): number {
  const longestMs = random.pick([5000, 600_000, DAY_MS, 400 * DAY_MS]);
  return (random.chance(0.5) ? 1 : -1) * random.below(longestMs);
}

function onPublisher(
  world: World,
  fault: PublisherFault,
  random: Random,
  node: PublisherNode,
): string | undefined {
  const { troubles, databases, machine, process } = node;
  const forMs = 1000 * (2 + random.below(60));
  switch (fault) {
    case 'publisher-killed':
      return endPublisher(world, node, false, random.below(10_000));
    case 'publisher-power-cut':
      return losePowerOf(world, node, random);
    case 'publisher-crash-in-commit':
      troubles.crashIn = 1 + random.below(2);
      return `in transaction ${troubles.crashIn}`;
    case 'publisher-disk-full':
      databases.capacityBytes = databases.usedBytes + random.below(20_000);
      air.after(forMs, () => {
        databases.capacityBytes = Number.POSITIVE_INFINITY;
      });
      return `with room for ${databases.capacityBytes - databases.usedBytes} bytes`;
    case 'publisher-disk-error':
      troubles.failing = { share: random.pick([0.3, 1]), untilMs: air.nowMs + forMs };
      return `for ${troubles.failing.share} of transactions`;
    case 'publisher-disk-slow':
      troubles.slow = { byMs: 50 + random.below(8000), untilMs: air.nowMs + forMs };
      return `by ${troubles.slow.byMs} ms`;
    case 'publisher-commit-doubtful':
      troubles.doubtfulIn = 1 + random.below(2);
      return `in transaction ${troubles.doubtfulIn}`;
    case 'publisher-fsync-lies': {
      const isPowerLost = random.chance(LIE_TOLD);
      node.lie(true);
      air.after(forMs, () => {
        if (isPowerLost && node.isUp) losePowerOf(world, node, random);
        node.lie(false);
      });
      return `for ${forMs} ms${isPowerLost ? ', until its power is lost' : ''}`;
    }
    case 'publisher-bit-flip':
      endPublisher(world, node, false, 2000);
      return node.flip(random);
    case 'publisher-restored': {
      endPublisher(world, node, false, 1000 + random.below(20_000));
      const withRecord = random.chance(RECORD_TOO);
      if (!node.restore(withRecord)) return undefined;
      return withRecord ? 'from its backup, and the record of its signer' : 'from its backup';
    }
    case 'publisher-store-lost':
      endPublisher(world, node, false, 1000 + random.below(20_000));
      node.loseStore();
      return 'and starts over';
    case 'publisher-rotated': {
      if (world.keys.rotations >= ROTATIONS_MAX) return undefined;
      const root = world.rotate(random);
      endPublisher(world, world.publisher, false, random.below(20_000));
      return `and ${root}`;
    }
    case 'publisher-clock-jump':
      machine.wallAheadMs += jumpOf(random);
      return `to ${machine.wallAheadMs} ms`;
    case 'publisher-frozen':
      process.frozenUntilMs = air.nowMs + random.below(30_000);
      return `until ${process.frozenUntilMs}`;
    case 'publisher-twin':
      return withTwin(world, forMs);
  }
}

function losePowerOf(world: World, node: PublisherNode, random: Random): string {
  const { process } = node;
  node.cutPower(2000 + random.below(20_000));
  world.sever(process, true);
  return process.name;
}

/** Its process ends, and begins again so much later. */
function endPublisher(world: World, node: PublisherNode, isSilent: boolean, restartMs: number): string {
  const { process } = node;
  node.kill('', restartMs);
  world.sever(process, isSilent);
  return process.name;
}

/** Somebody starts another publisher with what this one has, for a time. */
function withTwin(world: World, forMs: number): string | undefined {
  const { twin, publisher } = world;
  if (twin.isUp || publisher.publisher === undefined) return undefined; // what there is may be nothing
  twin.copy(publisher);
  twin.start();
  air.after(forMs, () => {
    const { process } = twin;
    twin.stop();
    world.sever(process, false);
  });
  return `for ${forMs} ms`;
}
