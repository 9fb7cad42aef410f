/** A worker thread that answers each packet sent to it with the verdict of the subscriber's table. */

import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from '@rulecast/table';

const reader = openReader(workerData);
parentPort?.on('message', (packet) => {
  parentPort?.postMessage(reader.lookup(packet));
});
