/**
 * A simulated house: publishers, subscribers, the network between them, what a plan does to them, and what is
 * to hold all the while. One seed, one plan, one outcome.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Channel } from '@rulecast/vchan';
import type { Logger } from 'pino';
import { Random } from '../kit/random.mjs';
import { air, type Process, START_WALL_MS } from './air.ts';
import { pushOf, type Weight } from './content.ts';
import { inflict } from './faults.ts';
import { HouseKeys } from './house-keys.ts';
import { Ledger, type Numbered, type Published, Violation } from './ledger.ts';
import { type Link, link } from './network.ts';
import { type Action, DEEDS, type Deed, type Fault, type Plan, ROUND_MS } from './plan.ts';
import { PublisherNode } from './publisher-node.ts';
import { Recordings } from './relay.ts';
import { SubscriberNode } from './subscriber-node.ts';
import type { MachineState } from './witness.ts';

/** How long all may take to agree once nothing goes wrong: reconnects, patience, breaks of five minutes. */
const CALM_MAX_MS = 15 * 60_000;
const CALM_LOOK_MS = 1000;
/** An ambush that nothing came into. */
const AMBUSH_MAX_MS = 60_000;
/** Lines of the trace that are kept to be shown. */
const TRACE_LINES = 400;
/** A subscriber that takes only small transfers. */
const SMALL_TRANSFER_BYTES = 5000;

/** Why one number is given to two releases, which nobody can prevent: two publishers, and an old state. */
export const FORKS = ['twin', 'restored'] as const;
type Fork = (typeof FORKS)[number];

/** What is to come in a long run, beside faults: what follows from them. */
export const EVENTS = [
  'publisher started',
  'root followed',
  'head signed anew',
  'number known to the signer',
  'frame forged',
  'publisher played',
  'lie found out',
  'call failed and done',
  'floor without its release',
] as const;
export type HouseEvent = (typeof EVENTS)[number];

export interface Outcome {
  readonly simulatedMs: number;
  readonly releases: number;
  readonly faults: number;
  /** By `fault, machine state`. */
  readonly pairs: ReadonlyMap<string, number>;
  /** How often one number was given twice, by why. */
  readonly forks: ReadonlyMap<Fork, number>;
  readonly events: ReadonlyMap<HouseEvent, number>;
  /** SHA-256 of the trace, hex. */
  readonly trace: string;
  readonly steps: number;
  readonly violation: { readonly code: string; readonly text: string } | undefined;
  readonly lines: readonly string[];
}

export class World {
  readonly plan: Plan;
  readonly random: Random;
  readonly keys = new HouseKeys();
  readonly ledger = new Ledger((signed) => this.keys.mayRelease(signed));
  readonly publishers: readonly PublisherNode[];
  readonly subscribers: readonly SubscriberNode[];
  readonly links = new Set<Link>();
  readonly recordings = new Recordings((event) => this.count(event));
  /** What each subscriber said last at the beginning of a connection. */
  readonly hellos = new Map<string, Uint8Array>();
  readonly #pairs = new Map<string, number>();
  readonly #forks = new Map<Fork, number>();
  readonly #events = new Map<HouseEvent, number>();
  readonly #hash = createHash('sha256');
  readonly #lines: string[] = [];
  #faults = 0;
  #violation: { readonly code: string; readonly text: string } | undefined;
  #ambushes: { readonly action: Action; readonly untilMs: number }[] = [];
  #round = 0;
  /** No faults any more, for now. */
  #isCalm = true;
  readonly #isLoud: boolean;

  constructor(plan: Plan, directory: string, isLoud: boolean) {
    air.reset(plan.seed);
    this.plan = plan;
    this.#isLoud = isLoud;
    this.random = new Random(plan.seed ^ 0x5eed);
    const { trust } = this.keys;
    const shared = {
      ledger: this.ledger,
      logger: (process: Process) => this.#logger(process),
      note: (text: string) => this.note(text),
      count: (event: HouseEvent) => this.count(event),
    };
    this.publishers = ['mgmt', 'twin'].map((name, i) => {
      const place = {
        ...shared,
        name,
        directory: join(directory, name),
        writeIdentity: (file: string) => this.keys.writeTo(file),
        random: new Random(plan.seed + 100 + i),
        onFork: (number: Numbered, by: string, other: Published) => this.#forked(number, by, other),
      };
      return new PublisherNode(place, plan.seed + i, START_WALL_MS);
    });
    this.subscribers = Array.from({ length: plan.subscribers }, (_, i) => {
      const place = {
        ...shared,
        name: `fw-${i}`,
        trust,
        random: new Random(plan.seed + 200 + i),
        transferBytesMax: i === 0 ? SMALL_TRANSFER_BYTES : undefined,
        connect: (process: Process, signal: AbortSignal) => this.#connect(process, signal),
      };
      return new SubscriberNode(place, plan.seed + 50 + i, START_WALL_MS);
    });
  }

  get publisher(): PublisherNode {
    const [publisher] = this.publishers;
    if (publisher === undefined) throw new TypeError('there is one');
    return publisher;
  }

  get twin(): PublisherNode {
    const twin = this.publishers[1];
    if (twin === undefined) throw new TypeError('there are two');
    return twin;
  }

  // ── Running ──────────────────────────────────────────────────────────────────────────────────────────────

  async run(rounds: number): Promise<Outcome> {
    const onUnhandled = (error: unknown): void => this.#fail(error);
    process.on('unhandledRejection', onUnhandled);
    process.on('uncaughtException', onUnhandled);
    air.asWorld(() => {
      this.publisher.start();
      for (const subscriber of this.subscribers) subscriber.start();
    });
    for (this.#round = 0; this.#round < rounds && this.#violation === undefined; this.#round++) {
      await this.#runRound();
      if (this.#violation === undefined) await this.#calmDown();
    }
    for (const publisher of this.publishers) publisher.stop();
    for (const subscriber of this.subscribers) subscriber.kill();
    process.off('unhandledRejection', onUnhandled);
    process.off('uncaughtException', onUnhandled);
    return {
      simulatedMs: air.nowMs,
      releases: this.ledger.published.size,
      faults: this.#faults,
      pairs: this.#pairs,
      forks: this.#forks,
      events: this.#events,
      trace: this.#hash.digest('hex'),
      steps: air.steps,
      violation: this.#violation,
      lines: this.#lines,
    };
  }

  async #runRound(): Promise<void> {
    this.#isCalm = false;
    this.note(`round ${this.#round}`);
    const startMs = air.nowMs;
    air.asWorld(() => {
      for (const action of this.plan.actions) {
        if (action.round !== this.#round) continue;
        air.after(action.atMs, () => this.#act(action));
      }
    });
    await this.#pass(startMs + ROUND_MS);
  }

  /** Ends all faults, and waits until everybody agrees. */
  async #calmDown(): Promise<void> {
    this.#isCalm = true;
    this.#ambushes = [];
    this.note('calm');
    air.asWorld(() => this.#heal());
    const endMs = air.nowMs + CALM_MAX_MS;
    let disagreement = '';
    for (let agreed = 0; air.nowMs < endMs && this.#violation === undefined; ) {
      await this.#pass(air.nowMs + CALM_LOOK_MS);
      disagreement = this.#disagreement();
      agreed = disagreement === '' ? agreed + 1 : 0;
      if (agreed >= 3) return;
      // What a person does then; a subscriber that takes only little waits for a release that is small.
      if (/behind|no head|may not release|over the limit/.test(disagreement))
        air.asWorld(() => this.#push(this.random, 'light', false));
    }
    if (this.#violation === undefined) this.#fail(new Violation('no-agreement', disagreement));
  }

  #heal(): void {
    const { process: twin } = this.twin;
    this.twin.stop();
    this.sever(twin, false);
    for (const link of this.links) {
      link.stalledUntilMs = Math.min(
        link.stalledUntilMs,
        link.subscriber.isAlive && link.publisher.isAlive ? 0 : Number.POSITIVE_INFINITY,
      );
      link.slow = { byMs: 0, untilMs: 0 };
      link.bytewiseUntilMs = 0;
      link.sippingUntilMs = 0;
      link.isSpoiling = false;
      link.thaw();
    }
    for (const { process, troubles } of [...this.publishers, ...this.subscribers]) {
      process.frozenUntilMs = 0;
      process.threadDiesIn = 0;
      troubles.heal();
    }
    for (const subscriber of this.subscribers) {
      subscriber.disk.capacityBytes = Number.POSITIVE_INFINITY;
      subscriber.disk.isLying = false;
      subscriber.troubledUntilMs = Math.max(subscriber.troubledUntilMs, air.nowMs + 60_000);
      if (!subscriber.isUp) subscriber.restartIn(1000);
    }
    for (const node of this.publishers) {
      node.databases.capacityBytes = Number.POSITIVE_INFINITY;
      node.lie(false);
    }
    if (!this.publisher.isUp) this.publisher.kill('already', 1000);
    // Now and then nothing new comes: what was refused for a while has to come again.
    const isPushed = this.publisher.publisher?.head === undefined || this.random.chance(0.5);
    if (isPushed) air.after(2000, () => this.#push(this.random, 'light', false));
  }

  async #pass(endMs: number): Promise<void> {
    await air.runUntil(
      endMs,
      (process) => {
        try {
          this.#check(process);
        } catch (error) {
          this.#fail(error);
        }
      },
      () => this.#violation !== undefined,
    );
  }

  /** What a step of a process, or of the network, may have changed. */
  #check(process: Process): void {
    for (const subscriber of this.subscribers) if (subscriber.process === process) subscriber.check();
    for (const publisher of this.publishers) publisher.check();
  }

  /** Why not all have the head in force, and say so; empty if they do. */
  #disagreement(): string {
    const { publisher } = this.publisher;
    const head = publisher?.head;
    if (publisher === undefined || head === undefined) return 'the publisher has no head';
    if (publisher.behind !== undefined) return 'the publisher is behind';
    if (publisher.isDisowned) return 'the head of the publisher is of keys that may not release';
    const hash = Buffer.from(head.hash).toString('hex');
    const records = publisher.subscriberRecords();
    for (const { name, subscriber } of this.subscribers) {
      if (subscriber?.status().hash !== hash) {
        const { epoch, version, lastError } = subscriber?.status() ?? {};
        const held = `${name} has ${epoch}/${version} (${lastError?.code}: ${lastError?.text})`;
        return `${held}, the head is ${head.manifest.epoch}/${head.manifest.version}`;
      }
      if (subscriber.status().freshness !== 'fresh') return `${name} has the head, and does not know it`;
      const record = records.find((other) => other.name === name);
      if (record?.state !== 'synced') return `${name} has the head, and is said to be ${record?.state}`;
    }
    return '';
  }

  // ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────

  #act(action: Action): void {
    if (this.#isCalm || this.#violation !== undefined) return;
    if (isDeed(action.kind)) return this.#do(action.kind, new Random(action.seed));
    if (action.when === undefined) return this.#strike(action, action.kind);
    const { when } = action;
    const here = [...this.links].find(({ witness }) => witness.states.includes(when));
    if (here !== undefined) this.#strike(action, action.kind, here);
    else this.#ambushes.push({ action, untilMs: air.nowMs + AMBUSH_MAX_MS });
  }

  /** A machine came into a state: what waited for that strikes a moment later. */
  #onState(link: Link, state: MachineState): void {
    if (state === 'subscriber wanting') this.#nodeOf(link)?.wants();
    this.note(`${link.subscriber.name} and ${link.publisher.name}: ${state}`);
    if (this.#isCalm || this.#ambushes.length === 0) return;
    this.#ambushes = this.#ambushes.filter(({ action, untilMs }) => {
      if (air.nowMs > untilMs) return false;
      if (action.when !== state) return true;
      air.asWorld(() => air.after(0, () => this.#act(action)));
      return false;
    });
  }

  #nodeOf(link: Link): SubscriberNode | undefined {
    return this.subscribers.find(({ process }) => process === link.subscriber);
  }

  #strike(action: Action, fault: Fault, at?: Link): void {
    const random = new Random(action.seed);
    const struck = inflict(this, fault, random, at);
    if (struck === undefined) return;
    this.#faults += 1;
    this.note(`fault ${fault}: ${struck.text}`);
    for (const state of struck.states) {
      const key = `${fault}, ${state}`;
      this.#pairs.set(key, (this.#pairs.get(key) ?? 0) + 1);
    }
  }

  #do(deed: Deed, random: Random): void {
    switch (deed) {
      case 'push':
        return this.#push(random, 'usual', false);
      case 'push-list':
        return this.#push(random, 'usual', this.ledger.published.size > 0);
      case 'push-heavy':
        return this.#push(random, random.chance(0.1) ? 'huge' : 'heavy', false);
      case 'burst':
        for (let count = 2 + random.below(4); count > 0; count--) this.#push(random, 'light', false);
        return;
      case 'rollback':
        return this.publisher.rollback(1 + random.below(8));
      case 'back-up':
        this.publisher.backUp();
        for (const subscriber of this.subscribers) if (random.chance(0.5)) subscriber.backUp();
        return;
      case 'ask':
        return this.publisher.ask(random.pick(this.subscribers).name, 1 + random.below(15));
    }
  }

  #push(random: Random, weight: Weight, isPart: boolean): void {
    const node = this.twin.isUp && random.chance(0.4) ? this.twin : this.publisher;
    node.push(pushOf(random, weight, node.machine.wallMs(), isPart));
  }

  /** The newest root is another, as the publisher's identity file has it: it reads that when it starts. */
  rotate(random: Random): string {
    const text = this.keys.rotate(random);
    this.publisher.takeRoot();
    this.count('root followed');
    return text;
  }

  // ── Network ──────────────────────────────────────────────────────────────────────────────────────────────

  async #connect(process: Process, signal: AbortSignal): Promise<Channel> {
    await air.sleep(1 + this.random.below(5));
    const up = this.publishers.filter((node) => node.isUp && node.publisher !== undefined);
    if (up.length === 0) throw new Error('nobody listens');
    if (signal.aborted) throw new Error('aborted');
    const node = this.random.pick(up);
    const processes = { subscriber: process, publisher: node.process };
    const bufferBytes = this.random.pick([4, 16, 64]) * 1024;
    const made = await link(node.endpoint, processes, bufferBytes, this.random, this.recordings, {
      onState: (of, state) => this.#onState(of, state),
      onFault: (violation, of) => {
        if (this.#goesOnWithForged(of)) return;
        // A damaged store may send streams that differ from the signed release. A release under revoked keys
        // is offered until its publisher, which reports that, can sign it again.
        const isKnown = node.isDamaged || node.publisher?.isDisowned === true;
        if (!(violation.code === 'wrong-stream' && isKnown)) this.#fail(violation);
      },
      onEnd: (of) => {
        this.links.delete(of);
        const held = this.#nodeOf(of);
        if (held !== undefined) held.mayHoldForged ||= of.relay.hasForged;
        if (of.hello.length > 0) this.hellos.set(of.subscriber.name.split('#')[0] ?? '', of.hello);
      },
    });
    this.links.add(made.link);
    this.#onState(made.link, 'publisher greeting');
    this.#onState(made.link, 'subscriber greeting');
    return made.channel;
  }

  /** A stream that was cut is gone on with, and what came of it before may have been forged: that once. */
  #goesOnWithForged(link: Link): boolean {
    const node = this.#nodeOf(link);
    const isForged = node?.mayHoldForged === true;
    if (node !== undefined) node.mayHoldForged = false;
    return isForged;
  }

  /** The connections of a process that is gone. */
  sever(process: Process, isSilent: boolean): void {
    for (const link of this.links) {
      if (link.subscriber === process || link.publisher === process) link.gone(isSilent);
    }
  }

  // ── What is told ─────────────────────────────────────────────────────────────────────────────────────────

  note(text: string): void {
    const line = `${(air.nowMs / 1000).toFixed(6)} ${text}`;
    this.#hash.update(`${line}\n`);
    if (this.#isLoud) process.stderr.write(`${line}\n`);
    this.#lines.push(line);
    if (this.#lines.length > 2 * TRACE_LINES) this.#lines.splice(0, TRACE_LINES);
  }

  count(event: HouseEvent): void {
    this.#events.set(event, (this.#events.get(event) ?? 0) + 1);
  }

  /** Two releases have one number. A publisher that knows of the first gives none. */
  #forked({ epoch, version }: Numbered, by: string, other: Published): void {
    const isTold = this.publishers.some((node) => node.name === by && node.publisher?.behind !== undefined);
    const why = isTold
      ? undefined
      : other.by !== by
        ? 'twin'
        : this.ledger.isAbandoned(other, by)
          ? 'restored'
          : undefined;
    if (why === undefined)
      return this.#fail(new Violation('one-number', `two releases are ${epoch}/${version}`));
    this.note(`two releases are ${epoch}/${version}: ${why}`);
    this.#forks.set(why, (this.#forks.get(why) ?? 0) + 1);
  }

  #fail(error: unknown): void {
    if (this.#violation !== undefined) return;
    const code = error instanceof Violation ? error.code : 'crash';
    const text =
      error instanceof Violation
        ? error.message
        : error instanceof Error
          ? String(error.stack)
          : String(error);
    this.note(`violation ${text}`);
    this.#violation = { code, text };
  }

  /** What processes log is part of the trace. */
  #logger(process: Process): Logger {
    const log = (details: unknown, text?: unknown): void => {
      if (!process.isAlive) return;
      const words = typeof details === 'string' ? details : String(text);
      const error =
        typeof details === 'object' && details !== null && 'err' in details ? details.err : undefined;
      this.note(`${process.name}: ${words}${error === undefined ? '' : ` (${String(error)})`}`);
    };
    const silent = (): void => undefined;
    // The part of a logger that is used; its children are not.
    return {
      info: log,
      warn: log,
      error: log,
      fatal: log,
      debug: silent,
      trace: silent,
    } as unknown as Logger;
  }
}

function isDeed(kind: Fault | Deed): kind is Deed {
  return DEEDS.some((deed) => deed === kind);
}
