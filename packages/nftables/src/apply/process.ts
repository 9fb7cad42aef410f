/**
 * One process after the other that speaks the applier's frames: started, replaced when it dies, and killed
 * when it is silent, by whoever needs it: the subscriber, or the supervisor that it leaves behind when it
 * gives its privileges up.
 *
 * A spare waits beside the one at work: started, with everything loaded, but holding nothing of the kernel.
 * It takes over at once, where to start another one takes a third of a second in which somebody may have
 * taken our tables away.
 *
 * A supervisor has no spare and no successor: it was started with rights that are given up by now.
 */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import {
  ALIVE_EVERY_MS,
  CLOSE_WAITS_MS,
  MISSED_MAX,
  RESPAWN_LONGEST_MS,
  RESPAWN_MS,
  SPARE_AFTER_MS,
  STEADY_MS,
} from '../limits.ts';
import { FrameSplitter, frameOf } from './message.ts';

/** How to start the applier. */
export interface ApplierCommand {
  readonly program: string;
  readonly args: readonly string[];
}

export interface ProcessEvents {
  /** A whole frame came; its bytes are the receiver's. */
  readonly onFrame: (frame: Buffer) => void;
  /** It died or was killed; another one takes its place. */
  readonly onGone: (why: string) => void;
  /** It was a supervisor, and no other takes its place. */
  readonly onLost?: (why: string) => void;
  /** What it says on standard error, in pieces; without, that is ours. */
  readonly onText?: ((text: string) => void) | undefined;
  /** It says nothing any more, and is to be killed; which may not be allowed. */
  readonly onSilent?: () => void;
  /** Another one runs in its place. */
  readonly onRestart: () => void;
}

/** Where to find a program that is given without a directory. */
const SEARCH_PATH = '/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin';

interface Child {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable | null>;
  readonly startedAtMs: number;
  /** Ticks since it said anything. */
  missed: number;
}

export class ApplierProcess {
  readonly #command: ApplierCommand;
  readonly #events: ProcessEvents;
  readonly #watch: NodeJS.Timeout;
  readonly #isSupervised: boolean;
  #active: Child | undefined;
  #spare: Child | undefined;
  #waitMs = RESPAWN_MS;
  #timer: NodeJS.Timeout | undefined;
  #closing: (() => void) | undefined;

  constructor(command: ApplierCommand, events: ProcessEvents) {
    this.#command = command;
    this.#events = events;
    this.#isSupervised = command.args.includes('--supervise');
    this.#active = this.#start([]);
    this.#fillIn(SPARE_AFTER_MS);
    // By ticks, not by the clock: where we are late ourselves, what came is read before the next tick.
    this.#watch = setInterval(() => {
      for (const child of this.#children()) {
        if (++child.missed <= MISSED_MAX) continue;
        if (child === this.#active) this.#events.onSilent?.();
        kill(child);
      }
    }, ALIVE_EVERY_MS);
  }

  /** Standard input of the one at work; undefined while there is none. */
  get input(): Writable | undefined {
    return this.#active?.process.stdin;
  }

  /** Ends all by the end of their input, or else kills them; starts no other. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    const children = this.#children();
    const ended = new Promise<void>((resolve) => {
      this.#closing = resolve;
    });
    if (children.length === 0) return;
    for (const child of children) child.process.stdin.end();
    const late = setTimeout(() => children.forEach(kill), CLOSE_WAITS_MS);
    const given = setTimeout(() => this.#closing?.(), CLOSE_WAITS_MS * 1.5); // they may be another user's
    await ended;
    clearTimeout(late);
    clearTimeout(given);
    for (const child of children) {
      child.process.unref();
      child.process.stdout.destroy();
    }
  }

  #children(): readonly Child[] {
    return [this.#active, this.#spare].filter((child) => child !== undefined);
  }

  #start(more: readonly string[]): Child {
    const { program, args } = this.#command;
    const { onText } = this.#events;
    const words = [...args, ...more.filter((word) => !args.includes(word))];
    const options = { env: { PATH: SEARCH_PATH }, detached: true }; // a group of its own, to be killed as one
    const process =
      onText === undefined
        ? spawn(program, words, { ...options, stdio: ['pipe', 'pipe', 'inherit'] })
        : spawn(program, words, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    const child = { process, startedAtMs: performance.now(), missed: 0 };
    const splitter = new FrameSplitter();
    process.stdin.on('error', () => undefined); // the process ended; `gone` says so
    process.stderr?.setEncoding('utf8').on('data', (text: string) => onText?.(text));
    process.stdout.on('data', (bytes: Buffer) => {
      child.missed = 0;
      try {
        for (const frame of splitter.push(bytes)) if (child === this.#active) this.#events.onFrame(frame);
      } catch {
        kill(child); // our own program, and yet it cannot be understood
      }
    });
    process.once('error', (error) => this.#gone(child, error.message));
    process.once('close', (code, signal) => this.#gone(child, `it ended with ${signal ?? code}`));
    return child;
  }

  #gone(child: Child, why: string): void {
    if (!this.#children().includes(child)) return;
    const wasActive = child === this.#active;
    if (wasActive) this.#active = undefined;
    else this.#spare = undefined;
    if (this.#closing !== undefined) {
      if (this.#children().length === 0) this.#closing();
      return;
    }
    if (wasActive) {
      this.#events.onGone(why);
      if (this.#isSupervised) return this.#events.onLost?.(why);
      this.#takeOver();
    }
    const isQuick = performance.now() - child.startedAtMs < STEADY_MS;
    this.#waitMs = isQuick ? Math.min(RESPAWN_LONGEST_MS, this.#waitMs * 2) : RESPAWN_MS;
    this.#fillIn(this.#waitMs);
  }

  /** The spare works from now on, if there is one. */
  #takeOver(): void {
    this.#active = this.#spare;
    this.#spare = undefined;
    if (this.#active === undefined) return;
    for (const piece of frameOf({ begin: true })) this.#active.process.stdin.write(piece);
    this.#events.onRestart();
  }

  /** Starts whichever is missing, one at a time. */
  #fillIn(waitMs: number): void {
    clearTimeout(this.#timer);
    if (this.#active !== undefined && (this.#spare !== undefined || this.#isSupervised)) return;
    this.#timer = setTimeout(() => {
      if (this.#active !== undefined) this.#spare = this.#start(['--again', '--spare']);
      else {
        this.#active = this.#start(['--again']);
        this.#events.onRestart();
      }
      this.#fillIn(SPARE_AFTER_MS);
    }, waitMs);
  }
}

/** With whatever it started. */
function kill(child: Child): void {
  child.missed = 0;
  const { pid } = child.process;
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it ended just now, or we may not
  }
}
