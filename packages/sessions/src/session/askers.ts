/**
 * The callers that wait for results of a session's machine: those with a question to the subscriber, and
 * those that want its name.
 */

import type { MessageOf } from '@rulecast/protocol';
import type { EffectOf } from './state.ts';

type Answer = MessageOf<'answer'>;

/** A promise with its functions to settle it. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export class Askers {
  readonly #questions = new Map<number, Deferred<Answer>>();
  #lastTicket = 0;
  #probe: Deferred<boolean> | undefined;

  /** One more asks, and is answered by its ticket. */
  ask(): { readonly ticket: number; readonly answer: Promise<Answer> } {
    const ticket = ++this.#lastTicket;
    const question = deferred<Answer>();
    this.#questions.set(ticket, question);
    return { ticket, answer: question.promise };
  }

  settle(effect: EffectOf<'answered' | 'unanswered'>): void {
    if (effect.kind === 'unanswered') return this.fail(effect.ticket, effect.error);
    this.#questionOf(effect.ticket)?.resolve(effect.answer);
  }

  /** Fails a question. */
  fail(ticket: number, error: unknown): void {
    this.#questionOf(ticket)?.reject(error);
  }

  /** Removes and returns the waiting caller of a question. */
  #questionOf(ticket: number): Deferred<Answer> | undefined {
    const question = this.#questions.get(ticket);
    this.#questions.delete(ticket);
    return question;
  }

  /**
   * Whether the peer is alive; callers that ask before the answer share it. `begin` is called for the first.
   */
  probe(begin: () => void): Promise<boolean> {
    if (this.#probe !== undefined) return this.#probe.promise;
    const probe = deferred<boolean>();
    this.#probe = probe;
    begin();
    return probe.promise;
  }

  tell(isAlive: boolean): void {
    this.#probe?.resolve(isAlive);
    this.#probe = undefined;
  }
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>['resolve'] = () => undefined;
  let reject: Deferred<T>['reject'] = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
