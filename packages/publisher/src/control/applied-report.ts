/**
 * What became of a release at each subscriber that is expected or connected: told as they answer, until all
 * have or the time is over. Who is not connected is absent: at once, unless the request names it, or it may
 * be on its way: the publisher has just started, or its connection has just ended. Where nobody is expected
 * or connected, the first who comes within some seconds is whom the release is for.
 */

import { boundText, type ControlRecordOf } from '@rulecast/protocol';
import { type Outcome, refusalOf } from '@rulecast/sessions';
import type { Publisher } from '../release/publisher.ts';
import type { Release } from '../store/store.ts';
import type { ControlExchange } from './exchange.ts';

/** How long a request waits, and for whom, as its message says. */
export interface WaitFields {
  readonly wait: 'released' | 'applied';
  readonly timeoutMs: number;
  /** Undefined: those that the publisher expects, and those connected. */
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
 * And so long those that were never seen: who is started together with the publisher tries a few times in its
 * first two seconds. Where nobody is known, it counts from the release.
 */
const ARRIVE_MS = 3000;
/** How often it is told how many have answered, and looked who has the release without having said so. */
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
  /** When the request came: of these it is told how they left. */
  readonly #connected: ReadonlySet<string>;
  /** Names of which nothing was told yet. */
  readonly #waiting: Set<string>;
  /** Until when those may be back whose connection has ended. */
  readonly #returning = new Map<string, number>();
  /** Nobody is known for whom the release is: it is for the first who comes. */
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
   * Tells of the head, `isNew` or in force before, one record for each. The time that the request gives
   * subscribers begins now: making the release took none of it.
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
    let untilMs = nowMs; // nobody is given up before; a thousand are not looked at after each answer
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

  /** How one is called that is not connected. */
  #missingAs(name: string): 'disconnected' | 'absent' {
    return this.#returning.has(name) ? 'disconnected' : 'absent';
  }

  /** Whether it is who the release is for where nobody was known. */
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

  /** Of a release that is the head already: who has it, or refused it, needs not say so again. */
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
 * Gathers outcomes from before the release on, so that none is missed between commit and waiting: of those
 * waited for only, and of each the last of a kind, so that who comes and goes while nobody reads the answers
 * fills nothing. Of anybody: the last of a kind.
 */
export class OutcomeLog {
  hasEnded = false;
  readonly #publisher: Publisher;
  readonly #awaited: ReadonlySet<string> | 'anybody';
  /** By what each is the last of. */
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
