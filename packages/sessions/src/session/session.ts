/**
 * One subscriber's session, publisher side: brings frames, releases and time to its machine, and executes the
 * effects. A stuck subscriber holds up nobody.
 */

import type { PacedLog } from '@rulecast/program';
import { Alarm, type Connection, ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { NameHolder } from '../admission/name-holders.ts';
import type { Refusal } from '../admission/refusal.ts';
import type { SessionHost } from '../host.ts';
import { Askers } from './askers.ts';
import { type Parts, perform } from './effects.ts';
import { deadline, start, step } from './machine.ts';
import { SubscriberNotes } from './notes.ts';
import type { Event, Fault, Now, Question, State } from './state.ts';

/**
 * Decides about the name in HELLO, which may take as long as another session has to answer for it; undefined:
 * it is this session's.
 */
export type Admit = (session: SubscriberSession, name: string) => Promise<Refusal | undefined>;

export class SubscriberSession implements NameHolder {
  readonly #connection: Connection;
  readonly #publisher: SessionHost;
  readonly #logger: PacedLog;
  readonly #alarm: Alarm;
  readonly #notes: SubscriberNotes;
  readonly #askers = new Askers();
  readonly #parts: Parts;
  #state: State;
  /** Events raised while another one is handled: only by its own effects. */
  readonly #events: Event[] = [];
  #isStepping = false;

  constructor(connection: Connection, publisher: SessionHost, logger: PacedLog, admit: Admit) {
    this.#connection = connection;
    this.#logger = logger;
    this.#publisher = publisher;
    this.#alarm = new Alarm(publisher.clock, () => this.#feed({ kind: 'tick' }));
    this.#notes = new SubscriberNotes(publisher.subscribers);
    this.#parts = {
      connection,
      publisher,
      logger,
      notes: this.#notes,
      askers: this.#askers,
      state: () => this.#state,
      feed: (event) => this.#feed(event),
      admit: (name) => admit(this, name),
    };
    this.#state = start(publisher.clock.monotonicMs());
  }

  get isOpen(): boolean {
    return this.#state.kind !== 'closed';
  }

  /**
   * Runs until the connection ends. Messages are heard at the pace of all: of a thousand sockets that have
   * something to read the event loop reads in one turn, and one may hold a thousand messages. Resolves to
   * RELAY where that came in place of HELLO: the connection is whose session that is from there on.
   */
  async run(): Promise<MessageOf<'relay'> | undefined> {
    const { pace } = this.#publisher;
    this.#feed({ kind: 'tick' });
    let fault: Fault | undefined;
    try {
      for (;;) {
        const received = await this.#connection.receive().finally(() => pace.step());
        if (received === undefined) break;
        if (received.message.kind === 'relay' && this.#state.kind === 'greeting') {
          this.#state = { kind: 'closed', name: undefined };
          return received.message;
        }
        this.#feed({ kind: 'received', ...received });
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (error.code !== ErrorCode.disconnected) fault = { code: error.code, text: error.message };
    } finally {
      const { skipped } = this.#connection;
      const subscriber = this.#notes.name;
      if (skipped > 0)
        this.#logger.info({ subscriber, skipped }, 'it said what nobody here knows: passed over');
      this.#feed({ kind: 'disconnected', ...(fault === undefined ? {} : { fault }) });
    }
    return undefined;
  }

  /** Called when the head has changed. */
  published(): void {
    this.#feed({ kind: 'published' });
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
   * See AskTable. Rejects with ProtocolError `not-ready`, `unsupported`, `rate-limited`, `timeout` or
   * `disconnected`.
   */
  ask(about: Question): Promise<MessageOf<'answer'>> {
    const { ticket, answer } = this.#askers.ask();
    this.#feed({ kind: 'asked', ticket, about });
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
        for (const effect of effects) perform(effect, this.#parts);
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
      publisher: this.#publisher,
    };
  }
}
