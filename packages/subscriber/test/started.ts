/** Subscribers under test: started with what all tests share, and closed after each. */

import type { RuleSet } from '@rulecast/rules';
import { pino } from 'pino';
import { afterEach, vi } from 'vitest';
import type { Sink, SinkRelease } from '../src/apply/sink.ts';
import type { SubscriberOptions } from '../src/peer/options.ts';
import { createSubscriber, type Subscriber } from '../src/peer/subscriber.ts';
import { inPlaceContent } from './in-place-content.ts';
import { DNS, NOW } from './sample.ts';
import type { ScriptedPublisher } from './scripted-publisher.ts';
import { TestClock } from './test-clock.ts';

const open: Subscriber[] = [];

afterEach(async () => {
  for (const subscriber of open.splice(0)) await subscriber.close();
});

export async function startedSubscriber(
  publisher: ScriptedPublisher,
  options: Partial<SubscriberOptions> = {},
): Promise<Subscriber> {
  const subscriber = await createSubscriber({
    channel: publisher.channel,
    trust: publisher.trust,
    name: 'sys-firewall',
    logger: pino({ level: 'silent' }),
    dns: [DNS],
    nowMs: () => NOW * 1000,
    boot: { bootMs: options.nowMs ?? (() => NOW * 1000), bootId: 'test' }, // clocks that agree
    random: () => 0,
    content: inPlaceContent(),
    // Where timers are faked, the clock of the process is what the test moves.
    ...(vi.isFakeTimers() ? {} : { clock: new TestClock() }),
    ...options,
  });
  open.push(subscriber);
  return subscriber;
}

/** A channel factory for a publisher that is not there: pending until the subscriber closes. */
export function nobody(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
  });
}

/** A sink that notes its calls, and does what a test puts in the place of a step. */
export class RecordingSink implements Sink {
  readonly calls: string[] = [];
  readonly prepared: (Omit<SinkRelease, 'ruleSet'> & { readonly ruleSet: RuleSet })[] = [];
  onPrepare: () => Promise<void> | void = () => undefined;
  onCommit: () => Promise<void> | void = () => undefined;

  async prepare(release: SinkRelease): Promise<void> {
    this.calls.push('prepare');
    this.prepared.push({ ...release, ruleSet: await release.ruleSet() });
    await this.onPrepare();
  }

  async commit(): Promise<void> {
    this.calls.push('commit');
    await this.onCommit();
  }

  discard(): Promise<void> {
    this.calls.push('discard');
    return Promise.resolve();
  }
}

/** A promise that a test resolves, and one that tells when somebody waits for it. */
export class Gate {
  readonly reached: Promise<void>;
  private readonly opened: Promise<void>;
  private noteReached: () => void = () => undefined;
  open: () => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => {
      this.noteReached = resolve;
    });
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  pass(): Promise<void> {
    this.noteReached();
    return this.opened;
  }
}
