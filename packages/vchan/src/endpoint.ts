/**
 * Endpoint URLs: where a channel is listened for or connected to. Parsed and printed here and nowhere else.
 *
 * ```
 *   unix:/absolute/path.sock[?buffer=SIZE]     a Unix stream socket
 *   memory:NAME[?buffer=SIZE]                  inside this process, for tests and embedding
 * ```
 * SIZE is bytes, or a number followed by KiB or MiB. In a path `%`, `?`, `#` and control characters are written as `%XX`.
 */

// Fixed by Linux.

/** `sun_path` of unix(7) has 108 bytes, the last one for the terminating NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

// Our choice.

/** Small enough for hundreds of subscribers, and one maximal frame of the protocol fits. */
export const DEFAULT_BUFFER_BYTES = 65_536;
/** One memory page, the smallest ring libvchan makes without sharing a page. */
export const MIN_BUFFER_BYTES = 4_096;
/** Beyond this a bigger buffer only hides a stuck reader. */
export const MAX_BUFFER_BYTES = 16_777_216;
const MAX_MEMORY_NAME_CHARS = 64;
const ENDPOINT_FORMS =
  'known forms are unix:/absolute/path.sock and memory:NAME, each with an optional ?buffer=SIZE';

export interface UnixEndpoint {
  readonly kind: 'unix';
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

export type Endpoint = UnixEndpoint | MemoryEndpoint;

export type EndpointErrorCode =
  | 'unknown_kind'
  | 'bad_path'
  | 'path_too_long'
  | 'bad_name'
  | 'bad_option'
  | 'no_directory'
  | 'cannot_listen';

/** The endpoint cannot work as written: somebody must correct the configuration. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError';
  readonly code: EndpointErrorCode;

  constructor(code: EndpointErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Something else has the endpoint: stop it, or choose another endpoint. */
export class EndpointInUseError extends Error {
  override readonly name = 'EndpointInUseError';
  readonly code: 'in_use' | 'not_a_socket';

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
      const path = decodePath(text, address);
      checkSocketPath(path);
      return { kind, path, ...parseQuery(text, query) };
    }
    case 'memory':
      checkMemoryName(address);
      return { kind, name: address, ...parseQuery(text, query) };
    default: {
      const hint = text.startsWith('/') ? `; did you mean unix:${text}?` : '';
      throw new EndpointError('unknown_kind', `endpoint ${JSON.stringify(text)}: ${ENDPOINT_FORMS}${hint}`);
    }
  }
}

/** The URL that `parseEndpoint` reads back as the same endpoint; the buffer in plain bytes. */
export function formatEndpoint(endpoint: Endpoint): string {
  const query = endpoint.bufferBytes === undefined ? '' : `?buffer=${endpoint.bufferBytes}`;
  switch (endpoint.kind) {
    case 'unix':
      return `unix:${encodePath(endpoint.path)}${query}`;
    case 'memory':
      return `memory:${endpoint.name}${query}`;
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
    throw new EndpointError('bad_path', `socket path ${shown} is not absolute: write it from / on`);
  }
  if (path.endsWith('/'))
    throw new EndpointError('bad_path', `socket path ${shown} names a directory, not a file`);
  if (path.includes('\0')) throw new EndpointError('bad_path', `socket path ${shown} contains a NUL`);
  const pathBytes = Buffer.byteLength(path, 'utf8');
  if (pathBytes > MAX_SOCKET_PATH_BYTES) {
    throw new EndpointError(
      'path_too_long',
      `socket path ${shown} has ${pathBytes} bytes, a Unix socket takes ${MAX_SOCKET_PATH_BYTES}: choose a shorter one`,
    );
  }
}

/** @throws EndpointError unless `name` is 1..64 of `A-Z a-z 0-9 . _ -`. */
export function checkMemoryName(name: string): void {
  if (name.length > MAX_MEMORY_NAME_CHARS || !/^[A-Za-z0-9._-]+$/.test(name)) {
    throw new EndpointError(
      'bad_name',
      `memory endpoint name ${JSON.stringify(name)}: must be 1 to ${MAX_MEMORY_NAME_CHARS} of A-Z a-z 0-9 . _ -`,
    );
  }
}

function parseQuery(text: string, query: string | undefined): { readonly bufferBytes?: number } {
  if (query === undefined) return {};
  const match = /^buffer=([0-9]{1,9})(KiB|MiB)?$/.exec(query);
  if (match === null) {
    throw new EndpointError(
      'bad_option',
      `endpoint ${JSON.stringify(text)}: option ${JSON.stringify(query)} is not buffer=SIZE (SIZE: bytes, or 64KiB, or 1MiB)`,
    );
  }
  const unitBytes = match[2] === 'MiB' ? 1_048_576 : match[2] === 'KiB' ? 1_024 : 1;
  const bufferBytes = Number(match[1]) * unitBytes;
  if (bufferBytes < MIN_BUFFER_BYTES || bufferBytes > MAX_BUFFER_BYTES) {
    throw new EndpointError(
      'bad_option',
      `endpoint ${JSON.stringify(text)}: buffer of ${bufferBytes} bytes is outside ${MIN_BUFFER_BYTES}..${MAX_BUFFER_BYTES}`,
    );
  }
  return { bufferBytes };
}

function decodePath(text: string, encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    const shown = JSON.stringify(text);
    throw new EndpointError(
      'bad_path',
      `endpoint ${shown}: a % in the path is not part of valid %XX; write %25`,
      { cause },
    );
  }
}

function encodePath(path: string): string {
  // Only what the URL would misread is escaped: a path stays recognisable in logs and configuration.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped.
  return path.replace(/[%?#\u0000-\u0020\u007f]/g, (char) => encodeURIComponent(char));
}
