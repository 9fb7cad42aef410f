/** A thread for tests: does what it is told. */
import { parentPort } from 'node:worker_threads';

let orderCount = 0;
parentPort?.on('message', async (order) => {
  orderCount += 1;
  switch (order.kind) {
    case 'echo':
      parentPort?.postMessage({ said: order.said, orderCount });
      break;
    case 'sum': {
      let sum = 0;
      for (const byte of order.array) sum += byte;
      parentPort?.postMessage(sum);
      break;
    }
    case 'count': // a note for each, and then the answer
      for (let note = 1; note <= order.most; note++) parentPort?.postMessage({ note });
      parentPort?.postMessage('counted');
      break;
    case 'write': // to memory that it was lent, until it is ended
      parentPort?.postMessage('writing');
      for (;;) Atomics.add(order.words, 0, 1);
    case 'hang':
      for (;;);
    case 'throw':
      throw new TypeError(order.said);
    case 'exit-later': // when it has answered, and nobody asks
      parentPort?.postMessage('soon');
      setTimeout(() => process.exit(3), 50);
      break;
    case 'exit':
      process.exit(3);
      break;
    case 'eat':
      for (const eaten = []; ; ) eaten.push(Array.from({ length: 1000 }, (_, i) => i + 0.5));
  }
});
