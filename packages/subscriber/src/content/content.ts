/**
 * The event loop's side of the content thread, which owns the rule sets: one question at a time, those of
 * releases before those of people.
 *
 * When the thread dies, its current question fails and another thread starts by itself: the first at once,
 * later ones after pauses. The table's memory stays, so that readers notice nothing; the release in force is
 * verified again from what was kept, and then compiled and planned anew. During a pause releases wait, and
 * questions of people are refused.
 */

import { ErrorCode, ProtocolError, STEADY_CLOCK, type SteadyClock } from '@rulecast/protocol';
import type { TableHandle } from '@rulecast/table';
import { HandOver, ThreadCode, ThreadError, ThreadHost, type ThreadLine } from '@rulecast/threads';
import { LONGEST_PAUSE_MS, pauseMsAfter, sleep } from '../clock/pauses.ts';
import {
  type ContentKind,
  type ContentOptions,
  type ContentQuestions,
  type ContentReply,
  errorOf,
} from './messages.ts';

/** The state that a new thread takes over from its predecessor. */
export interface Kept {
  /** The release in force; undefined if there is none. May throw. */
  readonly active: () => ContentQuestions['restore']['asks'] | undefined;
  /** Aborted before `close`: ends a pause. */
  readonly closing: AbortSignal;
  /** An owner died; those that die soon after, one after the other, are not the first. */
  readonly onDeath: (isFirst: boolean) => void;
  /**
   * It has that: to be compiled and planned again. Or it has not, and why: then only a snapshot leads to the
   * next release.
   */
  readonly onRestart: (error: unknown) => void;
}

export interface Content {
  /** The handle of the table, from `begin` on. */
  readonly handle: TableHandle;
  /** Rejects with TableEngineError. */
  begin(options: ContentOptions, kept: Kept): Promise<void>;
  /** Rejects with the error thrown there, and with ThreadError if the thread has died. */
  ask<K extends ContentKind>(
    kind: K,
    asks: ContentQuestions[K]['asks'],
  ): Promise<ContentQuestions[K]['answer']>;
  close(): Promise<void>;
}

/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../../dist/content/content-thread.js', import.meta.url);
/**
 * Verifying reports progress after each step. The longest step, decoding 16 million hosts, takes a second
 * here. The Budget bounds all steps together.
 */
const VERIFY_SILENCE_MS = 30_000;
/** The limit for other questions, about verified content: ends a thread that hangs. */
const SILENCE_MS = 600_000;
/** Questions of people, which wait while a release is in work. */
const QUESTIONS: readonly ContentKind[] = ['explain', 'hits', 'stats', 'evict'];

/** Runs the owner: a ThreadHost, or a test's replacement. */
export type ContentHost = Pick<ThreadHost<ContentReply>, 'run' | 'close'>;

export interface ThreadContentOptions {
  /** Gets what it calls when a thread has died. */
  readonly startHost?: (onDeath: () => void) => ContentHost;
  /** For the pauses; default that of the process. */
  readonly clock?: SteadyClock;
}

export class ThreadContent implements Content {
  readonly #host: ContentHost;
  readonly #clock: SteadyClock;
  #begun: { readonly options: ContentOptions; readonly kept: Kept } | undefined;
  #handle: TableHandle | undefined;
  /** Owners that died one soon after the other. */
  #deaths = 0;
  /** When the owner had verified again what is in force, by the clock. */
  #restoredAtMs = Number.POSITIVE_INFINITY;
  /** Until it is over no owner begins. */
  #pause: Promise<void> | undefined;

  constructor({ startHost = threadHost, clock = STEADY_CLOCK }: ThreadContentOptions = {}) {
    this.#clock = clock;
    this.#host = startHost(() => this.#onDeath());
  }

  get handle(): TableHandle {
    if (this.#handle === undefined) throw new TypeError('the content was not begun');
    return this.#handle;
  }

  async begin(options: ContentOptions, kept: Kept): Promise<void> {
    this.#begun = { options, kept };
    await this.ask('stats', {});
  }

  ask<K extends ContentKind>(
    kind: K,
    asks: ContentQuestions[K]['asks'],
  ): Promise<ContentQuestions[K]['answer']> {
    const isUrgent = !QUESTIONS.includes(kind);
    if (this.#pause !== undefined && !isUrgent)
      return Promise.reject(new ThreadError(ThreadCode.died, 'the rules are being loaded again'));
    return this.#run(kind, asks, isUrgent);
  }

  #run<K extends ContentKind>(
    kind: K,
    asks: ContentQuestions[K]['asks'],
    isUrgent: boolean,
  ): Promise<ContentQuestions[K]['answer']> {
    const limits = { heapMib: undefined, deadlineMs: kind === 'verify' ? VERIFY_SILENCE_MS : SILENCE_MS };
    return this.#host.run(
      limits,
      async (line) => {
        if (line.isNew) {
          line.allow(SILENCE_MS);
          await this.#restart(line);
          line.allow(limits.deadlineMs);
        }
        const answer = exchange(line, kind, asks);
        return kind === 'flipped' ? answer.catch((error) => this.#refused(line, error)) : answer;
      },
      isUrgent,
    );
  }

  async #restart(line: ThreadLine<ContentReply>): Promise<void> {
    if (this.#begun === undefined) throw new TypeError('the content was not begun');
    const { options, kept } = this.#begun;
    const isFirst = this.#handle === undefined;
    await this.#pause;
    this.#restoredAtMs = Number.POSITIVE_INFINITY;
    this.#handle = await exchange(line, 'begin', { options, handle: this.#handle });
    if (isFirst) return;
    try {
      const active = kept.active();
      if (active !== undefined) await exchange(line, 'restore', active);
      this.#restoredAtMs = this.#clock.monotonicMs();
      kept.onRestart(undefined);
    } catch (error) {
      if (line.isGone) throw error;
      kept.onRestart(error);
    }
  }

  /**
   * Restarts the thread. The table in force was compiled by a thread that died since, and its successor
   * started from an older release. It would flip back to that, and overwrite memory that readers use.
   */
  async #refused(line: ThreadLine<ContentReply>, error: unknown): Promise<never> {
    if (!line.isGone) await this.#restart(line);
    throw error;
  }

  /** Starts another thread, after a pause if others died recently. */
  #onDeath(): void {
    if (this.#begun === undefined || this.#handle === undefined) return; // `begin` rejects
    const { closing, onDeath } = this.#begun.kept;
    if (closing.aborted) return;
    if (this.#clock.monotonicMs() - this.#restoredAtMs > LONGEST_PAUSE_MS) this.#deaths = 0;
    onDeath(this.#deaths === 0);
    const pauseMs = pauseMsAfter(this.#deaths);
    if (pauseMs > 0)
      this.#pause ??= sleep(this.#clock.after, pauseMs, closing).then(() => {
        this.#pause = undefined;
      });
    this.#deaths += 1;
    this.#run('stats', {}, false).catch(() => undefined); // a death of that one comes here, too
  }

  close(): Promise<void> {
    return this.#host.close();
  }
}

function threadHost(onDeath: () => void): ContentHost {
  const restMs = Number.POSITIVE_INFINITY;
  return new ThreadHost({ file: THREAD_FILE, name: 'rulecast content', restMs, onDeath });
}

/** One question, and its answer. A stream is copied in pieces, since a copy at once stalls this thread. */
async function exchange<K extends ContentKind>(
  line: ThreadLine<ContentReply>,
  kind: K,
  asks: ContentQuestions[K]['asks'],
): Promise<ContentQuestions[K]['answer']> {
  const handOver = new HandOver();
  const own: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(asks))
    own[name] = name === 'stream' ? await handOver.bytes(value) : value;
  line.post({ kind, ...own }, handOver.buffers);
  for (;;) {
    const said = await line.next();
    if (said.kind === 'answer') return said.answer as ContentQuestions[K]['answer']; // to this very question
    if (said.kind === 'fault') throw errorOf(said.fault);
  }
}

/** Why a stream could not be verified, in the words of verifying. */
export function verifyErrorOf(error: unknown): unknown {
  if (!(error instanceof ThreadError)) return error;
  switch (error.code) {
    case ThreadCode.outOfMemory:
      return new RangeError('verifying takes more memory than there is', { cause: error });
    case ThreadCode.timeout:
      return new ProtocolError(ErrorCode.timeout, error.message, { cause: error });
    default:
      return new RangeError('the thread that verifies ended', { cause: error });
  }
}
