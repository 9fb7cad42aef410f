/** The thread of list-worker.ts: one job a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { handedOver, type WorkerRequest, workerAnswer } from './list-worker.ts';

const ending = new AbortController();

parentPort?.on('message', (request: WorkerRequest) => {
  if (request.kind === 'end') {
    ending.abort();
    parentPort?.close(); // the thread ends with what it has begun
    return;
  }
  // What is thrown ends the thread, and the worker hears of it.
  void workerAnswer(request, (note) => parentPort?.postMessage(note), ending.signal).then((made) => {
    const { answer, buffers } = handedOver(made);
    parentPort?.postMessage(answer, buffers);
  });
});
