/**
 * Compiling off the caller's thread: keeps one thread that compiles, and sends it what it does not hold yet.
 *
 * Rule sets share the parts that did not change, so a part is known by its object and a small change to a
 * large set sends little. What sending costs the caller's thread comes in steps, with a turn of its event
 * loop after each.
 */

import { setImmediate } from 'node:timers/promises';
import type { Environment, RuleSet } from '@rulecast/rules';
import { HandOver, ThreadCode, ThreadError, ThreadHost, type ThreadLine } from '@rulecast/threads';
import { policyColumns } from '../classes/rule-columns.ts';
import type { EditBase, ImageSizes } from '../image/image.ts';
import type { ImagePieces } from '../image/pieces.ts';
import { TableLimitError, type TableLimits, TableWorkerCode, TableWorkerError } from '../limits.ts';
import type { TableMemory } from '../memory/memory.ts';
import {
  type CompilePart,
  type FromCompileThread,
  listPart,
  policyPart,
  resolutionsPart,
  type SentPart,
  type ToCompileThread,
} from './exchange.ts';

/**
 * Always the built file, three steps from here in `src` and in `dist` alike: a thread cannot load TypeScript
 * on Node 20.
 */
const THREAD_FILE = new URL('../../dist/compile/worker.js', import.meta.url);

/**
 * Our choice: a thread that nobody used for so long is ended, since it holds a heap and small parts, some
 * 11 MB. Releases that come in bursts find it still there.
 */
const REST_MS = 10_000;
/**
 * Our choice: the largest rule set compiles in seconds, in a minute on a slow machine under load; what takes
 * ten hangs.
 */
const DEADLINE_MS = 600_000;

/**
 * Our choice: parts of a message, and bytes that are copied with it. A policy is a dozen arrays, copied in
 * 20 µs.
 */
const MESSAGE_PARTS = 64;
const MESSAGE_BYTES = 256 * 1024;

/**
 * Our choice: a larger part is lent, and sent anew to the next compile: copying it takes a hundredth of what
 * compiling it takes, and a thread that keeps it would have it beside the one that takes its place.
 */
const LENT_BYTES = 1024 * 1024;

/** What one compile is told besides the rule set. */
export interface CompileOrder {
  readonly environment: Environment;
  readonly generation: number;
  readonly memory: TableMemory;
  /**
   * Takes memory for an image of so many bytes. The thread alone writes it until the compile has settled, and
   * the caller gives it back if the compile rejects.
   */
  readonly place: (pieces: ImagePieces) => ImagePieces | Promise<ImagePieces>;
}

/** An image that the thread has written to its places. */
interface WrittenImage {
  readonly sizes: ImageSizes;
  readonly edit: EditBase;
}

export class Compiler {
  readonly #limits: TableLimits;
  readonly #heapMib: number | undefined;
  readonly #host = new ThreadHost<FromCompileThread>({
    file: THREAD_FILE,
    name: 'rulecast table',
    restMs: REST_MS,
  });
  readonly #ids = new WeakMap<object, number>();
  #lastId = 0;
  #held = new Set<number>(); // ids of the parts that the thread holds

  /** `heapMib` bounds the thread's JavaScript heap; its arrays come on top. */
  constructor(limits: TableLimits, heapMib: number | undefined) {
    this.#limits = limits;
    this.#heapMib = heapMib;
  }

  /** Starts the thread for a rule set that is about to come; none comes: it ends as one at rest. */
  expect(): void {
    this.#host.prepare(this.#heapMib, REST_MS);
  }

  /**
   * Compiles a rule set into the table's memory; one at a time. Rejects with TableLimitError,
   * TableWorkerError or what `place` throws. When it has settled, the thread no longer writes there, whatever
   * became of it.
   */
  async compile(ruleSet: RuleSet, order: CompileOrder): Promise<WrittenImage> {
    const limits = { heapMib: this.#heapMib, deadlineMs: DEADLINE_MS };
    try {
      return await this.#host.run(limits, async (line) => {
        this.#begin(line);
        await this.#send(line, ruleSet, order);
        return written(line, order);
      });
    } catch (error) {
      throw error instanceof ThreadError ? failureOf(error) : error;
    }
  }

  /** Ends the thread; a compile under way rejects. Resolves when the thread is gone. */
  close(): Promise<void> {
    return this.#host.close();
  }

  #begin({ isNew }: ThreadLine<FromCompileThread>): void {
    if (isNew) this.#held = new Set();
  }

  /** Sends the parts that the thread lacks, some a turn of the event loop, and then the order. */
  async #send(
    line: ThreadLine<FromCompileThread>,
    ruleSet: RuleSet,
    { environment: { dns, ...elsewhere } }: CompileOrder,
  ): Promise<void> {
    let parts: SentPart[] = [];
    let handOver = new HandOver();
    const flush = async (): Promise<void> => {
      if (parts.length === 0) return;
      post(line, { kind: 'parts', parts }, handOver);
      parts = [];
      handOver = new HandOver();
      await setImmediate();
    };
    const lent = new Set<number>();
    const sendPart = async (
      source: object,
      make: (handOver: HandOver) => Promise<CompilePart>,
    ): Promise<number> => {
      const id = this.#idOf(source);
      if (this.#held.has(id) || line.isGone) return id;
      const part = await make(handOver);
      const { buffers, copiedBytes } = handOver;
      const isLent = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0) >= LENT_BYTES;
      parts.push({ id, part, isLent });
      this.#held.add(id);
      if (isLent) lent.add(id);
      if (buffers.length > 0 || copiedBytes >= MESSAGE_BYTES || parts.length >= MESSAGE_PARTS) await flush();
      return id;
    };
    const lists: (readonly [string, number])[] = [];
    for (const [name, list] of ruleSet.lists) {
      lists.push([name, await sendPart(list, (handOver) => listPart(list, handOver))]);
    }
    const policies: number[] = [];
    for (const policy of ruleSet.policies.values()) {
      policies.push(await sendPart(policy, async (handOver) => policyPart(policyColumns(policy), handOver)));
    }
    const resolutions = await sendPart(ruleSet.resolutions, async (handOver) =>
      resolutionsPart(ruleSet.resolutions, handOver),
    );
    await flush();
    if (line.isGone) return;
    const named = [...lists.map(([, id]) => id), ...policies, resolutions];
    this.#held = new Set(named.filter((id) => !lent.has(id)));
    // A view would be cloned with all of the buffer below it.
    const copies = dns.map(({ family, words }) => ({ family, words: words.slice() }));
    const environment = { ...elsewhere, dns: copies };
    const limits = this.#limits;
    const { unmatched } = ruleSet;
    post(line, { kind: 'compile', lists, policies, resolutions, unmatched, limits, environment });
  }

  #idOf(source: object): number {
    let id = this.#ids.get(source);
    if (id === undefined) {
      id = ++this.#lastId;
      this.#ids.set(source, id);
    }
    return id;
  }
}

/** Hears what the thread makes of its order: how much room that needs, and when it is written there. */
async function written(line: ThreadLine<FromCompileThread>, order: CompileOrder): Promise<WrittenImage> {
  for (;;) {
    const answer = await line.next();
    switch (answer.kind) {
      case 'measured':
        await place(line, order, answer.pieces);
        break;
      case 'compiled':
        return { sizes: answer.sizes, edit: answer.edit };
      case 'refused':
        throw new TableLimitError(answer.code, answer.limit, answer.what);
      case 'failed':
        throw new TableWorkerError(TableWorkerCode.failed, `compiling failed: ${answer.reason}`);
    }
  }
}

/** Tells the thread where to write, or that there is no room. */
async function place(
  line: ThreadLine<FromCompileThread>,
  order: CompileOrder,
  pieces: ImagePieces,
): Promise<void> {
  try {
    const places = await order.place(pieces);
    const { generation, memory } = order;
    const { handle, byteLength } = memory;
    post(line, { kind: 'write', generation, memory: handle, memoryBytes: byteLength, places });
  } catch (error) {
    post(line, { kind: 'drop' });
    throw error;
  }
}

function post(line: ThreadLine<FromCompileThread>, message: ToCompileThread, handOver?: HandOver): void {
  line.post(message, handOver?.buffers);
}

/** What a closed table answers to another rule set. */
export function closedError(): TableWorkerError {
  return new TableWorkerError(TableWorkerCode.closed, 'the table is closed: it takes no other rule set');
}

function failureOf(error: ThreadError): TableWorkerError {
  const cause = error.cause ?? error;
  switch (error.code) {
    case ThreadCode.closed:
      return closedError();
    case ThreadCode.outOfMemory: {
      const reason = 'compiling takes more memory than its thread has';
      return new TableWorkerError(TableWorkerCode.outOfMemory, reason, { cause });
    }
    case ThreadCode.timeout: {
      const reason = `compiling took more than ${DEADLINE_MS / 60_000} minutes`;
      return new TableWorkerError(TableWorkerCode.died, reason, { cause });
    }
    case ThreadCode.died: {
      const why = error.cause instanceof Error ? `: ${error.cause.message}` : '';
      const reason = `the table's compile thread ended while compiling${why}`;
      return new TableWorkerError(TableWorkerCode.died, reason, { cause });
    }
  }
}
