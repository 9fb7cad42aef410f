/** What the service manager is told, by a `systemd-notify` that notes it. */

import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { serviceManager } from '../src/service.ts';

let directory = '';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  directory = temporaryDirectory();
  const program = join(directory, 'systemd-notify');
  writeFileSync(program, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${directory}/said\n`);
  chmodSync(program, 0o755);
});

afterEach(() => {
  vi.useRealTimers();
});

const said = (): readonly string[] => {
  const file = join(directory, 'said');
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
};

function environment(more: Record<string, string>): Record<string, string | undefined> {
  return { PATH: `${directory}:/bin:/usr/bin`, WATCHDOG_PID: '1', ...more };
}

/** By the real clock: that of the test stands still meanwhile. */
async function until(check: () => void): Promise<void> {
  for (;;) {
    try {
      return check();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const nobody = (error: Error): never => {
  throw error;
};

describe('a service manager', () => {
  it('is told that the program is ready, that it lives, and that it stops', async () => {
    const started = environment({ NOTIFY_SOCKET: '@there', WATCHDOG_USEC: '30000000' });
    const manager = serviceManager(started, nobody);
    expect(Object.keys(started)).toEqual(['PATH']); // for what is started from here
    manager.ready();
    await until(() => expect(said()).toEqual(['@there READY=1']));
    vi.advanceTimersByTime(14_999);
    expect(said()).toHaveLength(1);
    await until(() => {
      vi.advanceTimersByTime(15_000); // one is not said before the one before it is
      expect(said().length).toBeGreaterThan(1);
    });
    manager.stopping();
    await until(() => expect(said()).toContain('@there STOPPING=1')); // a sign of life may be under way
    expect(new Set(said().slice(1))).toEqual(new Set(['@there WATCHDOG=1', '@there STOPPING=1']));
  });

  it('that has no watchdog hears no sign of life', async () => {
    const manager = serviceManager(environment({ NOTIFY_SOCKET: '@there' }), nobody);
    manager.ready();
    vi.advanceTimersByTime(3_600_000);
    await until(() => expect(said()).toEqual(['@there READY=1']));
  });

  it('that is not there is told nothing', () => {
    const manager = serviceManager(environment({ WATCHDOG_USEC: '30000000' }), nobody);
    manager.ready();
    manager.stopping();
    vi.advanceTimersByTime(60_000);
    expect(said()).toEqual([]);
  });

  it('that cannot be told is no reason to end', async () => {
    const failures: Error[] = [];
    const none = { NOTIFY_SOCKET: '@there', PATH: join(directory, 'none') };
    serviceManager(none, (error) => failures.push(error)).ready();
    await until(() => expect(failures).toHaveLength(1));
  });
});
