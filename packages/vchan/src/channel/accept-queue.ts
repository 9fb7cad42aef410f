/** A listener's queue of arrived channels, until they are accepted. */

import { type Channel, ChannelClosedError } from './channel.ts';

interface AcceptWaiter {
  readonly resolve: (channel: Channel) => void;
  readonly reject: (error: ChannelClosedError) => void;
}

/**
 * Matches arriving channels with `accept()` calls; holds at most `backlog` channels that nobody has accepted.
 */
export class AcceptQueue {
  readonly #listenerName: string;
  readonly #backlog: number;
  readonly #channels: Channel[] = [];
  readonly #waiters: AcceptWaiter[] = [];
  #closed = false;

  /** @throws RangeError if `backlog` is no positive integer. */
  constructor(listenerName: string, backlog: number) {
    if (!Number.isSafeInteger(backlog) || backlog < 1) {
      throw new RangeError(`backlog of ${backlog} channels: must be a positive integer`);
    }
    this.#listenerName = listenerName;
    this.#backlog = backlog;
  }

  get full(): boolean {
    return this.#closed || this.#channels.length >= this.#backlog;
  }

  /** Takes over a channel. Call only while not `full`. */
  add(channel: Channel): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#channels.push(channel);
    else waiter.resolve(channel);
  }

  next(): Promise<Channel> {
    if (this.#closed) return Promise.reject(this.#closedError());
    const channel = this.#channels.shift();
    if (channel !== undefined) return Promise.resolve(channel);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
    });
  }

  /** Rejects waiting callers, and closes channels that were not accepted. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#closedError());
    for (const channel of this.#channels.splice(0)) channel.close();
  }

  #closedError(): ChannelClosedError {
    return new ChannelClosedError('listener-closed', `listener on ${this.#listenerName} is closed`);
  }
}
