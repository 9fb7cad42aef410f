/**
 * Calls the listeners of a program that embeds a publisher or a subscriber, after and outside of the step
 * that caused the event: what a listener throws, or calls, does not affect a session. An error is logged,
 * once a listener, and the others are called all the same.
 */

import type { EventEmitter } from 'node:events';

/** Logs the errors of listeners. */
export interface ListenerLogger {
  error(details: object, text: string): void;
}

type Listener = (...args: readonly unknown[]) => unknown;

export class Listeners<Events extends Record<keyof Events, readonly unknown[]>> {
  readonly #events: EventEmitter;
  readonly #logger: ListenerLogger;
  readonly #failed = new WeakSet<Listener>();

  constructor(events: EventEmitter, logger: ListenerLogger) {
    this.#events = events;
    this.#logger = logger;
  }

  tell<Name extends keyof Events & string>(event: Name, ...args: Events[Name]): void {
    queueMicrotask(() => {
      for (const listener of this.#events.rawListeners(event) as Listener[])
        this.#call(event, listener, args);
    });
  }

  #call(event: string, listener: Listener, args: readonly unknown[]): void {
    const fail = (error: unknown): void => {
      if (this.#failed.has(listener)) return;
      this.#failed.add(listener);
      this.#logger.error({ err: error, event }, 'a listener of an event failed; the program goes on');
    };
    try {
      const result = listener.apply(this.#events, args as unknown[]);
      if (result instanceof Promise) result.catch(fail);
    } catch (error) {
      fail(error);
    }
  }
}
