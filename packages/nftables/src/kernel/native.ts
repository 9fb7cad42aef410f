/**
 * Netlink sockets, by the C library's functions through koffi. Loaded by the process that has CAP_NET_ADMIN,
 * and by the one that had it when it opened the log of refused packets.
 */

import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';

/** A failed request to the kernel. The message is one line for a person. */
export class NativeError extends Error {
  /** The kernel's error number, negative; 0 without one. */
  readonly errno: number;

  constructor(text: string, errno = 0) {
    super(errno === 0 ? text : `${text}: ${getSystemErrorMap().get(errno)?.join(', ') ?? errno}`);
    this.errno = errno;
  }

  /** The object does not exist, or no longer. */
  get isAbsent(): boolean {
    return this.errno === -ENOENT;
  }

  /** The request is not allowed, or the object belongs to another process. */
  get isForbidden(): boolean {
    return this.errno === -EPERM;
  }
}

/** A netlink socket, as the encoder of messages needs it. */
export interface NetlinkSocket {
  /**
   * Sends one datagram: the first `length` bytes. The kernel has acted on it when this returns. Throws
   * NativeError.
   */
  send(bytes: Uint8Array, length: number): void;
  /** Bytes of the next answer, which it puts into `into`; 0 where there is none. Throws NativeError. */
  receive(into: Uint8Array): number;
  close(): void;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** The netlink families used: routing and netfilter. */
export const NetlinkFamily = { route: 0, netfilter: 12 } as const;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const MSG_DONTWAIT = 0x40;
const INTERFACE_NAME_BYTES = 16;
const EPERM = 1;
const ENOENT = 2;
const EAGAIN = 11;
/**
 * Room for one piece to send, and for the errors of all of its messages. Only root of the initial user
 * namespace may exceed the machine's limit.
 */
const BUFFER_BYTES = 16_777_216;

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, int)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
  recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, int)'),
  close: libc.func('int close(int)'),
  if_indextoname: libc.func('void *if_indextoname(unsigned int, _Out_ char *)'),
};

/** Opens a socket, which no program that is started gets. Throws NativeError. */
export function openNetlink(family: number = NetlinkFamily.netfilter): NetlinkSocket {
  const fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family) as number;
  if (fd < 0) throw failure('socket');
  const address = new Uint8Array(12); // sockaddr_nl: the kernel gives the port, no groups
  address[0] = AF_NETLINK;
  if (c.bind(fd, address, address.length) !== 0) throw failure('bind');
  const set = (level: number, option: number, value: number): boolean =>
    c.setsockopt(fd, level, option, Int32Array.of(value), 4) === 0;
  const hasRoom =
    (set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) || set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES)) &&
    (set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) || set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES));
  // Errors without room are dropped: those of the first messages tell the reason.
  if (!hasRoom || !set(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)) throw failure('setsockopt');
  return {
    send(bytes, length) {
      if (Number(c.send(fd, bytes, length, 0)) !== length) throw failure('send');
    },
    receive(into) {
      const count = Number(c.recv(fd, into, into.length, MSG_DONTWAIT));
      if (count >= 0) return count;
      if (koffi.errno() === EAGAIN) return 0;
      throw failure('recv');
    },
    close() {
      c.close(fd);
    },
  };
}

/** The present name of an interface; undefined: there is none. */
export function interfaceNameOf(index: number): string | undefined {
  const name = Buffer.alloc(INTERFACE_NAME_BYTES);
  return c.if_indextoname(index, name) === null ? undefined : name.toString('latin1', 0, name.indexOf(0));
}

function failure(call: string): NativeError {
  return new NativeError(`netlink ${call}`, -koffi.errno());
}
