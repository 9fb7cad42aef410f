/**
 * Messages to the service manager that started this program, if one did: that it is ready, alive, or
 * stopping. sd_notify(3); sent by `systemd-notify`, because Node has no datagrams over Unix sockets.
 *
 *   NOTIFY_SOCKET, WATCHDOG_USEC ─▶ ready() ─every half of its patience─▶ WATCHDOG=1 … ─▶ stopping()
 *
 * A process whose event loop hangs sends nothing more, and the manager restarts it.
 */

import { execFile } from 'node:child_process';

type Environment = Record<string, string | undefined>;

/** A program that takes longer is as good as one that fails. */
const SAY_TIMEOUT_MS = 5_000;

export interface ServiceManager {
  /** Everything that the service promises to its users is there. */
  ready(): void;
  stopping(): void;
}

/**
 * The manager that the environment names. Removes its variables from the environment, so that children do not
 * send to it. Without a manager, nothing is sent. `onFailure` gets the errors.
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
      // One unfinished message is enough.
      if (beatMs >= 1) setInterval(() => isSaying || say('WATCHDOG=1'), beatMs).unref();
    },
    stopping: () => say('STOPPING=1'),
  };
}
