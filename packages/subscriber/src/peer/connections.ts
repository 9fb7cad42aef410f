/** The connections to the publisher: one at a time, for as long as the subscriber runs. */

import { type ByteStream, Connection, type SteadyClock } from '@rulecast/protocol';
import { sleep } from '../clock/pauses.ts';
import type { News } from './news.ts';
import { type Attempt, afterAttempt, FIRST_BACKOFF } from './reconnect.ts';
import { PublisherSession, type SessionHost } from './session.ts';
import { type Memory, NO_MEMORY } from './states.ts';

export interface ConnectionsOptions {
  readonly channel: (signal: AbortSignal) => Promise<ByteStream>;
  readonly host: SessionHost;
  readonly news: News;
  readonly clock: SteadyClock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Ends it all. */
  readonly closing: AbortSignal;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  #session: PublisherSession | undefined;
  #memory: Memory = NO_MEMORY;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Ends the one that is there. Resolves when it has ended; `closing` has been aborted before. */
  async close(): Promise<void> {
    this.#session?.stop();
    await this.#running;
  }

  begin(): void {
    this.#running = this.#connectForever();
  }

  async #connectForever(): Promise<void> {
    const { clock, closing, random } = this.#options;
    let backoff = FIRST_BACKOFF;
    while (!closing.aborted) {
      const attempt = await this.#connectOnce();
      const next = afterAttempt(backoff, attempt, random());
      backoff = next.backoff;
      await sleep(clock.after, next.delayMs, closing);
    }
  }

  /** One connection, until it ends. */
  async #connectOnce(): Promise<Attempt> {
    const { channel, host, news, clock, closing } = this.#options;
    let stream: ByteStream;
    try {
      stream = await channel(closing);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      news.notConnected('disconnected', text);
      return { welcomed: false, retryAfterMs: undefined, isForbidden: false };
    }
    const connection = new Connection(stream, { after: clock.after });
    const session = new PublisherSession(connection, host, this.#memory);
    this.#session = session;
    try {
      if (closing.aborted) session.stop();
      const complaintsBefore = news.complaintCount;
      const end = await session.run();
      this.#memory = end.memory;
      const { isForbidden = false, closeReason = 'closed' } = stream;
      if (isForbidden) news.notConnected('refused-by-policy', closeReason);
      else if (news.complaintCount === complaintsBefore) news.ended(closeReason);
      return { ...end, isForbidden };
    } finally {
      this.#session = undefined;
      news.disconnected();
    }
  }
}
