/**
 * A thread for long work, of one owner. It does one piece of work at a time, each with a heap and a deadline;
 * the others wait their turn.
 *
 * ```
 *          run                       settled               restMs, or a run that needs more heap
 *   none ───────▶ busy ───────────────────────▶ resting ─────────────────────────────────────────▶ none
 *    ▲             │ silent for too long, out of memory, an error, close()
 *    └─────────────┘ when the thread has exited, and only then the work rejects
 * ```
 * Work that fails rejects with a ThreadError after the thread is gone: nothing writes any more to memory that
 * it was lent, and the next work starts another thread. A thread at rest does not keep the process alive.
 */

import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

export const ThreadCode = {
  /** It took more heap than the work was granted. */
  outOfMemory: 'out-of-memory',
  /** It said nothing for as long as it may. */
  timeout: 'timeout',
  /** It threw, ended by itself, or sent an unreadable message. `cause` is the error it threw, if any. */
  died: 'died',
  /** The owner closed it. */
  closed: 'closed',
} as const;
export type ThreadCode = (typeof ThreadCode)[keyof typeof ThreadCode];

/** A piece of work that did not get its answer. */
export class ThreadError extends Error {
  override readonly name = 'ThreadError';
  readonly code: ThreadCode;

  constructor(code: ThreadCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Does something later, and returns what cancels that. */
export type After = (delayMs: number, work: () => void) => () => void;

const systemAfter: After = (delayMs, work) => {
  const timer = setTimeout(work, delayMs).unref();
  return () => clearTimeout(timer);
};

export interface ThreadOptions {
  /**
   * The thread's program: a built file, since Node 20 reads no TypeScript. It listens on its `parentPort`.
   */
  readonly file: URL;
  /** For logs and debuggers. */
  readonly name: string;
  /**
   * How long an idle thread is kept, with its modules and its heap. 0 ends it after each answer, infinity
   * never.
   */
  readonly restMs: number;
  /** Called when a thread is gone that this side did not end at rest or by `close`. */
  readonly onDeath?: () => void;
  /** Times deadlines. */
  readonly after?: After;
}

export interface WorkLimits {
  /** Limit of the thread's JavaScript heap; typed arrays come on top. Undefined for Node's own limit. */
  readonly heapMib: number | undefined;
  /** How long the thread may be silent, counted while this process runs. Each message starts it anew. */
  readonly deadlineMs: number;
}

/** The line between a piece of work and its thread. */
export interface ThreadLine<Said> {
  /** The thread has just been started: it holds nothing of earlier work. */
  readonly isNew: boolean;
  /** Whether the work has failed: posted messages are dropped. */
  readonly isGone: boolean;
  post(message: unknown, moved?: readonly ArrayBuffer[]): void;
  /**
   * The thread's next message, in a turn of the event loop of its own, since deserialising takes time too.
   * Work may throw its own error only if no call of this is pending.
   */
  next(): Promise<Said>;
  /** Sets how long the thread may be silent from now on. */
  allow(deadlineMs: number): void;
}

/**
 * The tick that measures silence: a process that was stopped has not read its threads' messages. Our choice.
 */
const TICK_MS = 1000;

export class ThreadHost<Said> {
  readonly #options: ThreadOptions;
  #thread: Thread | undefined;
  /** The line of the running work. */
  #line: Line<Said> | undefined;
  /** Waiting work; urgent work goes first. */
  readonly #waiting: { readonly urgent: (() => Promise<void>)[]; readonly others: (() => Promise<void>)[] } =
    {
      urgent: [],
      others: [],
    };
  /** The work under way, and all that waits. */
  #turn: Promise<void> | undefined;
  #restTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: ThreadOptions) {
    this.#options = options;
  }

  /**
   * Asks one question, and resolves with its answer; `moved` goes away from here. Rejects with ThreadError.
   */
  ask(message: unknown, limits: WorkLimits, moved: readonly ArrayBuffer[] = []): Promise<Said> {
    return this.run(limits, async (line) => {
      await setImmediate(); // copying to the thread takes milliseconds, too
      line.post(message, moved);
      return line.next();
    });
  }

  /**
   * Runs work of several messages, when all before it is done; `isUrgent`: before work that is not. Rejects
   * with ThreadError, or with errors of `work` itself.
   */
  run<T>(limits: WorkLimits, work: (line: ThreadLine<Said>) => Promise<T>, isUrgent = false): Promise<T> {
    return new Promise((resolve, reject) => {
      const { urgent, others } = this.#waiting;
      (isUrgent ? urgent : others).push(() => this.#runNow(limits, work).then(resolve, reject));
      this.#turn ??= this.#runAll();
    });
  }

  async #runAll(): Promise<void> {
    await undefined; // as late as for work that waits
    const { urgent, others } = this.#waiting;
    for (
      let next = urgent.shift() ?? others.shift();
      next !== undefined;
      next = urgent.shift() ?? others.shift()
    )
      await next();
    this.#turn = undefined;
  }

  /** Resolves when all work that was given so far has settled. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  /**
   * Ends the thread: running, waiting and later work rejects with `closed`. Resolves when the thread is gone.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restTimer);
    this.#line?.fail(closedError(this.#options.name));
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.end();
    await this.#turn;
  }

  async #runNow<T>(limits: WorkLimits, work: (line: ThreadLine<Said>) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw closedError(this.#options.name);
    const thread = this.#start(limits.heapMib);
    const line = new Line<Said>(thread, this.#options, limits.deadlineMs);
    this.#line = line;
    try {
      return await Promise.race([work(line), line.failed]);
    } catch (error) {
      const failure = await line.failure();
      if (failure !== undefined) this.#died();
      throw failure ?? error;
    } finally {
      line.hangUp();
      this.#line = undefined;
      this.#rest();
    }
  }

  /** The present thread if its heap is large enough, else another one. */
  #start(heapMib: number | undefined): Thread {
    clearTimeout(this.#restTimer);
    const { file, name } = this.#options;
    if (this.#thread?.serves(heapMib)) return this.#thread;
    void this.#thread?.end();
    const thread = new Thread(file, name, heapMib, () => this.#died());
    this.#thread = thread;
    return thread;
  }

  #died(): void {
    if (!this.#isClosed) this.#options.onDeath?.();
  }

  #rest(): void {
    const { restMs } = this.#options;
    const thread = this.#thread;
    if (thread === undefined) return;
    const end = (): void => {
      this.#thread = undefined;
      void thread.end();
    };
    if (restMs === 0) end();
    else if (restMs < Number.POSITIVE_INFINITY) this.#restTimer = setTimeout(end, restMs).unref();
  }
}

/** Listens to a thread while it works; an idle one has no listener. */
interface Listener {
  readonly onMessage: (message: unknown) => void;
  readonly onEnd: (code: ThreadCode, cause: unknown) => void;
}

class Thread {
  readonly exited: Promise<void>;
  listener: Listener | undefined;
  /** It has not been used yet. */
  isNew = true;
  readonly #worker: Worker;
  readonly #heapMib: number | undefined;
  readonly #onDeathAtRest: () => void;
  #isEnding = false;

  constructor(file: URL, name: string, heapMib: number | undefined, onDeathAtRest: () => void) {
    const worker = new Worker(file, {
      name,
      execArgv: [], // flags of the process, such as --input-type, are not for this file
      ...(heapMib === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heapMib } }),
    });
    this.#worker = worker;
    this.#heapMib = heapMib;
    this.#onDeathAtRest = onDeathAtRest;
    worker.unref();
    worker.on('message', (message: unknown) => this.listener?.onMessage(message));
    worker.on('messageerror', (error) => this.#onEnd(ThreadCode.died, error));
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#onEnd(isFull ? ThreadCode.outOfMemory : ThreadCode.died, error);
    });
    this.exited = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#onEnd(ThreadCode.died, undefined);
        resolve();
      });
    });
  }

  serves(heapMib: number | undefined): boolean {
    if (this.#isEnding) return false;
    return heapMib === undefined || (this.#heapMib !== undefined && this.#heapMib >= heapMib);
  }

  post(message: unknown, moved: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, moved);
  }

  /** Whether it keeps the process alive. */
  hold(isHeld: boolean): void {
    if (isHeld) this.#worker.ref();
    else this.#worker.unref();
  }

  /** Resolves when the thread is gone. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#worker.terminate();
    await this.exited;
  }

  #onEnd(code: ThreadCode, cause: unknown): void {
    const isAtRest = this.listener === undefined && !this.#isEnding;
    this.#isEnding = true;
    this.listener?.onEnd(code, cause);
    if (isAtRest) this.#onDeathAtRest();
  }
}

class Line<Said> implements ThreadLine<Said> {
  /** Rejects when the work has failed and the thread is gone. */
  readonly failed: Promise<never>;
  readonly isNew: boolean;
  readonly #thread: Thread;
  readonly #name: string;
  readonly #after: After;
  readonly #said: Said[] = [];
  #waiting:
    | { readonly resolve: (said: Said) => void; readonly reject: (error: ThreadError) => void }
    | undefined;
  #error: ThreadError | undefined;
  #rejectFailed: (error: ThreadError) => void = () => undefined;
  #deadlineMs = 0;
  #cancelDeadline: () => void = () => undefined;

  constructor(thread: Thread, { name, after = systemAfter }: ThreadOptions, deadlineMs: number) {
    this.#thread = thread;
    this.#name = name;
    this.#after = after;
    this.isNew = thread.isNew;
    thread.isNew = false;
    this.failed = new Promise((_, reject) => {
      this.#rejectFailed = reject;
    });
    this.failed.catch(() => undefined); // the caller of the work handles the error
    thread.listener = {
      onMessage: (message) => this.#onMessage(message as Said),
      onEnd: (code, cause) => this.fail(endedError(name, code, cause)),
    };
    thread.hold(true);
    this.allow(deadlineMs);
  }

  get isGone(): boolean {
    return this.#error !== undefined;
  }

  post(message: unknown, moved: readonly ArrayBuffer[] = []): void {
    if (!this.isGone) this.#thread.post(message, moved);
  }

  async next(): Promise<Said> {
    const said = await this.#heard();
    await setImmediate();
    return said;
  }

  allow(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    this.#wait(deadlineMs);
  }

  #wait(leftMs: number): void {
    const tickMs = Math.min(leftMs, TICK_MS);
    this.#cancelDeadline();
    this.#cancelDeadline = this.#after(tickMs, () => {
      if (leftMs > tickMs) return this.#wait(leftMs - tickMs);
      const text = `${this.#name} finished no step for ${this.#deadlineMs} ms`;
      this.fail(new ThreadError(ThreadCode.timeout, text));
    });
  }

  /** The work does not get its answer; the first reason counts. */
  fail(error: ThreadError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#cancelDeadline();
    this.#waiting?.reject(error);
    void this.#thread.end().then(() => this.#rejectFailed(error));
  }

  /** Why the work failed, once the thread is gone; undefined if it did not. */
  async failure(): Promise<ThreadError | undefined> {
    if (this.#error !== undefined) await this.#thread.exited;
    return this.#error;
  }

  /** The work is over. */
  hangUp(): void {
    this.#cancelDeadline();
    this.#thread.listener = undefined;
    this.#thread.hold(false);
  }

  #heard(): Promise<Said> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#said.length > 0) return Promise.resolve(this.#said.shift() as Said); // just seen
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #onMessage(said: Said): void {
    this.#wait(this.#deadlineMs);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#said.push(said);
    else waiting.resolve(said);
  }
}

function closedError(name: string): ThreadError {
  return new ThreadError(ThreadCode.closed, `${name} is closed`);
}

function endedError(name: string, code: ThreadCode, cause: unknown): ThreadError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new ThreadError(code, `${name} ended${why}`, cause === undefined ? undefined : { cause });
}
