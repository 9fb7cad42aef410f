/** Programs that are started ahead: each is used once, a dead one is not used, and none is left. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandError } from '../src/command.ts';
import { Standby } from '../src/standby.ts';

const OPTIONS = { errorBytesMax: 100 };
/** Ends a test that hangs: a busy machine takes its time to start programs. */
const WAIT = { timeout: 180_000 };

let directory: string;
let standby: Standby | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-standby-'));
});

afterEach(() => {
  standby?.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('a standby', () => {
  it('gives the process that waits, and starts the next one', async () => {
    standby = copier();
    standby.startSoon();
    const [first] = await startedPids(1);
    const result = await standby
      .take()
      .finish({ ...OPTIONS, input: [Buffer.from('a '), Buffer.from('script')] });
    expect(result.stdout.toString()).toBe('a script');
    const [, second] = await startedPids(2);
    expect((await standby.take().finish(OPTIONS)).stdout.toString()).toBe('');
    expect([isRunning(first), isRunning(second)]).toEqual([false, false]);
  });

  it('starts one at once where none waits', async () => {
    standby = copier();
    const taken = [standby.take(), standby.take()];
    expect((await taken[1]?.finish({ ...OPTIONS, input: [Buffer.from('2')] }))?.stdout.toString()).toBe('2');
    expect((await taken[0]?.finish({ ...OPTIONS, input: [Buffer.from('1')] }))?.stdout.toString()).toBe('1');
  });

  it('does not give one that has died', async () => {
    standby = copier();
    standby.startSoon();
    const [pid = 0] = await startedPids(1);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), WAIT);
    const result = await standby.take().finish({ ...OPTIONS, input: [Buffer.from('script')] });
    expect(result.stdout.toString()).toBe('script');
  });

  it('leaves none behind', async () => {
    standby = copier();
    standby.startSoon();
    const [pid] = await startedPids(1);
    expect(isRunning(pid)).toBe(true);
    standby.close();
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), WAIT);
  });

  it('says that the program is not there to whoever takes it, not before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    standby = new Standby(join(directory, 'nothing'), []);
    standby.startSoon();
    vi.runAllTimers();
    vi.useRealTimers();
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate); // it has failed, and nobody was told
    await expect(standby.take().finish(OPTIONS)).rejects.toThrow(CommandError);
    await expect(standby.take().finish(OPTIONS)).rejects.toThrow(/is not installed/);
  });
});

/** Of a program that notes its process id, then copies its input. */
function copier(): Standby {
  return new Standby('sh', ['-c', `echo $$ >> ${started()}; exec cat`]);
}

function started(): string {
  return join(directory, 'started');
}

function startedPids(count: number): Promise<readonly number[]> {
  return vi.waitFor(() => {
    const text = existsSync(started()) ? readFileSync(started(), 'utf8') : '';
    const pids = [...text.matchAll(/^(\d+)\n/gm)].map((match) => Number(match[1]));
    expect(pids).toHaveLength(count);
    return pids;
  }, WAIT);
}

function isRunning(pid: number | undefined): boolean {
  try {
    process.kill(pid ?? 0, 0);
    return true;
  } catch {
    return false;
  }
}
