/**
 * Reads the counters of each connected firewall about once a minute: one at a time, evenly over the minute,
 * so that two hundred do not answer at once.
 */

import { Capability } from '@rulecast/protocol';
import type { AskTable } from '@rulecast/sessions';
import { counterPages } from '../control/counter-pages.ts';
import type { Publisher } from '../release/publisher.ts';
import type { Release } from '../store/store.ts';

/** Between two looks at one firewall. Our choice. */
const LOOK_EVERY_MS = 60_000;
/** The least pause between two reads, however many firewalls there are. Our choice. */
const PAUSE_MIN_MS = 50;
/** Counters may be this old: then rules still have the numbers of the release before. */
const SETTLED_AFTER_MS = 2000;

type Counting = Pick<Publisher, 'clock' | 'nowMs' | 'sums' | 'subscribers' | 'head'>;

/** Until it is closed. */
export function countFirewalls(publisher: Counting, ask: AskTable): { close(): void } {
  const { clock, sums, subscribers } = publisher;
  let last = '';
  let isClosed = false;
  let cancel = (): void => undefined;

  /** The connected subscribers that support pages. */
  const countingNames = (): readonly string[] =>
    subscribers
      .connected()
      .filter((name) => subscribers.find(name)?.capabilities?.includes(Capability.pages) === true)
      .sort();

  /** Whether a firewall has had a release in force long enough. Wall clocks are set: hence `abs`. */
  const isSettled = (name: string, { hash }: Release): boolean => {
    const { held, appliedAtMs, connectedSinceMs } = subscribers.find(name) ?? {};
    const sinceMs = appliedAtMs ?? connectedSinceMs;
    if (held === undefined || sinceMs === undefined || !Buffer.from(held.hash).equals(hash)) return false;
    return Math.abs(publisher.nowMs() - sinceMs) > SETTLED_AFTER_MS;
  };

  /** Looks at the next one, in the order of their names. Does not reject. */
  const look = async (): Promise<void> => {
    for (const name of sums.subscribers()) if (subscribers.find(name) === undefined) sums.forget(name);
    const names = countingNames();
    const name = names.find((each) => each > last) ?? names[0];
    const { head } = publisher;
    if (name === undefined || head === undefined) return;
    last = name;
    const wasSettled = isSettled(name, head);
    const counters = new Map<string, number>();
    try {
      for await (const page of counterPages(name, ask))
        for (const [counter, value] of Object.entries(page)) counters.set(counter, value);
    } catch {
      return; // it is gone or silent, as its status shows; the next read has its counts
    }
    const isInForce = wasSettled && publisher.head === head && isSettled(name, head);
    if (!isClosed) sums.take(name, { counters, ruleSet: head.ruleSet, isInForce });
  };

  const wait = (): void => {
    const pauseMs = Math.floor(LOOK_EVERY_MS / Math.max(1, countingNames().length));
    cancel = clock.after(Math.max(PAUSE_MIN_MS, pauseMs), () => {
      void look().then(() => {
        if (!isClosed) wait();
      });
    });
  };

  wait();
  return {
    close: () => {
      isClosed = true;
      cancel();
    },
  };
}
