/** The sockets that a service manager bound for this program: sd_listen_fds(3). */

const FIRST = 3;
const MOST = 64;

interface PassedSocket {
  readonly descriptor: number;
  /** FileDescriptorName= of its unit; empty if it has none. */
  readonly name: string;
}

/**
 * Empty if the environment names no sockets, or another process. Removes the variables from the environment,
 * so that children see none.
 */
export function passedSockets(
  environment: Record<string, string | undefined>,
  pid: number,
): readonly PassedSocket[] {
  const { LISTEN_FDS: count = '', LISTEN_PID: owner, LISTEN_FDNAMES = '' } = environment;
  const names = LISTEN_FDNAMES.split(':');
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete environment[name];
  if (owner !== String(pid) || !/^\d{1,2}$/.test(count) || Number(count) > MOST) return [];
  return Array.from({ length: Number(count) }, (_, index) => ({
    descriptor: FIRST + index,
    name: names[index] ?? '',
  }));
}
