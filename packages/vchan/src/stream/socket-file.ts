/**
 * The file of a listening socket: its directory, mode and owner, and the removal of an earlier listener's.
 * Used by all transports with one.
 */

import { readFileSync, type Stats, statSync } from 'node:fs';
import { link, lstat, mkdir, rename, stat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { dirname } from 'node:path';
import { EndpointError, EndpointInUseError } from '../channel/endpoint.ts';

/** @throws RangeError if `mode` is no permission bits. */
export function checkSocketMode(mode: number): void {
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw new RangeError(`socket mode ${mode}: must be an integer from 0 to 0o777`);
  }
}

/** The message for a user who may not open a socket file. */
export function permissionText(url: string, path: string): string {
  return `no permission to connect to ${url}: ${whoMayOpen(path)}`;
}

function whoMayOpen(path: string): string {
  let file: Stats;
  try {
    file = statSync(path);
  } catch {
    return `a folder above ${path} is closed to this user: open it, or run this as another`;
  }
  const [user, group] = [nameOf('/etc/passwd', file.uid), nameOf('/etc/group', file.gid)];
  const orMember = (file.mode & 0o020) === 0 ? '' : `, or as a member of the group ${group}`;
  const mode = (file.mode & 0o777).toString(8).padStart(4, '0');
  return `it has mode ${mode}, user ${user} and group ${group}: run this as ${user}${orMember}`;
}

/** The name of a user or group id in a file of accounts, else the number. */
function nameOf(file: string, id: number): string {
  try {
    const accounts = readFileSync(file, 'utf8').split('\n');
    return accounts.map((line) => line.split(':')).find((fields) => fields[2] === `${id}`)?.[0] ?? `${id}`;
  } catch {
    return `${id}`;
  }
}

/**
 * Binds a server to a path, after removing a socket file without a listener.
 * @throws EndpointError, EndpointInUseError
 */
export async function takePath(
  path: string,
  url: string,
  createDirectory: boolean,
  bind: () => Promise<'listening' | 'exists'>,
): Promise<void> {
  try {
    await prepareDirectory(dirname(path), createDirectory);
    if ((await bind()) === 'listening') return;
    await removeStaleSocket(path);
    if ((await bind()) === 'exists') throw inUse(path);
  } catch (cause) {
    if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
    throw new EndpointError('cannot-listen', `cannot listen on ${url}: ${textOf(cause)}`, { cause });
  }
}

export async function prepareDirectory(directory: string, create: boolean): Promise<void> {
  if (create) return makeDirectory(directory);
  // Asked here because bind(2)'s own answer reaches us as EACCES (libuv), which misleads.
  if ((await statOf(directory))?.isDirectory()) return;
  const message = `socket directory ${JSON.stringify(directory)} does not exist: create it, or listen with createDirectory`;
  throw new EndpointError('no-directory', message);
}

/**
 * Node's recursive mkdir is not used: it loops for ever in a directory that accepts no new ones, such as
 * /proc.
 */
async function makeDirectory(directory: string): Promise<void> {
  const missing: string[] = [];
  for (let at = directory; (await statOf(at)) === undefined; at = dirname(at)) missing.push(at);
  for (const at of missing.reverse()) {
    await mkdir(at, { mode: 0o700 }).catch((error: unknown) => {
      if (errorCodeOf(error) !== 'EEXIST') throw error; // another process was faster
    });
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/**
 * Removes a socket file that nobody listens on. Between seeing that it is stale and removing it, another
 * process may have done both and put its own there; so the file is moved aside, recognised, and only then
 * removed, or put back.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const seen = await identify(path);
  if (seen === undefined) return;
  if (!seen.isSocket) {
    const message = `${path} exists and is not a socket: move it away or choose another path`;
    throw new EndpointInUseError('not-a-socket', message);
  }
  const { randomUUID } = await import('node:crypto'); // loaded on demand: clients start without it
  const state = await probe(path);
  if (state === 'gone') return;
  if (state === 'live') throw inUse(path);
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await identify(aside);
  if (moved?.identity !== seen.identity) {
    await link(aside, path);
    await unlink(aside);
    throw inUse(path);
  }
  await unlink(aside);
}

export interface FileIdentity {
  readonly isSocket: boolean;
  /**
   * Equal for the same file; the time distinguishes a new file from an old one with the same inode number.
   */
  readonly identity: string;
}

export async function identify(path: string): Promise<FileIdentity | undefined> {
  try {
    const found = await lstat(path, { bigint: true });
    return { isSocket: found.isSocket(), identity: `${found.dev}:${found.ino}:${found.mtimeNs}` };
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether a socket file has a listener. A refusal for another reason than absence counts as live. */
function probe(path: string): Promise<'live' | 'stale' | 'gone'> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('live');
    });
    socket.once('error', (error) => {
      const code = errorCodeOf(error);
      resolve(code === 'ECONNREFUSED' ? 'stale' : code === 'ENOENT' ? 'gone' : 'live');
    });
  });
}

export function inUse(path: string): EndpointInUseError {
  const message = `${path} already has a listener: stop that process or choose another path`;
  return new EndpointInUseError('in-use', message);
}

export function errorCodeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
