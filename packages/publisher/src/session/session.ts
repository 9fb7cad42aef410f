/**
 * One subscriber's session, publisher side: what carries frames, releases and time to its machine, and
 * carries out what the machine says. A stuck subscriber holds up nobody.
 */

import {
  Alarm,
  type Connection,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  type WirePacket,
} from '@rulecast/protocol';
import type { NameHolder } from '../admission/name-holders.ts';
import type { Refusal } from '../admission/refusal.ts';
import type { Publisher } from '../release/publisher.ts';
import type { SubscriberEntry } from '../subscribers/entry.ts';
import { deadline, start, step } from './machine.ts';
import type { Effect, EffectOf, Event, Fault, Now, PublisherView, State } from './state.ts';
import { viewOf } from './view.ts';

/**
 * Decides about the name in HELLO, which may take as long as another session has to answer for it; undefined:
 * it is this session's.
 */
export type Admit = (session: SubscriberSession, name: string) => Promise<Refusal | undefined>;

/** Somebody waits for an ANSWER. */
interface Question {
  readonly resolve: (answer: MessageOf<'answer'>) => void;
  readonly reject: (error: unknown) => void;
}

/** Whoever asks whether somebody is there, all of them together. */
interface Probe {
  readonly answered: Promise<boolean>;
  readonly tell: (isAlive: boolean) => void;
}

export class SubscriberSession implements NameHolder {
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #admit: Admit;
  readonly #view: PublisherView;
  readonly #alarm: Alarm;
  #state: State;
  #entry: SubscriberEntry | undefined;
  /** What happened while an event was being dealt with: no more than its effects bring about. */
  readonly #events: Event[] = [];
  #isStepping = false;
  readonly #questions = new Map<number, Question>();
  #lastTicket = 0;
  #probe: Probe | undefined;

  constructor(connection: Connection, publisher: Publisher, admit: Admit) {
    this.#connection = connection;
    this.#publisher = publisher;
    this.#admit = admit;
    this.#view = viewOf(publisher);
    this.#alarm = new Alarm(publisher.clock, () => this.#feed({ kind: 'tick' }));
    this.#state = start(publisher.clock.monotonicMs());
  }

  get isOpen(): boolean {
    return this.#state.kind !== 'closed';
  }

  /** Runs until the connection ends. */
  async run(): Promise<void> {
    const onRelease = (): void => this.#feed({ kind: 'published' });
    this.#publisher.on('release', onRelease);
    this.#feed({ kind: 'tick' });
    let fault: Fault | undefined;
    try {
      for (;;) {
        const received = await this.#connection.receive();
        if (received === undefined) break;
        this.#feed({ kind: 'received', ...received });
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (error.code !== ErrorCode.disconnected) fault = { code: error.code, text: error.message };
    } finally {
      this.#publisher.off('release', onRelease);
      const { skipped } = this.#connection;
      const subscriber = this.#entry?.name;
      if (skipped > 0)
        this.#publisher.logger.info({ subscriber, skipped }, 'it said what nobody here knows: passed over');
      this.#feed({ kind: 'disconnected', ...(fault === undefined ? {} : { fault }) });
    }
  }

  /** Ends the session with BYE. */
  stop(refusal: Refusal): void {
    this.#feed({ kind: 'stopped', refusal });
  }

  yieldName(why: 'reconnected' | 'no-answer'): void {
    this.#feed({ kind: 'superseded', why });
  }

  answers(): Promise<boolean> {
    if (this.#probe !== undefined) return this.#probe.answered;
    const { promise, resolve } = deferred<boolean>();
    this.#probe = { answered: promise, tell: resolve };
    this.#feed({ kind: 'probed' });
    return promise;
  }

  /**
   * Asks the live table about a packet; without one, for its counters. Rejects with ProtocolError
   * `not-ready`, `rate-limited`, `timeout` or `disconnected`.
   */
  ask(packet?: WirePacket): Promise<MessageOf<'answer'>> {
    const ticket = ++this.#lastTicket;
    const { promise, ...question } = deferred<MessageOf<'answer'>>();
    this.#questions.set(ticket, question);
    this.#feed({ kind: 'asked', ticket, packet });
    return promise;
  }

  #feed(event: Event): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const { state, effects } = step(this.#state, next, this.#now());
        this.#state = state;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#isStepping = false;
      this.#alarm.set(deadline(this.#state));
    }
  }

  #now(): Now {
    return {
      monotonicMs: this.#publisher.clock.monotonicMs(),
      wallMs: this.#publisher.nowMs(),
      bytesSent: this.#connection.bytesSent,
      isSending: this.#connection.sendPending,
      publisher: this.#view,
    };
  }

  // ── Effects ──────────────────────────────────────────────────────────────────────────────────────────────

  #carryOut(effect: Effect): void {
    const { subscribers, logger } = this.#publisher;
    switch (effect.kind) {
      case 'send':
        return void this.#connection.send(effect.message).catch(() => undefined); // the receiver notices
      case 'query':
        return this.#query(effect);
      case 'transfer':
        return void this.#transfer(effect);
      case 'bye':
        return this.#connection.bye(effect.code, effect.text, effect.retryAfterMs);
      case 'close':
        return this.#connection.close();
      case 'claim':
        return void this.#claim(effect.name);
      case 'prove':
        return void this.#prove(effect);
      case 'enter':
        this.#entry = subscribers.entry(effect.name, effect.atMs);
        return subscribers.takeRefusals(this.#entry, effect.refused, effect.atMs);
      case 'note':
        if (this.#entry !== undefined) Object.assign(this.#entry, effect.note);
        return;
      case 'refuse':
        if (this.#entry !== undefined) subscribers.refuse(this.#entry, effect.hash, effect.reason);
        return;
      case 'changed':
        return subscribers.changed();
      case 'settle':
        return subscribers.settle(effect.outcome);
      case 'answered':
        return this.#questionOf(effect.ticket)?.resolve(effect.answer);
      case 'unanswered':
        return this.#questionOf(effect.ticket)?.reject(effect.error);
      case 'alive':
        this.#probe?.tell(effect.isAlive);
        this.#probe = undefined;
        return;
      case 'log':
        return logger[effect.level](effect.fields, effect.text);
    }
  }

  /** Who waits for it, and does no more. */
  #questionOf(ticket: number): Question | undefined {
    const question = this.#questions.get(ticket);
    this.#questions.delete(ticket);
    return question;
  }

  #query({ ticket, transaction, packet }: EffectOf<'query'>): void {
    const question = packet === undefined ? 'stats' : 'test';
    this.#connection
      .send({ kind: 'query', question, packet }, transaction)
      .catch((error: unknown) => this.#questionOf(ticket)?.reject(error));
  }

  async #claim(name: string): Promise<void> {
    try {
      this.#feed({ kind: 'claimed', refusal: await this.#admit(this, name) });
    } catch (error) {
      this.#publisher.logger.error({ err: error, subscriber: name }, 'a name cannot be claimed');
      this.stop({ code: ErrorCode.internal, text: 'the publisher failed' });
    }
  }

  async #prove({ release, name }: EffectOf<'prove'>): Promise<void> {
    try {
      await this.#publisher.proved(release, name);
      this.#feed({ kind: 'proved', release });
    } catch (error) {
      this.#publisher.logger.error({ err: error, subscriber: name }, 'what was proved cannot be noted');
    }
  }

  async #transfer({ transfer, release, base, isPlain }: EffectOf<'transfer'>): Promise<void> {
    const stopped = (): boolean => this.#state.kind !== 'sending' || this.#state.transfer !== transfer;
    try {
      const made = await this.#publisher.transfers.for(release, base, isPlain);
      if (stopped()) return;
      const { steps, stream } = made;
      const { hash } = release;
      this.#feed({ kind: 'transferBegun', transfer, isChain: made.base !== undefined });
      await this.#connection.send({ kind: 'begin', hash, base: made.base, steps, bytes: stream.length });
      const sent = await this.#connection.sendBytes([stream], { stopped });
      if (sent === undefined || stopped()) return; // a NACK may have come since the last CHUNK was taken
      const ended = this.#connection.send({ kind: 'end', sha256: sent.sha256 });
      this.#feed({ kind: 'transferSent', transfer }); // before waiting, for the answer may be faster
      await ended;
    } catch (error) {
      if (error instanceof ProtocolError && error.code === ErrorCode.disconnected) return; // the receiver notices
      this.#publisher.logger.error({ err: error, subscriber: this.#entry?.name }, 'a transfer failed');
      this.#feed({ kind: 'transferFailed', transfer });
    }
  }
}

/** A promise, and what settles it. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>['resolve'] = () => undefined;
  let reject: Deferred<T>['reject'] = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
