/**
 * Reads sources, evaluates expressions and merges layers off the event loop: small ones in place, large ones
 * and archives in one thread, one at a time, so that a feed of a million lines stalls nobody, and a hostile
 * one ends its thread and not the publisher.
 */

import { entryCount, type List } from '@rulecast/rules';
import { givenAway, HandOver, ThreadCode, ThreadError, ThreadHost, type ThreadLine } from '@rulecast/threads';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { type Expression, evaluateExpression, type UnsayableExpression } from '../lists/expression.ts';
import { type Layer, type Merged, type Merging, mergeLayers } from '../lists/layers.ts';
import { contentOf, SNIFF_BYTES } from '../unpack/magic.ts';
import { type Input, loadedInputs, type StoredInput } from './inputs.ts';
import { type ReadingJob, type ReadList, type ReadRefused, readSource } from './reading.ts';

/** Below this many bytes of text, reading takes less than a thread needs to start: some 50 ms. */
const IN_PLACE_MAX_BYTES = 64 * 1024;
/**
 * Below this many entries, an expression or a merge takes a few milliseconds; half of them are a copy to the
 * thread.
 */
const COMBINE_IN_PLACE_MAX_ENTRIES = 50_000;
/** Heap of the thread, in MiB. Ten million names need 1 GB; addresses are not on the heap. */
const THREAD_HEAP_MAX_MIB = 2048;
/** A thread costs 20 MB; feeds are fetched hours apart. */
const REST_MS = 30_000;
/**
 * The time for a job before its thread is ended: many times what the default limits, 128 MiB and 4 million
 * entries, take on a slow machine.
 */
const UNPACK_MAX_MS = 60_000;
const WORK_MAX_MS = 120_000;
/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../../dist/read/list-worker-thread.js', import.meta.url);

/** A job for the thread: plain data. */
export type WorkerJob =
  | { readonly kind: 'read'; readonly job: ReadingJob }
  | { readonly kind: 'evaluate'; readonly expression: Expression }
  | { readonly kind: 'merge'; readonly merging: Merging };

/** A note on the way: from here on the time limit of reading applies. */
export interface WorkerNote {
  readonly kind: 'unpacked';
}

/** The thread's answer. */
export type WorkerAnswer =
  | ReadList
  | ReadRefused
  | UnsayableExpression
  | { readonly kind: 'evaluated'; readonly list: List }
  | ({ readonly kind: 'merged' } & Merged);

/** Does a job on the thread it is called on. Rejects only for a bug. */
export async function workerAnswer(
  job: WorkerJob,
  tell: (note: WorkerNote) => void = () => undefined,
): Promise<WorkerAnswer> {
  switch (job.kind) {
    case 'read':
      return readSource(job.job, () => tell({ kind: 'unpacked' }));
    case 'evaluate': {
      const list = evaluateExpression(job.expression);
      return list.kind === 'unsayable' ? list : { kind: 'evaluated', list };
    }
    case 'merge':
      return { kind: 'merged', ...mergeLayers(job.merging) };
  }
}

/** An answer to hand over, with the buffers that go with it: the thread needs nothing of it any more. */
export function handedOver(answer: WorkerAnswer): {
  readonly answer: WorkerAnswer;
  readonly buffers: readonly ArrayBuffer[];
} {
  if (answer.kind === 'refused' || answer.kind === 'unsayable') return { answer, buffers: [] };
  const layers = answer.kind === 'merged' ? answer.layers : [];
  const given = givenAway([answer.list, ...layers.map(({ list }) => list)]);
  const [list = answer.list, ...rest] = given.lists;
  if (answer.kind !== 'merged') return { answer: { ...answer, list }, buffers: given.buffers };
  const own = layers.map((layer, i) => ({ ...layer, list: rest[i] ?? layer.list }));
  return { answer: { ...answer, list, layers: own }, buffers: given.buffers };
}

/** A job whose inputs may still be in the cache. */
export interface ReadingOrder extends Omit<ReadingJob, 'inputs'> {
  readonly inputs: readonly (Input | StoredInput)[];
}

export class ListWorker {
  readonly #host: ThreadHost<WorkerAnswer | WorkerNote>;
  /** Ends when the last large input from the cache is done: only one is in memory at a time. */
  #reading: Promise<unknown> = Promise.resolve();

  /** `clock` times the jobs. */
  constructor(clock: Clock = SYSTEM_CLOCK) {
    this.#host = new ThreadHost({
      file: THREAD_FILE,
      name: 'rulecast read',
      restMs: REST_MS,
      after: (delayMs, work) => clock.after(delayMs, work),
    });
  }

  /** Reads a source. Rejects with FetchError where a download is not there any more, else only for a bug. */
  read(order: ReadingOrder): Promise<ReadList | ReadRefused> {
    let storedBytes = 0;
    for (const input of order.inputs) storedBytes += 'read' in input ? input.size : 0;
    const isStored = storedBytes > IN_PLACE_MAX_BYTES;
    const readNow = async () =>
      this.#readNow({ ...order, inputs: await loadedInputs(order.inputs) }, isStored);
    if (!isStored) return readNow();
    const read = this.#reading.then(readNow);
    this.#reading = read.catch(() => undefined); // the caller handles the error
    return read;
  }

  async #readNow(job: ReadingJob, isOwned: boolean): Promise<ReadList | ReadRefused> {
    let bytes = 0;
    for (const input of job.inputs) bytes += input.bytes.length;
    const isLong = bytes > IN_PLACE_MAX_BYTES || job.inputs.some(isPacked);
    const answer = await this.#do({ kind: 'read', job }, isLong, isOwned);
    if (answer.kind === 'list' || answer.kind === 'refused') return answer;
    throw unexpected(answer);
  }

  /** Evaluates an expression. Rejects if the thread runs out of memory. */
  async evaluate(expression: Expression): Promise<List | UnsayableExpression> {
    const lists = [...expression.operands, ...expression.minus];
    const answer = await this.#do({ kind: 'evaluate', expression }, isMuch(lists));
    if (answer.kind === 'evaluated') return answer.list;
    if (answer.kind === 'unsayable') return answer;
    throw unexpected(answer);
  }

  /** Merges layers. Rejects if the thread runs out of memory. */
  async merge(merging: Merging): Promise<Merged> {
    const layers = merging.fresh === undefined ? merging.layers : [merging.fresh, ...merging.layers];
    const answer = await this.#do({ kind: 'merge', merging }, isMuch(layers.map(({ list }) => list)));
    if (answer.kind === 'merged') return answer;
    throw unexpected(answer);
  }

  /** @param isOwned The input bytes may be moved to the thread. */
  async #do(job: WorkerJob, isLong: boolean, isOwned = false): Promise<WorkerAnswer> {
    if (!isLong) return workerAnswer(job);
    let isUnpacked = job.kind !== 'read';
    const limits = { heapMib: THREAD_HEAP_MAX_MIB, deadlineMs: isUnpacked ? WORK_MAX_MS : UNPACK_MAX_MS };
    try {
      return await this.#host.run(limits, async (line: ThreadLine<WorkerAnswer | WorkerNote>) => {
        const handOver = new HandOver();
        line.post(await handedTo(job, handOver, isOwned), handOver.buffers);
        let said = await line.next();
        while (said.kind === 'unpacked') {
          isUnpacked = true;
          line.allow(WORK_MAX_MS);
          said = await line.next();
        }
        return said;
      });
    } catch (error) {
      if (error instanceof ThreadError) return refusalOf(error, isUnpacked);
      throw error;
    }
  }

  /** Ends the running job and the waiting ones: their readings are refused as `ended`. */
  close(): Promise<void> {
    return this.#host.close();
  }
}

/** The refusal of a job without an answer from its thread. Throws an error of the thread, which is a bug. */
function refusalOf({ code, cause }: ThreadError, isUnpacked: boolean): ReadRefused {
  switch (code) {
    case ThreadCode.outOfMemory:
      return OUT_OF_MEMORY;
    case ThreadCode.timeout:
      return isUnpacked ? TOO_SLOW : TOO_SLOW_TO_UNPACK;
    case ThreadCode.died:
    case ThreadCode.closed:
      if (cause !== undefined) throw cause;
      return ENDED;
  }
}

const ENDED: ReadRefused = { kind: 'refused', code: 'ended', reason: 'reading it was cancelled' };
const OUT_OF_MEMORY: ReadRefused = {
  kind: 'refused',
  code: 'out-of-memory',
  reason: 'reading this takes more memory than a source may use: pick a part of it with filters, or split it',
};
const TOO_SLOW_TO_UNPACK: ReadRefused = {
  kind: 'refused',
  code: 'too-slow',
  reason: `unpacking it takes more than ${UNPACK_MAX_MS / 1000} s: is it the right file? Name the files that are wanted with members:`,
};
const TOO_SLOW: ReadRefused = {
  kind: 'refused',
  code: 'too-slow',
  reason: `reading it takes more than ${WORK_MAX_MS / 1000} s: pick a part of it with filters, or split it`,
};

/** The job with copies of its large parts, for the thread. */
async function handedTo(job: WorkerJob, handOver: HandOver, isOwned: boolean): Promise<WorkerJob> {
  const listsOf = async (lists: readonly List[]): Promise<readonly List[]> => {
    const copies: List[] = [];
    for (const list of lists) copies.push(await handOver.list(list));
    return copies;
  };
  const layerOf = async (layer: Layer): Promise<Layer> => ({
    ...layer,
    list: await handOver.list(layer.list),
  });
  switch (job.kind) {
    case 'read': {
      const { inputs } = job.job;
      if (isOwned) {
        for (const { bytes } of inputs) handOver.give(bytes as Uint8Array<ArrayBuffer>); // nothing here is shared memory
        return job;
      }
      const copies: Input[] = [];
      for (const input of inputs) copies.push({ ...input, bytes: await handOver.bytes(input.bytes) });
      return { ...job, job: { ...job.job, inputs: copies } };
    }
    case 'evaluate': {
      const { operands, minus } = job.expression;
      const copies = { operands: await listsOf(operands), minus: await listsOf(minus) };
      return { ...job, expression: { ...job.expression, ...copies } };
    }
    case 'merge': {
      const layers: Layer[] = [];
      for (const layer of job.merging.layers) layers.push(await layerOf(layer));
      const fresh = job.merging.fresh && (await layerOf(job.merging.fresh));
      return { ...job, merging: { ...job.merging, layers, fresh } };
    }
  }
}

function isMuch(lists: readonly List[]): boolean {
  let entries = 0;
  for (const list of lists) entries += entryCount(list);
  return entries > COMBINE_IN_PLACE_MAX_ENTRIES;
}

function unexpected(answer: WorkerAnswer): Error {
  return answer.kind === 'refused'
    ? new Error(answer.reason)
    : new TypeError(`${answer.kind} is no answer to this`);
}

/** Whether an input may hold far more than it is: then no size of it makes it a job for the event loop. */
function isPacked({ bytes }: Input): boolean {
  const head = bytes.subarray(0, SNIFF_BYTES);
  return contentOf(head).kind !== 'plain' || head.some((byte) => byte === 0 || byte >= 0xf8);
}
