/**
 * A simulated publisher: the real one on a machine of its own, with databases that may fail, and the operator
 * who pushes to it, makes backups, and goes on in a new epoch when told to.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { hexOf } from '@rulecast/protocol';
import {
  Publisher,
  type PushInput,
  type Release,
  type ServedSubscribers,
  Store,
  serveSubscribers,
} from '@rulecast/publisher';
import { EMPTY_PREFIX_SET } from '@rulecast/rules';
import { parseEndpoint } from '@rulecast/vchan';
import type { Logger } from 'pino';
import { openStateOf } from '../../packages/publisher/src/store/state.ts';
import { ALL_PERMITS } from '../kit/permits.ts';
import type { Random } from '../kit/random.mjs';
import { air, Machine, Process } from './air.ts';
import { type Contents, SimulatedDatabases } from './databases.ts';
import { isBelow, type Ledger, type Numbered, type Published, Violation } from './ledger.ts';
import { SignerPlace, type SignerRecordText } from './signer.ts';
import { Troubles, troubledDatabases } from './troubles.ts';
import type { HouseEvent } from './world.ts';

/** The most timers of a publisher: those of a few sessions and of subscribers' records. */
const WAITING_MAX = 200;
/** Releases that are kept: so few that subscribers come back from before the oldest. */
export const RELEASES_KEPT = 12;
const KEPT = { chainBytes: 1, historyReleases: RELEASES_KEPT, historyDaily: 0, historyWeekly: 0 };
/** What so few releases and their snapshots take at most. */
const STORE_MAX_BYTES = 8 * 2 ** 20;
/** How old what the status says of a connected subscriber may be: silence, a heartbeat, and the way. */
const STATUS_AGE_MAX_MS = 45_000;
/** How long a start may take, of so little. */
const START_MAX_MS = 60_000;
/** What a publisher says whose store has what it does not know of. */
const RESTART_ADVICE = /stop it, then start this one again/;
const RESTART_MS = 3000;
/** What was due in a process that was frozen is done, and what it had not read yet is read. */
const THAWED_MS = 5000;
/** Between looks at the status. */
const LOOK_MS = 1000;

export interface PublisherPlace {
  readonly name: string;
  /** Real, for the identity file. */
  readonly directory: string;
  /** Writes the identity file, with the newest root. */
  readonly writeIdentity: (file: string) => void;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly logger: (process: Process) => Logger;
  readonly note: (text: string) => void;
  readonly count: (event: HouseEvent) => void;
  /** Two releases have one number. */
  readonly onFork: (number: Numbered, by: string, other: Published) => void;
}

interface Backup {
  readonly contents: Contents;
  readonly record: SignerRecordText;
  readonly acknowledged: Numbered | undefined;
}

/**
 * Counts over all houses: a listener that dies while it starts keeps its name, which a publisher of the next
 * house in this process must not reuse.
 */
let listenerCount = 0;

export class PublisherNode {
  readonly machine: Machine;
  readonly name: string;
  readonly databases: SimulatedDatabases;
  readonly troubles: Troubles;
  process: Process;
  publisher: Publisher | undefined;
  endpoint = '';
  /** Its databases have a wrong bit, or it starts over: what it had is not looked for. */
  isDamaged = false;
  readonly #place: PublisherPlace;
  readonly #identityFile: string;
  readonly #signer: SignerPlace;
  #served: ServedSubscribers | undefined;
  /** The newest release that a push was told of. */
  #acknowledged: Numbered | undefined;
  #backup: Backup | undefined;
  #mayStartOver = false;
  #restartAtMs = 0;
  #lookedAtMs = 0;
  #startedAtMs = 0;

  constructor(place: PublisherPlace, seed: number, wallAheadMs: number) {
    this.#place = place;
    this.name = place.name;
    this.machine = new Machine(place.name, wallAheadMs);
    this.databases = new SimulatedDatabases(seed);
    this.process = new Process(`${place.name}#0`, this.machine);
    this.process.isAlive = false;
    this.troubles = new Troubles(
      place.random,
      () => this.kill('in a transaction', 3000),
      () => place.count('call failed and done'),
    );
    new Store('', {}, () => this.databases.open()).begin(1);
    mkdirSync(place.directory, { mode: 0o700, recursive: true });
    this.#identityFile = join(place.directory, 'identity');
    this.#signer = new SignerPlace(this.#identityFile, place.random, () =>
      place.count('number known to the signer'),
    );
    place.writeIdentity(this.#identityFile);
  }

  get isUp(): boolean {
    return this.process.isAlive;
  }

  start(): void {
    const life = Number(this.process.name.split('#')[1]) + 1;
    const process = new Process(`${this.name}#${life}`, this.machine);
    this.process = process;
    this.#startedAtMs = air.nowMs;
    air.as(process, () => {
      this.#run(process).catch((error: unknown) => this.#failed(process, error));
    });
  }

  async #run(process: Process): Promise<void> {
    const place = this.#place;
    const databases = troubledDatabases(this.databases.open(), this.troubles, place.random);
    const signer = this.#signer.start();
    const options = { ...KEPT, stateDirectory: place.directory, databases: () => databases };
    const startOver = this.#mayStartOver;
    const state = await openStateOf(signer, { ...options, startOver }, this.machine.wallMs());
    const publisher = new Publisher({
      ...options,
      state,
      signer,
      name: place.name,
      resolve: () => Promise.resolve(EMPTY_PREFIX_SET),
      logger: place.logger(process),
      nowMs: () => this.machine.wallMs(),
      clock: {
        wallMs: () => this.machine.wallMs(),
        monotonicMs: () => this.machine.bootMs(),
        after: (delayMs, work) => air.after(delayMs, work),
      },
    });
    publisher.on('release', (release) => {
      const { epoch, version } = release.manifest;
      place.ledger.headIs(this.name, hexOf(release.hash));
      const other = place.ledger.publish(release, this.name, parentOf(publisher, release));
      if (other !== undefined) place.onFork({ epoch, version }, this.name, other);
    });
    const { head } = publisher;
    if (head !== undefined) {
      place.ledger.headIs(this.name, hexOf(head.hash));
      place.ledger.publish(head, this.name, parentOf(publisher, head));
    }
    await publisher.renew();
    if (publisher.head !== head) place.count('head signed anew');
    this.endpoint = `memory:${this.name}-${++listenerCount}?buffer=${place.random.pick([4, 16, 64])}KiB`;
    this.#served = await serveSubscribers(publisher, [parseEndpoint(this.endpoint)]);
    if (!process.isAlive) return;
    this.publisher = publisher;
    place.count('publisher started');
    this.#mayStartOver = false;
    this.#checkHead(publisher.head?.manifest);
  }

  #checkHead(head: Numbered | undefined): void {
    const { epoch, version } = head ?? { epoch: 0, version: 0 };
    this.#place.note(`${this.process.name} has ${epoch}/${version}`);
    const told = this.#acknowledged;
    if (told !== undefined && isBelow({ epoch, version }, told)) {
      const text = `${this.process.name} came back with ${epoch}/${version} after ${told.epoch}/${told.version}`;
      throw new Violation('lost-acknowledged', text);
    }
  }

  /** Reports why it cannot start; the person who runs it follows that advice. */
  #failed(process: Process, error: unknown): void {
    if (error instanceof Violation) throw error;
    if (!process.isAlive) return;
    this.#place.note(`${process.name} could not start: ${String(error)}`);
    const isExcused = this.#hasFailed || air.nowMs < this.troubles.failing.untilMs;
    if (!isExcused) throw new Violation('cannot-start', `${process.name}: ${String(error)}`);
    this.kill('as it could not start', 3000);
    if (!this.isDamaged) return;
    if (this.#backup === undefined) this.loseStore();
    else this.restore();
  }

  /** Whether something was wrong with its databases in this life. */
  get #hasFailed(): boolean {
    return this.isFull || this.isDamaged || this.troubles.hitAtMs >= this.#startedAtMs;
  }

  get isFull(): boolean {
    return this.databases.capacityBytes !== Number.POSITIVE_INFINITY;
  }

  /** Its process ends, and begins again so much later. */
  kill(why: string, restartMs: number): void {
    if (this.process.isAlive) {
      this.#place.note(`${this.process.name} ends ${why}`);
      this.process.isAlive = false;
      this.publisher = undefined;
      this.troubles.crashIn = 0;
      this.databases.end();
      void this.#served?.close(); // the name of its endpoint is given back; nothing of it is heard
      this.#served = undefined;
    }
    const atMs = air.nowMs + restartMs;
    this.#restartAtMs = atMs;
    air.asWorld(() =>
      air.after(restartMs, () => {
        if (this.#restartAtMs === atMs && !this.process.isAlive) this.start();
      }),
    );
  }

  /** Not again by itself. */
  stop(): void {
    this.kill('for good', 0);
    this.#place.ledger.headIs(this.name, undefined);
    this.#restartAtMs = -1;
  }

  /** From now on what it says to be on disk is not; or it is again. */
  lie(isLying: boolean): void {
    this.databases.isLying = isLying;
    this.#signer.isLying = isLying;
  }

  /** The power goes: of a disk that lied, what it had not written. */
  cutPower(restartMs: number): void {
    this.kill('without power', restartMs);
    this.#signer.cutPower();
    if (!this.databases.cutPower()) return;
    this.#place.count('lie found out');
    this.#place.note(`${this.name} has lost what was said to be on disk`);
    if (this.databases.usedBytes === 0) this.#mayStartOver = true; // that it had begun, too
    this.#acknowledged = undefined;
    this.#place.ledger.abandonAbove({ epoch: 0, version: 0 }, this.name);
  }

  // ── The operator ─────────────────────────────────────────────────────────────────────────────────────────

  backUp(): void {
    if (this.publisher === undefined) return; // what there is may be nothing
    const { contents } = this.databases;
    this.#backup = { contents, record: this.#signer.record, acknowledged: this.#acknowledged };
  }

  /**
   * While it is down; with the record of its signer, which else knows what came since. Whether there is one.
   */
  restore(withRecord = false): boolean {
    if (this.#backup === undefined) return false;
    const { contents, record, acknowledged } = this.#backup;
    this.#takeOver(contents, acknowledged);
    if (withRecord) this.#signer.restore(record);
    return true;
  }

  /** While it is down: what another has now, with its keys and the record of its signer. */
  copy(other: PublisherNode): void {
    this.#takeOver(other.databases.contents, undefined);
    this.#signer.restore(other.#signer.record);
    this.takeRoot();
  }

  /** The identity file has the newest root; the next start reads it. */
  takeRoot(): void {
    this.#place.writeIdentity(this.#identityFile);
  }

  #takeOver(contents: Contents, acknowledged: Numbered | undefined): void {
    this.databases.restore(contents);
    this.#place.ledger.headIs(this.name, undefined);
    this.#acknowledged = acknowledged;
    this.#mayStartOver = false;
    this.#place.ledger.abandonAbove(acknowledged ?? { epoch: 0, version: 0 }, this.name);
    this.isDamaged = false;
  }

  get acknowledged(): Numbered | undefined {
    return this.#acknowledged;
  }

  /** While it is down: its databases are lost, and it is started over. */
  loseStore(): void {
    this.databases.restore();
    this.#place.ledger.headIs(this.name, undefined);
    this.#acknowledged = undefined;
    this.#place.ledger.abandonAbove({ epoch: 0, version: 0 }, this.name);
    this.#mayStartOver = true;
    this.isDamaged = false;
  }

  /** Pushes; in a new epoch if the publisher knows that its state is old. */
  push(input: PushInput): void {
    const { publisher, process } = this;
    if (publisher === undefined || !process.isAlive) return;
    const asNewEpoch = publisher.behind !== undefined;
    air.as(process, () => {
      publisher.push(input, { permits: ALL_PERMITS, asNewEpoch }).then(
        (outcome) => {
          if (outcome.kind === 'released') this.#told(process, outcome.head?.manifest);
          else if (outcome.kind !== 'unchanged')
            this.#refused(process, JSON.stringify(outcome).slice(0, 500));
        },
        (error: unknown) => this.#refusedWith(process, error),
      );
    });
  }

  rollback(back: number): void {
    const { publisher, process } = this;
    const head = publisher?.head?.manifest;
    if (publisher === undefined || head === undefined || !process.isAlive) return;
    const version = Math.max(publisher.store.index.oldestVersion ?? 1, head.version - back);
    const asNewEpoch = publisher.behind !== undefined;
    air.as(process, () => {
      publisher.rollback(version, {}, { permits: ALL_PERMITS, asNewEpoch }).then(
        (outcome) => {
          if (outcome.kind === 'released') this.#told(process, outcome.head?.manifest);
        },
        (error: unknown) => this.#refusedWith(process, error),
      );
    });
  }

  /** Asks a subscriber for its counters, so often at once. */
  ask(subscriber: string, times: number): void {
    const { process } = this;
    const served = this.#served;
    if (served === undefined || !process.isAlive) return;
    air.as(process, () => {
      for (let i = 0; i < times; i++) served.ask(subscriber, { question: 'stats' }).catch(() => undefined);
    });
  }

  /** While it is down: some value of its databases has a wrong bit. Returns which. */
  flip(random: Random): string | undefined {
    const at = this.databases.flip(random);
    if (at !== undefined) this.isDamaged = true;
    this.#place.ledger.forgetful.add(this.name);
    return at;
  }

  #told(process: Process, head: Numbered | undefined): void {
    if (!process.isAlive || head === undefined) return;
    this.#acknowledged = { epoch: head.epoch, version: head.version };
    this.#place.note(`${process.name} released ${head.epoch}/${head.version}`);
  }

  #refused(process: Process, text: string): void {
    if (process.isAlive) throw new Violation('push-refused', `${process.name}: ${text}`);
  }

  #refusedWith(process: Process, error: unknown): void {
    if (error instanceof Violation) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    this.#place.note(`${process.name} refused a push: ${code} ${String(error)}`);
    if (RESTART_ADVICE.test(String(error))) this.kill('as it says that it should', RESTART_MS);
    const isPruned = error instanceof Error && 'oldest' in error; // a rollback waited for a push
    const isUnsaid = code === 'guard-refused' && this.publisher?.isStartedOver === true; // a list alone
    const isExpected =
      code === 'publisher-behind' || (code === 'store' && this.#hasFailed) || isPruned || isUnsaid;
    if (!isExpected) this.#refused(process, error instanceof Error ? (error.stack ?? '') : String(error));
  }

  // ── What holds ───────────────────────────────────────────────────────────────────────────────────────────

  /** It always starts, and says so. Throws Violation. */
  #checkStart(): void {
    const { process, troubles } = this;
    const sinceMs = Math.max(this.#startedAtMs, troubles.slow.untilMs, process.frozenUntilMs);
    if (air.nowMs - sinceMs <= START_MAX_MS) return;
    throw new Violation('cannot-start', `${process.name} does not start, and says nothing of it`);
  }

  /** After a step of it. Throws Violation. */
  check(): void {
    const { publisher, process } = this;
    if (!process.isAlive || air.nowMs - this.#lookedAtMs < LOOK_MS) return;
    if (publisher === undefined) return this.#checkStart();
    this.#lookedAtMs = air.nowMs;
    if (process.waiting > WAITING_MAX) {
      throw new Violation('unbounded', `${process.waiting} timers of ${process.name}`);
    }
    if (this.databases.usedBytes > STORE_MAX_BYTES) {
      throw new Violation('unbounded', `${this.databases.usedBytes} bytes in the store of ${process.name}`);
    }
    if (air.nowMs < process.frozenUntilMs + THAWED_MS) return;
    const records = publisher.subscriberRecords();
    for (const { name, hash, connectedSinceMs } of records) {
      if (hash === undefined || connectedSinceMs === undefined) continue;
      if (this.#place.ledger.had(name, hash, air.nowMs - STATUS_AGE_MAX_MS)) continue;
      const text = `${process.name} says that ${name} has ${hash}, which it has not, nor had it lately`;
      throw new Violation('untrue-status', text);
    }
  }
}

/** The release before one in its epoch, hex, as its publisher has it. */
function parentOf({ store }: Publisher, { manifest }: Release): string | undefined {
  return store.index.hashOf({ epoch: manifest.epoch, version: manifest.previousVersion });
}
