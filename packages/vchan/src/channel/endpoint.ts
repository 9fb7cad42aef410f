/**
 * Endpoint URLs: the places to listen on or to connect to. Parsed and printed here and nowhere else.
 *
 * ```
 *   unix:/absolute/path.sock          a Unix stream socket
 *   qrexec:/absolute/path.sock        a Unix socket that qrexec connects to for each call of a service; to listen only
 *   memory:NAME                       inside this process, for tests and embedding
 *   vchan:DOMAIN:PORT                 a vchan: the domain at the other end, and a port; as libvchan-socket does it,
 *                                     or with ?library=libvchan-xen.so or libxenvchan.so as Xen does
 *   stdio:                            this process's standard input and output: what qrexec gives a service
 *   exec:COMMAND?arg=A&arg=B          a program that is started and spoken to over its standard input and output
 *   zmq+ipc:/absolute/path.sock       ZeroMQ over a Unix socket
 *   zmq+tcp:ADDRESS:PORT              ZeroMQ over TCP; ADDRESS is IPv4 or [IPv6]
 * ```
 * Each takes `?buffer=SIZE` (of `exec:`, among the other options), bytes, or a number followed by KiB or MiB.
 * `unix:` takes `?group=NAME`, to listen: the group that may connect beside the owner. In a path, a command
 * and an argument `%`, `?`, `#`, `&` and control characters are written as `%XX`; a `+` is a plus.
 */
import { isIPv4, isIPv6 } from 'node:net';

// Fixed by Linux.

const MAX_TCP_PORT = 65_535;
/** `sun_path` of unix(7) has 108 bytes, the last one for the terminating NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

// Fixed by libvchan.

/** Domain ids and ports are C ints. */
const MAX_VCHAN_NUMBER = 2_147_483_647;

/** Name or number of a group. */
const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/;

/** Libraries by which a vchan of Xen is made, by name: the loader knows where they lie. */
const LIBRARY = /^lib(?:vchan-xen|xenvchan)\.so(?:\.[0-9]{1,3}){0,2}$/;

// Our choice.

/** Small enough for hundreds of subscribers, and one maximal frame of the protocol fits. */
export const DEFAULT_BUFFER_BYTES = 65_536;
/** One memory page, the smallest ring libvchan makes without sharing a page. */
export const MIN_BUFFER_BYTES = 4_096;
/** Beyond this a bigger buffer only hides a stuck reader. */
export const MAX_BUFFER_BYTES = 16_777_216;
const MAX_MEMORY_NAME_CHARS = 64;
/** More is a mistake in the configuration. */
const MAX_ARGUMENT_COUNT = 64;
const ENDPOINT_FORMS =
  'known forms are unix:/absolute/path.sock, qrexec:/absolute/path.sock, memory:NAME, vchan:DOMAIN:PORT, stdio:, exec:COMMAND?arg=A&arg=B, ' +
  'zmq+ipc:/absolute/path.sock and zmq+tcp:ADDRESS:PORT, each with an optional ?buffer=SIZE';

export interface UnixEndpoint {
  readonly kind: 'unix';
  /** Absolute, at most `MAX_SOCKET_PATH_BYTES` bytes of UTF-8. */
  readonly path: string;
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
  /** To listen only: the group that may connect, by name or number; the owner alone if absent. */
  readonly group?: string;
}

export interface QrexecEndpoint {
  readonly kind: 'qrexec';
  /** Absolute, at most `MAX_SOCKET_PATH_BYTES` bytes of UTF-8. */
  readonly path: string;
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface MemoryEndpoint {
  readonly kind: 'memory';
  /** 1..64 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface VchanEndpoint {
  readonly kind: 'vchan';
  /** Id of the domain at the other end, 0..2^31-1; our own comes from the environment. */
  readonly domainId: number;
  /** 0..2^31-1; agreed between the two ends, no TCP port. */
  readonly port: number;
  /** Name of the library that makes it, as `LIBRARY` has them; without one, what libvchan-socket does. */
  readonly soname?: string;
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface StdioEndpoint {
  readonly kind: 'stdio';
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface ExecEndpoint {
  readonly kind: 'exec';
  /** An absolute path, or a name without a slash that is looked up in PATH. No shell reads it. */
  readonly command: string;
  /** At most 64. */
  readonly args: readonly string[];
  /** Buffer of each direction, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface ZmqIpcEndpoint {
  readonly kind: 'zmq+ipc';
  /** Absolute, at most `MAX_SOCKET_PATH_BYTES` bytes of UTF-8. */
  readonly path: string;
  /** The receive buffer of this end, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export interface ZmqTcpEndpoint {
  readonly kind: 'zmq+tcp';
  /** An IPv4 or IPv6 address without brackets, never a name. */
  readonly address: string;
  /** 0..65,535; 0 lets a listener choose, and its `endpoint` tells. */
  readonly port: number;
  /** The receive buffer of this end, in bytes; the default if absent. */
  readonly bufferBytes?: number;
}

export type ZmqEndpoint = ZmqIpcEndpoint | ZmqTcpEndpoint;

export type Endpoint =
  | UnixEndpoint
  | QrexecEndpoint
  | MemoryEndpoint
  | VchanEndpoint
  | StdioEndpoint
  | ExecEndpoint
  | ZmqEndpoint;

export type EndpointErrorCode =
  | 'unknown-kind'
  | 'bad-path'
  | 'path-too-long'
  | 'bad-name'
  | 'bad-option'
  | 'bad-address'
  | 'bad-command'
  | 'bad-environment'
  | 'bad-key'
  | 'needs-curve'
  | 'not-a-pipe'
  | 'no-directory'
  | 'cannot-connect'
  | 'cannot-listen';

/** The endpoint cannot work as written: somebody must correct the configuration. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError';
  readonly code: EndpointErrorCode;

  constructor(code: EndpointErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The endpoint is taken: stop the other program, or choose another endpoint. */
export class EndpointInUseError extends Error {
  override readonly name = 'EndpointInUseError';
  readonly code: 'in-use' | 'not-a-socket';

  constructor(code: EndpointInUseError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Reads an endpoint URL.
 * @throws EndpointError that says what is wrong and which forms are known.
 */
export function parseEndpoint(text: string): Endpoint {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? '' : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  const question = rest.indexOf('?');
  const address = question < 0 ? rest : rest.slice(0, question);
  const query = question < 0 ? undefined : rest.slice(question + 1);
  switch (kind) {
    case 'unix': {
      const path = decodePart(text, address);
      checkSocketPath(path);
      return { kind, path, ...parseUnixQuery(text, query) };
    }
    case 'qrexec':
    case 'zmq+ipc': {
      const path = decodePart(text, address);
      checkSocketPath(path);
      return { kind, path, ...parseQuery(text, query) };
    }
    case 'memory':
      checkMemoryName(address);
      return { kind, name: address, ...parseQuery(text, query) };
    case 'vchan':
      return { kind, ...parseVchanAddress(text, address), ...parseVchanQuery(text, query) };
    case 'stdio':
      if (address !== '') throw badAddress(text, 'stdio: takes no address');
      return { kind, ...parseQuery(text, query) };
    case 'exec':
      return { kind, ...parseCommand(text, address, query) };
    case 'zmq+tcp':
      return { kind, ...parseTcpAddress(text, address), ...parseQuery(text, query) };
    default: {
      const hint = text.startsWith('/') ? `; did you mean unix:${text}?` : '';
      throw new EndpointError('unknown-kind', `endpoint ${JSON.stringify(text)}: ${ENDPOINT_FORMS}${hint}`);
    }
  }
}

/** The URL that `parseEndpoint` reads back as the same endpoint; the buffer in plain bytes. */
export function formatEndpoint(endpoint: Endpoint): string {
  const query = endpoint.bufferBytes === undefined ? '' : `?buffer=${endpoint.bufferBytes}`;
  switch (endpoint.kind) {
    case 'unix': {
      const group = endpoint.group === undefined ? '' : `${query === '' ? '?' : '&'}group=${endpoint.group}`;
      return `unix:${encodePart(endpoint.path)}${query}${group}`;
    }
    case 'qrexec':
    case 'zmq+ipc':
      return `${endpoint.kind}:${encodePart(endpoint.path)}${query}`;
    case 'memory':
      return `memory:${endpoint.name}${query}`;
    case 'vchan': {
      const options = [query.slice(1), endpoint.soname === undefined ? '' : `library=${endpoint.soname}`];
      const said = options.filter((option) => option !== '').join('&');
      return `vchan:${endpoint.domainId}:${endpoint.port}${said === '' ? '' : `?${said}`}`;
    }
    case 'stdio':
      return `stdio:${query}`;
    case 'exec': {
      const options = endpoint.args.map((arg) => `arg=${encodePart(arg)}`);
      if (endpoint.bufferBytes !== undefined) options.push(`buffer=${endpoint.bufferBytes}`);
      return `exec:${encodePart(endpoint.command)}${options.length > 0 ? `?${options.join('&')}` : ''}`;
    }
    case 'zmq+tcp': {
      const { address, port } = endpoint;
      return `zmq+tcp:${isIPv6(address) ? `[${address}]` : address}:${port}${query}`;
    }
  }
}

/**
 * Returns `bufferBytes`, or the default if there is none.
 * @throws RangeError outside `MIN_BUFFER_BYTES`..`MAX_BUFFER_BYTES`.
 */
export function checkBufferBytes(bufferBytes: number | undefined): number {
  const bytes = bufferBytes ?? DEFAULT_BUFFER_BYTES;
  if (!Number.isInteger(bytes) || bytes < MIN_BUFFER_BYTES || bytes > MAX_BUFFER_BYTES) {
    throw new RangeError(
      `buffer of ${bytes} bytes: must be an integer from ${MIN_BUFFER_BYTES} to ${MAX_BUFFER_BYTES}`,
    );
  }
  return bytes;
}

/** @throws EndpointError unless `path` is absolute, names a file, and fits a socket address. */
export function checkSocketPath(path: string): void {
  const shown = JSON.stringify(path);
  if (!path.startsWith('/')) {
    throw new EndpointError('bad-path', `socket path ${shown} is not absolute: write it from / on`);
  }
  if (path.endsWith('/'))
    throw new EndpointError('bad-path', `socket path ${shown} names a directory, not a file`);
  if (path.includes('\0')) throw new EndpointError('bad-path', `socket path ${shown} contains a NUL`);
  const pathBytes = Buffer.byteLength(path, 'utf8');
  if (pathBytes > MAX_SOCKET_PATH_BYTES) {
    throw new EndpointError(
      'path-too-long',
      `socket path ${shown} has ${pathBytes} bytes, a Unix socket takes ${MAX_SOCKET_PATH_BYTES}: choose a shorter one`,
    );
  }
}

/** @throws EndpointError unless `name` is 1..64 of `A-Z a-z 0-9 . _ -`. */
export function checkMemoryName(name: string): void {
  if (name.length > MAX_MEMORY_NAME_CHARS || !/^[A-Za-z0-9._-]+$/.test(name)) {
    throw new EndpointError(
      'bad-name',
      `memory endpoint name ${JSON.stringify(name)}: must be 1 to ${MAX_MEMORY_NAME_CHARS} of A-Z a-z 0-9 . _ -`,
    );
  }
}

/** @throws EndpointError unless both numbers are integers from 0 to 2^31-1. */
export function checkVchanNumbers(domainId: number, port: number): void {
  for (const [what, value] of [
    ['domain id', domainId],
    ['port', port],
  ] as const) {
    if (Number.isInteger(value) && value >= 0 && value <= MAX_VCHAN_NUMBER) continue;
    throw new EndpointError(
      'bad-address',
      `vchan ${what} ${value}: must be an integer from 0 to ${MAX_VCHAN_NUMBER}`,
    );
  }
}

/**
 * @throws EndpointError unless `command` can be started without asking where we stand, and the arguments be
 *   passed.
 */
export function checkCommand(command: string, args: readonly string[]): void {
  const refuse = (what: string): never => {
    throw new EndpointError('bad-command', `command ${JSON.stringify(command)}: ${what}`);
  };
  if (command === '') refuse('is empty; write exec:COMMAND');
  if (command.includes('/') && !command.startsWith('/'))
    refuse('is relative; write it from / on, or without any /');
  if ([command, ...args].some((part) => part.includes('\0'))) refuse('it or an argument contains a NUL');
  if (args.length > MAX_ARGUMENT_COUNT)
    refuse(`has ${args.length} arguments, at most ${MAX_ARGUMENT_COUNT} are taken`);
}

/** @throws EndpointError unless `address` is an IP address and `port` from 0 to 65,535. */
export function checkTcpAddress(address: string, port: number): void {
  if (!isIPv4(address) && !isIPv6(address)) {
    const message = `address ${JSON.stringify(address)}: must be an IPv4 address or an IPv6 address in brackets, no name`;
    throw new EndpointError('bad-address', message);
  }
  if (!Number.isInteger(port) || port < 0 || port > MAX_TCP_PORT) {
    throw new EndpointError('bad-address', `TCP port ${port}: must be an integer from 0 to ${MAX_TCP_PORT}`);
  }
}

/** Whether an endpoint leaves this machine and takes keys only. */
export function needsCurve(endpoint: Endpoint): boolean {
  return endpoint.kind === 'zmq+tcp' && !isLoopback(endpoint.address);
}

/** Whether an IP address leads nowhere outside this machine. */
function isLoopback(address: string): boolean {
  return isIPv4(address) ? address.startsWith('127.') : address === '::1';
}

function parseVchanAddress(
  text: string,
  address: string,
): { readonly domainId: number; readonly port: number } {
  const match = /^([0-9]{1,10}):([0-9]{1,10})$/.exec(address);
  if (match === null) throw badAddress(text, 'is not vchan:DOMAIN:PORT with two decimal numbers');
  const domainId = Number(match[1]);
  const port = Number(match[2]);
  checkVchanNumbers(domainId, port);
  return { domainId, port };
}

function parseVchanQuery(
  text: string,
  query: string | undefined,
): Pick<VchanEndpoint, 'bufferBytes' | 'soname'> {
  const { values, others } = optionsOf(query, 'library');
  const [soname, second] = values;
  if (second !== undefined || (soname !== undefined && !LIBRARY.test(soname)))
    throw new EndpointError(
      'bad-option',
      `endpoint ${JSON.stringify(text)}: library= is given once: libvchan-xen.so or libxenvchan.so, also with a version`,
    );
  const rest = parseQuery(text, others);
  return soname === undefined ? rest : { ...rest, soname };
}

function parseUnixQuery(
  text: string,
  query: string | undefined,
): Pick<UnixEndpoint, 'bufferBytes' | 'group'> {
  const { values, others } = optionsOf(query, 'group');
  const [group, second] = values;
  const rest = parseQuery(text, others);
  if (group === undefined) return rest;
  if (second === undefined && GROUP.test(group)) return { ...rest, group };
  throw new EndpointError(
    'bad-option',
    `endpoint ${JSON.stringify(text)}: group= is given once, with the name or number of a group`,
  );
}

/** The values of one option of a query, and the query without them. */
function optionsOf(
  query: string | undefined,
  name: string,
): { readonly values: readonly string[]; readonly others: string | undefined } {
  const options = query === undefined ? [] : query.split('&');
  const isOne = (option: string): boolean => option.startsWith(`${name}=`);
  const others = options.filter((option) => !isOne(option));
  return {
    values: options.filter(isOne).map((option) => option.slice(name.length + 1)),
    others: others.length === 0 ? undefined : others.join('&'),
  };
}

function parseTcpAddress(text: string, rest: string): { readonly address: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(rest);
  if (match === null)
    throw badAddress(text, 'is not zmq+tcp:ADDRESS:PORT; an IPv6 address stands in brackets');
  const address = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  checkTcpAddress(address, port);
  return { address, port };
}

function parseCommand(
  text: string,
  encoded: string,
  query: string | undefined,
): Pick<ExecEndpoint, 'command' | 'args' | 'bufferBytes'> {
  const command = decodePart(text, encoded);
  const { values, others } = optionsOf(query, 'arg');
  const args = values.map((value) => decodePart(text, value));
  checkCommand(command, args);
  return { command, args, ...parseQuery(text, others) };
}

function badAddress(text: string, what: string): EndpointError {
  return new EndpointError('bad-address', `endpoint ${JSON.stringify(text)}: ${what}`);
}

function parseQuery(text: string, query: string | undefined): { readonly bufferBytes?: number } {
  if (query === undefined) return {};
  const match = /^buffer=([0-9]{1,9})(KiB|MiB)?$/.exec(query);
  if (match === null) {
    throw new EndpointError(
      'bad-option',
      `endpoint ${JSON.stringify(text)}: option ${JSON.stringify(query)} is not buffer=SIZE (SIZE: bytes, or 64KiB, or 1MiB)`,
    );
  }
  const unitBytes = match[2] === 'MiB' ? 1_048_576 : match[2] === 'KiB' ? 1_024 : 1;
  const bufferBytes = Number(match[1]) * unitBytes;
  if (bufferBytes < MIN_BUFFER_BYTES || bufferBytes > MAX_BUFFER_BYTES) {
    throw new EndpointError(
      'bad-option',
      `endpoint ${JSON.stringify(text)}: buffer of ${bufferBytes} bytes is outside ${MIN_BUFFER_BYTES}..${MAX_BUFFER_BYTES}`,
    );
  }
  return { bufferBytes };
}

function decodePart(text: string, encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    const shown = JSON.stringify(text);
    throw new EndpointError('bad-path', `endpoint ${shown}: a % is not part of valid %XX; write %25`, {
      cause,
    });
  }
}

function encodePart(part: string): string {
  // Only what the URL would misread is escaped: a path stays recognisable in logs and configuration.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped.
  return part.replace(/[%?#&\u0000-\u0020\u007f]/g, (char) => encodeURIComponent(char));
}
