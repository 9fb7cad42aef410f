/** The content without a thread: each question and each answer is copied as one to a thread is. */

import type { TableHandle } from '@rulecast/table';
import { ThreadCode, ThreadError } from '@rulecast/threads';
import { beginContent } from '../src/content/begin.ts';
import type { Content, Kept } from '../src/content/content.ts';
import type {
  ContentKind,
  ContentOptions,
  ContentQuestion,
  ContentQuestions,
} from '../src/content/messages.ts';
import { errorOf, faultOf } from '../src/content/messages.ts';
import type { ContentOwner } from '../src/content/owner.ts';

export class InPlaceContent implements Content {
  #owner: ContentOwner | undefined;
  #handle: TableHandle | undefined;
  #begun: { readonly options: ContentOptions; readonly kept: Kept } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #questionsLeft = -1;

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
    const question = structuredClone({ kind, ...asks }) as unknown as ContentQuestion;
    const done = this.#turn.then(() => this.#answer(question));
    this.#turn = done.catch(() => undefined);
    return done as Promise<ContentQuestions[K]['answer']>;
  }

  /** Dies at the question after so many others, as a thread does: the next begins with another owner. */
  killAfter(questions: number): void {
    this.#questionsLeft = questions;
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#isClosed = true;
  }

  async #answer(question: ContentQuestion): Promise<unknown> {
    if (this.#isClosed) throw new Error('it is closed');
    const owner = this.#owner ?? (await this.#restart());
    if (this.#questionsLeft-- === 0) {
      this.#owner = undefined;
      throw new ThreadError(ThreadCode.died, 'the content ended');
    }
    try {
      const moved = new Set<ArrayBuffer>();
      const answer = owner.answer(question, moved, () => undefined);
      return structuredClone(answer, { transfer: [...moved] });
    } catch (error) {
      throw errorOf(structuredClone(faultOf(error)));
    }
  }

  async #restart(): Promise<ContentOwner> {
    if (this.#begun === undefined) throw new TypeError('the content was not begun');
    const { options, kept } = this.#begun;
    const isFirst = this.#handle === undefined;
    try {
      this.#owner = await beginContent(structuredClone({ options, handle: this.#handle }));
    } catch (error) {
      throw errorOf(structuredClone(faultOf(error)));
    }
    this.#handle = this.#owner.answer(
      { kind: 'begin', options, handle: this.#handle },
      new Set(),
      () => undefined,
    ) as TableHandle;
    if (isFirst) return this.#owner;
    try {
      const active = kept.active();
      if (active !== undefined)
        this.#owner.answer(structuredClone({ kind: 'restore', ...active }), new Set(), () => undefined);
      kept.onRestart(undefined);
    } catch (error) {
      kept.onRestart(error);
    }
    return this.#owner;
  }
}
