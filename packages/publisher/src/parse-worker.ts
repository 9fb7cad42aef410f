/** The worker thread of parser.ts: reads pushed files, one push a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import type { ParseAnswer, ParseRequest } from './parser.ts';
import { readPushed } from './pushed.ts';

parentPort?.on('message', ({ input, now }: ParseRequest) => {
  const answer: ParseAnswer = readPushed(input, now);
  parentPort?.postMessage(answer);
});
