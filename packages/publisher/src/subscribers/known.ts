/**
 * Records of subscribers, kept over restarts: written some time after a change, all changes of that time at
 * once, so that no message costs a write. A lost or damaged record is as if it had never been; nothing else
 * depends on it.
 */

import type { StoredSubscriber, Subscribers } from '@rulecast/sessions';
import type { Clock } from '@rulecast/sources';
import type { Logger } from 'pino';
import type { SubscriberStore } from '../store/store.ts';

/** Changes gather for so long: a subscriber repeats what a crash loses when it reconnects. */
const WRITE_AFTER_MS = 2000;

export interface KnownSubscribersOptions {
  readonly store: SubscriberStore;
  readonly subscribers: Subscribers;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class KnownSubscribers {
  readonly #options: KnownSubscribersOptions;
  /** As it is in the store, by name. */
  readonly #written = new Map<string, string>();
  #cancelWrite: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #onChange = (): void => {
    this.#cancelWrite ??= this.#options.clock.after(WRITE_AFTER_MS, () => this.#write());
  };

  /** Restores the stored records. */
  constructor(options: KnownSubscribersOptions) {
    this.#options = options;
    const { store, subscribers, logger } = options;
    for (const [name, text] of store.storedSubscribers()) {
      const stored = decodeStored(text);
      this.#written.set(name, text); // a damaged record is replaced, or removed
      if (stored === undefined)
        logger.warn({ subscriber: name }, 'what was kept of a subscriber is damaged: forgotten');
      else subscribers.resume(name, stored);
    }
    subscribers.on('change', this.#onChange);
  }

  #write(): void {
    this.#cancelWrite = undefined;
    const { store, subscribers, logger } = this.#options;
    const now = new Map<string, string>();
    for (const [name, stored] of subscribers.known()) now.set(name, JSON.stringify(stored));
    const changed = new Map<string, string | undefined>();
    for (const [name, text] of now) if (this.#written.get(name) !== text) changed.set(name, text);
    for (const name of this.#written.keys()) if (!now.has(name)) changed.set(name, undefined);
    if (changed.size === 0) return;
    for (const [name, text] of changed) {
      if (text === undefined) this.#written.delete(name);
      else this.#written.set(name, text);
    }
    this.#writing = this.#writing
      .then(() => store.storeSubscribers(changed))
      .catch((error: unknown) => {
        for (const name of changed.keys()) this.#written.delete(name); // again with the next change
        logger.warn({ err: error }, 'what is known of subscribers could not be kept');
      });
  }

  /** Writes what changed, and waits for that. Call it before the store closes. */
  async close(): Promise<void> {
    this.#options.subscribers.off('change', this.#onChange);
    this.#cancelWrite?.();
    this.#write();
    await this.#writing;
  }
}

/** Undefined for a malformed record. */
function decodeStored(text: string): StoredSubscriber | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isStored(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isStored(value: unknown): value is StoredSubscriber {
  if (!isMap(value) || !isCount(value['lastSeenMs']) || typeof value['hasApplied'] !== 'boolean')
    return false;
  const { held, appliedAtMs, applyMs, persisted, capabilities, lastError, refused } = value;
  return (
    isOptional(
      held,
      (some) => isMap(some) && isHash(some['hash']) && isCount(some['epoch']) && isCount(some['version']),
    ) &&
    isOptional(appliedAtMs, isCount) &&
    isOptional(applyMs, isCount) &&
    isOptional(persisted, (some) => typeof some === 'boolean') &&
    isOptional(capabilities, (some) => Array.isArray(some) && some.every(isCode)) &&
    isOptional(lastError, isReason) &&
    isOptional(
      refused,
      (some) => Array.isArray(some) && some.every((one) => isReason(one) && isHash(one['hash'])),
    )
  );
}

function isReason(value: unknown): value is Readonly<Record<string, unknown>> {
  return isMap(value) && isCode(value['code']) && typeof value['text'] === 'string' && isCount(value['atMs']);
}

function isOptional(value: unknown, is: (value: unknown) => boolean): boolean {
  return value === undefined || is(value);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isHash(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

function isCode(value: unknown): boolean {
  return typeof value === 'string' && /^[a-z][a-z0-9-]{0,63}$/.test(value);
}
