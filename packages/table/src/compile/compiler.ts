/**
 * Compiling off the caller's thread: keeps one thread that compiles, and sends it what it does not hold yet.
 *
 * The thread is started by the first compile, does not keep the process alive while it has nothing to do, is ended when it has
 * had nothing to do for a while, and is started anew when it is gone. Rule sets share the parts that did not change, so a
 * part is known by its object and a small change to a large set sends little. What sending costs the caller's thread comes in steps, with a turn of its event loop after each.
 */

import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Environment, RuleSet } from '@rulecast/rules';
import { policyColumnsSteps } from '../classes/rule-columns.ts';
import type { DeltaBase, ImageSizes } from '../image/image.ts';
import type { ImagePieces } from '../image/pieces.ts';
import { TableLimitError, type TableLimits, TableWorkerCode, TableWorkerError } from '../limits.ts';
import type { TableMemory } from '../memory/memory.ts';
import {
  type CompilePart,
  type FromCompileThread,
  listPart,
  type Moved,
  policyPart,
  resolutionsPart,
  type ToCompileThread,
} from './message.ts';

/** Always the built file, three steps from here in `src` and in `dist` alike: a thread cannot load TypeScript on Node 20. */
const WORKER_URL = new URL('../../dist/compile/worker.js', import.meta.url);

/**
 * Our choice: a thread that nobody used for so long is ended, since it holds a copy of the last rule set and a heap, some 40 MB at
 * a million entries. Releases that come in bursts find it still there.
 */
const IDLE_MS = 10_000;

/** What one compile is told besides the rule set. */
export interface CompileOrder {
  readonly environment: Environment;
  readonly generation: number;
  readonly memory: TableMemory;
  /**
   * Takes memory for an image of so many bytes. The thread alone writes it until the compile has settled, and the caller gives it
   * back if the compile rejects.
   */
  readonly place: (pieces: ImagePieces) => ImagePieces | Promise<ImagePieces>;
}

/** An image that the thread has written to its places. */
export interface WrittenImage {
  readonly sizes: ImageSizes;
  readonly delta: DeltaBase;
}

interface Job {
  readonly order: CompileOrder;
  readonly worker: Worker;
  readonly resolve: (image: WrittenImage) => void;
  readonly reject: (error: unknown) => void;
}

export class Compiler {
  private readonly limits: TableLimits;
  private readonly heapMb: number | undefined;
  private readonly ids = new WeakMap<object, number>();
  private lastId = 0;
  private held = new Set<number>(); // ids of the parts that the thread holds
  private worker: Worker | undefined;
  private exited: Promise<void> = Promise.resolve(); // of the last worker
  private job: Job | undefined;
  private idleTimer: NodeJS.Timeout | undefined;
  private isClosed = false;

  /** `heapMb` bounds the thread's JavaScript heap; its arrays come on top. */
  constructor(limits: TableLimits, heapMb: number | undefined) {
    this.limits = limits;
    this.heapMb = heapMb;
  }

  /**
   * Compiles a rule set into the table's memory; one at a time. Rejects with TableLimitError, TableWorkerError or what `place`
   * throws. When it has settled, the thread no longer writes there, whatever became of it.
   */
  async compile(ruleSet: RuleSet, order: CompileOrder): Promise<WrittenImage> {
    if (this.isClosed) throw closedError();
    clearTimeout(this.idleTimer);
    this.worker ??= this.start();
    const { worker } = this;
    worker.ref();
    try {
      return await new Promise<WrittenImage>((resolve, reject) => {
        this.job = { order, worker, resolve, reject };
        this.send(worker, ruleSet, order).catch(reject);
      });
    } finally {
      this.job = undefined;
      worker.unref();
      this.idleTimer = setTimeout(() => this.endIdle(), IDLE_MS).unref();
    }
  }

  private endIdle(): void {
    const { worker } = this;
    this.worker = undefined; // the next compile starts another, whether or not this one is gone by then
    void worker?.terminate();
  }

  /** Ends the thread; a compile under way rejects. Resolves when the thread is gone. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.idleTimer);
    await this.worker?.terminate();
    await this.exited;
  }

  private start(): Worker {
    const worker = new Worker(WORKER_URL, {
      name: 'rulecast table',
      execArgv: [], // flags of the process, such as --input-type, are not meant for this file
      ...(this.heapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: this.heapMb } }),
    });
    let cause: unknown;
    worker.on('message', (answer: FromCompileThread) => this.settle(answer));
    worker.on('error', (error) => {
      cause = error; // `exit` follows, and only then is the memory left alone
    });
    worker.on('messageerror', (error) => {
      cause = error;
      void worker.terminate();
    });
    this.held = new Set();
    this.exited = new Promise((resolve) => {
      worker.once('exit', () => {
        if (this.worker === worker) {
          this.worker = undefined;
          this.job?.reject(this.isClosed ? closedError() : diedError(cause));
        }
        resolve();
      });
    });
    return worker;
  }

  private settle(answer: FromCompileThread): void {
    const { job } = this;
    if (job === undefined) return;
    switch (answer.kind) {
      case 'measured':
        this.place(job, answer.pieces).catch(job.reject);
        return;
      case 'compiled':
        job.resolve({ sizes: answer.sizes, delta: answer.delta });
        return;
      case 'refused':
        job.reject(new TableLimitError(answer.code, answer.limit, answer.what));
        return;
      case 'failed':
        job.reject(new TableWorkerError(TableWorkerCode.failed, `compiling failed: ${answer.reason}`));
    }
  }

  /** Tells the thread where to write, or that there is no room. */
  private async place({ order, worker }: Job, pieces: ImagePieces): Promise<void> {
    try {
      const places = await order.place(pieces);
      const { generation, memory } = order;
      const { handle, byteLength } = memory;
      post(worker, { kind: 'write', generation, memory: handle, memoryBytes: byteLength, places }, []);
    } catch (error) {
      post(worker, { kind: 'drop' }, []);
      throw error;
    }
  }

  /** Sends the parts that the thread lacks, one a turn of the event loop, and then the order. */
  private async send(worker: Worker, ruleSet: RuleSet, order: CompileOrder): Promise<void> {
    const isGone = (): boolean => this.worker !== worker; // `exit` has settled the job
    const sendPart = async (
      source: object,
      make: (moved: Moved) => Promise<CompilePart>,
    ): Promise<number> => {
      const id = this.idOf(source);
      if (this.held.has(id) || isGone()) return id;
      const moved: Moved = [];
      const part = await make(moved);
      if (isGone()) return id;
      post(worker, { kind: 'part', id, part }, moved);
      this.held.add(id);
      await setImmediate();
      return id;
    };
    const lists: (readonly [string, number])[] = [];
    for (const [name, list] of ruleSet.lists) {
      lists.push([name, await sendPart(list, async (moved) => listPart(list, moved))]);
    }
    const policies: number[] = [];
    for (const policy of ruleSet.policies.values()) {
      policies.push(
        await sendPart(policy, async (moved) => policyPart(await inTurns(policyColumnsSteps(policy)), moved)),
      );
    }
    const resolutions = await sendPart(ruleSet.resolutions, async (moved) =>
      resolutionsPart(ruleSet.resolutions, moved),
    );
    if (isGone()) return;
    this.held = new Set([...lists.map(([, id]) => id), ...policies, resolutions]);
    // A view would be cloned with all of the buffer below it.
    const dns = order.environment.dns.map(({ family, words }) => ({ family, words: words.slice() }));
    const environment = { ...order.environment, dns };
    const { limits } = this;
    const { unmatched } = ruleSet;
    post(worker, { kind: 'compile', lists, policies, resolutions, unmatched, limits, environment }, []);
  }

  private idOf(source: object): number {
    let id = this.ids.get(source);
    if (id === undefined) {
      id = ++this.lastId;
      this.ids.set(source, id);
    }
    return id;
  }
}

function post(worker: Worker, message: ToCompileThread, moved: Moved): void {
  worker.postMessage(message, moved);
}

/** Takes steps one a turn of the event loop. */
async function inTurns<T>(steps: Generator<undefined, T, undefined>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await setImmediate();
  }
}

/** What a closed table answers to another rule set. */
export function closedError(): TableWorkerError {
  return new TableWorkerError(TableWorkerCode.closed, 'the table is closed: it takes no other rule set');
}

function diedError(cause: unknown): TableWorkerError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new TableWorkerError(
    TableWorkerCode.died,
    `the table's compile thread ended while compiling${why}`,
    {
      cause,
    },
  );
}
