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
  packetFromWire,
  type SteadyClock,
  verdictToWire,
  type WirePacket,
} from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import type { Logger } from 'pino';
import type { Activator, ActiveRelease, ApplyReport } from '../apply/activator.ts';
import type { Keyring } from '../apply/keyring.ts';
import { StateError } from '../state/state.ts';
import type { Staging } from '../verify/stage.ts';
import { judgeOffer } from './judge.ts';
import { deadline, start, step } from './machine.ts';
import { outcomeOf } from './outcome.ts';
import type { Answer, Effect, Event, Held, Memory, Outcome, Self, State, Step } from './states.ts';

/** What a session is of, and who is told. */
export interface SessionHost {
  readonly self: Self;
  readonly activator: Activator;
  readonly keyring: Keyring;
  readonly clock: SteadyClock;
  /** Milliseconds since 1970, as the activator has them. */
  readonly nowMs: () => number;
  readonly logger: Logger;
  /** Of all connections: they come one after the other. */
  readonly staging: Staging;
  explain(packet: Packet): Explanation;
  /** The state of the table in force. */
  generation(): number;
  /** May reject: a sink is asked too. */
  counters(): Promise<Readonly<Record<string, number>>>;
  /** Why what is active is not enforced; undefined: it is. */
  notEnforced(): string | undefined;
  onWelcome(publisher: string): void;
  onTrusted(root: number): void;
  onApplied(report: ApplyReport): void;
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
    this.#alarm = new Alarm(host.clock, () => this.#handle({ kind: 'tick' }));
    const { active, floor } = host.activator;
    const held = active && this.#heldAs(active);
    const first = start(
      host.self,
      memory,
      held,
      floor,
      host.keyring.known,
      host.notEnforced(),
      host.clock.monotonicMs(),
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
      generation: this.#host.generation,
    };
    return judgeOffer(offer, this.#state, judge, clock.monotonicMs());
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
      case 'stage':
        return this.#makeRoom(effect.bytes);
      case 'keep':
        return this.#host.staging.push(effect.bytes);
      case 'drop':
        this.#host.staging.take();
        return;
      case 'apply':
        this.#applying = this.#apply(effect);
        return;
      case 'ask':
        void this.#ask(effect.packet, effect.transaction);
        return;
      case 'welcomed':
        return this.#host.onWelcome(effect.publisher);
      case 'trusted':
        return this.#host.onTrusted(effect.number);
      case 'complain':
        return this.#host.onRefused(effect.code, effect.text);
    }
  }

  #makeRoom(bytes: number): void {
    try {
      this.#host.staging.begin(bytes);
    } catch (error) {
      this.#handle(outcomeOf(error, false));
    }
  }

  async #apply(effect: EffectOf<'apply'>): Promise<void> {
    this.#handle(await this.#outcomeOf(effect));
  }

  async #outcomeOf({ offer, base }: EffectOf<'apply'>): Promise<Outcome> {
    const { activator, logger, staging } = this.#host;
    const stream = staging.take();
    try {
      if (stream === undefined) throw new TypeError('nothing is staged');
      const report = await activator.apply({ offer, base, stream });
      this.#host.onApplied(report);
      return { kind: 'applied', held: this.#heldAs(report.release), figures: report };
    } catch (error) {
      const outcome = outcomeOf(error, base !== undefined);
      const { version } = offer.manifest;
      if (outcome.kind === 'overBudget')
        logger.info({ version }, `${textOf(error)}: a snapshot is asked for`);
      else if (outcome.blame === undefined)
        logger.error({ err: error, version }, 'applying a release failed');
      return outcome;
    }
  }

  async #ask(packet: WirePacket | undefined, transaction: number): Promise<void> {
    const answer = packet === undefined ? await this.#counters() : this.#verdictOn(packet);
    this.#handle({ kind: 'answered', transaction, answer });
  }

  #verdictOn(packet: WirePacket): Answer {
    const { verdict, rule, generation } = this.#host.explain(packetFromWire(packet));
    return { kind: 'verdict', verdict: verdictToWire(verdict, rule), generation };
  }

  async #counters(): Promise<Answer> {
    try {
      const { skipped } = this.#connection;
      const stats = await this.#host.counters();
      return { kind: 'stats', stats: skipped === 0 ? stats : { ...stats, skipped } };
    } catch (error) {
      return { kind: 'none', text: textOf(error) };
    }
  }

  #heldAs(active: ActiveRelease): Held {
    const { hash, manifest, manifestBytes, signatures, persisted, appliedAtMs } = active;
    const { epoch, version } = manifest;
    const { clock, nowMs } = this.#host;
    const sinceMs = clock.monotonicMs() - Math.max(0, nowMs() - appliedAtMs);
    return { hash, epoch, version, manifestBytes, signatures, persisted, sinceMs };
  }
}

type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>;

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
