/** The thread of list-worker.ts: one job a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { handedOver, type WorkerJob, workerAnswer } from './list-worker.ts';

parentPort?.on('message', (job: WorkerJob) => {
  // A thrown error ends the thread, and the worker is told.
  void workerAnswer(job, (note) => parentPort?.postMessage(note)).then((made) => {
    const { answer, buffers } = handedOver(made);
    parentPort?.postMessage(answer, buffers);
  });
});
