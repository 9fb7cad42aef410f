/**
 * The sink's end of the pipe to the applier: matches replies to requests, and passes on the applier's
 * notices.
 */

import type { Family } from '@rulecast/rules';
import { REQUEST_WAITS_MS } from '../limits.ts';
import {
  changeFrame,
  type FromApplier,
  frameOf,
  type NftRun,
  parseFrame,
  type Reply,
  type Request,
} from './message.ts';
import { type ApplierCommand, ApplierProcess } from './process.ts';
import type { Notice } from './tables.ts';

/** The applier refused a request, or is not there. The kernel's tables are unchanged. */
export class ApplierError extends Error {}

/** It ended before it answered. */
class GoneError extends ApplierError {}

export interface ApplierEvents {
  /** A new applier replaced one that died. */
  readonly onRestart: () => void;
  readonly onNotice: (notice: Notice) => void;
  /** No name opens anything in these families: no source says which address comes by which interface. */
  readonly onUnpaired: (families: readonly Family[]) => void;
  /** Why questions of qubes do not reach `rulecast-dns`; empty: they do, or are not captured. */
  readonly onCaptured: (text: string) => void;
  readonly onError: (text: string) => void;
  /** Receives the applier's standard error; undefined: it goes to ours. */
  readonly onText: ((text: string) => void) | undefined;
  /** No applier runs any more, and none can be started. */
  readonly onLost: (text: string) => void;
}

/** To the one at work, and to the one that is started when it dies. */
const ASK_TRIES = 2;
/** The interval of looks for a restarted applier. */
const LOOK_EVERY_MS = 20;

interface Waiting {
  readonly resolve: (answer: { reply: Reply; body: Uint8Array }) => void;
  readonly reject: (error: Error) => void;
}

export class ApplierClient {
  readonly #events: ApplierEvents;
  readonly #process: ApplierProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;
  #said = false;

  constructor(command: ApplierCommand, events: ApplierEvents) {
    this.#events = events;
    this.#process = new ApplierProcess(command, {
      onFrame: (frame) => {
        const { header, body } = parseFrame(frame);
        this.#receive(header as FromApplier, body); // our own process, with more rights than we have
      },
      onGone: (why) => {
        this.#failAll(why);
        this.#say(why);
      },
      onLost: (why) => {
        this.#closed = true;
        this.#events.onLost(`the supervisor of the nftables applier is gone: ${why}`);
      },
      onText: events.onText,
      onSilent: () => this.#say('it does not answer'),
      onRestart: () => this.#events.onRestart(),
    });
  }

  /**
   * Sends a request; to the next applier as well, where one ends before it answers: no request does anything
   * twice, as a change names what it builds on. Rejects with ApplierError if it fails, or if they all go.
   */
  ask<K extends Reply['kind']>(
    request: Request,
    kind: K,
    body: readonly Uint8Array[] = [],
  ): Promise<{ readonly reply: Extract<Reply, { kind: K }>; readonly body: Uint8Array }> {
    return this.#ask((id) => frameOf({ id, request }, body), kind);
  }

  /** Sends a change whose JSON was made elsewhere. Rejects likewise. */
  async send(
    kind: 'apply' | 'stage',
    { json, body }: { readonly json: Uint8Array; readonly body: Uint8Array },
  ): Promise<NftRun> {
    return (await this.#ask((id) => changeFrame(id, kind, json, body), 'applied')).reply.run;
  }

  async #ask<K extends Reply['kind']>(
    frame: (id: number) => readonly Uint8Array[],
    kind: K,
  ): Promise<{ readonly reply: Extract<Reply, { kind: K }>; readonly body: Uint8Array }> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#askOnce(frame, kind);
      } catch (error) {
        if (!(error instanceof GoneError) || this.#closed || tries === ASK_TRIES) throw error;
      }
    }
  }

  async #askOnce<K extends Reply['kind']>(
    frame: (id: number) => readonly Uint8Array[],
    kind: K,
  ): Promise<{ readonly reply: Extract<Reply, { kind: K }>; readonly body: Uint8Array }> {
    const id = this.#nextId++;
    const input = await this.#running();
    const pieces = frame(id);
    const answer = new Promise<{ reply: Reply; body: Uint8Array }>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    for (const piece of pieces) input.write(piece);
    const { reply, body } = await answer;
    if (reply.kind === 'failed') throw new ApplierError(reply.text);
    if (reply.kind !== kind) throw new ApplierError(`the applier answered ${reply.kind}, not ${kind}`);
    return { reply: reply as Extract<Reply, { kind: K }>, body }; // its kind was compared just now
  }

  /** The input of the applier, or of the one that will be started in place of one that ended. */
  async #running(): Promise<NodeJS.WritableStream> {
    const untilMs = performance.now() + REQUEST_WAITS_MS;
    while (this.#process.input === undefined && !this.#closed && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    const { input } = this.#process;
    if (input === undefined || this.#closed) throw new ApplierError('the nftables applier is not running');
    return input;
  }

  /** Ends the applier; the kernel keeps its rules. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#failAll('it is not needed any more');
    await this.#process.close();
  }

  #receive(message: FromApplier, body: Uint8Array): void {
    if ('alive' in message) return;
    if ('noticed' in message) this.#events.onNotice(message.noticed);
    else if ('unpaired' in message) this.#events.onUnpaired(message.unpaired);
    else if ('captured' in message) this.#events.onCaptured(message.captured);
    else if ('died' in message) {
      this.#failAll('it ended');
      this.#say('it ended');
      this.#events.onRestart();
    } else {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      this.#said = false;
      waiting?.resolve({ reply: message.reply, body });
    }
  }

  /** Once, until one answers again. */
  #say(why: string): void {
    if (!this.#said) this.#events.onError(`the nftables applier is gone: ${why}; the rules stay`);
    this.#said = true;
  }

  #failAll(why: string): void {
    for (const { reject } of this.#waiting.values())
      reject(new GoneError(`the nftables applier is gone: ${why}`));
    this.#waiting.clear();
  }
}
