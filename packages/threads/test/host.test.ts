import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type After, ThreadError, ThreadHost, type WorkLimits } from '../src/host.ts';

const FILE = new URL('thread.mjs', import.meta.url);
const LIMITS: WorkLimits = { heapMib: 32, deadlineMs: 60_000 };
/** Long enough that no thread of a test is ended by it. */
const REST_MS = 600_000;

const hosts: ThreadHost<unknown>[] = [];
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});

function open(restMs = REST_MS, after?: After): ThreadHost<unknown> {
  const host = new ThreadHost<unknown>({
    file: FILE,
    name: 'test thread',
    restMs,
    ...(after === undefined ? {} : { after }),
  });
  hosts.push(host);
  return host;
}

const echo = (said: number) => ({ kind: 'echo', said });

/** Deadlines that a test lets pass. */
function stoppedClock() {
  const due = new Map<() => void, number>();
  const after: After = (delayMs, work) => {
    due.set(work, delayMs);
    return () => void due.delete(work);
  };
  const pass = (): void => {
    for (const work of [...due.keys()]) work();
  };
  return { after, due, pass };
}

/** Memory that a thread writes to without a stop, and whether it still does. */
function lentMemory() {
  const words = new Int32Array(new SharedArrayBuffer(4));
  const count = (): number => Atomics.load(words, 0);
  return {
    words,
    isWritten: async (): Promise<boolean> => {
      const seen = count();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return count() !== seen;
    },
  };
}

describe('a thread', () => {
  it('answers one question after another', async () => {
    const host = open();

    const answers = await Promise.all([1, 2, 3].map((said) => host.ask(echo(said), LIMITS)));

    expect(answers).toEqual([1, 2, 3].map((said) => ({ said, orderCount: said })));
  });

  it.each([0, 20])('that has rested for %d ms is ended, and another is started on demand', async (restMs) => {
    const host = open(restMs);
    expect(await host.ask(echo(1), LIMITS)).toEqual({ said: 1, orderCount: 1 });

    await new Promise((resolve) => setTimeout(resolve, restMs + 20));

    expect(await host.ask(echo(2), LIMITS)).toEqual({ said: 2, orderCount: 1 });
  });

  it('is new to its first work alone', async () => {
    const host = open();
    const isNew = (): Promise<boolean> => host.run(LIMITS, (line) => Promise.resolve(line.isNew));
    expect([await isNew(), await isNew()]).toEqual([true, false]);
  });

  it('is replaced by one with more heap where work needs that, and kept where it does not', async () => {
    const host = open();
    const orderCountWith = async (heapMib: number | undefined) => host.ask(echo(0), { ...LIMITS, heapMib });

    expect(await orderCountWith(32)).toMatchObject({ orderCount: 1 });
    expect(await orderCountWith(16)).toMatchObject({ orderCount: 2 });
    expect(await orderCountWith(64)).toMatchObject({ orderCount: 1 });
  });

  it('says more than once, and each is heard in its order', async () => {
    const notes = await open().run(LIMITS, async (line) => {
      line.post({ kind: 'count', most: 50 });
      const heard: unknown[] = [];
      while (heard.at(-1) !== 'counted') heard.push(await line.next());
      return heard;
    });
    expect(notes).toEqual([...Array.from({ length: 50 }, (_, i) => ({ note: i + 1 })), 'counted']);
  });

  it('owns what is moved to it', async () => {
    const array = new Uint8Array(100_000).fill(3);
    expect(await open().ask({ kind: 'sum', array }, LIMITS, [array.buffer])).toBe(300_000);
    expect(array.byteLength).toBe(0);
  });

  it('is not ended by work that throws something of its own', async () => {
    const host = open();
    const own = new RangeError('no room');
    await host.ask(echo(1), LIMITS);
    await expect(host.run(LIMITS, () => Promise.reject(own))).rejects.toBe(own);
    expect(await host.ask(echo(2), LIMITS)).toEqual({ said: 2, orderCount: 2 });
  });

  it('at rest does not keep its process alive', async () => {
    const program = `
      import { ThreadHost } from '@rulecast/threads';
      const host = new ThreadHost({ file: new URL(${JSON.stringify(FILE.href)}), name: 'x', restMs: 600000 });
      await host.ask({ kind: 'echo', said: 1 }, { heapMib: 32, deadlineMs: 600000 });
      console.log('answered');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: import.meta.dirname,
    });
    const [[said], ended] = await Promise.all([once(child.stdout, 'data'), once(child, 'exit')]);
    expect([String(said), ended]).toEqual(['answered\n', [0, null]]);
  });
});

describe('work that gets no answer', () => {
  it.each([
    ['runs out of memory', { kind: 'eat' }, 'out-of-memory', 'ERR_WORKER_OUT_OF_MEMORY'],
    ['throws', { kind: 'throw', said: 'x is not there' }, 'died', undefined],
    ['ends its thread', { kind: 'exit' }, 'died', undefined],
  ])(
    'because it %s rejects with a code, and what comes next has a thread of its own',
    async (_, order, code, causeCode) => {
      const host = open();
      await host.ask(echo(1), LIMITS);

      const [failed, next] = await Promise.allSettled([host.ask(order, LIMITS), host.ask(echo(2), LIMITS)]);

      expect(failed).toMatchObject({ status: 'rejected', reason: { name: 'ThreadError', code } });
      if (causeCode !== undefined) expect(failed).toMatchObject({ reason: { cause: { code: causeCode } } });
      expect(next).toEqual({ status: 'fulfilled', value: { said: 2, orderCount: 1 } });
    },
  );

  it('tells what was thrown as its cause', async () => {
    const error = await open()
      .ask({ kind: 'throw', said: 'x is not there' }, LIMITS)
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ThreadError);
    expect(error).toMatchObject({
      message: 'test thread ended: x is not there',
      cause: expect.objectContaining({ name: 'TypeError', message: 'x is not there' }),
    });
  });

  it('because it hangs is ended when it has said nothing for so many seconds, which work may move', async () => {
    const { after, due, pass } = stoppedClock();
    const host = open(REST_MS, after);
    let isOver = false;
    const hanging = host
      .run({ ...LIMITS, deadlineMs: 1000 }, async (line) => {
        line.post({ kind: 'count', most: 1 });
        await line.next();
        await line.next();
        expect([...due.values()]).toEqual([1000]);
        line.allow(2000);
        line.post({ kind: 'hang' });
        await new Promise((resolve) => setTimeout(resolve, 20));
        pass();
        expect([...due.values()]).toEqual([1000]); // of two seconds there is one
        pass();
        return line.next();
      })
      .finally(() => {
        isOver = true;
      });

    await expect(hanging).rejects.toMatchObject({
      code: 'timeout',
      message: 'test thread finished no step for 2000 ms',
    });

    expect([isOver, due.size]).toEqual([true, 0]);
    expect(await host.ask(echo(1), LIMITS)).toEqual({ said: 1, orderCount: 1 });
  });

  // Work had one time for all of it: what a busy machine took longer for was refused.
  it('is not ended as long as it says something before its time is over', async () => {
    const { after, due, pass } = stoppedClock();
    const host = open(REST_MS, after);
    const said = await host.run({ ...LIMITS, deadlineMs: 1500 }, async (line) => {
      const notes: unknown[] = [];
      for (let times = 0; times < 5; times++) {
        pass(); // a second of the one and a half
        expect([...due.values()]).toEqual([500]);
        line.post(echo(times));
        notes.push(await line.next());
        expect([...due.values()]).toEqual([1000]);
      }
      return notes;
    });
    expect(said).toHaveLength(5);
  });

  it('has a deadline without a clock of the owner’s', async () => {
    const hanging = open().ask({ kind: 'hang' }, { ...LIMITS, deadlineMs: 30 });
    await expect(hanging).rejects.toMatchObject({ code: 'timeout' });
  });

  it.each(['deadline', 'closing'])(
    'by %s rejects only when nothing writes any more to what it was lent',
    async (why) => {
      const { after, pass } = stoppedClock();
      const host = open(REST_MS, after);
      const { words, isWritten } = lentMemory();
      const writing = host.run(LIMITS, async (line) => {
        line.post({ kind: 'write', words });
        await line.next();
        expect(await isWritten()).toBe(true);
        if (why === 'deadline') for (let seconds = 0; seconds < 60; seconds++) pass();
        else void host.close();
        return line.next();
      });

      await expect(writing).rejects.toBeInstanceOf(ThreadError);

      expect(await isWritten()).toBe(false);
    },
  );

  it('is not waited for by work that is doing something else when it fails', async () => {
    const host = open();
    const never = host.run(LIMITS, async (line) => {
      line.post({ kind: 'exit' });
      return new Promise(() => undefined);
    });
    await expect(never).rejects.toMatchObject({ code: 'died' });
  });
});

describe('a death', () => {
  it.each([
    ['exit', false],
    ['exit', true],
    ['exit-later', true],
  ])('by %s is told once, of a thread that had done work before: %s', async (kind, isUsed) => {
    const onDeath = vi.fn();
    const host = new ThreadHost<unknown>({ file: FILE, name: 'test thread', restMs: REST_MS, onDeath });
    hosts.push(host);
    if (isUsed) await host.ask(echo(1), LIMITS);
    await host.ask({ kind }, LIMITS).catch(() => undefined);
    await vi.waitFor(() => expect(onDeath).toHaveBeenCalledOnce());
    await host.ask(echo(2), LIMITS);
    await host.close();
    expect(onDeath).toHaveBeenCalledOnce();
  });
});

describe('closing', () => {
  it('ends what is under way, refuses what waits and what comes, and may be done again', async () => {
    const host = open();
    const given = [host.ask({ kind: 'hang' }, LIMITS), host.ask(echo(1), LIMITS)];
    const settled = Promise.allSettled(given);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await host.close();
    await host.close();

    const outcomes = await settled;
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual([
      'closed',
      'closed',
    ]);
    await expect(host.ask(echo(2), LIMITS)).rejects.toMatchObject({ code: 'closed' });
  });

  it('leaves alone what was waited for', async () => {
    const host = open();
    const answered = host.ask(echo(1), LIMITS);
    await host.settled();
    await host.close();
    expect(await answered).toEqual({ said: 1, orderCount: 1 });
  });

  it('ends a thread at rest', async () => {
    const host = open();
    await host.ask(echo(1), LIMITS);
    await host.close();
    expect(process.getActiveResourcesInfo()).not.toContain('MessagePort');
  });
});
