/** The thread of worker.ts: one piece of work a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { givenAway } from '@rulecast/threads';
import { type WorkAnswer, type WorkRequest, work } from './worker.ts';

parentPort?.on('message', (request: WorkRequest) => {
  const { answer, buffers } = handedOver(work(request));
  parentPort?.postMessage(answer, buffers);
});

/** An answer with the buffers that go with it: the thread needs nothing of it any more. */
function handedOver(answer: WorkAnswer): {
  readonly answer: WorkAnswer;
  readonly buffers: readonly ArrayBuffer[];
} {
  switch (answer.kind) {
    case 'bytes':
    case 'snapshot':
      return { answer, buffers: [answer.bytes.buffer as ArrayBuffer] }; // nothing here is shared memory
    case 'rule-set': {
      const { ruleSet } = answer;
      const names = [...ruleSet.lists.keys()];
      const { lists, buffers } = givenAway([...ruleSet.lists.values()]);
      const own = new Map(lists.map((list, i) => [names[i] ?? '', list])); // one name each
      return { answer: { ...answer, ruleSet: { ...ruleSet, lists: own } }, buffers };
    }
    default:
      return { answer, buffers: [] };
  }
}
