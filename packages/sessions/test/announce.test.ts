import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Pace } from '../src/pace.ts';
import { Announcer } from '../src/session/announce.ts';

/** So many sessions, and a turn that goes on when the test says so. */
function fleet(count: number) {
  const told = new Map<number, number>();
  const sessions = new Set(
    Array.from({ length: count }, (_, i) => ({ published: () => void told.set(i, (told.get(i) ?? 0) + 1) })),
  );
  const turns: (() => void)[] = [];
  const pace = new Pace(() => new Promise((resolve) => void turns.push(resolve)));
  const announcer = new Announcer(sessions, pace);
  const next = async (): Promise<void> => {
    await setImmediate();
    turns.shift()?.();
    await setImmediate();
  };
  return { told, sessions, announcer, next };
}

it('tells 32 sessions in each turn', async () => {
  const { told, announcer, next } = fleet(70);
  const telling = announcer.tell();
  await setImmediate();
  expect(told.size).toBe(32);
  await next();
  expect(told.size).toBe(64);
  await next();
  await telling;
  expect([...told.values()]).toEqual(new Array(70).fill(1));
});

it('tells all once more of what came meanwhile, and of several releases once', async () => {
  const { told, announcer, next } = fleet(40);
  const telling = announcer.tell();
  await announcer.tell();
  await announcer.tell();
  for (let i = 0; i < 4; i++) await next();
  await telling;
  expect([...told.values()]).toEqual(new Array(40).fill(2));
});

it('tells the others, and of the next release, where one fails', async () => {
  const { told, sessions, announcer } = fleet(3);
  const failing = {
    published: () => {
      throw new Error('of a session');
    },
  };
  const all = [...sessions];
  sessions.clear();
  for (const session of [failing, ...all]) sessions.add(session);
  await expect(announcer.tell()).rejects.toThrow('of a session');
  await expect(announcer.tell()).rejects.toThrow('of a session');
  expect([...told.values()]).toEqual([2, 2, 2]);
});
