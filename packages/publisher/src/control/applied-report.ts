/**
 * Reports the outcome of a release at each expected or connected subscriber, as answers come in, until all
 * have answered or time is up. A subscriber that is not connected counts as absent at once. The exceptions
 * are one that the request names, and one that may be on its way, as the publisher or its connection has just
 * restarted. If no subscriber is expected or connected, the first to come within some seconds is awaited.
 */

import { boundText, type ControlRecordOf } from '@rulecast/protocol';
import { type Outcome, refusalOf } from '@rulecast/sessions';
import type { Publisher } from '../release/publisher.ts';
import type { Release } from '../store/store.ts';
import type { ControlExchange } from './exchange.ts';

/** The fields of a request that say how long to wait, and for which subscribers. */
export interface WaitFields {
  readonly wait: 'released' | 'applied';
  readonly timeoutMs: number;
  /** Undefined: the expected subscribers, and the connected ones. */
  readonly require?: readonly string[] | undefined;
  /** Percent of the names that report, which must have it too. */
  readonly share?: number | undefined;
}

/**
 * So long after a start, or after their connection has ended, subscribers that were known before may take to
 * connect again: they try every few seconds.
 */
const RETURN_MS = 10_000;
/**
 * The wait for subscribers that were never connected: one started with the publisher retries a few times in
 * its first two seconds. If none is known, it counts from the release.
 */
const ARRIVE_MS = 3000;
/**
 * The interval at which progress is reported, and subscribers are found that have the release without a
 * report.
 */
const TELL_EVERY_MS = 2000;

type Applied = ControlRecordOf<'applied'>;

/** Begin it before the release is made, so that no answer is missed. */
export class AppliedReport {
  readonly #publisher: Publisher;
  readonly #timeoutMs: number;
  /** All times are of the publisher's running time. */
  #deadlineMs = 0;
  readonly #isNamed: boolean;
  readonly #expected: ReadonlySet<string>;
  /** Connected when the request came: their disconnecting is reported. */
  readonly #connected: ReadonlySet<string>;
  /** Names without a reported outcome. */
  readonly #waiting: Set<string>;
  /** Deadlines by which subscribers may reconnect, by name. */
  readonly #returning = new Map<string, number>();
  /** No subscriber is known: the release is for the first that comes. */
  readonly #isForAnybody: boolean;
  /** Until then. */
  #newcomerUntilMs = 0;
  readonly #outcomes: OutcomeLog;

  constructor({ timeoutMs, require }: WaitFields, publisher: Publisher) {
    const { subscribers } = publisher;
    const connected = subscribers.connected();
    this.#connected = new Set(connected);
    this.#publisher = publisher;
    this.#timeoutMs = timeoutMs;
    this.#isNamed = require !== undefined;
    const known = subscribers.expected();
    this.#expected = new Set(require ?? (subscribers.isConfigured ? known : [...known, ...connected]));
    this.#waiting = new Set([...this.#expected, ...connected]);
    this.#isForAnybody = require === undefined && this.#waiting.size === 0;
    this.#outcomes = new OutcomeLog(publisher, this.#isForAnybody ? 'anybody' : this.#waiting);
  }

  /**
   * Reports the outcome of the head, new or in force before, one record for each subscriber. The time that
   * the request gives subscribers begins now: making the release took none of it.
   */
  async tell(head: Release, isNew: boolean, exchange: ControlExchange): Promise<void> {
    void exchange.untilGone().then(() => this.#outcomes.end());
    let nowMs = this.#publisher.uptimeMs;
    this.#deadlineMs = nowMs + this.#timeoutMs;
    if (this.#isForAnybody) this.#newcomerUntilMs = Math.min(this.#deadlineMs, nowMs + ARRIVE_MS);
    let told = 0;
    const tell = (name: string, state: Applied['state'], more: Partial<Applied> = {}): Promise<void> => {
      this.#waiting.delete(name);
      told++;
      return exchange.record({ ...this.#recordOf(name, head, isNew), state, ...more });
    };
    if (!isNew) for (const name of this.#waiting) await this.#tellHeld(name, head, tell);
    let untilMs = nowMs; // subscribers are not given up before; a thousand are not examined after each answer
    let lookMs = nowMs + TELL_EVERY_MS;
    let hasCome = false;
    while (!this.#outcomes.hasEnded && nowMs < this.#deadlineMs) {
      if (nowMs >= lookMs) {
        lookMs = nowMs + TELL_EVERY_MS;
        const total = told + this.#waiting.size;
        const stage = total === 0 ? 'arriving' : 'applying';
        await exchange.record({ record: 'progress', stage, done: told, total });
        for (const name of this.#returning.keys())
          if (this.#waiting.has(name)) await this.#tellHeld(name, head, tell);
      }
      if (nowMs >= untilMs) {
        for (const name of this.#waiting)
          if (nowMs >= this.#absentAtMs(name)) await tell(name, this.#missingAs(name));
        untilMs = this.#nextMs();
      }
      const isOver = this.#waiting.size === 0 && (hasCome || nowMs >= this.#newcomerUntilMs);
      if (isOver) break;
      const wakeMs = Math.min(untilMs, lookMs);
      const outcome = await this.#outcomes.next(wakeMs - nowMs);
      if (outcome !== undefined) {
        if (!hasCome && this.#isNewcomer(outcome, head)) {
          hasCome = true;
          this.#waiting.add(outcome.subscriber);
        }
        await this.#take(outcome, head, tell);
      }
      nowMs = Math.max(outcome === undefined ? wakeMs : nowMs, this.#publisher.uptimeMs);
      if (outcome?.state === 'disconnected') untilMs = Math.min(untilMs, nowMs + RETURN_MS);
    }
    for (const name of this.#waiting)
      await tell(name, this.#isConnected(name) ? 'timeout' : this.#missingAs(name));
  }

  /** The state reported for a subscriber that is not connected. */
  #missingAs(name: string): 'disconnected' | 'absent' {
    return this.#returning.has(name) ? 'disconnected' : 'absent';
  }

  /** Whether an outcome is from the first subscriber to come, when none was known before. */
  #isNewcomer({ state, epoch, version }: Outcome, { manifest }: Release): boolean {
    const isOfThis = epoch === manifest.epoch && version === manifest.version;
    return this.#newcomerUntilMs > 0 && isOfThis && state !== 'disconnected';
  }

  async #take(
    outcome: Outcome,
    { manifest }: Release,
    tell: (name: string, state: Applied['state'], more?: Partial<Applied>) => Promise<void>,
  ): Promise<void> {
    const { subscriber, state, version, bytes, code, persisted } = outcome;
    if (!this.#waiting.has(subscriber)) return;
    if (state === 'disconnected') {
      this.#returning.set(subscriber, this.#publisher.uptimeMs + RETURN_MS);
      return;
    }
    const earlier = outcome.epoch === manifest.epoch && version < manifest.version;
    if (earlier) return;
    const superseded = state === 'applied' && version !== manifest.version;
    const text = outcome.text === undefined ? undefined : boundText(outcome.text);
    await tell(subscriber, superseded ? 'superseded' : state, { version, bytes, code, text, persisted });
  }

  /** Reports a subscriber that applied or refused the head already, and so will not report it again. */
  async #tellHeld(
    name: string,
    head: Release,
    tell: (name: string, state: Applied['state'], more?: Partial<Applied>) => Promise<void>,
  ): Promise<void> {
    const entry = this.#publisher.subscribers.find(name);
    if (entry?.connectedSinceMs === undefined) return;
    const hash = Buffer.from(head.hash);
    if (entry.held !== undefined && hash.equals(entry.held.hash)) {
      return tell(name, 'applied', { persisted: entry.persisted });
    }
    const refusal = refusalOf(entry, head.hash);
    if (refusal !== undefined) await tell(name, 'refused', { code: refusal.code, text: refusal.text });
  }

  #recordOf(name: string, { manifest }: Release, isNew: boolean): Applied {
    return {
      record: 'applied',
      subscriber: name,
      state: 'timeout',
      expected: this.#expected.has(name),
      version: manifest.version,
      ms: isNew ? Math.max(0, this.#publisher.nowMs() - manifest.createdAtMs) : 0,
      bytes: 0,
    };
  }

  /** When one that is not connected is given up. */
  #absentAtMs(name: string): number {
    const entry = this.#publisher.subscribers.find(name);
    const backUntilMs = this.#returning.get(name);
    if (entry?.connectedSinceMs !== undefined) return this.#deadlineMs;
    if (backUntilMs !== undefined) return Math.min(this.#deadlineMs, backUntilMs);
    if (this.#isNamed || this.#connected.has(name)) return this.#deadlineMs;
    if (entry?.isBack === true) return 0;
    const mayTakeMs = entry === undefined ? ARRIVE_MS : RETURN_MS;
    return Math.min(this.#deadlineMs, mayTakeMs);
  }

  #nextMs(): number {
    if (this.#waiting.size === 0) return this.#newcomerUntilMs;
    return Math.min(this.#deadlineMs, ...[...this.#waiting].map((name) => this.#absentAtMs(name)));
  }

  #isConnected(name: string): boolean {
    return this.#publisher.subscribers.find(name)?.connectedSinceMs !== undefined;
  }

  close(): void {
    this.#outcomes.close();
  }
}

/**
 * Gathers outcomes from before the release on, so that none is missed between commit and wait. It keeps the
 * last outcome of a kind for each awaited subscriber, or for all together, so a subscriber that reconnects
 * again and again fills no memory.
 */
export class OutcomeLog {
  hasEnded = false;
  readonly #publisher: Publisher;
  readonly #awaited: ReadonlySet<string> | 'anybody';
  /** By the subscriber, or kind, that each is the last of. */
  readonly #queue = new Map<string, Outcome>();
  #wake: (() => void) | undefined;
  readonly #listener = (outcome: Outcome): void => {
    const { subscriber, state } = outcome;
    const isAnybody = this.#awaited === 'anybody';
    if (!isAnybody && !this.#awaited.has(subscriber)) return;
    const key = isAnybody ? state : `${state} ${subscriber}`;
    this.#queue.delete(key); // and in again, as the newest
    this.#queue.set(key, outcome);
    this.#wake?.();
  };

  constructor(publisher: Publisher, awaited: ReadonlySet<string> | 'anybody') {
    this.#publisher = publisher;
    this.#awaited = awaited;
    publisher.subscribers.on('outcome', this.#listener);
  }

  /** The next outcome, or undefined after `timeoutMs` or once ended. */
  async next(timeoutMs: number): Promise<Outcome | undefined> {
    if (this.#queue.size === 0 && timeoutMs > 0 && !this.hasEnded) {
      await new Promise<void>((resolve) => {
        const cancel = this.#publisher.clock.after(timeoutMs, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const [first] = this.#queue;
    if (this.hasEnded || first === undefined) return undefined;
    const [key, outcome] = first;
    this.#queue.delete(key);
    return outcome;
  }

  /** Ends the waiting. */
  end(): void {
    this.hasEnded = true;
    this.#wake?.();
  }

  close(): void {
    this.#publisher.subscribers.off('outcome', this.#listener);
  }
}
