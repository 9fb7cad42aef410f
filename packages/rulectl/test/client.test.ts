/** How long an answer of the publisher is waited for. */

import { afterEach, expect, it, vi } from 'vitest';
import { ask } from '../src/control/client.ts';
import { FakePublisher, receive, type Script, sendRecords } from './fake-publisher.ts';

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

/** An answer without an end; an hour passes after each record. */
async function followed(script: Script): Promise<string> {
  const publisher = await FakePublisher.start(script);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const ending = ask({
    endpoint: publisher.endpoint,
    timeoutMs: 300,
    isEndless: true,
    send: (connection) => connection.send({ kind: 'status', watch: true }),
    onRecord: () => void vi.advanceTimersByTime(3_600_000),
  });
  return ending.then(({ kind }) => kind, String).finally(() => publisher.stop());
}

it('for ever, where the answer has no end, once its first record came', async () => {
  const text = await followed(async (connection) => {
    await receive(connection, 'status');
    await sendRecords(connection, [{ record: 'end' }, { record: 'end' }]);
    await connection.send({ kind: 'done', code: 'ok', text: '' });
  });
  expect(text).toBe('done');
});

// A publisher that took the connection and did not greet was waited for without limit.
it.each(['a greeting', 'the first record'])('no longer for %s of an answer without an end', async (what) => {
  const text = await followed(async (connection) => {
    await (what === 'a greeting' ? connection.receive() : receive(connection, 'status'));
    vi.advanceTimersByTime(300);
    await connection.receive(); // until it is given up
  });
  expect(text).toContain('gave no answer for 0 s');
});
