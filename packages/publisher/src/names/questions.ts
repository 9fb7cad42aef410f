/**
 * The DNS questions that are under way or queued: each name once, and a bounded number at a time. Questions
 * that a caller waits for come before refreshes; in either queue, names that failed come last. Among the
 * others, the list or policy with the fewest questions under way is next. Dead names do not hold up the
 * others: they never get all places.
 *
 *   asked ─▶ front, then front that failed ─┐ room for `most`, of one owner for `mostOfSome`
 *                                           ├────────────────▶ under way ─▶ answered
 *   due ───▶ back, then back that failed ───┘ room for `mostOfSome` of them
 */

export interface QuestionLimits {
  /** The limit under way at once. */
  readonly most: number;
  /** The limit for refreshes together, and for one owner. */
  readonly mostOfSome: number;
}

export interface NameRequest {
  readonly name: string;
  /** The list or policy that needs it. */
  readonly owner: string;
  /** Whether its last question failed. */
  readonly hasFailed: boolean;
}

interface Question extends Omit<NameRequest, 'hasFailed'> {
  /** The next one is of the lowest. */
  rank: number;
  isBegun: boolean;
  /** The number of callers that wait for it. */
  waiting: number;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/** From this rank on nobody waits for the question. */
const BACK = 2;

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
  /** Resolves one name; does not reject. */
  readonly #ask: (name: string) => Promise<void>;
  readonly #open = new Map<string, Question>();
  /** By rank and owner; a question that moved to the front, or was taken back, is passed over. */
  readonly #waiting: readonly Map<string, Queue>[] = [new Map(), new Map(), new Map(), new Map()];
  #underWay = 0;
  readonly #underWayOf = new Map<string, number>();
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
   * Resolves names; settles when all are answered or withdrawn. A caller that gives up waiting calls `leave`.
   */
  async askAll(requests: readonly NameRequest[], place: 'front' | 'back'): Promise<void> {
    const questions = requests.map((request) => this.#add(request, place === 'front' ? 0 : BACK));
    this.#begin();
    await Promise.all(questions.map(({ ended }) => ended));
  }

  /** A caller stops waiting for these names: questions not sent yet are withdrawn if nobody else waits. */
  leave(names: readonly string[]): void {
    for (const name of names) {
      const question = this.#open.get(name);
      if (question === undefined || --question.waiting > 0 || question.isBegun) continue;
      this.#remove(question);
    }
  }

  /** Withdraws the questions not sent yet; does not wait for those under way. */
  close(): void {
    for (const question of [...this.#open.values()]) this.#remove(question);
  }

  #add({ name, owner, hasFailed }: NameRequest, place: number): Question {
    const rank = place + (hasFailed ? 1 : 0);
    const known = this.#open.get(name);
    if (known !== undefined) {
      known.waiting++;
      if (rank < known.rank && !known.isBegun) this.#queue(known, rank);
      return known;
    }
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const question: Question = { name, owner, rank, isBegun: false, waiting: 1, ended, end };
    this.#open.set(name, question);
    this.#queue(question, rank);
    return question;
  }

  #queue(question: Question, rank: number): void {
    question.rank = rank;
    const queues = this.#waiting[rank]!; // of four ranks
    const queue = queues.get(question.owner) ?? new Queue();
    queues.set(question.owner, queue);
    queue.push(question);
  }

  #remove(question: Question): void {
    if (this.#open.get(question.name) !== question) return;
    this.#open.delete(question.name);
    question.end();
  }

  #begin(): void {
    while (this.#underWay < this.#limits.most) {
      const question = this.#next();
      if (question === undefined) return;
      void this.#run(question);
    }
  }

  #next(): Question | undefined {
    for (const [rank, queues] of this.#waiting.entries()) {
      if (rank >= BACK && this.#backUnderWay >= this.#limits.mostOfSome) return undefined;
      for (let owner = this.#fairest(queues); owner !== undefined; owner = this.#fairest(queues)) {
        const question = queues.get(owner)?.take();
        if (question === undefined) queues.delete(owner);
        else if (this.#open.get(question.name) === question && !question.isBegun && question.rank === rank)
          return question;
      }
    }
    return undefined;
  }

  /** The owner with the fewest questions under way, below its limit. */
  #fairest(queues: ReadonlyMap<string, Queue>): string | undefined {
    let [fairest, fewest]: [string | undefined, number] = [undefined, this.#limits.mostOfSome];
    for (const owner of queues.keys()) {
      const count = this.#underWayOf.get(owner) ?? 0;
      if (count < fewest) [fairest, fewest] = [owner, count];
      if (count === 0) break;
    }
    return fairest;
  }

  async #run(question: Question): Promise<void> {
    question.isBegun = true;
    this.#count(question, 1);
    await this.#ask(question.name);
    this.#count(question, -1);
    this.#begin();
    this.#remove(question);
  }

  #count({ owner, rank }: Question, more: 1 | -1): void {
    this.#underWay += more;
    if (rank >= BACK) this.#backUnderWay += more;
    const count = (this.#underWayOf.get(owner) ?? 0) + more;
    if (count > 0) this.#underWayOf.set(owner, count);
    else this.#underWayOf.delete(owner);
  }
}
