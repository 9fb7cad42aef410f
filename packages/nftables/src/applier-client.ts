/** The sink's end of the pipe to the applier: starts the process, pairs replies with requests, starts it again when it dies. */

import { type ChildProcess, spawn } from 'node:child_process';
import { SEARCH_PATH } from './command.ts';
import { REQUEST_WAITS_MS, RESPAWN_LONGEST_MS, RESPAWN_MS, STEADY_MS } from './limits.ts';
import { FrameSplitter, type FromApplier, frameOf, parseFrame, type Reply, type Request } from './message.ts';

/** How to start the applier. */
export interface ApplierCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/** The applier cannot do what was asked, or is not there. What the kernel holds is what it held. */
export class ApplierError extends Error {}

export interface ApplierEvents {
  /** A new applier runs in place of one that died. */
  readonly onRestart: () => void;
  readonly onError: (text: string) => void;
}

/** How often it is looked whether an applier runs again. */
const LOOK_EVERY_MS = 50;

interface Waiting {
  readonly resolve: (answer: { reply: Reply; body: Uint8Array }) => void;
  readonly reject: (error: Error) => void;
}

export class ApplierClient {
  private readonly command: ApplierCommand;
  private readonly events: ApplierEvents;
  private readonly waiting = new Map<number, Waiting>();
  private child: ChildProcess | undefined;
  private nextId = 1;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private waitMs = RESPAWN_MS;
  private spawnedAtMs = 0;

  constructor(command: ApplierCommand, events: ApplierEvents) {
    this.command = command;
    this.events = events;
    this.spawn();
  }

  /** Sends a request. Rejects with ApplierError if it fails, or if the applier is gone. */
  async ask<K extends Reply['kind']>(
    request: Request,
    kind: K,
    body: readonly Uint8Array[] = [],
  ): Promise<{ readonly reply: Extract<Reply, { kind: K }>; readonly body: Uint8Array }> {
    const id = this.nextId++;
    const { stdin } = await this.running();
    if (stdin === null) throw new ApplierError('the nftables applier is not running');
    const answer = new Promise<{ reply: Reply; body: Uint8Array }>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
    });
    for (const piece of frameOf({ id, request }, body)) stdin.write(piece);
    const { reply, body: replyBody } = await answer;
    if (reply.kind === 'failed') throw new ApplierError(reply.text);
    if (reply.kind !== kind) throw new ApplierError(`the applier answered ${reply.kind} to ${request.kind}`);
    return { reply: reply as Extract<Reply, { kind: K }>, body: replyBody }; // its kind was compared just now
  }

  /** The applier, or the one that will be started in place of one that ended. */
  private async running(): Promise<ChildProcess> {
    const untilMs = performance.now() + REQUEST_WAITS_MS;
    while (this.child === undefined && !this.closed && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    if (this.child === undefined) throw new ApplierError('the nftables applier is not running');
    return this.child;
  }

  /** Ends the applier; the kernel keeps its rules. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    const { child } = this;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.stdin?.end();
    await ended;
  }

  private spawn(): void {
    const { program, args } = this.command;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: SEARCH_PATH } });
    this.child = child;
    this.spawnedAtMs = performance.now();
    const splitter = new FrameSplitter();
    child.stdin.on('error', () => undefined); // the process ended; `gone` says so
    child.stdout.on('data', (bytes: Buffer) => {
      try {
        for (const frame of splitter.push(bytes)) {
          const { header, body } = parseFrame(frame);
          this.receive(header as FromApplier, body); // our own process, with more rights than we have
        }
      } catch (error) {
        this.events.onError(`the applier cannot be understood: ${String(error)}`);
        child.kill();
      }
    });
    child.once('error', (error) => this.gone(child, error.message));
    child.once('close', (code, signal) => this.gone(child, `it ended with ${signal ?? code}`));
  }

  private receive(message: FromApplier, body: Uint8Array): void {
    if ('died' in message) {
      this.failAll('it ended, and is started again');
      this.events.onRestart();
    } else {
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      waiting?.resolve({ reply: message.reply, body });
    }
  }

  private gone(child: ChildProcess, why: string): void {
    if (this.child !== child) return;
    this.child = undefined;
    this.failAll(why);
    if (this.closed) return;
    this.events.onError(`the nftables applier is gone: ${why}; the rules stay`);
    const quick = performance.now() - this.spawnedAtMs < STEADY_MS;
    this.waitMs = quick ? Math.min(RESPAWN_LONGEST_MS, this.waitMs * 2) : RESPAWN_MS;
    this.timer = setTimeout(() => {
      this.spawn();
      this.events.onRestart();
    }, this.waitMs);
  }

  private failAll(why: string): void {
    for (const { reject } of this.waiting.values())
      reject(new ApplierError(`the nftables applier is gone: ${why}`));
    this.waiting.clear();
  }
}
