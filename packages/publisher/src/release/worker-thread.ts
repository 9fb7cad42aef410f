/** The thread of work.ts: one piece of work a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { type WorkRequest, work } from './worker.ts';

parentPort?.on('message', (request: WorkRequest) => {
  parentPort?.postMessage(work(request));
});
