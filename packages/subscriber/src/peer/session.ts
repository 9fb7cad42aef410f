/**
 * One connection to the publisher, subscriber side: the pump of machine.ts. Messages, the results of the
 * activator and the end of one timer go in as events; what comes out is done.
 */

import {
  Alarm,
  type Connection,
  ErrorCode,
  type Message,
  type MessageOf,
  ProtocolError,
} from '@rulecast/protocol';
import type { Keyring } from '../apply/keyring.ts';
import { StateError } from '../state/state.ts';
import { type AnswerHost, answerTo } from './answers.ts';
import { judgeFresh, type Newest } from './freshness.ts';
import { applyStaged, heldAs, type IntakeHost, makeRoom } from './intake.ts';
import { judgeOffer } from './judge.ts';
import { deadline, start, step } from './machine.ts';
import type { Effect, EffectOf, Event, Memory, Self, State, Step } from './states.ts';

/** What a session is of, and who is told. */
export interface SessionHost extends IntakeHost, AnswerHost {
  readonly self: Self;
  readonly keyring: Keyring;
  /** The state of the table in force. */
  generation(): number;
  /** What was never asked with before: 16 random bytes. */
  nonce(): Uint8Array;
  /** Why what is active is not enforced; undefined: it is. */
  notEnforced(): string | undefined;
  onWelcome(publisher: string): void;
  onTrusted(root: number): void;
  onLearned(newest: Newest, isInForce: boolean): void;
  onRefused(code: string, text: string): void;
}

/** How a connection went. */
export interface SessionEnd {
  /** Whether the publisher welcomed us, and is the one we trust. */
  readonly welcomed: boolean;
  /** How long the publisher asked to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** For the next connection. */
  readonly memory: Memory;
}

export class PublisherSession {
  readonly #connection: Connection;
  readonly #host: SessionHost;
  readonly #alarm: Alarm;
  #state: State;
  readonly #hello: readonly Effect[];
  readonly #events: Event[] = []; // the first is being taken
  #applying: Promise<void> = Promise.resolve();

  constructor(connection: Connection, host: SessionHost, memory: Memory) {
    this.#connection = connection;
    this.#host = host;
    this.#alarm = new Alarm(host.clock, () => this.#handle({ kind: 'tick', nonce: host.nonce() }));
    const { active, floor } = host.activator;
    const held = active && heldAs(active, host);
    const first = start(
      host.self,
      memory,
      held,
      floor,
      host.keyring.known,
      host.notEnforced(),
      host.clock.monotonicMs(),
      host.nonce(),
    );
    this.#state = first.state;
    this.#hello = first.effects;
  }

  /** Runs until the connection ends, and a release being applied is applied. */
  async run(): Promise<SessionEnd> {
    let fault: ProtocolError | undefined;
    if (this.#state.kind === 'greeting') this.#follow({ state: this.#state, effects: this.#hello });
    try {
      for (;;) {
        const received = await this.#connection.receive();
        if (received === undefined) break;
        const { message, transaction } = received;
        const event =
          message.kind === 'root' ? await this.#taken(message) : this.#eventOf(message, transaction);
        if (event !== undefined) this.#handle(event);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      fault = error;
    } finally {
      this.#handle({ kind: 'disconnected', fault: fault && { code: fault.code, text: fault.message } });
      await this.#applying;
    }
    if (this.#state.kind !== 'closed') throw new Error(`a session that has ended is ${this.#state.kind}`);
    const { welcomed, retryAfterMs, memory } = this.#state;
    return { welcomed, retryAfterMs, memory };
  }

  /** Ends the session with BYE. */
  stop(): void {
    this.#handle({ kind: 'stop', reason: { code: ErrorCode.shuttingDown, text: 'the subscriber stops' } });
  }

  /** A message as an event; undefined for one that comes after the end. */
  #eventOf(message: Message, transaction: number): Event | undefined {
    switch (message.kind) {
      case 'offer':
        return this.#judged(message);
      case 'fresh':
        return this.#judgedFresh(message);
      case 'query':
        return { kind: 'query', packet: message.packet, transaction };
      case 'welcome':
      case 'begin':
      case 'chunk':
      case 'end':
      case 'abort':
      case 'unsupported':
      case 'prove':
      case 'ping':
      case 'pong':
      case 'bye':
        return message;
      default:
        return { kind: 'other' };
    }
  }

  /** Nothing is read meanwhile: what comes behind a root is judged by it. */
  async #taken(signed: MessageOf<'root'>): Promise<Event> {
    if (this.#state.kind !== 'idle') return { kind: 'root', number: 0 }; // it has no place, whatever it says
    const { keyring } = this.#host;
    try {
      const { number } = await keyring.take(signed);
      return { kind: 'root', number };
    } catch (error) {
      if (error instanceof StateError) {
        return { kind: 'stop', reason: { code: ErrorCode.storageFailed, text: error.message } };
      }
      if (!(error instanceof ProtocolError)) throw error;
      return { kind: 'stop', reason: { code: error.code, text: `a root is not taken: ${error.message}` } };
    }
  }

  #judged(offer: MessageOf<'offer'>): Event | undefined {
    const { activator, clock } = this.#host;
    if (this.#state.kind === 'closed') return undefined;
    this.#lookForTrouble();
    const judge = {
      verifyOffer: activator.verifyOffer.bind(activator),
      hasFloor: () => activator.floor !== undefined,
      generation: this.#host.generation,
    };
    return judgeOffer(offer, this.#state, judge, clock.monotonicMs());
  }

  #judgedFresh(fresh: MessageOf<'fresh'>): Event | undefined {
    const { keyring, activator } = this.#host;
    if (this.#state.kind === 'closed') return undefined;
    const { lineage } = keyring.trust;
    return judgeFresh(fresh, this.#state.known, {
      lineage,
      root: keyring.known.hash,
      isFreshness: (signed) => keyring.isFreshness(signed),
      floor: activator.floor,
    });
  }

  // ── The pump ─────────────────────────────────────────────────────────────────────────────────────────────

  #handle(event: Event): void {
    this.#events.push(event);
    if (this.#events.length > 1) return; // it comes of what is being done for the first
    try {
      for (let next: Event | undefined = event; next !== undefined; next = this.#events[0]) {
        this.#lookForTrouble();
        this.#follow(step(this.#state, next, this.#host.clock.monotonicMs()));
        this.#events.shift();
      }
    } finally {
      this.#events.length = 0;
    }
  }

  #follow({ state, effects }: Step): void {
    this.#state = state;
    for (const effect of effects) this.#do(effect);
    this.#alarm.set(deadline(this.#state));
  }

  /** The sink does not say when it is in trouble: it is asked before whatever may be said of it. */
  #lookForTrouble(): void {
    const text = this.#host.notEnforced();
    if (this.#state.kind === 'closed' || this.#state.trouble === text) return;
    this.#state = step(this.#state, { kind: 'trouble', text }, this.#host.clock.monotonicMs()).state;
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        if (effect.isSpare && this.#connection.sendPending) return;
        // A send that fails means that the connection is gone, which the receiver notices.
        this.#connection.send(effect.message, effect.transaction).catch(() => undefined);
        return;
      case 'bye':
        return this.#connection.bye(effect.code, effect.text);
      case 'close':
        return this.#connection.close();
      case 'expect':
        return this.#host.activator.expect(effect.offer);
      case 'stage': {
        const outcome = makeRoom(effect.bytes, this.#host.staging);
        return outcome && this.#handle(outcome);
      }
      case 'keep':
        return this.#host.staging.push(effect.bytes);
      case 'drop':
        this.#host.staging.take();
        return;
      case 'apply':
        this.#applying = this.#apply(effect);
        return;
      case 'ask':
        void this.#ask(effect);
        return;
      case 'welcomed':
        return this.#host.onWelcome(effect.publisher);
      case 'trusted':
        return this.#host.onTrusted(effect.number);
      case 'learned':
        return this.#host.onLearned(effect.newest, effect.isInForce);
      case 'complain':
        return this.#host.onRefused(effect.code, effect.text);
    }
  }

  async #apply(effect: EffectOf<'apply'>): Promise<void> {
    this.#handle(await applyStaged(effect, this.#host));
  }

  async #ask({ packet, transaction }: EffectOf<'ask'>): Promise<void> {
    const answer = await answerTo(packet, this.#host, this.#connection.skipped);
    this.#handle({ kind: 'answered', transaction, answer });
  }
}
