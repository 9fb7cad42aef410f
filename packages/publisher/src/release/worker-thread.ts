/**
 * The thread of worker.ts: one piece of work a message. An answer with many parts is sent some at a time, the
 * next when the caller wants more. Runs from the built package.
 */

import { parentPort } from 'node:worker_threads';
import type { List, Policy } from '@rulecast/rules';
import { Garbage, givenAway, usedBytes } from '@rulecast/threads';
import { SOME_PARTS, type ThreadMessage, type ThreadSaid, type WorkAnswer, work } from './worker.ts';

interface Portion {
  readonly said: ThreadSaid;
  /** Go with it: the thread needs nothing of it any more. */
  readonly buffers: readonly ArrayBuffer[];
}

let saying: Iterator<Portion, undefined> | undefined;
/** Collects garbage between pieces of work, as a release leaves many objects behind. */
const garbage = new Garbage(usedBytes);

parentPort?.on('message', async (message: ThreadMessage) => {
  if (message.kind !== 'more') saying = sayings(await work(message));
  const next = saying?.next();
  if (next?.value !== undefined) parentPort?.postMessage(next.value.said, next.value.buffers);
  if (next?.value?.said.kind === 'some') return;
  saying = undefined;
  garbage.sweep(); // the answer is on its way
});

function* sayings(answer: WorkAnswer): Generator<Portion, undefined> {
  switch (answer.kind) {
    case 'bytes':
      yield { said: answer, buffers: [answer.bytes.buffer as ArrayBuffer] }; // nothing here is shared memory
      return;
    case 'change':
      yield { said: answer, buffers: [answer.body.buffer as ArrayBuffer] }; // likewise
      return;
    case 'parts': {
      const { parts } = answer;
      yield* someOf(parts);
      yield { said: { ...answer, parts: { ...parts, ...NO_PARTS } }, buffers: [] };
      return;
    }
    case 'rule-set': {
      const { ruleSet } = answer;
      yield* someOf(ruleSet);
      yield { said: { ...answer, ruleSet: { ...ruleSet, ...NO_PARTS } }, buffers: [] };
      return;
    }
    default:
      yield { said: answer, buffers: [] };
  }
}

const NO_PARTS = { lists: new Map<string, List>(), policies: new Map<string, Policy>() };

function* someOf(content: {
  readonly lists: ReadonlyMap<string, List>;
  readonly policies: ReadonlyMap<string, Policy>;
}): Generator<Portion, undefined> {
  const names = [...content.lists.keys()];
  const all = [...content.lists.values()];
  for (let at = 0; at < all.length; at += SOME_PARTS) {
    const { lists, buffers } = givenAway(all.slice(at, at + SOME_PARTS));
    const own = lists.map((list, i) => [names[at + i] ?? '', list] as const); // one name each
    yield { said: { kind: 'some', lists: own, policies: [] }, buffers };
  }
  const policies = [...content.policies];
  for (let at = 0; at < policies.length; at += SOME_PARTS)
    yield {
      said: { kind: 'some', lists: [], policies: policies.slice(at, at + SOME_PARTS) },
      buffers: [],
    };
}
