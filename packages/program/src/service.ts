/**
 * What a program tells the service manager that started it, if one did: that it is ready, that it lives, that
 * it stops. sd_notify(3); said by `systemd-notify`, because Node speaks no datagrams over Unix sockets.
 *
 *   NOTIFY_SOCKET, WATCHDOG_USEC ─▶ ready() ─every half of its patience─▶ WATCHDOG=1 … ─▶ stopping()
 *
 * A process whose event loop hangs says nothing any more, which the manager takes for the end of it.
 */

import { execFile } from 'node:child_process';

type Environment = Record<string, string | undefined>;

/** A program that takes longer is as good as one that fails. */
const SAY_TIMEOUT_MS = 5_000;

export interface ServiceManager {
  /** All that was promised to whoever waits for the service is there. */
  ready(): void;
  stopping(): void;
}

/**
 * The manager that the environment names, which is taken out of it: what this program starts has nothing to
 * tell. Without one, nobody is told. `onFailure` hears of what could not be said.
 */
export function serviceManager(environment: Environment, onFailure: (error: Error) => void): ServiceManager {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: patienceUs, PATH } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  if (socket === undefined) return { ready: () => undefined, stopping: () => undefined };
  let isSaying = false;
  const say = (word: string): void => {
    const options = { env: { NOTIFY_SOCKET: socket, PATH }, timeout: SAY_TIMEOUT_MS };
    isSaying = true;
    execFile('systemd-notify', [word], options, (error) => {
      isSaying = false;
      if (error !== null) onFailure(error);
    });
  };
  const beatMs = Number(patienceUs ?? 0) / 2_000;
  return {
    ready() {
      say('READY=1');
      // One that is not said yet is enough.
      if (beatMs >= 1) setInterval(() => isSaying || say('WATCHDOG=1'), beatMs).unref();
    },
    stopping: () => say('STOPPING=1'),
  };
}
