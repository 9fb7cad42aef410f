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
  type Signed,
  type WirePacket,
} from '@rulecast/protocol';
import type { NameHolder } from '../admission/name-holders.ts';
import type { Refusal } from '../admission/refusal.ts';
import type { Publisher } from '../release/publisher.ts';
import { Askers } from './askers.ts';
import { deadline, start, step } from './machine.ts';
import { SubscriberNotes } from './notes.ts';
import type { Effect, EffectOf, Event, Fault, Now, PublisherView, State } from './state.ts';
import { sendTransfer } from './stream.ts';
import { viewOf } from './view.ts';

/**
 * Decides about the name in HELLO, which may take as long as another session has to answer for it; undefined:
 * it is this session's.
 */
export type Admit = (session: SubscriberSession, name: string) => Promise<Refusal | undefined>;

export class SubscriberSession implements NameHolder {
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #admit: Admit;
  readonly #view: PublisherView;
  readonly #alarm: Alarm;
  readonly #notes: SubscriberNotes;
  readonly #askers = new Askers();
  #state: State;
  /** What happened while an event was being dealt with: no more than its effects bring about. */
  readonly #events: Event[] = [];
  #isStepping = false;

  constructor(connection: Connection, publisher: Publisher, admit: Admit) {
    this.#connection = connection;
    this.#publisher = publisher;
    this.#admit = admit;
    this.#view = viewOf(publisher);
    this.#alarm = new Alarm(publisher.clock, () => this.#feed({ kind: 'tick' }));
    this.#notes = new SubscriberNotes(publisher.subscribers);
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
      const subscriber = this.#notes.name;
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
    return this.#askers.probe(() => this.#feed({ kind: 'probed' }));
  }

  /**
   * Asks the live table about a packet; without one, for its counters. Rejects with ProtocolError
   * `not-ready`, `rate-limited`, `timeout` or `disconnected`.
   */
  ask(packet?: WirePacket): Promise<MessageOf<'answer'>> {
    const { ticket, answer } = this.#askers.ask();
    this.#feed({ kind: 'asked', ticket, packet });
    return answer;
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
    switch (effect.kind) {
      case 'send':
        return void this.#connection.send(effect.message).catch(() => undefined); // the receiver notices
      case 'query':
        return this.#query(effect);
      case 'transfer':
        return void this.#transfer(effect);
      case 'prepare':
        return void this.#publisher.transfers.prepare(effect.release, effect.base); // never rejects
      case 'bye':
        return this.#connection.bye(effect.code, effect.text, effect.retryAfterMs);
      case 'close':
        return this.#connection.close();
      case 'claim':
        return void this.#claim(effect.name);
      case 'prove':
        return void this.#prove(effect);
      case 'attest':
        return void this.#attest(effect);
      case 'answered':
      case 'unanswered':
        return this.#askers.settle(effect);
      case 'alive':
        return this.#askers.tell(effect.isAlive);
      case 'log':
        return this.#publisher.logger[effect.level](effect.fields, effect.text);
      default:
        return this.#notes.take(effect);
    }
  }

  #query({ ticket, transaction, packet }: EffectOf<'query'>): void {
    const question = packet === undefined ? 'stats' : 'test';
    this.#connection
      .send({ kind: 'query', question, packet }, transaction)
      .catch((error: unknown) => this.#askers.fail(ticket, error));
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
    } catch (error) {
      this.#publisher.logger.error({ err: error, subscriber: name }, 'what was proved cannot be noted');
    }
    this.#feed({ kind: 'proved', release }); // it is known all the same
  }

  async #attest({ nonce, release }: EffectOf<'attest'>): Promise<void> {
    let signed: Signed | undefined;
    try {
      signed = await this.#publisher.attest(nonce, release);
    } catch (error) {
      const subscriber = this.#notes.name;
      this.#publisher.logger.error({ err: error, subscriber }, 'what is newest cannot be signed');
    }
    this.#feed({ kind: 'attested', nonce, signed });
  }

  async #transfer(effect: EffectOf<'transfer'>): Promise<void> {
    const { transfer, name } = effect;
    try {
      await sendTransfer(this.#connection, this.#publisher.transfers, effect, {
        stopped: () => this.#state.kind !== 'sending' || this.#state.transfer !== transfer,
        begun: (isChain) => this.#feed({ kind: 'transferBegun', transfer, isChain }),
        sent: () => this.#feed({ kind: 'transferSent', transfer }),
      });
    } catch (error) {
      if (error instanceof ProtocolError && error.code === ErrorCode.disconnected) return; // the receiver notices
      this.#publisher.logger.error({ err: error, subscriber: name }, 'a transfer failed');
      this.#feed({ kind: 'transferFailed', transfer });
    }
  }
}
