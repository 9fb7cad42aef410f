/**
 * The sink: keeps the kernel's table equal to the release in force. It plans and compares; the applier, a process of its own, checks
 * and loads.
 *
 *   prepare: rule set ─▶ plan ─ compared with the one in the kernel ─▶ change
 *   commit:  change ─▶ applier ─▶ kernel; afterwards, what changes no verdict: folds and clean-up
 *
 * One thing at a time: commits, checks and repairs wait for each other. The applier tells when somebody else changed the kernel's
 * tables; then, after each release, and every few minutes with the elements of its sets, what the kernel holds is looked at. Where it is
 * not what was committed last, it is loaded anew, whole.
 */

import { setTimeout as pause } from 'node:timers/promises';
import type { Environment, ListChanges, RuleSet } from '@rulecast/rules';
import { ApplierClient, ApplierError } from '../apply/client.ts';
import type { NftRun } from '../apply/message.ts';
import type { ApplierCommand } from '../apply/process.ts';
import type { Notice } from '../apply/tables.ts';
import type { KernelState } from '../kernel/listing.ts';
import { ruleCount } from '../kernel/script.ts';
import {
  CHANGED_STEPS_MAX,
  CLOSE_WAITS_MS,
  DOWNSTREAM_GROUP,
  GONE_MAX,
  GROUP_MAX,
  LISTED_ELEMENTS_MAX,
  MEMBERS_OF_A_RULE,
  NO_FLOW_MARK,
  RENDERING,
  WHOLE_MEMBERS_MAX,
} from '../limits.ts';
import {
  type ChangeOptions,
  type ChangeWithBody,
  chainsOf,
  namesOf,
  probesOf,
  type Tag,
  transition,
  wholeChange,
} from '../plan/change.ts';
import { capacityOf } from '../plan/layout.ts';
import { keyOf, type Plan, parseClassMapName, parseSetName, setNames } from '../plan/plan.ts';
import { type Basis, type CounterIndex, planOf } from '../plan/planner.ts';
import { sameElements } from './comparison.ts';
import { FlowMarks } from './flow-marks.ts';
import { hitsFrom, type NftHits, sumsOf } from './hits.ts';

/** What a sink is to enforce; as the subscriber declares it. */
export interface NftRelease {
  /** Manifest hash, 32 bytes. */
  readonly hash: Uint8Array;
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  /** What lists gained and lost by this release, where that is known. */
  readonly changes?: ListChanges;
}

export interface SinkLogger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export interface NftSinkOptions {
  /** How to start the applier; default: with this Node, as this user. */
  readonly applier?: ApplierCommand;
  /** Link group of the interfaces of downstream qubes; default 2. Give the applier the same. */
  readonly downstreamGroup?: number;
  /** What the sender of a dropped packet is told; default `reject`: administratively prohibited, as Qubes does. */
  readonly answer?: 'reject' | 'silent';
  /**
   * Whether flows that a release accepts are marked, in the upper byte of their connection mark, so that the rest of their packets
   * need no judging; default true.
   */
  readonly flowMarks?: boolean;
  /** Between looks that take in the elements of sets; default 5 minutes. */
  readonly checkEveryMs?: number;
  readonly logger?: SinkLogger;
}

export interface NftStatus {
  /** Manifest hash of what the kernel enforces, hex; all zeros for the boot mode; undefined before anything. */
  readonly release: string | undefined;
  /** The last transaction. */
  readonly lastRun: NftRun | undefined;
  /** How often the kernel was found to hold something else, and was repaired. */
  readonly repairs: number;
}

export interface NftSink {
  /** What begins no flow is dropped. */
  readonly judgesFlows: true;
  prepare(release: NftRelease): Promise<void>;
  commit(): Promise<void>;
  discard(): Promise<void>;
  /** Enforces a rule set before the first release, unless the kernel has one from an earlier life. Rejects with ApplierError. */
  boot(release: NftRelease): Promise<void>;
  /** Reads the counters back. Rejects with ApplierError. */
  hits(): Promise<NftHits>;
  status(): NftStatus;
  /**
   * Sums for `rulectl status`: packets decided and dropped, and by list, policy and rule (hits.ts); milliseconds and
   * peak bytes of the last `nft`; repairs. Read at most a second ago, or if they cannot be read when they could be last.
   */
  counters(): Promise<Readonly<Record<string, number>>>;
  /** Looks at the kernel now, elements included, and repairs it. Resolves to whether it had to be repaired. */
  check(): Promise<boolean>;
  /** Resolves when nothing is being loaded, checked or repaired. */
  settled(): Promise<void>;
  /** Since when, and why, it is not known that what was committed last is enforced; undefined: it is. */
  trouble(): SinkTrouble | undefined;
  /** Resolves when something is enforced: a release, or the boot mode. */
  enforcing(): Promise<void>;
  /** Stops looking and ends the applier. The rules stay. */
  close(): Promise<void>;
}

export interface SinkTrouble {
  readonly text: string;
  readonly forMs: number;
}

/** A plan with its tag, in the kernel or on its way there. */
interface Enforced {
  readonly plan: Plan;
  readonly tag: Tag;
  readonly counters: readonly CounterIndex[];
  readonly basis: Basis;
}

/** What commit is to do. */
interface Prepared extends Enforced {
  /** Undefined: the kernel has it already. */
  readonly first: ChangeWithBody | undefined;
  readonly afterwards: readonly ChangeWithBody[];
  /** What it took to plan. */
  readonly planMs: number;
}

/** How closely the kernel is looked at: names, rules and tag, or the elements of sets as well. */
type Depth = 'structure' | 'elements';

const CHECK_EVERY_MS = 300_000;
/** Between two notes in the log that another program changed nftables. */
const SAID_EVERY_MS = 60_000;
/** After a release is enforced: by then it is marked as the one in force, and acknowledged. */
const FOLLOW_UP_AFTER_MS = 25;
/** Between attempts to enforce the boot mode, or to repair what the kernel holds. */
const AGAIN_MS = 1000;
/** How long counters that were read are fresh. */
const COUNTED_FOR_MS = 1000;
const SILENT: SinkLogger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Starts an applier and gives the sink that uses it. Throws TypeError for a bad option; an applier that cannot work makes prepare and commit reject. */
export function createNftSink(options: NftSinkOptions = {}): NftSink {
  return new RunningSink(options);
}

/** The applier of this package, as this user. `options` are those of its `--help`. */
export function applierCommand(options: readonly string[] = []): ApplierCommand {
  const main = new URL('../../dist/applier-main.js', import.meta.url);
  return { program: process.execPath, args: [main.pathname, ...options] };
}

/** Interfaces of a group that is none would go by unjudged. Throws TypeError. */
function checkOptions(downstreamGroup: number, answer: string): void {
  if (!Number.isInteger(downstreamGroup) || downstreamGroup < 0 || downstreamGroup > GROUP_MAX) {
    throw new TypeError(`downstreamGroup ${downstreamGroup}: write an integer from 0 to ${GROUP_MAX}`);
  }
  if (answer !== 'reject' && answer !== 'silent') {
    throw new TypeError(`answer ${JSON.stringify(answer)}: write "reject" or "silent"`);
  }
}

class RunningSink implements NftSink {
  readonly judgesFlows = true;
  private readonly logger: SinkLogger;
  private readonly applier: ApplierClient;
  private readonly options: Omit<ChangeOptions, 'tag'>;
  private readonly marks: FlowMarks | undefined;
  private readonly checkTimer: NodeJS.Timeout;
  private turn: Promise<unknown> = Promise.resolve();
  private enforced: Enforced | undefined;
  /** A change failed half-way: the next one is a load of everything. */
  private stale = false;
  /** What is still to be done for the release in force, without effect on any verdict. */
  private afterwards: ChangeWithBody[] = [];
  private prepared: Prepared | undefined;
  /** Of the kernel's table as we left it; undefined: not looked yet. */
  private fingerprint: string | undefined;
  private bootTimer: NodeJS.Timeout | undefined;
  private lookTimer: NodeJS.Timeout | undefined;
  private troubled: { readonly text: string; readonly atMs: number } | undefined = {
    text: 'nothing is loaded yet',
    atMs: performance.now(),
  };
  private readonly firstFound = deferred();
  private readonly looksToCome = new Set<Depth>();
  private saidAtMs = Number.NEGATIVE_INFINITY;
  private failing = false; // the last look or repair failed, and that was logged
  private lastRun: NftRun | undefined;
  private repairs = 0;
  private counted: Readonly<Record<string, number>> = {};
  private counting: Promise<void> = Promise.resolve();
  private countedAtMs = Number.NEGATIVE_INFINITY;
  private following: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: NftSinkOptions) {
    this.logger = options.logger ?? SILENT;
    const { downstreamGroup = DOWNSTREAM_GROUP, answer = 'reject' } = options;
    checkOptions(downstreamGroup, answer);
    this.options = { downstreamGroup, answer };
    this.marks = options.flowMarks === false ? undefined : new FlowMarks();
    this.applier = new ApplierClient(
      options.applier ?? applierCommand(['--group', String(downstreamGroup)]),
      {
        onRestart: () => this.lookAgain('structure'),
        onNotice: this.noticed,
        onError: (text) => {
          this.lost(text);
          this.logger.error({}, text);
        },
      },
    );
    this.checkTimer = setInterval(
      () => this.lookAgain('elements'),
      options.checkEveryMs ?? CHECK_EVERY_MS,
    ).unref();
  }

  // ── The sink ───────────────────────────────────────────────────────────────────────────────────────────────────────

  prepare(release: NftRelease): Promise<void> {
    return this.inTurn(async () => {
      const startMs = performance.now();
      const planned = await this.planned(release);
      this.prepared = { ...planned, planMs: performance.now() - startMs };
    });
  }

  commit(): Promise<void> {
    return this.inTurn(() => this.commitNow());
  }

  async discard(): Promise<void> {
    this.prepared = undefined;
  }

  /** Tries it again and again where it fails. */
  async boot(release: NftRelease): Promise<void> {
    try {
      await this.bootNow(release);
    } catch (error) {
      const again = (): void => {
        if (this.enforced === undefined && !this.closed) this.boot(release).catch(() => undefined);
      };
      this.bootTimer = setTimeout(again, AGAIN_MS);
      throw error;
    }
  }

  private bootNow(release: NftRelease): Promise<void> {
    return this.inTurn(async () => {
      const state = await this.look();
      if (state.tag !== undefined && !/^0*$/.test(state.tag.release)) {
        this.logger.warn(
          { release: state.tag.release },
          'the kernel keeps the release it has until there is one',
        );
        return this.found();
      }
      this.prepared = await this.planned(release);
      await this.commitNow();
    });
  }

  private async planned(release: NftRelease): Promise<Prepared> {
    const { enforced } = this;
    if (enforced === undefined && this.marks?.unknown) await this.lookForMarks();
    const known = (key: string) => enforced?.plan.sets.get(key);
    const { ruleSet, environment, changes } = release;
    const { plan, counters, basis } = planOf(ruleSet, environment, known, changes, enforced?.basis);
    const tag: Tag = {
      release: Buffer.from(release.hash).toString('hex'),
      conditions: this.conditions(plan, release.environment),
      mark: this.marks?.next() ?? NO_FLOW_MARK,
    };
    const options = { ...this.options, tag };
    const next = { plan, tag, counters, basis, afterwards: [], planMs: 0 };
    if (enforced !== undefined && !this.stale) {
      if (sameTag(enforced.tag, tag)) return { ...next, first: undefined };
      const { release: first, afterwards } = transition(enforced, plan, options);
      if (isWorthIt(plan, [first, ...afterwards])) return { ...next, first, afterwards };
    }
    return { ...next, first: wholeChange(plan, options) };
  }

  /** A digest of what the rules depend on besides the release. */
  private conditions(plan: Plan, { dns }: Environment): string {
    const maps = [...plan.maps].map(([name, keys]) => [name, [...keys]]);
    const addresses = dns.map(({ words }) => [...words]);
    return keyOf(
      JSON.stringify([RENDERING, this.options, this.marks !== undefined, [...plan.chains], maps, addresses]),
    );
  }

  private async commitNow(): Promise<void> {
    const { prepared } = this;
    if (prepared === undefined) throw new TypeError('nothing is prepared');
    this.prepared = undefined;
    const { first, planMs, afterwards, ...next } = prepared;
    const { tag } = next;
    if (first === undefined) return;
    const whole = await this.loadOrAll(first, next);
    this.marks?.take(tag.mark);
    this.afterwards = whole ? [] : [...afterwards];
    this.enforced = next;
    this.found();
    const { milliseconds: nftMs = 0, peakBytes: nftPeakBytes = 0 } = this.lastRun ?? {};
    this.logger.info(
      {
        release: tag.release,
        planMs: Math.round(planMs),
        nftMs: Math.round(nftMs),
        nftPeakBytes,
        elements: first.elementCount,
      },
      'enforced',
    );
    this.followUpSoon();
  }

  /** What is not needed any more is removed, and the kernel looked at, when the release itself waits for nothing. */
  private followUpSoon(): void {
    this.following = pause(FOLLOW_UP_AFTER_MS).then(() => {
      this.lookAgain('structure');
      if (this.marks?.scarce && !this.closed) void this.inTurn(() => this.lookForMarks());
    });
  }

  /** Loads a change, or everything if the kernel does not have what the change builds on. Resolves to whether it was everything. */
  private async loadOrAll(change: ChangeWithBody, next: Enforced): Promise<boolean> {
    const isWhole = change.change.base === 'fresh';
    try {
      await this.load(change);
      return isWhole;
    } catch (error) {
      if (isWhole || !(error instanceof ApplierError)) throw error;
      this.logger.warn({ err: error }, 'the kernel does not take the change: loading all of it');
      await this.loadWhole(next);
      return true;
    }
  }

  private async loadWhole({ plan, tag }: Enforced): Promise<void> {
    await this.load(wholeChange(plan, { ...this.options, tag }));
    this.stale = false;
    this.afterwards = [];
  }

  private async load({ change, body }: ChangeWithBody): Promise<void> {
    this.fingerprint = undefined;
    const { reply } = await this.applier.ask({ kind: 'apply', change }, 'applied', body);
    this.lastRun = reply.run;
  }

  /** Folds and clean-up of the release in force. What fails here is found by the next look, and repaired. */
  private async finish(): Promise<void> {
    const run = this.lastRun;
    while (this.afterwards.length > 0) {
      const [next] = this.afterwards.splice(0, 1);
      try {
        if (next !== undefined) await this.load(next);
      } catch (error) {
        this.afterwards = [];
        this.stale = true;
        this.logger.error(
          { err: error },
          'the sets of the kernel could not be brought up to date; its rules are',
        );
      }
    }
    this.lastRun = run;
  }

  // ── Flows ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Which marks flows have, of this life or an earlier one. Where that cannot be known, none is given that one may have. */
  private async lookForMarks(): Promise<void> {
    try {
      this.marks?.looked((await this.applier.ask({ kind: 'marks' }, 'marks')).reply.marks);
    } catch (error) {
      if (!(error instanceof ApplierError)) throw error;
      this.logger.error(
        { err: error },
        'marks of flows cannot be read, so that all of their packets are judged',
      );
    }
  }

  // ── Checks and repairs ─────────────────────────────────────────────────────────────────────────────────────────────

  check(): Promise<boolean> {
    return this.inTurn(() => this.checkNow('elements'));
  }

  /** Unless a look as deep is to come anyway. */
  private lookAgain(depth: Depth): void {
    if (this.closed || this.looksToCome.has(depth)) return;
    this.looksToCome.add(depth);
    const look = (): Promise<boolean> => {
      this.looksToCome.delete(depth);
      return this.checkNow(depth);
    };
    void this.inTurn(look).then(this.looked, this.notLooked);
  }

  private readonly looked = (): void => {
    if (this.enforced !== undefined) this.found();
    this.failing = false;
  };

  private readonly notLooked = (error: unknown): void => {
    this.lost(error instanceof Error ? error.message : String(error));
    if (!this.failing)
      this.logger.error({ err: error }, 'the rules in the kernel could not be checked or repaired');
    this.failing = true; // said once
    clearTimeout(this.lookTimer);
    this.lookTimer = setTimeout(() => this.lookAgain('structure'), AGAIN_MS);
  };

  private readonly noticed = (notice: Notice): void => {
    if (notice === 'gone') this.lost('the table was taken away, and nothing passes');
    if (notice !== 'elsewhere') this.lookAgain('structure');
    else if (performance.now() - this.saidAtMs > SAID_EVERY_MS) {
      this.saidAtMs = performance.now();
      this.logger.info(
        {},
        'another program changed nftables; it cannot change the tables of Rulecast, and did not',
      );
    }
  };

  /** Resolves to whether the kernel had to be repaired. */
  private async checkNow(depth: Depth): Promise<boolean> {
    const { enforced } = this;
    if (enforced === undefined || this.closed) return false;
    const drift = await this.driftFrom(enforced, depth);
    if (drift === undefined) return false;
    this.logger.warn({ release: enforced.tag.release, drift }, 'the kernel holds something else: repairing');
    const mark = this.marks?.next() ?? NO_FLOW_MARK; // of what was marked meanwhile, nothing is known
    const repaired = { ...enforced, tag: { ...enforced.tag, mark } };
    await this.loadWhole(repaired);
    this.marks?.take(mark);
    this.enforced = repaired;
    this.repairs++;
    this.fingerprint = (await this.look()).fingerprint;
    this.logger.info({ release: enforced.tag.release }, 'the kernel is repaired');
    return true;
  }

  /** What is not as it was left; undefined if all is. */
  private async driftFrom({ plan, tag }: Enforced, depth: Depth): Promise<string | undefined> {
    const state = await this.look();
    if (!state.exists) return 'the table is gone';
    if (!holds(state, plan, tag)) return 'the table is not the one that was loaded';
    if (state.rules !== ruleCount(chainsOf(plan).values(), { ...this.options, tag }))
      return 'rules were added or taken out';
    if (this.fingerprint !== undefined && state.fingerprint !== this.fingerprint) return 'rules were changed';
    this.fingerprint = state.fingerprint;
    if (depth === 'structure') return undefined;
    const sets = [...plan.sets.values()].filter(
      ({ members }) => members.lengths.length <= LISTED_ELEMENTS_MAX,
    );
    const { probes, body: probed } = probesOf(plan);
    const request = { kind: 'look', sets: sets.flatMap(setNames), maps: listedMaps(plan), probes } as const;
    const { reply, body } = await this.applier.ask(request, 'state', probed);
    if (reply.state.lackingSets.length > 0) return 'a set lacks elements';
    if (reply.state.spoiledMaps.length > 0) return 'elements of a map were changed';
    for (const set of sets) {
      if (!(await sameElements(set, reply.state.elements, body))) return 'elements of a set were changed';
    }
    return undefined;
  }

  private async look(): Promise<KernelState> {
    return (await this.applier.ask({ kind: 'look', sets: [], maps: [], probes: [] }, 'state')).reply.state;
  }

  trouble(): SinkTrouble | undefined {
    if (this.troubled === undefined) return undefined;
    const { text, atMs } = this.troubled;
    return { text, forMs: performance.now() - atMs };
  }

  enforcing(): Promise<void> {
    return this.firstFound.promise;
  }

  /** What is enforced is as it should be. */
  private found(): void {
    this.troubled = undefined;
    this.firstFound.resolve();
  }

  private lost(text: string): void {
    this.troubled ??= { text, atMs: performance.now() };
  }

  // ── Status ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async hits(): Promise<NftHits> {
    const { reply } = await this.applier.ask({ kind: 'counters' }, 'counters');
    return hitsFrom(this.enforced?.counters ?? [], reply.counters);
  }

  async counters(): Promise<Readonly<Record<string, number>>> {
    const nowMs = performance.now();
    if (nowMs - this.countedAtMs > COUNTED_FOR_MS && !this.closed) {
      this.countedAtMs = nowMs;
      this.counting = this.count();
    }
    await this.counting;
    return {
      ...this.counted,
      nftMs: Math.round(this.lastRun?.milliseconds ?? 0),
      nftPeakBytes: this.lastRun?.peakBytes ?? 0,
      nftRepairs: this.repairs,
    };
  }

  private async count(): Promise<void> {
    try {
      this.counted = sumsOf(await this.hits());
    } catch (error) {
      this.logger.warn({ err: error }, 'the counters of the kernel cannot be read');
    }
  }

  status(): NftStatus {
    const { lastRun, repairs } = this;
    return { release: this.enforced?.tag.release, lastRun, repairs };
  }

  async settled(): Promise<void> {
    for (let last: readonly unknown[] = []; ; ) {
      const now = [this.following, this.turn];
      if (now.every((work, index) => work === last[index])) return;
      await Promise.all(now);
      last = now;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.checkTimer);
    clearTimeout(this.bootTimer);
    clearTimeout(this.lookTimer);
    await Promise.race([this.settled(), pause(CLOSE_WAITS_MS, undefined, { ref: false })]);
    await this.applier.close();
    await this.settled(); // what waited for it has failed
  }

  private inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.turn.then(() => this.finish()).then(step);
    this.turn = result.catch(() => undefined);
    return result;
  }
}

/** A promise, and what resolves it. */
function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/**
 * Whether changes of the table in force are better than another table: only where there is much that does not change, and nothing large
 * that goes, for that keeps the next transaction waiting, where another table is emptied in pieces.
 */
function isWorthIt(plan: Plan, changes: readonly ChangeWithBody[]): boolean {
  let members = 0;
  for (const set of plan.sets.values()) members += set.members.lengths.length;
  for (const map of plan.classMaps.values()) members += map.verdicts.length;
  for (const steps of plan.chains.values()) members += steps.length * MEMBERS_OF_A_RULE;
  let steps = 0;
  let gone = 0;
  for (const { change } of changes) {
    for (const chain of change.chains) steps += chain.steps.length;
    for (const name of [...change.oldSets, ...change.oldMaps]) {
      const { tier } = parseSetName(name) ?? parseClassMapName(name) ?? {};
      if (tier !== undefined) gone += capacityOf(tier.bucketsLog2);
    }
  }
  return members > WHOLE_MEMBERS_MAX && steps <= CHANGED_STEPS_MAX * 2 && gone <= GONE_MAX;
}

/** Whether the kernel has all of a plan and nothing else, by name, under a tag. */
function holds(kernel: KernelState, plan: Plan, tag: Tag): boolean {
  const expected = namesOf(plan);
  return (
    kernel.framed &&
    kernel.tag !== undefined &&
    sameTag(kernel.tag, tag) &&
    (['sets', 'maps', 'chains', 'counters'] as const).every((kind) => sameNames(kernel[kind], expected[kind]))
  );
}

/** Whether two tags are of the same rules, whatever flows are marked with. */
function sameTag(a: Tag, b: Tag): boolean {
  return a.release === b.release && a.conditions === b.conditions;
}

/** The maps that are small enough to be listed. */
function listedMaps(plan: Plan): readonly string[] {
  return [...plan.maps].filter(([, keys]) => keys.size <= LISTED_ELEMENTS_MAX).map(([name]) => name);
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  const names = new Set(a);
  return names.size === b.length && b.every((name) => names.has(name));
}
