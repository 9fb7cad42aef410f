/**
 * The signing process, as the publisher sees it: one request at a time, each with a deadline. A signer that
 * gives no answer, or a malformed one, is ended, and the next request starts or connects another.
 */

import { type Identity, parseShared } from '@rulecast/program/identity';
import type { Clock } from '@rulecast/sources';
import { type Channel, connect, type Endpoint } from '@rulecast/vchan';
import type { Logger } from 'pino';
import {
  ANSWER_MAX_BYTES,
  errorIn,
  type IdentityAnswer,
  identityAnswerIn,
  requestLine,
  type SignerRequest,
  signAnswerIn,
} from './line.ts';
import { type SignAnswer, type Signer, SignerError } from './signer.ts';

/**
 * Our choice: of one answer, with the start of the process. Signing takes a millisecond, flushing a slow disk
 * a second, and a process that takes another's place waits for that to end.
 */
const ANSWER_TIMEOUT_MS = 15_000;
const NEWLINE = 10;

export interface SignerLinkOptions {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
  /** Receives the standard error of a signer started here; by default it goes to ours. */
  readonly onText?: (text: string) => void;
  /** Default: the constants above. */
  readonly timeoutMs?: number;
}

export class SignerLink implements Signer {
  readonly #options: SignerLinkOptions;
  #channel: Channel | undefined;
  #said = Buffer.alloc(0);
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: SignerLinkOptions) {
    this.#options = options;
  }

  sign(manifest: Uint8Array): Promise<SignAnswer> {
    return this.#ask({ ask: 'sign', manifest }, signAnswerIn);
  }

  /** The identity without its release keys; undefined if there is none yet. Rejects with SignerError. */
  async identity(): Promise<Identity | undefined> {
    return identityOf(await this.#ask({ ask: 'identity' }, identityAnswerIn));
  }

  /** The identity, made if there is none. Rejects with SignerError. */
  async make(): Promise<Identity> {
    const identity = identityOf(await this.#ask({ ask: 'make' }, identityAnswerIn));
    if (identity === undefined) throw new SignerError('the signer made no identity');
    return identity;
  }

  /** Ends the process, or the connection to it. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  /** Runs after the earlier requests, whatever their outcome. */
  #ask<T>(request: SignerRequest, answerIn: (line: string) => T | undefined): Promise<T> {
    const asked = this.#turn.then(() => this.#askNow(request, answerIn));
    this.#turn = asked.catch(() => undefined);
    return asked;
  }

  async #askNow<T>(request: SignerRequest, answerIn: (line: string) => T | undefined): Promise<T> {
    const { clock, timeoutMs = ANSWER_TIMEOUT_MS } = this.#options;
    const deadline = new AbortController();
    const cancel = clock.after(timeoutMs, () => {
      deadline.abort();
      this.#drop(); // ends the caller's wait
    });
    try {
      const line = await this.#heard(requestLine(request), deadline.signal);
      const refusal = errorIn(line);
      if (refusal !== undefined) throw new SignerError(`the signer refuses: ${refusal}`);
      const answer = answerIn(line);
      if (answer !== undefined) return answer;
      this.#drop();
      throw new SignerError('the signer answers what is no answer');
    } catch (cause) {
      const error = deadline.signal.aborted
        ? new SignerError(`the signer did not answer within ${timeoutMs / 1000} s`, { cause })
        : asSignerError(cause);
      throw error;
    } finally {
      cancel();
    }
  }

  /**
   * The answer to a line. A signer that ended is started again, once: signing twice gives the same signature.
   */
  async #heard(line: string, signal: AbortSignal): Promise<string> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        return await this.#exchange(line, signal);
      } catch (error) {
        const hadOne = this.#channel !== undefined;
        this.#drop();
        if (isAgain || !hadOne || signal.aborted || this.#isClosed) throw error;
        this.#options.logger.warn({ err: error }, 'the signer ended: it is started again');
      }
    }
  }

  async #exchange(line: string, signal: AbortSignal): Promise<string> {
    if (this.#isClosed) throw new SignerError('the publisher stops');
    const { onText } = this.#options;
    const channel =
      this.#channel ?? (await connect(this.#options.endpoint, { signal, ...(onText && { onText }) }));
    this.#channel = channel;
    if (channel.dataReady() > 0) throw new SignerError('the signer says what it was not asked');
    for (let left: Uint8Array = Buffer.from(line); left.length > 0; ) {
      left = left.subarray(channel.write(left));
      if (left.length > 0) await channel.waitWritable();
      if (channel.state === 'disconnected') break;
    }
    for (;;) {
      const end = this.#said.indexOf(NEWLINE);
      if (end >= 0) {
        const answer = this.#said.toString('utf8', 0, end);
        if (end + 1 < this.#said.length) throw new SignerError('the signer says more than it was asked');
        this.#said = Buffer.alloc(0);
        return answer;
      }
      if (this.#said.length > ANSWER_MAX_BYTES) throw new SignerError('the signer says too much');
      if (channel.dataReady() > 0)
        this.#said = Buffer.concat([this.#said, channel.read(channel.dataReady())]);
      else if (channel.state === 'disconnected')
        throw new SignerError(`the signer ended (${channel.closeReason}): its log says why`);
      else await channel.waitReadable();
    }
  }

  #drop(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#said = Buffer.alloc(0);
  }
}

function identityOf({ identity, hasRootKey }: IdentityAnswer): Identity | undefined {
  return identity === undefined ? undefined : parseShared(identity, hasRootKey === true);
}

function asSignerError(cause: unknown): SignerError {
  if (cause instanceof SignerError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SignerError(`the signer cannot be had: ${why}`, { cause });
}
