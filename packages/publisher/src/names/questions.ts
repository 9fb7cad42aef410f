/**
 * The questions about names that are under way or wait: each name once, a bounded number at a time, and those
 * that somebody waits for before those that are asked again for their own sake. Dead names cost the others
 * nothing: some places are never theirs.
 *
 *   asked ─▶ front ─┐ room for `most`
 *                   ├─────────────────▶ under way ─▶ answered
 *   due ───▶ back ──┘ room for `mostBack` of them
 */

export interface QuestionLimits {
  /** Under way at once. */
  readonly most: number;
  /** Of these, that nobody waits for. */
  readonly mostBack: number;
}

interface Question {
  readonly name: string;
  isFront: boolean;
  isBegun: boolean;
  /** How many wait for it. */
  waiting: number;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/** First in, first out; taking one costs the same however many there are. */
class Queue {
  #questions: Question[] = [];
  #taken = 0;

  push(question: Question): void {
    this.#questions.push(question);
  }

  take(): Question | undefined {
    const question = this.#questions[this.#taken++];
    if (question !== undefined) return question;
    this.#questions = [];
    this.#taken = 0;
    return undefined;
  }
}

export class Questions {
  readonly #limits: QuestionLimits;
  /** Asks for one name; does not reject. */
  readonly #ask: (name: string) => Promise<void>;
  readonly #open = new Map<string, Question>();
  /** In their order; one that moved to the front, or was taken back, is passed over. */
  readonly #front = new Queue();
  readonly #back = new Queue();
  #underWay = 0;
  #backUnderWay = 0;

  constructor(limits: QuestionLimits, ask: (name: string) => Promise<void>) {
    this.#limits = limits;
    this.#ask = ask;
  }

  /** Whether a name is being asked for, or waits for its turn. */
  has(name: string): boolean {
    return this.#open.has(name);
  }

  /** Whether nothing is under way, and nothing waits. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /**
   * Asks for names; resolves when all of them were answered for, or taken back. Whoever gives up waiting
   * calls `leave`.
   */
  async askAll(names: readonly string[], place: 'front' | 'back'): Promise<void> {
    const questions = names.map((name) => this.#add(name, place === 'front'));
    this.#begin();
    await Promise.all(questions.map(({ ended }) => ended));
  }

  /** Nobody waits for these any more: those that were not begun are taken back. */
  leave(names: readonly string[]): void {
    for (const name of names) {
      const question = this.#open.get(name);
      if (question === undefined || --question.waiting > 0 || question.isBegun) continue;
      this.#remove(question);
    }
  }

  /** Takes back what was not begun; what is under way is not waited for. */
  close(): void {
    for (const question of [...this.#open.values()]) this.#remove(question);
  }

  #add(name: string, isFront: boolean): Question {
    const known = this.#open.get(name);
    if (known !== undefined) {
      known.waiting++;
      if (isFront && !known.isFront && !known.isBegun) {
        known.isFront = true;
        this.#front.push(known);
      }
      return known;
    }
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const question: Question = { name, isFront, isBegun: false, waiting: 1, ended, end };
    this.#open.set(name, question);
    (isFront ? this.#front : this.#back).push(question);
    return question;
  }

  #remove(question: Question): void {
    if (this.#open.get(question.name) !== question) return;
    this.#open.delete(question.name);
    question.end();
  }

  #begin(): void {
    while (this.#underWay < this.#limits.most) {
      const question =
        this.#next(this.#front, true) ??
        (this.#backUnderWay < this.#limits.mostBack ? this.#next(this.#back, false) : undefined);
      if (question === undefined) return;
      void this.#run(question);
    }
  }

  #next(queue: Queue, isFront: boolean): Question | undefined {
    for (let question = queue.take(); question !== undefined; question = queue.take()) {
      const isCurrent = this.#open.get(question.name) === question && !question.isBegun;
      if (isCurrent && question.isFront === isFront) return question;
    }
    return undefined;
  }

  async #run(question: Question): Promise<void> {
    question.isBegun = true;
    this.#underWay++;
    if (!question.isFront) this.#backUnderWay++;
    await this.#ask(question.name);
    this.#underWay--;
    if (!question.isFront) this.#backUnderWay--;
    this.#begin();
    this.#remove(question);
  }
}
