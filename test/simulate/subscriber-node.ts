/**
 * A simulated firewall: the real subscriber on a machine of its own, with a disk that it may lose, started
 * again when it ends, and what is to hold of it after every step.
 */

import { STALE_AFTER_MS, type Trust } from '@rulecast/protocol';
import { createSubscriber, type Subscriber } from '@rulecast/subscriber';
import type { Channel } from '@rulecast/vchan';
import type { Logger } from 'pino';
import type { Random } from '../kit/random.mjs';
import { air, Machine, Process } from './air.ts';
import { answersOf, PACKETS } from './content.ts';
import { SimulatedDisk } from './disk.ts';
import { isBelow, type Ledger, type Numbered, Violation } from './ledger.ts';
import { RELEASES_KEPT } from './publisher-node.ts';
import { Troubles, troubledDisk } from './troubles.ts';
import type { HouseEvent } from './world.ts';

const DIRECTORY = '/state';
/** How long the end of a rule may go unnoticed: a look each 5 s, and what is being written before. */
const END_NOTICED_MS = 20_000;
/** What is due in a process that was frozen is done within that. */
const THAWED_MS = 1000;
/** A look at a status, after what changes it. */
const LATE_MS = 100;
/** What it says may be on its way so long before it is seen. */
const STALLED_MAX_MS = 30_000;
/** Between looks at the whole table where nothing changed. */
const LOOK_MS = 2000;
/** Timers of one subscriber: a handful, and a call of the disk. */
const WAITING_MAX = 40;
/** Its table: small releases, and many lives. */
const TABLE_BYTES = 8 * 2 ** 20;
/** How long writing it again takes on a disk that is well. */
const HEALED_MS = 5000;
/** Share of damaged files that are so in both places. */
const BOTH_COPIES = 0.3;
/** Files of a subscriber: a chain in two places, and two notes. */
const FILES_MAX = 2 * 256 + 8;
const FIRST_PACKET = PACKETS[0] ?? fail();
/** The table was not looked at yet in this life. */
const NEVER = { generation: -1, hash: undefined, atMs: 0 } as const;
const TRANSFER_BYTES = 256 * 1024;

export interface SubscriberPlace {
  readonly name: string;
  readonly trust: Trust;
  readonly ledger: Ledger;
  readonly logger: (process: Process) => Logger;
  readonly random: Random;
  /** Only for streams of so many bytes; the usual size otherwise. */
  readonly transferBytesMax?: number | undefined;
  readonly connect: (process: Process, signal: AbortSignal) => Promise<Channel>;
  readonly note: (text: string) => void;
  readonly count: (event: HouseEvent) => void;
}

interface Held extends Numbered {
  readonly hash: string;
}

export class SubscriberNode {
  readonly machine: Machine;
  readonly name: string;
  readonly troubles: Troubles;
  process: Process;
  subscriber: Subscriber | undefined;
  /** Files that were damaged since the last start began, and those before, of which it has to tell. */
  #flips = 0;
  #flipsBefore = 0;
  /** What an earlier life left damaged is not written again yet. */
  #isUnhealed = false;
  /** When a clock or the disk of it was last in trouble: what depends on them may be late. */
  troubledUntilMs = 0;
  /** Whether a stream that was cut may have left forged bytes. */
  mayHoldForged = false;
  /** The wall clock was set in this boot. */
  isClockSet = false;
  readonly #place: SubscriberPlace;
  readonly #disk: SimulatedDisk;
  /** What was said to be in force and on disk, and must come back; undefined: nothing. */
  #kept: Held | undefined;
  /** The newest of that, whether or not its file is still there: a start does not go below. */
  #marked: Held | undefined;
  /** It has nothing, and had nothing: whatever it takes first was the newest. */
  #isBlank = true;
  /** Below it nothing is in force in this life. */
  #floor: Numbered | undefined;
  /** What is in force in this life, or was at its end in the one before, by its hash. */
  #branch = '';
  /** When it wanted a release last. */
  #wantedAtMs = 0;
  #endedAt = 0; // the latest end of an accept rule that was seen to have come, in this life
  #looked: { readonly generation: number; readonly hash: string | undefined; readonly atMs: number } = NEVER;
  #restartAtMs = 0;
  /** When what a start found damaged is written again. */
  #healedAtMs = Number.POSITIVE_INFINITY;
  #backup: ReturnType<SimulatedDisk['snapshot']> | undefined;

  constructor(place: SubscriberPlace, seed: number, wallAheadMs: number) {
    this.#place = place;
    this.name = place.name;
    this.machine = new Machine(place.name, wallAheadMs);
    this.#disk = new SimulatedDisk(seed, DIRECTORY);
    this.process = new Process(`${place.name}#0`, this.machine);
    this.troubles = new Troubles(
      place.random,
      () => this.powerOff('in a call of its disk'),
      () => place.count('call failed and done'),
    );
  }

  /** Runs, or is about to. */
  get isUp(): boolean {
    return this.process.isAlive;
  }

  /** It wants a release, as nothing speaks against that one. */
  wants(): void {
    this.#wantedAtMs = air.nowMs;
  }

  get disk(): SimulatedDisk {
    return this.#disk;
  }

  start(): void {
    const life = Number(this.process.name.split('#')[1]) + 1;
    this.process = new Process(`${this.name}#${life}`, this.machine);
    this.#endedAt = 0;
    this.#looked = NEVER;
    this.#flipsBefore += this.#flips; // flips while it starts may hit data it has read already
    this.#flips = 0;
    const { process } = this;
    const { trust, name, random, logger, transferBytesMax = TRANSFER_BYTES, connect } = this.#place;
    air.as(process, () => {
      createSubscriber({
        channel: (signal) => connect(process, signal),
        trust,
        name,
        logger: logger(process),
        stateDirectory: DIRECTORY,
        disk: troubledDisk(this.#disk.mount(), this.troubles),
        table: { maxBytes: TABLE_BYTES },
        entriesMax: 20_000,
        transferBytesMax,
        nowMs: () => this.machine.wallMs(),
        boot: { bootMs: () => this.machine.bootMs(), bootId: this.machine.bootId },
        clock: {
          monotonicMs: () => this.machine.bootMs(),
          after: (delayMs, work) => air.after(delayMs, work),
        },
        random: () => random.below(1000) / 1000,
        nonce: () => Uint8Array.from({ length: 16 }, () => random.below(256)),
      }).then(
        (subscriber) => this.#started(process, subscriber),
        (error: unknown) => this.#failed(process, error),
      );
    });
  }

  #started(process: Process, subscriber: Subscriber): void {
    if (!process.isAlive) return;
    this.subscriber = subscriber;
    const { epoch = 0, version = 0, hash } = subscriber.status();
    this.#place.note(`${process.name} has ${epoch}/${version}`);
    const kept = this.#kept;
    const damage = this.#flipsBefore + this.#flips + (this.#isUnhealed ? 1 : 0);
    this.#isUnhealed = damage > 0;
    this.#flipsBefore = 0;
    this.#healedAtMs = air.nowMs + HEALED_MS;
    this.#kept = hash === undefined ? undefined : { epoch, version, hash };
    if (damage >= 2) this.#marked = this.#kept;
    this.#floor = this.#marked;
    if (this.#floor !== undefined && hash === undefined) this.#place.count('floor without its release');
    this.#branch = this.#marked?.hash ?? '';
    if (kept !== undefined && damage < 2 && isBelow({ epoch, version }, kept)) {
      throw new Violation(
        'lost-release',
        `${process.name} came back with ${epoch}/${version}, and had ${kept.epoch}/${kept.version} on disk`,
      );
    }
  }

  #failed(process: Process, error: unknown): void {
    if (!process.isAlive) return;
    this.#place.note(`${process.name} could not start: ${String(error)}`);
    process.isAlive = false;
    this.restartIn(2000);
    if (air.nowMs > this.troubles.failing.untilMs && this.#flipsBefore + this.#flips === 0)
      throw new Violation('cannot-start', `${process.name}: ${String(error)}`);
  }

  /** Like a service that is started again. */
  restartIn(delayMs: number): void {
    const atMs = air.nowMs + delayMs;
    this.#restartAtMs = atMs;
    air.asWorld(() =>
      air.after(delayMs, () => {
        if (this.#restartAtMs === atMs && !this.process.isAlive) this.start();
      }),
    );
  }

  kill(): void {
    if (this.process.isAlive) this.#end();
    this.#disk.kill();
  }

  /** The machine goes, and what was not flushed may. */
  powerOff(why: string): void {
    this.#place.note(`${this.process.name} loses power ${why}`);
    this.#end();
    const { hasLied } = this.#disk;
    this.#disk.cutPower();
    if (hasLied) this.#foundOut();
    this.machine.reboot();
    this.isClockSet = false;
    this.restartIn(1000 + this.#place.random.below(20_000));
  }

  /** What was said to be on disk may be nowhere whole. */
  #foundOut(): void {
    this.#place.count('lie found out');
    this.#forget();
    this.#flips = 2;
  }

  #end(): void {
    this.process.isAlive = false;
    this.subscriber = undefined;
    this.troubles.crashIn = 0;
  }

  /** Some file of its state has a wrong bit, or both copies of it have. Returns which. */
  flip(random: Random): string | undefined {
    const files = this.#disk.files();
    if (files.length === 0) return undefined;
    const file = random.pick(files);
    const name = file.slice(file.lastIndexOf('/') + 1);
    const copies = files.filter((other) => other.endsWith(`/${name}`));
    const flipped = random.chance(BOTH_COPIES) ? copies : [file];
    const before = this.#disk.snapshot();
    const isAlone = copies.every((path) => path === file || !isSame(before.get(path), before.get(file)));
    for (const path of flipped) this.#disk.flip(path);
    // One that a disk in trouble has not copied, or not yet, is as good as damaged in both places.
    const isLost = isAlone && flipped.length === 1 && air.nowMs < this.troubledUntilMs;
    this.#flips += flipped.length + (isLost ? 1 : 0);
    return flipped.join(' and ');
  }

  /** While it is down: the whole state is lost, or that of an earlier time. */
  loseState(): void {
    this.#disk.restore(undefined);
    this.#forget();
    this.#isBlank = true;
  }

  /** While it is down: its releases are lost in both places, and its notes are not. */
  loseReleases(): void {
    const marked = this.#flips + this.#flipsBefore === 0 && !this.#isUnhealed ? this.#marked : undefined;
    this.#disk.restore(new Map([...this.#disk.snapshot()].filter(([path]) => !path.endsWith('.release'))));
    this.#forget();
    this.#marked = marked;
  }

  backUp(): void {
    this.#backup = this.#disk.snapshot();
  }

  restoreState(): boolean {
    if (this.#backup === undefined) return false;
    this.#disk.restore(this.#backup);
    this.#forget();
    return true;
  }

  #forget(): void {
    this.#kept = undefined;
    this.#marked = undefined;
    this.#isBlank = false;
    this.#flips = 0;
    this.#flipsBefore = 0;
    this.#isUnhealed = false;
  }

  // ── What holds ───────────────────────────────────────────────────────────────────────────────────────────

  /** After a step of it. Throws Violation. */
  check(): void {
    const { subscriber, process } = this;
    if (subscriber === undefined || !process.isAlive) return;
    if (process.waiting > WAITING_MAX) {
      throw new Violation('unbounded', `${process.waiting} timers of ${process.name}`);
    }
    if (this.#disk.files().length > FILES_MAX) throw new Violation('unbounded', `files of ${process.name}`);
    if (air.nowMs > Math.max(this.#healedAtMs, this.troubledUntilMs)) this.#isUnhealed = false;
    const { hash, epoch = 0, version = 0, persisted, freshness } = subscriber.status();
    if (hash !== undefined) {
      if (freshness === 'fresh') this.#checkFresh(hash);
      if (this.#isBlank) this.#checkFirst(hash);
      this.#isBlank = false;
      this.#place.ledger.inForce(this.name, hash);
      this.#checkOrder({ epoch, version }, hash);
      if (persisted === true) {
        this.#kept = { epoch, version, hash };
        this.#marked = this.#kept;
      }
    }
    this.#look(subscriber, hash);
  }

  /** What is believed to be the newest was so within the limit. */
  #checkFresh(hash: string): void {
    if (air.nowMs < this.process.frozenUntilMs + THAWED_MS) return;
    if (this.#place.ledger.wasNewest(hash, air.nowMs - STALE_AFTER_MS - LATE_MS)) return;
    const text = `${this.process.name} believes that ${hash} is the newest, which it was not for ${STALE_AFTER_MS} ms`;
    throw new Violation('not-newest', text);
  }

  /**
   * A subscriber without a floor may only accept a release that was the newest within the limit when it was
   * requested.
   */
  #checkFirst(hash: string): void {
    if (this.#place.ledger.wasNewest(hash, this.#wantedAtMs - STALE_AFTER_MS - STALLED_MAX_MS)) return;
    const text = `${this.process.name}, which remembers nothing, took ${hash}, which was not the newest`;
    throw new Violation('old-first', text);
  }

  #checkOrder(now: Numbered, hash: string): void {
    const floor = this.#floor;
    if (floor !== undefined && isBelow(now, floor) && this.#place.ledger.binds(this.#branch)) {
      const text = `${this.process.name} went from ${floor.epoch}/${floor.version} to ${now.epoch}/${now.version}`;
      throw new Violation('went-back', text);
    }
    this.#checkBranch(now, hash, floor);
    this.#floor = now;
    if (!this.#place.ledger.published.has(hash)) {
      throw new Violation('unpublished', `${this.process.name} has ${hash} in force, which nobody released`);
    }
  }

  /**
   * Where two publishers use one key, or one went on from a backup, nobody goes over to the other branch: it
   * takes another epoch, for which somebody was told. As far back as publishers know what they released.
   */
  #checkBranch(now: Numbered, hash: string, before: Numbered | undefined): void {
    const [from, { ledger }] = [this.#branch, this.#place];
    this.#branch = hash;
    if (from === '' || from === hash || before?.epoch !== now.epoch || !ledger.binds(from)) return;
    const isKnown = now.version - before.version < RELEASES_KEPT;
    if (!isKnown || ledger.comesOf(hash, from) || ledger.forgetful.size > 0) return;
    const text = `${this.process.name} went from ${before.epoch}/${before.version} (${from.slice(0, 8)}) to ${now.version} (${hash.slice(0, 8)}), which was not made of it`;
    throw new Violation('crossed', text);
  }

  /** Asks the table about every packet where it, or the time, may be another. */
  #look(subscriber: Subscriber, hash: string | undefined): void {
    const { generation } = subscriber.lookup(FIRST_PACKET);
    const last = this.#looked;
    const isSame = generation === last.generation && hash === last.hash;
    if (isSame && air.nowMs - last.atMs < LOOK_MS) return;
    this.#looked = { generation, hash, atMs: air.nowMs };
    const text = answersOf((packet) => subscriber.lookup(packet));
    const release = hash === undefined ? undefined : this.#place.ledger.published.get(hash);
    const isBoot = hash === undefined && /^d*$/.test(text);
    const answers = release?.answers.find((possible) => possible.text === text);
    if (!isBoot && answers === undefined) {
      const expected = release?.answers.map((possible) => possible.text).join(' or ') ?? 'nothing';
      throw new Violation('mixed', `${this.process.name} says ${text} where its release says ${expected}`);
    }
    // While a release comes into force, its answers may be those of the one before at another time.
    if (isSame && answers?.hasAcceptEnded !== undefined && release?.acceptEnd !== undefined)
      this.#checkEnd(release.acceptEnd, answers.hasAcceptEnded);
  }

  /** A rule that accepts ends in time, and never comes back. */
  #checkEnd(endS: number, hasEnded: boolean): void {
    if (hasEnded) {
      this.#endedAt = Math.max(this.#endedAt, endS);
      return;
    }
    if (endS <= this.#endedAt) {
      throw new Violation('came-back', `${this.process.name} accepts again by a rule that ended at ${endS}`);
    }
    const lateMs = this.machine.wallMs() - endS * 1000;
    if (lateMs > END_NOTICED_MS && air.nowMs > this.troubledUntilMs) {
      throw new Violation('open-too-long', `${this.process.name} accepts ${lateMs} ms after a rule ended`);
    }
  }
}

function isSame(one: Buffer | 'directory' | undefined, other: typeof one): boolean {
  return one !== undefined && one !== 'directory' && other !== 'directory' && other?.equals(one) === true;
}

function fail(): never {
  throw new TypeError('there are packets');
}
