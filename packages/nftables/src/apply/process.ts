/**
 * Runs one process at a time that speaks the applier's frames: starts it, replaces it when it dies, and kills
 * it when it is silent. Used by the subscriber, or by the supervisor that keeps the rights when the
 * subscriber gives them up. Meanwhile the tables of the dead process keep judging. A supervisor is not
 * replaced, as the rights to start one are gone.
 */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import {
  ALIVE_EVERY_MS,
  CLOSE_WAITS_MS,
  MISSED_MAX,
  RESPAWN_LONGEST_MS,
  RESPAWN_MS,
  STEADY_MS,
} from '../limits.ts';
import { FrameSplitter } from './message.ts';

/** The command line of the applier. */
export interface ApplierCommand {
  readonly program: string;
  readonly args: readonly string[];
}

export interface ProcessEvents {
  /** A whole frame was received; the receiver owns its bytes. */
  readonly onFrame: (frame: Buffer) => void;
  /** It died or was killed; another one replaces it. */
  readonly onGone: (why: string) => void;
  /** It is lost for good: it was a supervisor, which nothing replaces. */
  readonly onLost?: (why: string) => void;
  /** Receives its standard error, in pieces; without it, that goes to ours. */
  readonly onText?: ((text: string) => void) | undefined;
  /** Called when it is silent and must be killed, for which this process may lack the right. */
  readonly onSilent?: () => void;
  /** Another process runs in its place. */
  readonly onRestart: () => void;
}

/** The directories to search for a program without a path. */
const SEARCH_PATH = '/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin';

type Child = ChildProcessByStdio<Writable, Readable, Readable | null>;

export class ApplierProcess {
  readonly #command: ApplierCommand;
  readonly #events: ProcessEvents;
  readonly #watch: NodeJS.Timeout;
  #child: Child | undefined;
  #startedAtMs = 0;
  /** Ticks since its last message. */
  #missed = 0;
  #waitMs = RESPAWN_MS;
  #timer: NodeJS.Timeout | undefined;
  #closing: (() => void) | undefined;

  constructor(command: ApplierCommand, events: ProcessEvents) {
    this.#command = command;
    this.#events = events;
    this.#child = this.#start(command.args);
    // Counts ticks, not time: if we were suspended ourselves, waiting messages are read before the next tick.
    this.#watch = setInterval(() => {
      if (this.#child === undefined || ++this.#missed <= MISSED_MAX) return;
      this.#events.onSilent?.();
      this.#kill(this.#child);
    }, ALIVE_EVERY_MS);
  }

  /** Its standard input; undefined while there is none. */
  get input(): Writable | undefined {
    return this.#child?.stdin;
  }

  /** Ends it by closing its input, or else kills it; starts no other. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    const child = this.#child;
    const ended = new Promise<void>((resolve) => {
      this.#closing = resolve;
    });
    if (child === undefined) return;
    child.stdin.end();
    const late = setTimeout(() => this.#kill(child), CLOSE_WAITS_MS);
    const given = setTimeout(() => this.#closing?.(), CLOSE_WAITS_MS * 1.5); // it may run as another user
    await ended;
    clearTimeout(late);
    clearTimeout(given);
    child.unref();
    child.stdout.destroy();
  }

  #start(args: readonly string[]): Child {
    const { program } = this.#command;
    const { onText } = this.#events;
    const options = { env: { PATH: SEARCH_PATH }, detached: true }; // a group of its own, to be killed as one
    const child =
      onText === undefined
        ? spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'inherit'] })
        : spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#startedAtMs = performance.now();
    this.#missed = 0;
    const splitter = new FrameSplitter();
    child.stdin.on('error', () => undefined); // the process ended, which `gone` reports
    child.stderr?.setEncoding('utf8').on('data', (text: string) => onText?.(text));
    child.stdout.on('data', (bytes: Buffer) => {
      this.#missed = 0;
      try {
        for (const frame of splitter.push(bytes)) this.#events.onFrame(frame);
      } catch {
        this.#kill(child); // our own program, and yet it cannot be understood
      }
    });
    child.once('error', (error) => this.#gone(child, error.message));
    child.once('close', (code, signal) => this.#gone(child, `it ended with ${signal ?? code}`));
    return child;
  }

  #gone(child: Child, why: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    if (this.#closing !== undefined) return this.#closing();
    this.#events.onGone(why);
    const { args } = this.#command;
    if (args.includes('--supervise')) return this.#events.onLost?.(why);
    const isQuick = performance.now() - this.#startedAtMs < STEADY_MS;
    this.#waitMs = isQuick ? Math.min(RESPAWN_LONGEST_MS, this.#waitMs * 2) : RESPAWN_MS;
    this.#timer = setTimeout(() => {
      this.#child = this.#start([...args, '--again']);
      this.#events.onRestart();
    }, this.#waitMs);
  }

  /** With whatever it started. */
  #kill({ pid }: Child): void {
    this.#missed = 0;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // it ended just now, or we may not
    }
  }
}
