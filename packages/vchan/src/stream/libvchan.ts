/**
 * Channels by the vchans of Xen: Qubes' libvchan-xen, or the libxenvchan that it is made of, loaded by name
 * when an endpoint asks for one. After their headers, and qubes-core-vchan-xen (vchan/init.c, io.c):
 *
 * ```
 *   channel.ts ═Duplex═ libvchan_write ─▶ rings that both domains have ═▶ the other end
 *                       libvchan_read ◀─
 *   poll(2) on one thread of libuv's, for all vchans ─event─▶ libvchan_wait takes it ─▶ pump: read, write
 * ```
 * - A library's calls may block where a ring is full or empty, so it is asked for room and data first;
 *   waiting for an event blocks, so the descriptor is polled first.
 * - The event is taken before the rings are looked at: what happens later is another event.
 * - There is no half-close. What lies in a ring can still be read when the other end is gone.
 * - A domain that is destroyed tells nobody, so that each vchan is looked at now and then.
 */
import { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import koffi from 'koffi';
import { AcceptQueue } from '../channel/accept-queue.ts';
import { abortedError, type Channel, ChannelConnectError, type Listener } from '../channel/channel.ts';
import { checkBufferBytes, EndpointError, formatEndpoint, type VchanEndpoint } from '../channel/endpoint.ts';
import { StreamChannel } from './channel.ts';
import { type ConnectSocketOptions, checkTimeout } from './socket.ts';

// Fixed by libvchan, and by Linux.

/** `libvchan_is_open`; 0 is disconnected. */
const [CONNECTED, WAITING] = [1, 2];
const POLLIN = 1;
/** `struct pollfd`: descriptor, events, what happened. */
const POLLFD = { bytes: 8, events: 4, happened: 6 } as const;
/** Of `eventfd`. */
const [EFD_CLOEXEC, EFD_NONBLOCK] = [0o2000000, 0o4000];

// Our choice.

/** The size of the rings; Xen shares only some megabytes with all of a domain's peers. */
const RING_BYTES = 65_536;
/** The interval at which a client looks for its server. */
const RETRY_MS = 100;
/** The longest wait of the thread, and so of the process's end for it. */
const POLL_MS = 500;

/** An end of a vchan, as a library has it: a pointer. */
type Control = bigint;

/** The functions of a library. */
export interface Libvchan {
  /** Null: it cannot be served. */
  readonly serve: (domainId: number, port: number, bytes: number) => Control | null;
  /**
   * Starts looking for a server: call `look` until it returns the connection, or else `giveUp`. Both may
   * throw.
   */
  readonly dial: (domainId: number, port: number) => Dialling;
  readonly read: (control: Control, into: Uint8Array, size: number) => number;
  readonly write: (control: Control, bytes: Uint8Array, size: number) => number;
  readonly wait: (control: Control) => number;
  readonly close: (control: Control) => void;
  readonly descriptor: (control: Control) => number;
  readonly isOpen: (control: Control) => number;
  readonly dataReady: (control: Control) => number;
  readonly bufferSpace: (control: Control) => number;
}

interface Dialling {
  readonly look: () => Control | null;
  readonly giveUp: () => void;
}

// biome-ignore lint/suspicious/noExplicitAny: what a function of C takes and gives, its declaration says.
type Declare = (result: string, call: string, args: string) => any;

/**
 * Loads a library by its name. Throws EndpointError.
 * @param ownId Id of this domain, which libxenvchan needs.
 */
export function loadLibvchan(name: string, ownId = ''): Libvchan {
  const isXens = /(^|\/)libxenvchan/.test(name);
  if (isXens && !/^[0-9]{1,5}$/.test(ownId)) {
    const message = `${name} needs VCHAN_DOMAIN: the id of this domain, in decimals`;
    throw new EndpointError('bad-environment', message);
  }
  try {
    const library = koffi.load(name);
    const of: Declare = (result, call, args) =>
      library.func(`${result} ${isXens ? 'libxenvchan' : 'libvchan'}_${call}(${args})`);
    return {
      ...(isXens ? endsOfXen(of, Number(ownId)) : endsOfQubes(of)),
      read: of('int', 'read', 'void *, void *, size_t'),
      write: of('int', 'write', 'void *, const void *, size_t'),
      wait: of('int', 'wait', 'void *'),
      close: of('void', 'close', 'void *'),
      descriptor: of('int', 'fd_for_select', 'void *'),
      isOpen: of('int', 'is_open', 'void *'),
      dataReady: of('int', 'data_ready', 'void *'),
      bufferSpace: of('int', 'buffer_space', 'void *'),
    };
  } catch (cause) {
    const message = `${name} cannot be used: ${textOf(cause)}. Install it (of Qubes 4.2: qubes-libvchan-xen), or use qrexec: exec:qrexec-client-vm?arg=QUBE&arg=SERVICE`;
    throw new EndpointError('cannot-connect', message, { cause });
  }
}

function endsOfQubes(of: Declare): Pick<Libvchan, 'serve' | 'dial'> {
  const serve = of('void *', 'server_init', 'int, int, size_t, size_t');
  const begin = of('void *', 'client_init_async', 'int, int, void *');
  const finish = of('int', 'client_init_async_finish', 'void *, bool');
  const close = of('void', 'close', 'void *');
  return {
    serve: (domainId, port, bytes) => serve(domainId, port, bytes, bytes),
    dial: (domainId, port) => {
      // a descriptor that signals when to look
      const control: Control | null = begin(domainId, port, Buffer.alloc(4));
      const look = (): Control | null => {
        const left = control === null ? -1 : finish(control, true);
        if (left < 0) throw new Error('the library refuses it');
        return left === 0 ? control : null;
      };
      return { look, giveUp: () => control !== null && close(control) };
    },
  };
}

function endsOfXen(of: Declare, ownId: number): Pick<Libvchan, 'serve' | 'dial'> {
  const serve = of('void *', 'server_init', 'void *, int, const char *, size_t, size_t');
  const connect = of('void *', 'client_init', 'void *, int, const char *');
  return {
    serve: (domainId, port, bytes) => serve(null, domainId, `data/vchan/${domainId}/${port}`, bytes, bytes),
    dial: (domainId, port) => {
      const path = `/local/domain/${domainId}/data/vchan/${ownId}/${port}`;
      return { look: () => connect(null, domainId, path), giveUp: () => undefined };
    },
  };
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Waits for descriptors on one of the four threads that libuv has for files, whatever vchans there are. */
class Poller {
  readonly #libc = koffi.load('libc.so.6');
  readonly #poll = this.#libc.func('int poll(void *, unsigned long, int)');
  readonly #read = this.#libc.func('intptr_t read(int, void *, size_t)');
  readonly #write = this.#libc.func('intptr_t write(int, const void *, size_t)');
  /** Wakes the thread when the set of descriptors changes. */
  readonly #bell: number = this.#libc.func('int eventfd(unsigned int, int)')(0, EFD_CLOEXEC | EFD_NONBLOCK);
  readonly #watched = new Map<number, (isSignalled: boolean) => void>();
  #turn: Promise<void> | undefined;

  /** Calls `look` when there is an event, and now and then without one. */
  watch(descriptor: number, look: (isSignalled: boolean) => void): void {
    this.#watched.set(descriptor, look);
    this.#write(this.#bell, new BigUint64Array([1n]), 8);
    if (this.#turn === undefined) void this.#go();
  }

  /** Resolves when the thread no longer polls the descriptor, so that it may be closed. */
  async leave(descriptor: number): Promise<void> {
    this.#watched.delete(descriptor);
    this.#write(this.#bell, new BigUint64Array([1n]), 8);
    await this.#turn;
  }

  async #go(): Promise<void> {
    while (this.#watched.size > 0) {
      this.#turn = this.#wait();
      await this.#turn;
    }
    this.#turn = undefined;
  }

  async #wait(): Promise<void> {
    const descriptors = [this.#bell, ...this.#watched.keys()];
    const polled = Buffer.alloc(descriptors.length * POLLFD.bytes);
    for (const [i, descriptor] of descriptors.entries()) {
      polled.writeInt32LE(descriptor, i * POLLFD.bytes);
      polled.writeInt16LE(POLLIN, i * POLLFD.bytes + POLLFD.events);
    }
    const count = await new Promise<number>((resolve) => {
      this.#poll.async(polled, descriptors.length, POLL_MS, (_error: unknown, n: number) => resolve(n));
    });
    this.#read(this.#bell, new BigUint64Array(1), 8);
    for (const [i, descriptor] of descriptors.entries()) {
      const isSignalled = polled.readInt16LE(i * POLLFD.bytes + POLLFD.happened) !== 0;
      if (isSignalled || count === 0) this.#watched.get(descriptor)?.(isSignalled);
    }
  }
}

let shared: Poller | undefined;
function poller(): Poller {
  shared ??= new Poller();
  return shared;
}

/** An end of a vchan as a stream, of which channel.ts makes a channel as of a socket. */
class VchanStream extends Duplex {
  readonly #library: Libvchan;
  readonly #control: Control;
  readonly #descriptor: number;
  /** Called when the other end arrives; undefined afterwards. */
  #meet: (() => void) | undefined;
  #wantsMore = false;
  #isOver = false;
  /** Not in the ring yet. */
  #unsent: { bytes: Uint8Array; readonly done: (error?: Error) => void } | undefined;

  constructor(library: Libvchan, control: Control, meet?: () => void) {
    super({ allowHalfOpen: false, highWaterMark: RING_BYTES });
    this.#library = library;
    this.#control = control;
    this.#meet = meet;
    this.#descriptor = library.descriptor(control);
    poller().watch(this.#descriptor, (isSignalled) => {
      if (isSignalled && library.wait(control) < 0) this.destroy(new Error('the library failed'));
      else this.#pump();
    });
  }

  override _read(): void {
    this.#wantsMore = true;
    this.#pump();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    this.#unsent = { bytes, done };
    this.#pump();
  }

  /** All is in the ring; there is no half-close. */
  override _final(done: () => void): void {
    done();
    this.destroy();
  }

  /** Closes the connection, once its descriptor is not polled any more. */
  override async _destroy(error: Error | null, done: (error: Error | null) => void): Promise<void> {
    await poller().leave(this.#descriptor);
    this.#library.close(this.#control);
    done(error);
  }

  /**
   * Moves data in both directions, then checks whether the other end is there: reading may consume an event.
   */
  #pump(): void {
    if (this.destroyed || this.#isOver) return;
    if (this.#meet !== undefined) {
      if (this.#library.isOpen(this.#control) === WAITING) return;
      const meet = this.#meet;
      this.#meet = undefined;
      meet();
    }
    while ((this.#wantsMore && this.#receive()) || this.#send());
    if (this.#library.isOpen(this.#control) === CONNECTED) return;
    while (this.#receive()); // more than is wanted: the ring goes with this end
    this.#isOver = true;
    this.push(null);
  }

  #receive(): boolean {
    const size = Math.min(RING_BYTES, this.#library.dataReady(this.#control));
    if (size <= 0) return false;
    const bytes = Buffer.allocUnsafeSlow(size);
    const count = this.#library.read(this.#control, bytes, size);
    if (count <= 0) return false;
    this.#wantsMore = false;
    if (this.push(bytes.subarray(0, count))) this.#wantsMore = true;
    return true;
  }

  #send(): boolean {
    const unsent = this.#unsent;
    const roomBytes = unsent === undefined ? 0 : this.#library.bufferSpace(this.#control);
    if (unsent === undefined || roomBytes <= 0) return false;
    const count = this.#library.write(this.#control, unsent.bytes, Math.min(roomBytes, unsent.bytes.length));
    if (count <= 0) return false;
    unsent.bytes = unsent.bytes.subarray(count);
    if (unsent.bytes.length > 0) return true;
    this.#unsent = undefined;
    unsent.done();
    return true;
  }
}

/**
 * Connects as the client of a domain, and waits for its server until the time is up.
 * @throws ChannelConnectError; RangeError for a bad option.
 */
export async function connectLibvchan(
  library: Libvchan,
  endpoint: VchanEndpoint,
  { timeoutMs, signal, ...options }: ConnectSocketOptions,
): Promise<Channel> {
  checkTimeout(timeoutMs);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const url = formatEndpoint(endpoint);
  const deadlineMs = performance.now() + timeoutMs;
  const { look, giveUp } = library.dial(endpoint.domainId, endpoint.port);
  let control: Control | null;
  try {
    for (control = look(); control === null; control = look()) {
      if (signal?.aborted) throw abortedError(url, signal);
      if (performance.now() + RETRY_MS >= deadlineMs) throw new Error('no server has appeared');
      await wait(RETRY_MS);
    }
  } catch (cause) {
    giveUp();
    if (cause instanceof ChannelConnectError) throw cause;
    const message = `${url}: ${textOf(cause)}; is /dev/xen there, and may this user use it?`;
    throw new ChannelConnectError('connect-failed', message, { cause });
  }
  const stream = new VchanStream(library, control);
  return new StreamChannel('client', { name: url }, { input: stream, output: stream }, bufferBytes);
}

/** Serves one client of a domain after the other. @throws EndpointError, RangeError for a bad option. */
export function listenLibvchan(
  library: Libvchan,
  endpoint: VchanEndpoint,
  options: { readonly bufferBytes: number | undefined; readonly onError: (error: Error) => void },
): Listener {
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const url = formatEndpoint(endpoint);
  const arrived = new AcceptQueue(url, 1);
  let [count, isClosed] = [0, false];
  /** A server that no client has reached yet. */
  let waiting: VchanStream | undefined;
  const serve = (): void => {
    const control = library.serve(endpoint.domainId, endpoint.port, Math.min(bufferBytes, RING_BYTES));
    if (control === null) {
      const message = `${url} cannot be served; is that domain there, and /dev/xen, and may this user use it?`;
      throw new EndpointError('cannot-listen', message);
    }
    const stream = new VchanStream(library, control, () => {
      waiting = undefined;
      const name = `${url}#${++count}`;
      arrived.add(new StreamChannel('server', { name }, { input: stream, output: stream }, bufferBytes));
    });
    stream.once('close', next); // another one replaces one that is gone
    waiting = stream;
  };
  const next = (): void => {
    if (isClosed) return;
    try {
      serve();
    } catch (error) {
      options.onError(error instanceof Error ? error : new Error(String(error)));
      arrived.close();
    }
  };
  serve();
  return {
    endpoint,
    accept: () => arrived.next(),
    close: async () => {
      isClosed = true;
      arrived.close();
      const stream = waiting;
      if (stream === undefined) return;
      waiting = undefined;
      await new Promise<void>((resolve) => stream.once('close', resolve).destroy());
    },
  };
}
