/**
 * Which of many sockets have something: one descriptor of the kernel's (epoll) stands for all of them, and is
 * the only one that the event loop is told of (koffi's `poll`, by libuv).
 *
 *   sockets ─epoll─▶ one descriptor ─event loop─▶ look: who has something, again until nobody has ─▶ ready, each
 */

import koffi from 'koffi';
import { SocketError } from './native.ts';

// Fixed by Linux.

const CLOEXEC = 0o2000000;
const CONTROL = { add: 1, delete: 2, change: 3 } as const;
const [READABLE, WRITABLE] = [1, 4];
/** `struct epoll_event`, packed on x86 alone: what there is, then a number of ours. */
const EVENT = process.arch === 'x64' || process.arch === 'ia32' ? { words: 3, at: 1 } : { words: 4, at: 2 };

// Our choice.

/** Sockets that are told of at a time. */
const EVENTS_MAX = 64;
/** How often it is looked before others have their turn. */
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
      setImmediate(() => this.#look()); // in the same turn; what it throws, and begins, is as of any other
    });
  }

  /** `ready` is called when there is something to read, and as long as there is. Throws SocketError. */
  add(fd: number, ready: () => void): void {
    if (!this.#control('add', fd, READABLE)) throw new SocketError('epoll_ctl', koffi.errno());
    this.#ready.set(fd, ready);
  }

  /** Whether it is to be called when there is room to write, too. */
  change(fd: number, isToWrite: boolean): void {
    this.#control('change', fd, isToWrite ? READABLE | WRITABLE : READABLE);
  }

  /** Before it is closed: whoever else has that socket keeps it open. */
  delete(fd: number): void {
    if (this.#ready.delete(fd)) this.#control('delete', fd, 0);
  }

  #control(what: keyof typeof CONTROL, fd: number, events: number): boolean {
    this.#one[0] = events;
    this.#one[EVENT.at] = fd;
    return c.control(this.#all, CONTROL[what], fd, this.#one) === 0;
  }

  /** What one socket is told may close another, whose number a new one has: each can bear to be called. */
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
