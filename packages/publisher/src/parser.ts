/**
 * Where pushed files are read: small pushes in place, large ones in a worker thread, so that a million lines stall
 * nobody's heartbeat and a hostile document ends its worker and not the publisher.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ErrorCode, ProtocolError } from '@rulecast/protocol';
import { type PushedParts, type PushInput, readPushed } from './pushed.ts';

/** What the worker is sent, and answers. */
export interface ParseRequest {
  readonly input: PushInput;
  readonly now: number;
}
export type ParseAnswer = PushedParts;

/** Below this many bytes, reading takes less than a worker needs to start: some 50 ms. */
const IN_PLACE_MAX_BYTES = 64 * 1024;
/** Heap of the worker, in MiB. A document of 2^18 inline rules needs 1.2 GB; lists and rule files need far less. */
const WORKER_HEAP_MAX_MIB = 3072;
/** Also when this file runs from src, as in tests: only the built worker loads on Node 20. */
const WORKER_FILE = new URL('../dist/parse-worker.js', import.meta.url);

export class PushParser {
  private worker: Worker | undefined;

  /**
   * Reads the files of a push; one call at a time. Takes the files' bytes: they may be gone from the caller afterwards.
   * Throws ProtocolError `over-limit` where the worker ran out of memory.
   */
  async read(input: PushInput, now: number): Promise<PushedParts> {
    let bytes = 0;
    for (const file of input.files) bytes += file.bytes.length;
    return bytes <= IN_PLACE_MAX_BYTES ? readPushed(input, now) : this.readInWorker({ input, now });
  }

  private async readInWorker(request: ParseRequest): Promise<PushedParts> {
    this.worker ??= new Worker(WORKER_FILE, {
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MAX_MIB },
    });
    const { worker } = this;
    worker.ref();
    try {
      const answered = once(worker, 'message');
      worker.postMessage(request, [
        ...new Set(request.input.files.map((file) => file.bytes.buffer as ArrayBuffer)),
      ]);
      const [answer] = await answered;
      return answer as ParseAnswer; // the worker's only message
    } catch (cause) {
      this.worker = undefined;
      const code = (cause as NodeJS.ErrnoException).code;
      if (code !== 'ERR_WORKER_OUT_OF_MEMORY') throw cause;
      const text =
        'reading the pushed files takes more memory than the publisher grants: put long lists into files';
      throw new ProtocolError(ErrorCode.overLimit, text, { cause });
    } finally {
      worker.unref();
    }
  }

  async close(): Promise<void> {
    await this.worker?.terminate();
  }
}
