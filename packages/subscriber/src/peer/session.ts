/**
 * One connection to the publisher, subscriber side: the pump of machine.ts. Messages, the results of the
 * activator and the end of one timer go in as events; its effects are executed.
 */

import { Alarm, type Connection, ErrorCode, ProtocolError, type Received } from '@rulecast/protocol';
import { type EffectHost, perform } from './effects.ts';
import { heldAs } from './intake.ts';
import { deadline, start, step } from './machine.ts';
import { eventOf, type ReceiverHost, rootTaken } from './received.ts';
import type { Effect, Event, Memory, Self, State, Step } from './states.ts';

/** The dependencies of a session, and its listeners. */
export interface SessionHost extends EffectHost, ReceiverHost {
  readonly self: Self;
  /** A fresh nonce: 16 random bytes. */
  nonce(): Uint8Array;
  /** Why what is active is not enforced; undefined: it is. */
  notEnforced(): string | undefined;
}

/** The outcome of a connection. */
export interface SessionEnd {
  /** Whether the publisher welcomed us, and is the one we trust. */
  readonly welcomed: boolean;
  /** The pause that the publisher asked for. */
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
  readonly #events: Event[] = []; // the first one is being handled
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
        await this.#take(received);
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

  async #take({ message, transaction }: Received): Promise<void> {
    const { keyring, clock } = this.#host;
    if (message.kind === 'root') return this.#handle(await rootTaken(message, this.#state, keyring));
    this.#lookForTrouble();
    if (this.#state.kind === 'closed') return;
    this.#handle(eventOf(message, transaction, this.#state, this.#host, clock.monotonicMs()));
  }

  #handle(event: Event): void {
    this.#events.push(event);
    if (this.#events.length > 1) return; // an effect of the first event raised it
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
    for (const effect of effects) {
      const work = perform(effect, this.#connection, this.#host, (event) => this.#handle(event));
      if (work !== undefined) this.#applying = work;
    }
    this.#alarm.set(deadline(this.#state));
  }

  /** The sink sends no events about trouble: ask before each report on it. */
  #lookForTrouble(): void {
    const text = this.#host.notEnforced();
    if (this.#state.kind === 'closed' || this.#state.trouble === text) return;
    this.#state = step(this.#state, { kind: 'trouble', text }, this.#host.clock.monotonicMs()).state;
  }
}
