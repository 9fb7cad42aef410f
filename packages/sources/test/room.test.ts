/**
 * One budget for all bodies under way: what is kept where, who waits for what, and that nobody waits for
 * ever.
 */

import { readdirSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { FetchRequest } from '../src/fetch/fetcher.ts';
import { BodyBudget, RoomError, SMALL_BODY_BYTES } from '../src/fetch/room.ts';
import { freshFetcher, serve } from './http-server.ts';

const MIB = SMALL_BODY_BYTES;
const NEVER = new AbortController().signal;

function ask(url: string, more: Partial<FetchRequest> = {}): FetchRequest {
  return { url, maxBytes: 8 * MIB, allMaxBytes: 10 * MIB, timeoutMs: 60_000, ...more };
}

describe('room for bodies', () => {
  it('is given in the order in which it was asked for, so that the large do not starve', async () => {
    const budget = new BodyBudget();
    const rooms = Array.from({ length: 4 }, () => budget.room(10));
    const order: number[] = [];
    const entered = [6, 8, 1, 1].map((bytes, i) => rooms[i]!.enter(bytes, NEVER).then(() => order.push(i)));
    await pause(0);
    expect(order).toEqual([0]);
    rooms[0]!.leave();
    await Promise.all(entered);
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it('grows while there is some, and is asked for anew by who holds nothing', async () => {
    const budget = new BodyBudget();
    const [one, two] = [budget.room(10), budget.room(10)];
    await one.enter(1, NEVER);
    await two.enter(1, NEVER);
    one.hold(7, 8);
    expect(() => two.hold(6, 6)).toThrow(RoomError);
    two.leave();
    const again = two.enter(6, NEVER);
    one.leave();
    await again;
    two.hold(6, 6);
    expect(() => one.hold(5, 5)).toThrow(RoomError);
  });

  it('is given to one alone that is larger than all may be', async () => {
    const budget = new BodyBudget();
    const [large, other] = [budget.room(10), budget.room(10)];
    await large.enter(100, NEVER);
    large.hold(100, 100);
    const waits = other.enter(1, NEVER);
    large.leave();
    await waits;
  });

  it('is not kept for who has stopped waiting', async () => {
    const budget = new BodyBudget();
    const stop = new AbortController();
    const [held, gone, next] = [budget.room(10), budget.room(10), budget.room(10)];
    await held.enter(5, NEVER);
    const left = gone.enter(9, stop.signal);
    const entered = next.enter(5, NEVER);
    stop.abort();
    await expect(left).rejects.toThrow();
    await entered;
    await expect(gone.enter(1, stop.signal)).rejects.toThrow();
  });
});

describe('bodies under way', () => {
  it('lie in the cache directory beyond a megabyte, are never more than their budget, and none fails', async () => {
    const cacheDirectory = temporaryDirectory();
    const body = Buffer.alloc(4 * MIB, '192.0.2.1\n');
    const send = async (response: ServerResponse): Promise<void> => {
      for (let at = 0; at < body.length; at += MIB) {
        response.write(body.subarray(at, at + MIB));
        await pause(5);
      }
      response.end();
    };
    const pages = Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [
        `/${i}`,
        (_: unknown, response: ServerResponse) => void send(response),
      ]),
    );
    const server = await serve(pages);
    const fetcher = freshFetcher({ cacheDirectory });
    let most = 0;
    const looking = setInterval(() => {
      const halves = readdirSync(cacheDirectory).filter((name) => name.endsWith('.half'));
      let bytes = 0;
      for (const name of halves)
        bytes += statSync(join(cacheDirectory, name), { throwIfNoEntry: false })?.size ?? 0;
      most = Math.max(most, bytes);
    }, 1);
    try {
      const outcomes = await Promise.all(
        Object.keys(pages).map((path) => fetcher.fetch(ask(server.url + path))),
      );
      expect(outcomes.map(({ kind, size }) => [kind, size])).toEqual(Array(8).fill(['fresh', body.length]));
      expect(Buffer.compare(await outcomes[7]!.read(), body)).toBe(0);
    } finally {
      clearInterval(looking);
    }
    expect(most).toBeGreaterThan(MIB);
    expect(most).toBeLessThanOrEqual(10 * MIB);
    expect(readdirSync(cacheDirectory).filter((name) => name.endsWith('.half'))).toEqual([]);
  });

  it('that wait are not timed, and one whose server hangs makes room when its own time is over', async () => {
    const server = await serve({
      '/hangs': (_, response) =>
        void response.writeHead(200, { 'content-length': 8 * MIB }).write('1'.repeat(3 * MIB)),
      '/waits': (_, response) => void response.end(Buffer.alloc(5 * MIB, '#')),
    });
    const cacheDirectory = temporaryDirectory();
    const fetcher = freshFetcher({ cacheDirectory });
    const hangs = fetcher.fetch(ask(`${server.url}/hangs`, { timeoutMs: 1500 }));
    hangs.catch(() => undefined);
    await pause(500);
    const waits = fetcher.fetch(ask(`${server.url}/waits`, { timeoutMs: 1000 }));
    await expect(hangs).rejects.toMatchObject({ code: 'timeout' });
    expect(await waits).toMatchObject({ kind: 'fresh', size: 5 * MIB });
    expect(readdirSync(cacheDirectory)).toHaveLength(2);
  });

  it('leave nothing where they are ended', async () => {
    const server = await serve({
      '/': (_, response) => void response.writeHead(200).write('1'.repeat(3 * MIB)),
    });
    const cacheDirectory = temporaryDirectory();
    const fetcher = freshFetcher({ cacheDirectory });
    const outcome = fetcher.fetch(ask(server.url)).catch((error: unknown) => error);
    await expect.poll(() => readdirSync(cacheDirectory).length).toBe(1);
    await fetcher.close();
    expect(await outcome).toMatchObject({ code: 'aborted' });
    expect(readdirSync(cacheDirectory)).toEqual([]);
  });
});
