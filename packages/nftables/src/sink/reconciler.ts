/**
 * Keeps what the kernel holds equal to what was committed: desired and realised, compared and brought
 * together by one loop.
 *
 *   plan:    rule set ─▶ plan ─ compared with the desired one ─▶ change (plans.ts, maybe in another thread)
 *   realise: change ─▶ applier ─▶ kernel; afterwards, what changes no verdict: folds and clean-up
 *   check:   kernel ─ compared with the desired one ─▶ all of it loaded anew, where it is something else
 *
 * One step at a time, each after what the one before left to be done. Checks run after each release, after
 * changes by others that the applier notices, and every few minutes; those also compare the elements of sets.
 * (The model is Cilium's statedb reconciler.)
 */

import { setTimeout as pause } from 'node:timers/promises';
import { type ApplierClient, ApplierError } from '../apply/client.ts';
import type { NftRun } from '../apply/message.ts';
import type { KernelState } from '../kernel/listing.ts';
import { CLOSE_WAITS_MS, NO_FLOW_MARK } from '../limits.ts';
import type { FlowMarks } from './flow-marks.ts';
import type { EncodedChange, PlanHead, PlannedStep, PlanQuestions } from './plans.ts';
import type { NftRelease, SinkLogger } from './sink.ts';

/** Asks the thread that has the plans. If they are in this thread, a release is planned from `release`. */
export type AskPlans = <K extends keyof PlanQuestions>(
  kind: K,
  asks: PlanQuestions[K]['asks'],
  release?: NftRelease,
) => Promise<PlanQuestions[K]['answer']>;

/** The kernel's content, as far as we know. */
type Realised =
  /** Something else, or nothing: everything must be loaded. */
  | { readonly kind: 'stale' }
  /** Its verdicts; `rest` is still to be done, without effect on any. */
  | {
      readonly kind: 'in-force';
      readonly rest: readonly EncodedChange[];
      /** Fingerprint of the table as we left it; undefined: not read yet. */
      readonly fingerprint: string | undefined;
    };

/** Whether the last commit is enforced; if that is not known, since when and why. */
export type Status =
  | { readonly kind: 'enforced' }
  | { readonly kind: 'not-enforced'; readonly text: string; readonly sinceMs: number };

/** The depth of a check: names, rules and tag, or the elements of sets as well. */
export type Depth = 'structure' | 'elements';

const STALE: Realised = { kind: 'stale' };
/** After a release is enforced: by then it is marked as the one in force, and acknowledged. */
const FOLLOW_UP_AFTER_MS = 25;
/** The wait between attempts to repair the kernel's tables. */
const AGAIN_MS = 1000;

export class Reconciler {
  readonly #applier: ApplierClient;
  readonly #plans: AskPlans;
  readonly #marks: FlowMarks | undefined;
  readonly #capturesDns: boolean;
  readonly #logger: SinkLogger;
  #desired: PlanHead | undefined;
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
    plans: AskPlans,
    { marks, capturesDns }: { readonly marks: FlowMarks | undefined; readonly capturesDns: boolean },
    logger: SinkLogger,
  ) {
    this.#applier = applier;
    this.#plans = plans;
    this.#marks = marks;
    this.#capturesDns = capturesDns;
    this.#logger = logger;
  }

  get desired(): PlanHead | undefined {
    return this.#desired;
  }

  get status(): Status {
    return this.#status;
  }

  /** How often a check found the kernel changed, and repaired it. */
  get repairs(): number {
    return this.#repairs;
  }

  /** Runs a step after the earlier ones and their follow-up work. */
  inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => this.#finish()).then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  // ── Releases; to be called in turn ───────────────────────────────────────────────────────────────────────

  /** Plans a release, and the step to it. Rejects with ApplierError. */
  async plan(release: NftRelease): Promise<PlannedStep> {
    if (this.#desired === undefined && this.#marks?.unknown) await this.#clearMarks();
    const mark = this.#marks?.next() ?? NO_FLOW_MARK;
    const isInForce = this.#realised.kind === 'in-force';
    return this.#plans('plan', { hash: release.hash, isInForce, mark }, release);
  }

  /**
   * Loads a step that needs a new table ahead of time; no packet gets there yet. Resolves to the figures of
   * the load; rejects with ApplierError.
   */
  async stage({ first }: PlannedStep): Promise<NftRun | undefined> {
    if (first?.isFresh !== true) return undefined;
    return this.#applier.send('stage', first);
  }

  /** Discards the staged table. Rejects with ApplierError. */
  async unstage(): Promise<void> {
    await this.#applier.ask({ kind: 'discard' }, 'applied');
  }

  /**
   * Puts a staged step in force; it is the desired state from then on. Resolves to the figures of the load;
   * rejects with ApplierError.
   */
  async realise({ next, first, afterwards }: PlannedStep): Promise<NftRun | undefined> {
    if (first === undefined) return undefined;
    // Before names are judged, and until no release does that.
    if (next.resolvers !== null) await this.#capture(next);
    const run = await this.#loadOrAll(first, afterwards, next);
    await this.#take(next);
    this.found();
    this.#following = pause(FOLLOW_UP_AFTER_MS).then(() => {
      this.checkSoon('structure');
      if (this.#marks?.scarce && !this.#closed) void this.inTurn(() => this.#clearMarks());
    });
    return run;
  }

  /** Releases the staged table, or loads a change; or loads everything if the applier has another base. */
  async #loadOrAll(change: EncodedChange, rest: readonly EncodedChange[], next: PlanHead): Promise<NftRun> {
    try {
      if (!change.isFresh) return await this.#load(change, rest);
      return await this.#loaded(async () => {
        return (await this.#applier.ask({ kind: 'release', tag: next.tag }, 'applied')).reply.run;
      });
    } catch (error) {
      if (!(error instanceof ApplierError)) throw error;
      this.#logger.warn({ err: error }, 'the kernel does not take the change: loading all of it');
      return await this.#load(await this.#whole(next));
    }
  }

  #whole({ tag }: PlanHead): Promise<EncodedChange> {
    return this.#plans('whole', { tag });
  }

  /** That is in force, and to stay so. */
  async #take(desired: PlanHead): Promise<void> {
    const { tag } = desired;
    this.#marks?.take(tag.mark);
    this.#desired = desired;
    // The release stays in force even if its plan is lost; then everything is loaded again.
    await this.#plans('take', { tag }).catch(() => {
      this.#realised = STALE;
    });
  }

  /** Loads a change. If it fails, the former release is still in force, but we know less of its table. */
  #load(change: EncodedChange, rest: readonly EncodedChange[] = []): Promise<NftRun> {
    return this.#loaded(() => this.#applier.send('apply', change), rest);
  }

  async #loaded(load: () => Promise<NftRun>, rest: readonly EncodedChange[] = []): Promise<NftRun> {
    if (this.#realised.kind === 'in-force') this.#realised = { ...this.#realised, fingerprint: undefined };
    const run = await load();
    this.#realised = { kind: 'in-force', rest, fingerprint: undefined };
    return run;
  }

  /** Folds and clean-up of the release in force. The next check finds and repairs a failure. */
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
   * Clears the marks of former releases from flows, those of earlier processes too. If that fails, no mark is
   * used that a flow may have.
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

  /** Schedules a check, unless one of that depth is already. */
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
    this.#failing = true; // reported once
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.checkSoon('structure'), AGAIN_MS);
  };

  /**
   * Compares the kernel with the desired state; call it in turn. Resolves to whether the kernel had to be
   * repaired; rejects with ApplierError.
   */
  async check(depth: Depth): Promise<boolean> {
    const desired = this.#desired;
    if (desired === undefined || this.#closed) return false;
    const drift = await this.#drift(depth);
    await this.#capture(desired);
    if (drift === undefined) {
      await this.#sayNames(desired);
      return false;
    }
    const { release } = desired.tag;
    this.#logger.warn({ release, drift }, 'the kernel holds something else: repairing');
    const mark = this.#marks?.next() ?? NO_FLOW_MARK; // marks given meanwhile are unknown
    const repaired = { ...desired, tag: { ...desired.tag, mark } };
    await this.#load(await this.#whole(repaired));
    await this.#take(repaired);
    this.#repairs++;
    this.#leaveAt((await this.look()).fingerprint);
    this.#logger.info({ release }, 'the kernel is repaired');
    return true;
  }

  /** Looks whether captured questions are answered now. Rejects with ApplierError. */
  async lookAtCapture(): Promise<void> {
    if (this.#desired !== undefined) await this.#capture(this.#desired);
  }

  /** Sends the resolvers to capture; repeating it costs a look. Rejects with ApplierError. */
  async #capture({ resolvers }: PlanHead): Promise<void> {
    if (this.#capturesDns) await this.#applier.ask({ kind: 'capture', resolvers }, 'done');
  }

  /** Sends the name sets to an applier that may not have made the table. */
  async #sayNames({ nameFamilies }: PlanHead): Promise<void> {
    if (nameFamilies.length === 0) return;
    await this.#applier.ask({ kind: 'names', nameSets: await this.#plans('names', {}) }, 'done');
  }

  #leaveAt(fingerprint: string): void {
    this.#realised = { kind: 'in-force', rest: [], fingerprint };
  }

  /** A difference between the kernel and the state we left; undefined if there is none. */
  async #drift(depth: Depth): Promise<string | undefined> {
    const state = await this.look();
    if (!state.exists) return 'the table is gone';
    if (this.#realised.kind === 'stale') return 'the table is not the one that was loaded';
    const drift = await this.#plans('drift', { state });
    if (drift !== undefined) return drift;
    const { fingerprint = state.fingerprint } = this.#realised;
    if (state.fingerprint !== fingerprint) return 'rules were changed';
    this.#leaveAt(fingerprint);
    if (depth === 'structure') return undefined;
    const { request, body } = await this.#plans('probes', {});
    const found = await this.#applier.ask(request, 'state', [body]);
    return this.#plans('elements', { state: found.reply.state, body: found.body });
  }

  /** The kernel's state, without elements. Rejects with ApplierError. */
  async look(): Promise<KernelState> {
    const request = { kind: 'look', sets: [], maps: [], probes: [], classProbes: [] } as const;
    return (await this.#applier.ask(request, 'state')).reply.state;
  }

  // ── Status ───────────────────────────────────────────────────────────────────────────────────────────────

  /** The kernel was found to enforce the desired state. */
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
    await this.settled(); // the work that waited for it has failed
  }
}
