/**
 * Keeps what the kernel holds equal to what was committed: desired and realised, compared and brought
 * together by one loop.
 *
 *   plan:    rule set ─▶ plan ─ compared with the desired one ─▶ change
 *   realise: change ─▶ applier ─▶ kernel; afterwards, what changes no verdict: folds and clean-up
 *   check:   kernel ─ compared with the desired one ─▶ all of it loaded anew, where it is something else
 *
 * One step at a time, each after what the one before left to be done. Checks follow each release, what the
 * applier notices that others did, and every few minutes, then with the elements of sets. (The model is
 * Cilium's statedb reconciler.)
 */

import { setTimeout as pause } from 'node:timers/promises';
import { concernsFirewallDns, type Environment } from '@rulecast/rules';
import { type ApplierClient, ApplierError } from '../apply/client.ts';
import type { NftRun, Request } from '../apply/message.ts';
import type { KernelState } from '../kernel/listing.ts';
import { ruleCount } from '../kernel/script.ts';
import {
  CHANGED_STEPS_MAX,
  CLOSE_WAITS_MS,
  GONE_MAX,
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
  nameSetsOf,
  namesOf,
  probesOf,
  type Tag,
  transition,
  wholeChange,
} from '../plan/change.ts';
import { capacityOf } from '../plan/layout.ts';
import {
  hexAt,
  keyOf,
  type Plan,
  parseClassMapName,
  parseSetName,
  type Step as Rule,
  setNames,
} from '../plan/plan.ts';
import { type Basis, type CounterIndex, planOf } from '../plan/planner.ts';
import { sameElements } from './comparison.ts';
import type { FlowMarks } from './flow-marks.ts';
import type { NftRelease, SinkLogger } from './sink.ts';

/** What the kernel is to hold: a plan with its tag. */
export interface Desired {
  readonly plan: Plan;
  readonly tag: Tag;
  readonly counters: readonly CounterIndex[];
  readonly basis: Basis;
  /** Resolvers whose questions are captured, in hex; null: none are. */
  readonly resolvers: readonly string[] | null;
}

/** What it holds of that, as far as we know. */
type Realised =
  /** Something else, or nothing: all of it is to be loaded. */
  | { readonly kind: 'stale' }
  /** Its verdicts; `rest` is still to be done, without effect on any. */
  | {
      readonly kind: 'in-force';
      readonly rest: readonly ChangeWithBody[];
      /** Of the table as we left it; undefined: nobody looked yet. */
      readonly fingerprint: string | undefined;
    };

/** Whether what was committed last is enforced; if that is not known, since when and why. */
export type Status =
  | { readonly kind: 'enforced' }
  | { readonly kind: 'not-enforced'; readonly text: string; readonly sinceMs: number };

/** A step towards what is to be desired next. */
export interface Step {
  readonly next: Desired;
  /** Undefined: the kernel has it already. */
  readonly first: ChangeWithBody | undefined;
  readonly afterwards: readonly ChangeWithBody[];
}

/** How closely the kernel is looked at: names, rules and tag, or the elements of sets as well. */
export type Depth = 'structure' | 'elements';

const STALE: Realised = { kind: 'stale' };
/** After a release is enforced: by then it is marked as the one in force, and acknowledged. */
const FOLLOW_UP_AFTER_MS = 25;
/** Between attempts to repair what the kernel holds. */
const AGAIN_MS = 1000;

export class Reconciler {
  readonly #applier: ApplierClient;
  readonly #options: Omit<ChangeOptions, 'tag'>;
  readonly #marks: FlowMarks | undefined;
  readonly #capturesDns: boolean;
  readonly #logger: SinkLogger;
  #desired: Desired | undefined;
  #realised: Realised = STALE;
  #status: Status = { kind: 'not-enforced', text: 'nothing is loaded yet', sinceMs: performance.now() };
  #repairs = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #following: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | undefined;
  readonly #checksToCome = new Set<Depth>();
  #failing = false; // the last check or repair failed, and that was logged
  #closed = false;

  constructor(
    applier: ApplierClient,
    options: Omit<ChangeOptions, 'tag'>,
    { marks, capturesDns }: { readonly marks: FlowMarks | undefined; readonly capturesDns: boolean },
    logger: SinkLogger,
  ) {
    this.#applier = applier;
    this.#options = options;
    this.#marks = marks;
    this.#capturesDns = capturesDns;
    this.#logger = logger;
  }

  get desired(): Desired | undefined {
    return this.#desired;
  }

  get status(): Status {
    return this.#status;
  }

  /** How often the kernel was found to hold something else, and was repaired. */
  get repairs(): number {
    return this.#repairs;
  }

  /** Runs a step when those before it, and what they left to be done, are through. */
  inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => this.#finish()).then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  // ── Releases; to be called in turn ───────────────────────────────────────────────────────────────────────

  /** Plans a release, and the step to it. Rejects with ApplierError. */
  async plan(release: NftRelease): Promise<Step> {
    const desired = this.#desired;
    if (desired === undefined && this.#marks?.unknown) await this.#clearMarks();
    const known = (key: string) => desired?.plan.sets.get(key);
    const { ruleSet, environment, changes } = release;
    const { plan, counters, basis } = planOf(ruleSet, environment, known, changes, desired?.basis);
    const tag: Tag = {
      release: Buffer.from(release.hash).toString('hex'),
      conditions: this.#conditions(plan, environment),
      mark: this.#marks?.next() ?? NO_FLOW_MARK,
    };
    const isCaptured = this.#capturesDns && concernsFirewallDns(ruleSet);
    const resolvers = isCaptured ? environment.dns.map(({ words, family }) => hexAt(words, 0, family)) : null;
    const next = { plan, tag, counters, basis, resolvers };
    if (desired !== undefined && this.#realised.kind === 'in-force') {
      if (sameTag(desired.tag, tag)) return { next, first: undefined, afterwards: [] };
      const { release: first, afterwards } = transition(desired, plan, { ...this.#options, tag });
      if (isWorthIt(plan, [first, ...afterwards])) return { next, first, afterwards };
    }
    return { next, first: this.#whole(next), afterwards: [] };
  }

  /** A digest of what the rules depend on besides the release. */
  #conditions(plan: Plan, { dns }: Environment): string {
    const maps = [...plan.maps].map(([name, keys]) => [name, [...keys]]);
    const addresses = dns.map(({ words }) => [...words]);
    const marked = this.#marks !== undefined;
    const chains = [...plan.chains].map(([name, steps]) => [name, digestOf(steps)]);
    return keyOf(JSON.stringify([RENDERING, this.#options, marked, chains, maps, addresses]));
  }

  /**
   * Has what takes a table of its own made already, where no packet gets to. Resolves to what that took;
   * rejects with ApplierError.
   */
  async stage({ first }: Step): Promise<NftRun | undefined> {
    if (first?.change.base !== 'fresh') return undefined;
    return (await this.#applier.ask({ kind: 'stage', change: first.change }, 'applied', first.body)).reply
      .run;
  }

  /** Forgets what was staged. Rejects with ApplierError. */
  async unstage(): Promise<void> {
    await this.#applier.ask({ kind: 'discard' }, 'applied');
  }

  /**
   * Takes a staged step, which is what is desired from then on. Resolves to what that took; rejects with
   * ApplierError.
   */
  async realise({ next, first, afterwards }: Step): Promise<NftRun | undefined> {
    if (first === undefined) return undefined;
    // Before names are judged, and until no release does that.
    if (next.resolvers !== null) await this.#capture(next);
    const run = await this.#loadOrAll(first, afterwards, next);
    this.#marks?.take(next.tag.mark);
    this.#desired = next;
    this.found();
    this.#following = pause(FOLLOW_UP_AFTER_MS).then(() => {
      this.checkSoon('structure');
      if (this.#marks?.scarce && !this.#closed) void this.inTurn(() => this.#clearMarks());
    });
    return run;
  }

  /** Releases what was staged, or loads a change; or everything if that is not what the applier has. */
  async #loadOrAll(change: ChangeWithBody, rest: readonly ChangeWithBody[], next: Desired): Promise<NftRun> {
    try {
      if (change.change.base !== 'fresh') return await this.#load(change, rest);
      return await this.#ask({ kind: 'release', tag: next.tag });
    } catch (error) {
      if (!(error instanceof ApplierError)) throw error;
      this.#logger.warn({ err: error }, 'the kernel does not take the change: loading all of it');
      return await this.#load(this.#whole(next));
    }
  }

  #whole({ plan, tag }: Desired): ChangeWithBody {
    return wholeChange(plan, { ...this.#options, tag }, this.#desired?.plan);
  }

  /** What was in force still is where it fails; but of its table we know less. */
  #load({ change, body }: ChangeWithBody, rest: readonly ChangeWithBody[] = []): Promise<NftRun> {
    return this.#ask({ kind: 'apply', change }, body, rest);
  }

  async #ask(
    request: Request,
    body: readonly Uint8Array[] = [],
    rest: readonly ChangeWithBody[] = [],
  ): Promise<NftRun> {
    if (this.#realised.kind === 'in-force') this.#realised = { ...this.#realised, fingerprint: undefined };
    const { reply } = await this.#applier.ask(request, 'applied', body);
    this.#realised = { kind: 'in-force', rest, fingerprint: undefined };
    return reply.run;
  }

  /** Folds and clean-up of the release in force. What fails here is found by the next check, and repaired. */
  async #finish(): Promise<void> {
    while (this.#realised.kind === 'in-force') {
      const [next, ...rest] = this.#realised.rest;
      if (next === undefined) return;
      try {
        await this.#load(next, rest);
      } catch (error) {
        this.#realised = STALE;
        const text = 'the sets of the kernel could not be brought up to date; its rules are';
        this.#logger.error({ err: error }, text);
      }
    }
  }

  /**
   * Takes marks from flows that they have from former releases, of this life or an earlier one. Where that
   * fails, none is given that one may have.
   */
  async #clearMarks(): Promise<void> {
    if (this.#marks === undefined) return;
    const request = { kind: 'clear-marks', kept: this.#marks.given } as const;
    try {
      this.#marks.cleared((await this.#applier.ask(request, 'marks')).reply.marks);
    } catch (error) {
      if (!(error instanceof ApplierError)) throw error;
      const text = 'flows cannot be marked, so that all of their packets are judged';
      this.#logger.error({ err: error }, text);
    }
  }

  // ── Checks and repairs ───────────────────────────────────────────────────────────────────────────────────

  /** Unless a check as deep is to come anyway. */
  checkSoon(depth: Depth): void {
    if (this.#closed || this.#checksToCome.has(depth)) return;
    this.#checksToCome.add(depth);
    const check = (): Promise<boolean> => {
      this.#checksToCome.delete(depth);
      return this.check(depth);
    };
    void this.inTurn(check).then(this.#checked, this.#notChecked);
  }

  readonly #checked = (): void => {
    if (this.#desired !== undefined) this.found();
    this.#failing = false;
  };

  readonly #notChecked = (error: unknown): void => {
    this.lost(error instanceof Error ? error.message : String(error));
    if (!this.#failing)
      this.#logger.error({ err: error }, 'the rules in the kernel could not be checked or repaired');
    this.#failing = true; // said once
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.checkSoon('structure'), AGAIN_MS);
  };

  /** To be called in turn. Resolves to whether the kernel had to be repaired; rejects with ApplierError. */
  async check(depth: Depth): Promise<boolean> {
    const desired = this.#desired;
    if (desired === undefined || this.#closed) return false;
    const drift = await this.#driftFrom(desired, depth);
    await this.#capture(desired);
    if (drift === undefined) {
      await this.#sayNames(desired.plan);
      return false;
    }
    const { release } = desired.tag;
    this.#logger.warn({ release, drift }, 'the kernel holds something else: repairing');
    const mark = this.#marks?.next() ?? NO_FLOW_MARK; // of what was marked meanwhile, nothing is known
    const repaired = { ...desired, tag: { ...desired.tag, mark } };
    await this.#load(this.#whole(repaired));
    this.#marks?.take(mark);
    this.#desired = repaired;
    this.#repairs++;
    this.#leaveAt((await this.look()).fingerprint);
    this.#logger.info({ release }, 'the kernel is repaired');
    return true;
  }

  /** Says whose questions are captured; to say it again costs a look. Rejects with ApplierError. */
  async #capture({ resolvers }: Desired): Promise<void> {
    if (this.#capturesDns) await this.#applier.ask({ kind: 'capture', resolvers }, 'done');
  }

  /** To an applier that may be another than the one that made the table. */
  async #sayNames({ nameSets }: Plan): Promise<void> {
    if (nameSets.size === 0) return;
    await this.#applier.ask({ kind: 'names', nameSets: nameSetsOf(nameSets) }, 'done');
  }

  #leaveAt(fingerprint: string): void {
    this.#realised = { kind: 'in-force', rest: [], fingerprint };
  }

  /** What is not as it was left; undefined if all is. */
  async #driftFrom({ plan, tag }: Desired, depth: Depth): Promise<string | undefined> {
    const state = await this.look();
    if (!state.exists) return 'the table is gone';
    if (this.#realised.kind === 'stale' || !holds(state, plan, tag))
      return 'the table is not the one that was loaded';
    if (state.rules !== ruleCount(chainsOf(plan).values(), { ...this.#options, tag }))
      return 'rules were added or taken out';
    const { fingerprint = state.fingerprint } = this.#realised;
    if (state.fingerprint !== fingerprint) return 'rules were changed';
    this.#leaveAt(fingerprint);
    return depth === 'structure' ? undefined : await this.#elementDrift(plan);
  }

  /** As `#driftFrom`, of elements: of small sets all, of large ones some. */
  async #elementDrift(plan: Plan): Promise<string | undefined> {
    const sets = [...plan.sets.values()].filter(
      ({ members }) => members.lengths.length <= LISTED_ELEMENTS_MAX,
    );
    const maps = [...plan.maps].filter(([, keys]) => keys.size <= LISTED_ELEMENTS_MAX).map(([name]) => name);
    const { body: probed, ...probes } = probesOf(plan);
    const request = { kind: 'look', sets: sets.flatMap(setNames), maps, ...probes } as const;
    const { reply, body } = await this.#applier.ask(request, 'state', probed);
    if (reply.state.lackingSets.length > 0) return 'a set lacks elements';
    if (reply.state.spoiledMaps.length > 0) return 'elements of a map were changed';
    for (const set of sets) {
      if (!(await sameElements(set, reply.state.elements, body))) return 'elements of a set were changed';
    }
    return undefined;
  }

  /** What the kernel holds, without elements. Rejects with ApplierError. */
  async look(): Promise<KernelState> {
    const request = { kind: 'look', sets: [], maps: [], probes: [], classProbes: [] } as const;
    return (await this.#applier.ask(request, 'state')).reply.state;
  }

  // ── Status ───────────────────────────────────────────────────────────────────────────────────────────────

  /** What is enforced is as it should be. */
  found(): void {
    this.#status = { kind: 'enforced' };
  }

  lost(text: string): void {
    if (this.#status.kind === 'enforced')
      this.#status = { kind: 'not-enforced', text, sinceMs: performance.now() };
  }

  /** Resolves when nothing is being loaded, checked or repaired. */
  async settled(): Promise<void> {
    for (let last: readonly unknown[] = []; ; ) {
      const now = [this.#following, this.#turn];
      if (now.every((work, index) => work === last[index])) return;
      await Promise.all(now);
      last = now;
    }
  }

  /** Begins nothing more, and ends the applier. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    await Promise.race([this.settled(), pause(CLOSE_WAITS_MS, undefined, { ref: false })]);
    await this.#applier.close();
    await this.settled(); // what waited for it has failed
  }
}

/**
 * Whether changes of the table in force are better than another table, which is staged: only where most of
 * much does not change, and nothing large goes, for that keeps the next transaction waiting, where another
 * table is emptied in pieces.
 */
function isWorthIt(plan: Plan, changes: readonly ChangeWithBody[]): boolean {
  let members = 0;
  for (const set of plan.sets.values()) members += set.members.lengths.length;
  for (const map of plan.classMaps.values()) members += map.verdicts.length;
  for (const steps of plan.chains.values()) members += steps.length * MEMBERS_OF_A_RULE;
  let steps = 0;
  let gone = 0;
  let loaded = 0;
  for (const { change, elementCount } of changes) {
    loaded += elementCount;
    for (const chain of change.chains) steps += chain.steps.length;
    for (const name of [...change.oldSets, ...change.oldMaps]) {
      const { tier } = parseSetName(name) ?? parseClassMapName(name) ?? {};
      if (tier !== undefined) gone += capacityOf(tier.bucketsLog2);
    }
  }
  return (
    members > Math.max(WHOLE_MEMBERS_MAX, loaded * 2) && steps <= CHANGED_STEPS_MAX * 2 && gone <= GONE_MAX
  );
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

/** Of the steps of a chain; computed once for each, as most stay the same objects. */
function digestOf(steps: readonly Rule[]): string {
  let digest = digests.get(steps);
  if (digest === undefined) {
    digest = keyOf(JSON.stringify(steps));
    digests.set(steps, digest);
  }
  return digest;
}

const digests = new WeakMap<readonly Rule[], string>();

/** Whether two tags are of the same rules, whatever flows are marked with. */
function sameTag(a: Tag, b: Tag): boolean {
  return a.release === b.release && a.conditions === b.conditions;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  const names = new Set(a);
  return names.size === b.length && b.every((name) => names.has(name));
}
