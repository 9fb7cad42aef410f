/** The thread of reader.ts: one job a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { handedOver, type ReaderRequest, readerAnswer } from './reader.ts';

const ending = new AbortController();

parentPort?.on('message', (request: ReaderRequest) => {
  if (request.kind === 'end') {
    ending.abort();
    parentPort?.close(); // the thread ends with what it has begun
    return;
  }
  // What is thrown ends the thread, and the reader hears of it.
  void readerAnswer(request, (note) => parentPort?.postMessage(note), ending.signal).then((made) => {
    const { answer, buffers } = handedOver(made);
    parentPort?.postMessage(answer, buffers);
  });
});
