/** How long an answer of the publisher is waited for. */

import { afterEach, expect, it, vi } from 'vitest';
import { ask } from '../src/control/client.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';

afterEach(() => vi.useRealTimers());

/** Asks for a status of five records, each a fifth of a second after the one before. */
async function asked(ends: boolean): Promise<string> {
  const publisher = await FakePublisher.start(async (connection) => {
    await receive(connection, 'status');
    await sendRecords(connection, Array(5).fill({ record: 'end' }));
    if (ends) await connection.send({ kind: 'done', code: 'ok', text: '' });
    else await connection.receive(); // until it is given up
  });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let count = 0;
  try {
    const { kind } = await ask({
      endpoint: publisher.endpoint,
      timeoutMs: 300,
      send: (connection) => connection.send({ kind: 'status', watch: false }),
      onRecord: () => void vi.advanceTimersByTime(++count === 5 && !ends ? 300 : 200),
    });
    return kind;
  } catch (error) {
    return String(error);
  } finally {
    await publisher.stop();
  }
}

// All of an answer had one time: a push of 2^18 rules was given up while the publisher worked on it.
it('as long as something comes of it, and no longer', async () => {
  expect(await asked(true)).toBe('done');
  expect(await asked(false)).toContain('gave no answer for 0 s');
});
