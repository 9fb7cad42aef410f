/**
 * The C functions that the applier calls, through koffi: libnftables, which reads rules, and sockets of the
 * kernel's netfilter netlink. The one place that imports koffi; only the process that has CAP_NET_ADMIN loads
 * it.
 */

import { readdirSync, readlinkSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi, { type LibraryHandle } from 'koffi';

/** A library is not there, or what was asked of it failed. The message is one line for a person. */
export class NativeError extends Error {}

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

/** libnftables with one context, hence with one socket, which owns what is made through it. */
export interface Nft {
  /**
   * Runs text, which ends in a zero byte. Resolves to what it printed; throws NativeError with its complaint.
   */
  run(text: Uint8Array, output?: OutputFlags): string;
  readonly socket: NetlinkSocket;
}

/** nft_ctx_output_set_flags of libnftables: no counts, no elements. */
export type OutputFlags = 0 | typeof OutputFlag.stateless | typeof OutputFlag.structure;
export const OutputFlag = { stateless: 1 << 2, structure: (1 << 2) | (1 << 11) } as const;

const LIBRARY = 'libnftables.so.1';
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const EAGAIN = 11;
/** Room for one piece on its way in, and for the errors of all of its messages on their way out. */
const BUFFER_BYTES = 16_777_216;

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, int)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
  recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, int)'),
  fcntl: libc.func('int fcntl(int, int, ...)'),
  close: libc.func('int close(int)'),
};

/** Opens a socket of its own. Throws NativeError. */
export function openNetlink(): NetlinkSocket {
  const fd = c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER) as number;
  if (fd < 0) throw failure('socket');
  const address = new Uint8Array(12); // sockaddr_nl: the kernel gives the port, no groups
  address[0] = AF_NETLINK;
  if (c.bind(fd, address, address.length) !== 0) throw failure('bind');
  return socketOf(fd);
}

/**
 * Loads libnftables and opens its context. To be called once, before any program is started. Throws
 * NativeError.
 */
export function openNft(): Nft {
  const library = loadNft();
  const func = library.func.bind(library);
  const open = func('void *nft_ctx_new(uint32_t)');
  const run = func('int nft_run_cmd_from_buffer(void *, const void *)');
  const setFlags = func('void nft_ctx_output_set_flags(void *, unsigned int)');
  const output = func('const char *nft_ctx_get_output_buffer(void *)');
  const errors = func('const char *nft_ctx_get_error_buffer(void *)');
  const before = new Set(sockets());
  const context: unknown = open(0);
  const [fd] = sockets().filter((each) => !before.has(each));
  if (context === null || fd === undefined) throw new NativeError(`${LIBRARY} opens no socket`);
  // Opened without it: a program that we started would keep what we own locked after our end.
  if (c.fcntl(fd, F_SETFD, 'int', FD_CLOEXEC) !== 0) throw failure('fcntl');
  func('int nft_ctx_buffer_output(void *)')(context);
  func('int nft_ctx_buffer_error(void *)')(context);
  return {
    run(text, flags = 0) {
      setFlags(context, flags);
      if (run(context, text) !== 0) throw new NativeError(oneLine(errors(context) as string));
      return output(context) as string;
    },
    socket: socketOf(fd),
  };
}

/** Loads the library, and opens nothing of the kernel. Throws NativeError. */
export function loadNft(): LibraryHandle {
  try {
    return koffi.load(LIBRARY);
  } catch (error) {
    const text = `${LIBRARY} cannot be loaded: install libnftables1 (Debian) or nftables (Fedora)`;
    throw new NativeError(text, { cause: error });
  }
}

function socketOf(fd: number): NetlinkSocket {
  const size = Buffer.alloc(4);
  size.writeInt32LE(BUFFER_BYTES);
  for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE]) {
    if (c.setsockopt(fd, SOL_SOCKET, option, size, size.length) !== 0) throw failure('setsockopt');
  }
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

function sockets(): readonly number[] {
  const isSocket = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // of readdir itself
    }
  };
  return readdirSync('/proc/self/fd').filter(isSocket).map(Number);
}

function failure(call: string): NativeError {
  return new NativeError(`netlink ${call}: ${getSystemErrorName(-koffi.errno())}`);
}

/** What libnftables complained of: its first line, without what could disturb a terminal. */
function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, ERROR_TEXT_MAX);
}

/** Characters of what libnftables says about an error that are passed on. */
const ERROR_TEXT_MAX = 512;
