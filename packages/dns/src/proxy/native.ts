/**
 * Sockets by the C library's functions, through koffi: a call adds 0.3 µs to the kernel's time, while Node's
 * own sockets take longer for a datagram than the kernel. No call blocks.
 */

import { getSystemErrorName } from 'node:util';
import { type Address, type Family, parseAddress, strideOf } from '@rulecast/rules';
import koffi from 'koffi';
import type { DnsEndpoint } from './upstream.ts';

/** A failed system call, with Node's error code. */
export class SocketError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, errno: number, what = '') {
    const code = getSystemErrorName(-errno);
    super(`${syscall} ${code}${what}`);
    this.code = code;
    this.syscall = syscall;
  }
}

// Fixed by Linux, on all machines that Node and koffi are built for.

const AF = { 4: 2, 6: 10 } as const;
const AF_UNIX = 1;
const [SOCK_STREAM, SOCK_DGRAM] = [1, 2];
const SOCK_CLOEXEC_NONBLOCK = 0o2004000;
const SOL_SOCKET = 1;
const [SO_TYPE, SO_RCVBUF] = [3, 8];
const DONTWAIT_NOSIGNAL = 0x4040;
const DONTWAIT = 0x40;
/** `struct sockaddr_in` and `sockaddr_in6`: family, port, then the address and further fields. */
const SOCKET_ADDRESS_BYTES = { 4: 16, 6: 28 } as const;
const FAMILY_AT = 0;
const PORT_AT = 2;
const ADDRESS_AT = { 4: 4, 6: 8 } as const;
const SCOPE_AT = 24;
/** The third word of an address of IPv4 in one of IPv6. */
const MAPPED = 0xffff;
/** `struct sockaddr_un`, with the zero that ends its path. */
const PATH_AT = 2;
const PATH_MAX_BYTES = 107;
const ENAMETOOLONG = 36;
/** The address to connect to in order to disconnect: a datagram socket loses its port by it. */
const NOBODY = new Uint8Array(SOCKET_ADDRESS_BYTES[4]);
const FROM_SIZE = new Int32Array(1);

/** The most bytes of a sender's address. */
export const FROM_BYTES = SOCKET_ADDRESS_BYTES[6];
/** Nothing to read now, or no room to write. */
export const AGAIN = -11;

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, int)'),
  connect: libc.func('int connect(int, const void *, int)'),
  send: libc.func('int send(int, const void *, size_t, int)'),
  sendto: libc.func('int sendto(int, const void *, size_t, int, const void *, int)'),
  recv: libc.func('int recv(int, void *, size_t, int)'),
  recvfrom: libc.func('int recvfrom(int, void *, size_t, int, void *, void *)'),
  getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, int)'),
  close: libc.func('int close(int)'),
};

// ── Addresses, as the kernel has them ──────────────────────────────────────────────────────────────────────

/** Throws TypeError for an invalid address. */
export function socketAddressOf({ address, port }: DnsEndpoint): Uint8Array {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new TypeError(`${address} is no address`);
  const { family, words } = parsed;
  const bytes = Buffer.alloc(SOCKET_ADDRESS_BYTES[family]);
  new Uint16Array(bytes.buffer, bytes.byteOffset, 1)[0] = AF[family];
  bytes.writeUInt16BE(port, PORT_AT);
  for (const [at, word] of words.entries()) bytes.writeUInt32BE(word, ADDRESS_AT[family] + at * 4);
  return bytes;
}

export function familyOf(address: Uint8Array): Family {
  return address.length === SOCKET_ADDRESS_BYTES[4] ? 4 : 6;
}

/**
 * The address of a qube in a sender's `sockaddr`. Undefined: it has a zone, which qubes' addresses have not.
 */
export function addressIn(bytes: Buffer): Address | undefined {
  const family = bytes[FAMILY_AT] === AF[4] ? 4 : 6;
  const words = Uint32Array.from({ length: strideOf(family) }, (_, word) =>
    bytes.readUInt32BE(ADDRESS_AT[family] + word * 4),
  );
  if (family === 4) return { family, words };
  if (bytes.readUInt32LE(SCOPE_AT) !== 0) return undefined;
  const isMapped = words[0] === 0 && words[1] === 0 && words[2] === MAPPED;
  return isMapped ? { family: 4, words: words.slice(3) } : { family, words };
}

/** Equal for equal addresses only. */
export function keyIn(bytes: Buffer): string | number {
  if (bytes[FAMILY_AT] === AF[4]) return bytes.readUInt32BE(ADDRESS_AT[4]);
  return bytes.toString('latin1', ADDRESS_AT[6], SOCKET_ADDRESS_BYTES[6]);
}

/** A copy, to send to. */
export function senderIn(bytes: Buffer): Buffer {
  return Buffer.from(bytes.subarray(0, SOCKET_ADDRESS_BYTES[bytes[FAMILY_AT] === AF[4] ? 4 : 6]));
}

export function withPort(address: Buffer, port: number): Buffer {
  address.writeUInt16BE(port, PORT_AT);
  return address;
}

export function portIn(bytes: Buffer): number {
  return bytes.readUInt16BE(PORT_AT);
}

// ── Sockets ────────────────────────────────────────────────────────────────────────────────────────────────

/** A socket of datagrams. Throws SocketError. */
export function openDatagrams(family: Family): number {
  return opened(c.socket(AF[family], SOCK_DGRAM | SOCK_CLOEXEC_NONBLOCK, 0));
}

/** One at an address. Throws SocketError. */
export function bindDatagrams(endpoint: DnsEndpoint): number {
  const at = socketAddressOf(endpoint);
  const fd = openDatagrams(familyOf(at));
  if (c.bind(fd, at, at.length) === 0) return fd;
  const error = new SocketError('bind', koffi.errno(), ` ${endpoint.address}:${endpoint.port}`);
  close(fd);
  throw error;
}

/** A stream to a path. Throws SocketError. */
export function openStream(path: string): number {
  const fd = opened(c.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC_NONBLOCK, 0));
  const at = Buffer.alloc(PATH_AT + PATH_MAX_BYTES + 1);
  new Uint16Array(at.buffer, at.byteOffset, 1)[0] = AF_UNIX;
  const isWhole = at.write(path, PATH_AT) === Buffer.byteLength(path) && at[at.length - 1] === 0;
  if (isWhole && c.connect(fd, at, at.length) === 0) return fd;
  const error = new SocketError('connect', isWhole ? koffi.errno() : ENAMETOOLONG, ` ${path}`);
  close(fd);
  throw error;
}

function opened(fd: number): number {
  if (fd < 0) throw new SocketError('socket', koffi.errno());
  return fd;
}

/** Whether it is a datagram socket. Throws SocketError if it is no socket. */
export function isOfDatagrams(fd: number): boolean {
  const [type, size] = [new Int32Array(1), Int32Array.of(4)];
  if (c.getsockopt(fd, SOL_SOCKET, SO_TYPE, type, size) !== 0)
    throw new SocketError('getsockopt', koffi.errno());
  return type[0] === SOCK_DGRAM;
}

/** Makes room for so many unread bytes, or as many as the kernel grants. */
export function makeRoom(fd: number, byteCount: number): void {
  const [room, size] = [new Int32Array(1), Int32Array.of(4)];
  // the kernel doubles the value that was set, and returns that
  c.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, room, size);
  if (room[0]! < byteCount) c.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, Int32Array.of(byteCount / 2), 4);
}

/** Connects: sends go there, and nothing else is received; the kernel chooses a random port. */
export function connectDatagrams(fd: number, to: Uint8Array): boolean {
  return c.connect(fd, to, to.length) === 0;
}

/** Releases the socket's port. Whether it can be connected again. */
export function disconnect(fd: number): boolean {
  return c.connect(fd, NOBODY, NOBODY.length) === 0;
}

/** The number of bytes accepted; negative: an error code such as AGAIN. */
export function send(fd: number, bytes: Uint8Array): number {
  const count: number = c.send(fd, bytes, bytes.length, DONTWAIT_NOSIGNAL);
  return count < 0 ? -koffi.errno() : count;
}

/** Sends a datagram, which may be lost. */
export function sendTo(fd: number, bytes: Uint8Array, to: Uint8Array): void {
  c.sendto(fd, bytes, bytes.length, DONTWAIT_NOSIGNAL, to, to.length);
}

/** The number of bytes read into `into`; negative: an error code such as AGAIN. */
export function receive(fd: number, into: Uint8Array): number {
  const count: number = c.recv(fd, into, into.length, DONTWAIT);
  return count < 0 ? -koffi.errno() : count;
}

/** Likewise, with the sender's address in `from`. */
export function receiveFrom(fd: number, into: Uint8Array, from: Uint8Array): number {
  FROM_SIZE[0] = from.length;
  const count: number = c.recvfrom(fd, into, into.length, DONTWAIT, from, FROM_SIZE);
  return count < 0 ? -koffi.errno() : count;
}

export function close(fd: number): void {
  c.close(fd);
}
