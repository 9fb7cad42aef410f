/**
 * Tells whoever embeds a publisher or a subscriber what happened, after and outside of the step that made it
 * happen: what a listener throws, or calls, reaches no session. It is logged, once a listener, and the others
 * are told all the same.
 */

import type { EventEmitter } from 'node:events';

/** Where failures of listeners are told. */
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
      this.#logger.error({ err: error, event }, 'a listener failed; nothing depends on it');
    };
    try {
      const result = listener.apply(this.#events, args as unknown[]);
      if (result instanceof Promise) result.catch(fail);
    } catch (error) {
      fail(error);
    }
  }
}
