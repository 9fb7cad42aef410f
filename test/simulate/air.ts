/**
 * The air that simulated processes breathe: one count of time, one queue of what is due, and whose work it
 * is. Everything that runs between two steps is microtasks, so that a seed decides the order of all else.
 *
 *   after, setImmediate, … ─▶ queue by time ─▶ step: one piece of work, and its microtasks ─▶ whoever watches ─▶ step …
 *
 * bundle.mjs puts `rulecastAir` in the place of Node's timers and clocks in all that is simulated. A process
 * that is dead does nothing more at the next step: what waits for time never goes on.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as realImmediate } from 'node:timers';
import { Random } from '../kit/random.mjs';

/** A computer of its own: when it was started, and what its wall clock shows. */
export class Machine {
  readonly name: string;
  /** What the wall clock is ahead of simulated time. */
  wallAheadMs: number;
  bootedAtMs = 0;
  bootCount = 0;

  constructor(name: string, wallAheadMs: number) {
    this.name = name;
    this.wallAheadMs = wallAheadMs;
  }

  wallMs(): number {
    return Math.floor(air.nowMs + this.wallAheadMs);
  }

  bootMs(): number {
    return Math.max(0, air.nowMs - this.bootedAtMs);
  }

  get bootId(): string {
    return `${this.name}-${this.bootCount}`;
  }

  reboot(): void {
    this.bootedAtMs = air.nowMs;
    this.bootCount += 1;
  }
}

/** One life of a program on a machine. */
export class Process {
  readonly name: string;
  readonly machine: Machine;
  isAlive = true;
  /** Nothing of it runs before. */
  frozenUntilMs = 0;
  /** How much of it waits for time. */
  waiting = 0;
  /** In which message from now on, to it or from it, a thread of it dies; 0: in none. */
  threadDiesIn = 0;
  /** When its last immediate is due: they come in their order. */
  turnMs = 0;

  constructor(name: string, machine: Machine) {
    this.name = name;
    this.machine = machine;
  }
}

interface Task {
  atMs: number;
  order: number;
  readonly process: Process;
  readonly work: () => void;
  isOver: boolean;
}

/**
 * Simulated clocks begin half a day before their seconds reach 2^32, and jumps take them across: epochs of
 * publishers that start over are such seconds.
 */
export const START_WALL_MS = (2 ** 32 - 40_000) * 1000;
/** Between two turns of an event loop, at most. */
const TURN_MS = 0.05;

class Air {
  nowMs = 0;
  /** Pieces of work that were done. */
  steps = 0;
  readonly #context = new AsyncLocalStorage<Process>();
  #world = new Process('world', new Machine('world', START_WALL_MS));
  #queue: Task[] = [];
  #orders = 0;
  #random = new Random(0);

  /** Another simulation begins. */
  reset(seed: number): void {
    this.nowMs = 0;
    this.steps = 0;
    this.#queue = [];
    this.#orders = 0;
    this.#random = new Random(seed);
    this.#world = new Process('world', new Machine('world', START_WALL_MS));
  }

  /** The process whose work is being done. */
  get process(): Process {
    return this.#context.getStore() ?? this.#world;
  }

  /** Does work as of a process, now. */
  as<T>(process: Process, work: () => T): T {
    return this.#context.run(process, work);
  }

  /** As of nobody: the network, the operator. */
  asWorld<T>(work: () => T): T {
    return this.#context.run(this.#world, work);
  }

  after(delayMs: number, work: () => void): () => void {
    const task = this.#push(this.nowMs + Math.max(0, Number(delayMs) || 0), work);
    return () => this.#cancel(task);
  }

  immediate(work: () => void): () => void {
    const { process } = this;
    const atMs = Math.max(process.turnMs, this.nowMs) + (this.#random.below(100) / 100) * TURN_MS;
    process.turnMs = atMs;
    const task = this.#push(atMs, work);
    return () => this.#cancel(task);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Lets time pass until then, or until `stop` says so after a step. */
  async runUntil(endMs: number, afterStep: (process: Process) => void, stop: () => boolean): Promise<void> {
    for (;;) {
      const task = this.#queue[0];
      if (task === undefined || task.atMs > endMs) break;
      this.#pop();
      const { process } = task;
      if (task.isOver) continue;
      if (process.isAlive && process.frozenUntilMs > task.atMs) {
        task.atMs = process.frozenUntilMs;
        this.#insert(task); // its order stays, so that what was due first comes first
        continue;
      }
      this.#end(task);
      if (!process.isAlive) continue;
      this.nowMs = Math.max(this.nowMs, task.atMs);
      this.steps += 1;
      this.#context.run(process, task.work);
      await new Promise((resolve) => realImmediate(resolve));
      afterStep(process);
      if (stop()) return;
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  #push(atMs: number, work: () => void): Task {
    const { process } = this;
    const task = { atMs, order: this.#orders++, process, work, isOver: false };
    process.waiting += 1;
    this.#insert(task);
    return task;
  }

  #cancel(task: Task): void {
    if (!task.isOver) this.#end(task);
  }

  #end(task: Task): void {
    task.isOver = true;
    task.process.waiting -= 1;
  }

  // ── A heap, the earliest first ───────────────────────────────────────────────────────────────────────────

  #insert(task: Task): void {
    const queue = this.#queue;
    let at = queue.push(task) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = queue[parent];
      if (above === undefined || isBefore(above, task)) break;
      queue[at] = above;
      at = parent;
    }
    queue[at] = task;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return;
    let at = 0;
    for (;;) {
      const [left, right] = [queue[2 * at + 1], queue[2 * at + 2]];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      queue[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    queue[at] = last;
  }
}

function isBefore(one: Task, other: Task): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

export const air = new Air();

/** What `setTimeout` and its like give back. */
class Timer {
  readonly #delayMs: number;
  readonly #work: () => void;
  #cancel: () => void;

  constructor(delayMs: number, work: () => void) {
    this.#delayMs = delayMs;
    this.#work = work;
    this.#cancel = air.after(delayMs, work);
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }

  refresh(): this {
    this.#cancel();
    this.#cancel = air.after(this.#delayMs, this.#work);
    return this;
  }

  close(): void {
    this.#cancel();
  }
}

type Work = (...args: readonly unknown[]) => void;

/** Node's globals of time, by their names. */
const globals = {
  setTimeout: (work: Work, delayMs = 1, ...args: readonly unknown[]) =>
    new Timer(Math.max(1, delayMs), () => work(...args)),
  setInterval: (work: Work, delayMs = 1, ...args: readonly unknown[]) => {
    const timer: Timer = new Timer(Math.max(1, delayMs), () => {
      timer.refresh();
      work(...args);
    });
    return timer;
  },
  clearTimeout: (timer: Timer | undefined) => timer?.close(),
  clearInterval: (timer: Timer | undefined) => timer?.close(),
  setImmediate: (work: Work, ...args: readonly unknown[]) => ({ close: air.immediate(() => work(...args)) }),
  clearImmediate: (timer: { close(): void } | undefined) => timer?.close(),
  performance: { now: () => air.process.machine.bootMs() },
  now: () => air.process.machine.wallMs(),
  random: () => {
    throw new Error('Math.random within a simulation: randomness has to be handed in');
  },
};

Object.assign(globalThis, { rulecastAir: globals });
