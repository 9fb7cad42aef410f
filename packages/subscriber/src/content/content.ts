/**
 * Who owns the content, as the event loop has it: a thread that is asked one question at a time, releases
 * before what people ask.
 *
 * When the thread dies, the question that it was at fails, and another thread begins at once; where that one
 * dies as it begins, the next question begins with another. The table's memory stays, so that readers notice
 * nothing; what is in force is verified again from what was kept, and then compiled and planned anew.
 */

import { ErrorCode, ProtocolError } from '@rulecast/protocol';
import type { TableHandle } from '@rulecast/table';
import { HandOver, ThreadCode, ThreadError, ThreadHost, type ThreadLine } from '@rulecast/threads';
import {
  type ContentKind,
  type ContentOptions,
  type ContentQuestions,
  type ContentReply,
  errorOf,
} from './messages.ts';

/** What a new owner is to have, where there was one before. */
export interface Kept {
  /** What is in force; undefined where there is nothing. May throw. */
  readonly active: () => ContentQuestions['restore']['asks'] | undefined;
  /**
   * It has that: to be compiled and planned again. Or it has not, and why: then only a snapshot leads to the
   * next release.
   */
  readonly onRestart: (error: unknown) => void;
}

export interface Content {
  /** Of the table, from `begin` on. */
  readonly handle: TableHandle;
  /** Rejects with TableEngineError. */
  begin(options: ContentOptions, kept: Kept): Promise<void>;
  /** Rejects with what was thrown, and with ThreadError where the owner has died. */
  ask<K extends ContentKind>(
    kind: K,
    asks: ContentQuestions[K]['asks'],
  ): Promise<ContentQuestions[K]['answer']>;
  close(): Promise<void>;
}

/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../../dist/content/content-thread.js', import.meta.url);
/**
 * Verifying says after each step that it goes on. The longest step, decoding 16 million hosts, takes a second
 * here. What all steps may take together is bounded by the Budget.
 */
const VERIFY_SILENCE_MS = 30_000;
/** Of all else, which is about what was verified: ends a thread that hangs. */
const SILENCE_MS = 600_000;
/** What waits for releases. */
const QUESTIONS: readonly ContentKind[] = ['explain', 'hits', 'stats', 'evict'];

/** What runs the owner: a ThreadHost, or what a test puts in its place. */
export type ContentHost = Pick<ThreadHost<ContentReply>, 'run' | 'close'>;

export class ThreadContent implements Content {
  readonly #host: ContentHost;
  #begun: { readonly options: ContentOptions; readonly kept: Kept } | undefined;
  #handle: TableHandle | undefined;

  /** `startHost` is handed what it calls when an owner has died. */
  constructor(startHost: (onDeath: () => void) => ContentHost = threadHost) {
    this.#host = startHost(() => void this.ask('stats', {}).catch(() => undefined));
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
    const limits = { heapMib: undefined, deadlineMs: kind === 'verify' ? VERIFY_SILENCE_MS : SILENCE_MS };
    const isUrgent = !QUESTIONS.includes(kind);
    return this.#host.run(
      limits,
      async (line) => {
        if (line.isNew) await this.#restart(line);
        return exchange(line, kind, asks);
      },
      isUrgent,
    );
  }

  async #restart(line: ThreadLine<ContentReply>): Promise<void> {
    if (this.#begun === undefined) throw new TypeError('the content was not begun');
    const { options, kept } = this.#begun;
    const isFirst = this.#handle === undefined;
    this.#handle = await exchange(line, 'begin', { options, handle: this.#handle });
    if (isFirst) return;
    try {
      const active = kept.active();
      if (active !== undefined) await exchange(line, 'restore', active);
      kept.onRestart(undefined);
    } catch (error) {
      if (line.isGone) throw error;
      kept.onRestart(error);
    }
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
