/** A subscriber, led through the scripted sessions of `protocol/vectors/states.json`. */

import { Connection, type Message, parseTrust } from '@rulecast/protocol';
import { type Channel, createMemoryPair } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  expectSent,
  LIMITS,
  NONCES,
  type Script,
  type Step,
  SUBSCRIBER_SCRIPTS,
  TRUST,
} from '../../../test/kit/session-scripts.ts';
import { turns, until } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { ScriptedPublisher } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

/** Turns of the event loop after which nothing more is sent of its own. */
const QUIET_TURNS = 30;

/** The other end of a subscriber's connections: writes down what it says. */
class Listener {
  readonly clock = new FakeClock();
  readonly #startMs = this.clock.monotonicMs();
  readonly #waiting: Channel[] = [];
  #channel: Channel | undefined;
  #connection: Connection | undefined;
  #sent: Message[] = [];
  #nonces = 0;
  #isEnded = false;

  readonly channel = (): Promise<Channel> => {
    const { client, server } = createMemoryPair();
    this.#waiting.push(server);
    return Promise.resolve(client);
  };

  /** The next nonce, until it was asked with. */
  readonly nonce = (): Uint8Array => NONCES[this.#nonces] ?? new Uint8Array(16).fill(0xff);

  async take({ at, connect, receive, end, send, closed }: Step, where: string): Promise<void> {
    await this.#pass(at);
    if (connect) {
      await until(() => this.#waiting.length > 0);
      this.#hear(this.#waiting.shift());
    }
    if (receive !== undefined) await this.#connection?.send(receive, receive.kind === 'query' ? 1 : 0);
    if (end) this.#channel?.close();
    for (let count = 0; count < 1000 && this.#sent.length < send.length; count++) await turns(1);
    await turns(QUIET_TURNS);
    const bye = closed === undefined || closed === null ? [] : [{ kind: 'bye', code: closed }];
    expectSent(this.#sent.splice(0), [...send, ...bye], where);
    expect(this.#isEnded, `${where}: is closed`).toBe(closed !== undefined);
  }

  /** Each timer at its time, and what comes of it before the next. */
  async #pass(at: number): Promise<void> {
    for (;;) {
      const leftMs = at - (this.clock.monotonicMs() - this.#startMs);
      const [nextMs = leftMs] = this.clock.pendingMs;
      this.clock.advance(Math.min(nextMs, leftMs));
      await turns(QUIET_TURNS);
      if (nextMs >= leftMs) return;
    }
  }

  #hear(channel: Channel | undefined): void {
    if (channel === undefined) throw new Error('it has not connected');
    this.#channel = channel;
    this.#isEnded = false;
    const connection = new Connection(channel, { after: () => () => undefined });
    this.#connection = connection;
    void this.#run(connection);
  }

  async #run(connection: Connection): Promise<void> {
    for (let next = await connection.receive(); next !== undefined; next = await connection.receive()) {
      const { message } = next;
      this.#sent.push(message);
      if ((message.kind === 'hello' || message.kind === 'ping') && message.nonce !== undefined)
        this.#nonces += 1;
    }
    this.#isEnded = true;
  }

  close(): void {
    for (const channel of [this.#channel, ...this.#waiting]) channel?.close();
  }
}

async function lead({ steps }: Script): Promise<void> {
  const trust = parseTrust(TRUST);
  if (trust === undefined) throw new TypeError('no trust line');
  const listener = new Listener();
  onTestFinished(() => listener.close());
  const { channel, clock, nonce } = listener;
  await startedSubscriber(new ScriptedPublisher(), {
    name: 'fw',
    channel,
    trust,
    clock: { monotonicMs: () => clock.monotonicMs(), after: (ms, work) => clock.after(ms, work) },
    nonce,
    entriesMax: LIMITS.entries,
    transferBytesMax: LIMITS.bytes,
  });
  for (const [i, step] of steps.entries())
    await listener.take(step, `step ${i}, ${JSON.stringify(step.receive?.kind ?? '')}`);
}

describe('a subscriber', () => {
  it.each(SUBSCRIBER_SCRIPTS)('$name', (script) => lead(script));
});
