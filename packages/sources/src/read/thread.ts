/** The thread of reader.ts: one job a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { handedOver, type ReaderJob, readerAnswer } from './reader.ts';

parentPort?.on('message', (job: ReaderJob) => {
  // What is thrown ends the thread, and the reader hears of it.
  void readerAnswer(job, (note) => parentPort?.postMessage(note)).then((made) => {
    const { answer, buffers } = handedOver(made);
    parentPort?.postMessage(answer, buffers);
  });
});
