/**
 * Watches many sockets: one descriptor of the kernel's (epoll) stands for all of them, and is the only one in
 * the event loop (koffi's `poll`, by libuv).
 *
 *   sockets ─epoll─▶ one descriptor ─event loop─▶ look: who has something, again until nobody has ─▶ ready, each
 */

import koffi from 'koffi';
import { SocketError } from './native.ts';

// Fixed by Linux.

const CLOEXEC = 0o2000000;
const CONTROL = { add: 1, delete: 2, change: 3 } as const;
const [READABLE, WRITABLE] = [1, 4];
/** `struct epoll_event`, packed on x86 alone: the events, then a number of ours. */
const EVENT = process.arch === 'x64' || process.arch === 'ia32' ? { words: 3, at: 1 } : { words: 4, at: 2 };

// Our choice.

/** Sockets that are told of at a time. */
const EVENTS_MAX = 64;
/** The number of looks before other events have their turn. */
const LOOKS_MAX = 8;

const libc = koffi.load('libc.so.6');
const c = {
  create: libc.func('int epoll_create1(int)'),
  control: libc.func('int epoll_ctl(int, int, int, void *)'),
  wait: libc.func('int epoll_wait(int, void *, int, int)'),
  close: libc.func('int close(int)'),
};

export class Watch {
  readonly #all: number;
  readonly #ready = new Map<number, () => void>();
  readonly #events = new Int32Array(EVENTS_MAX * EVENT.words);
  readonly #one = new Int32Array(EVENT.words);
  readonly #handle: ReturnType<typeof koffi.node.poll>;
  #isDue = false;
  #isClosed = false;

  /** Throws SocketError. */
  constructor() {
    this.#all = c.create(CLOEXEC);
    if (this.#all < 0) throw new SocketError('epoll_create1', koffi.errno());
    this.#handle = koffi.node.poll(this.#all, () => {
      if (this.#isDue) return;
      this.#isDue = true;
      setImmediate(() => this.#look()); // in the same turn; errors are handled like those of any callback
    });
  }

  /** Calls `ready` while there is something to read. Throws SocketError. */
  add(fd: number, ready: () => void): void {
    if (!this.#control('add', fd, READABLE)) throw new SocketError('epoll_ctl', koffi.errno());
    this.#ready.set(fd, ready);
  }

  /** Whether `ready` is also called when there is room to write. */
  change(fd: number, isToWrite: boolean): void {
    this.#control('change', fd, isToWrite ? READABLE | WRITABLE : READABLE);
  }

  /** To be called before closing: another process that has the socket too keeps it open. */
  delete(fd: number): void {
    if (this.#ready.delete(fd)) this.#control('delete', fd, 0);
  }

  #control(what: keyof typeof CONTROL, fd: number, events: number): boolean {
    this.#one[0] = events;
    this.#one[EVENT.at] = fd;
    return c.control(this.#all, CONTROL[what], fd, this.#one) === 0;
  }

  /**
   * One callback may close another socket, whose number a new one then gets: callbacks must tolerate needless
   * calls.
   */
  #look(): void {
    this.#isDue = false;
    for (let looks = 0; looks < LOOKS_MAX && !this.#isClosed; looks++) {
      const count: number = c.wait(this.#all, this.#events, EVENTS_MAX, 0);
      if (count <= 0) return;
      for (let i = 0; i < count; i++) this.#ready.get(this.#events[i * EVENT.words + EVENT.at]!)?.(); // i < count
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handle.close();
    this.#ready.clear();
    c.close(this.#all);
  }
}
