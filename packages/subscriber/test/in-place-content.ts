/** The content without a thread: each message to the owner and from it is copied as one to a thread is. */

import { ThreadCode, ThreadError, type ThreadLine, type WorkLimits } from '@rulecast/threads';
import { beginContent } from '../src/content/begin.ts';
import { type ContentHost, ThreadContent } from '../src/content/content.ts';
import { type ContentQuestion, type ContentReply, faultOf } from '../src/content/messages.ts';
import type { ContentOwner } from '../src/content/owner.ts';

export function inPlaceContent(): ThreadContent {
  return new ThreadContent({ startHost: (onDeath) => new InPlaceHost(onDeath) });
}

/** Does one piece of work after the other, and knows no deadlines. */
export class InPlaceHost implements ContentHost {
  readonly #onDeath: () => void;
  #owner: ContentOwner | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #kills: (question: ContentQuestion) => boolean = () => false;

  constructor(onDeath: () => void) {
    this.#onDeath = onDeath;
  }

  /** The owner dies at each such question, as a thread does. */
  killAt(kills: (question: ContentQuestion) => boolean): void {
    this.#kills = kills;
  }

  run<T>(_: WorkLimits, work: (line: ThreadLine<ContentReply>) => Promise<T>): Promise<T> {
    const done = this.#turn.then(() => this.#runNow(work));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#isClosed = true;
  }

  #runNow<T>(work: (line: ThreadLine<ContentReply>) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ThreadError(ThreadCode.closed, 'it is closed');
    const isNew = this.#owner === undefined;
    let isGone = false;
    let question: ContentQuestion | undefined;
    return work({
      isNew,
      get isGone() {
        return isGone;
      },
      post: (message, moved = []) => {
        question = structuredClone(message, { transfer: [...moved] }) as ContentQuestion; // of content.ts
      },
      next: () => {
        if (question === undefined) throw new TypeError('nothing was asked');
        if (!this.#kills(question)) return this.#reply(question);
        isGone = true;
        this.#owner = undefined;
        this.#onDeath();
        return Promise.reject(new ThreadError(ThreadCode.died, 'the content ended'));
      },
      allow: () => undefined,
    });
  }

  async #reply(question: ContentQuestion): Promise<ContentReply> {
    try {
      if (question.kind === 'begin') this.#owner = await beginContent(question);
      if (this.#owner === undefined) throw new TypeError('nothing was begun');
      const moved = new Set<ArrayBuffer>();
      const answer = this.#owner.answer(question, moved, () => undefined);
      return structuredClone({ kind: 'answer', answer }, { transfer: [...moved] });
    } catch (error) {
      return structuredClone({ kind: 'fault', fault: faultOf(error) });
    }
  }
}
