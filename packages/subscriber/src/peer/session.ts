/**
 * One connection to the publisher, subscriber side: turns messages and local events into steps of the
 * protocol's table, and does what the table says. PROTOCOL.md "Sessions".
 */

import {
  type After,
  boundText,
  type Connection,
  DURATION_MAX_MS,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  type Message,
  type MessageOf,
  manifestHash,
  PROTOCOL_VERSION,
  ProtocolError,
  packetFromWire,
  QUERIES_PER_SECOND_MAX,
  STALL_TIMEOUT_MS,
  type SubscriberEvent,
  type SubscriberSessionState,
  stepSubscriber,
  streamMaxBytes,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
  verdictToWire,
} from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import type { Logger } from 'pino';
import {
  type Activator,
  type ActiveRelease,
  type ApplyReport,
  type Blame,
  RefusedError,
} from '../apply/activator.ts';
import type { VerifiedOffer } from '../apply/offer.ts';
import { Stage } from '../verify/stage.ts';
import type { Patience } from './patience.ts';
import type { RefusalMemory } from './refusals.ts';

/** What outlives a session: the activator, what was refused for good, who is told. */
export interface SessionHost {
  readonly activator: Activator;
  readonly name: string;
  readonly lineage: Uint8Array;
  readonly limits: { readonly entries: number; readonly bytes: number; readonly parts: number };
  readonly logger: Logger;
  /** Manifests (hex) refused with `never`, with the NACK that said so; bounded by the host. */
  readonly refused: RefusalMemory;
  /** With streams that do not verify. Of all sessions: connecting again makes no channel better. */
  readonly patience: Patience;
  readonly nowMs: () => number;
  readonly after: After;
  explain(packet: Packet): Explanation;
  /** The state of the table in force. */
  generation(): number;
  /** May reject: a sink is asked too. */
  counters(): Promise<Readonly<Record<string, number>>>;
  /** Why what is active is not enforced; undefined: it is. */
  notEnforced(): string | undefined;
  onWelcome(publisher: string): void;
  onApplied(report: ApplyReport): void;
  onRefused(code: string, text: string): void;
}

type Nack = MessageOf<'nack'>;

/** How a connection went. */
export interface SessionEnd {
  /** Whether the publisher welcomed us, and is the one we trust. */
  readonly welcomed: boolean;
  /** How long the publisher asked to be left alone. */
  readonly retryAfterMs: number | undefined;
}

/**
 * How long a state may last: until BEGIN, and for each 64 KiB of a transfer, kept or not; other states end by
 * silence only.
 */
const STATE_TIMEOUT_MS: Partial<Record<SubscriberSessionState, number>> = {
  wanting: STALL_TIMEOUT_MS,
  receiving: TRANSFER_WINDOW_MS,
  draining: TRANSFER_WINDOW_MS,
};

export class PublisherSession {
  readonly #connection: Connection;
  readonly #host: SessionHost;
  #state: SubscriberSessionState = 'greeting';
  #heartbeat: NodeJS.Timeout | undefined;
  /** Runs out when nothing came for three heartbeats, as from a publisher whose power was cut. */
  #silence: NodeJS.Timeout | undefined;
  #offer: VerifiedOffer | undefined; // the last one that was wanted
  #wantedBase: Uint8Array | undefined; // of the last WANT
  #stage: Stage | undefined;
  #cancelDeadline: (() => void) | undefined; // of BEGIN, or of the next bytes of a transfer
  #movedBytes = 0; // of the transfer, since its deadline was set
  #transferStartMs = 0;
  #receiveMs = 0; // from BEGIN to END, of the last transfer
  #lastReport: ApplyReport | undefined; // of the release in force, if this session applied it
  #queries = { second: 0, count: 0 };
  #counting = 0; // questions that wait for the counters
  #applying: Promise<void> = Promise.resolve();
  #retryAfterMs: number | undefined; // of the publisher's BYE

  constructor(connection: Connection, host: SessionHost) {
    this.#connection = connection;
    this.#host = host;
  }

  /** Runs until the connection ends, and a release being applied is applied. */
  async run(): Promise<SessionEnd> {
    let welcomed = false;
    const handshake = setTimeout(() => this.#raise('timeout'), HANDSHAKE_TIMEOUT_MS);
    try {
      this.#sayHello();
      for (;;) {
        const received = await this.#connection.receive();
        if (received === undefined) break;
        this.#silence?.refresh();
        this.#take(received.message, received.transaction);
        if (received.message.kind === 'welcome') {
          clearTimeout(handshake);
          welcomed ||= this.#state !== 'closed';
        }
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#host.onRefused(error.code, error.message);
    } finally {
      clearTimeout(handshake);
      clearInterval(this.#heartbeat);
      clearTimeout(this.#silence);
      this.#raise('disconnected');
      await this.#applying;
    }
    return { welcomed, retryAfterMs: this.#retryAfterMs };
  }

  /** Ends the session with BYE. */
  stop(): void {
    this.#raise('stop', undefined, 0, { code: ErrorCode.shuttingDown, text: 'the subscriber stops' });
  }

  #sayHello(): void {
    const { activator, name, lineage, limits, refused } = this.#host;
    const { active } = activator;
    this.#post({
      kind: 'hello',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      name,
      lineage,
      holds:
        active === undefined
          ? undefined
          : { hash: active.hash, epoch: active.manifest.epoch, version: active.manifest.version },
      refused: refused.hashes(),
      limits,
    });
  }

  // ── Events ───────────────────────────────────────────────────────────────────────────────────────────────

  #take(message: Message, transaction: number): void {
    switch (message.kind) {
      case 'offer':
        return this.#takeOffer(message);
      case 'welcome':
      case 'begin':
      case 'chunk':
      case 'end':
      case 'abort':
      case 'query':
      case 'prove':
      case 'ping':
      case 'pong':
      case 'bye':
        return this.#raise(message.kind, message, transaction);
      default:
        return this.#raise('other');
    }
  }

  /** Which of the three OFFER events it is; judged in the order of PROTOCOL.md "Offers". */
  #takeOffer(message: MessageOf<'offer'>): void {
    const { activator, refused } = this.#host;
    const hash = manifestHash(message.manifest);
    const { active } = activator;
    if (active !== undefined && same(active.hash, hash)) {
      const trouble = this.#host.notEnforced();
      if (trouble === undefined) return this.#raise('offerActive');
      const nack = this.#refusal(hash, ErrorCode.sinkFailed, trouble, 'later');
      return this.#raise('offerRefused', undefined, 0, { ...nack, keeps: undefined });
    }
    const known = refused.get(hash);
    if (known !== undefined) return this.#raise('offerRefused', undefined, 0, known);
    try {
      this.#offer = activator.verifyOffer(message.manifest, message.signature);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // The same manifest may come with a good signature: anybody can spoil one.
      const isSigned = error.code !== ErrorCode.badSignature;
      const nack = this.#refusal(hash, error.code, error.message, isSigned ? 'never' : 'later');
      if (isSigned) refused.add(hash, nack);
      return this.#raise('offerRefused', undefined, 0, nack);
    }
    const { leftMs } = this.#host.patience;
    if (leftMs === 0) return this.#raise('offer');
    const text = `streams of this channel did not verify: nothing is wanted for ${Math.ceil(leftMs)} ms`;
    const nack = this.#refusal(hash, ErrorCode.badTransfer, text, 'later');
    this.#raise('offerRefused', undefined, 0, { ...nack, retryAfterMs: Math.ceil(leftMs) });
  }

  #raise(event: SubscriberEvent, message?: Message, transaction = 0, reason?: Reason): void {
    const before = this.#state;
    const { next, action, code } = stepSubscriber(before, event);
    this.#state = next;
    if (next !== before || action === 'want') this.#setDeadline();
    switch (action) {
      case 'none':
        if (message?.kind === 'welcome') this.#welcomed(message);
        if (message?.kind === 'chunk') this.#noteMoved(message.bytes.length);
        return;
      case 'want':
        return this.#want();
      case 'applied':
        return this.#sayApplied();
      case 'nack':
        this.#stage = undefined;
        return this.#sayNack(event, message, reason);
      case 'receive':
        return this.#receive(message as MessageOf<'begin'>);
      case 'store':
        return this.#store((message as MessageOf<'chunk'>).bytes);
      case 'apply':
        this.#applying = this.#apply((message as MessageOf<'end'>).sha256);
        return;
      case 'answer':
        return this.#answer(message as MessageOf<'query'>, transaction);
      case 'proof':
        return this.#prove();
      case 'pong':
        return this.#post({ kind: 'pong', ...this.#alive() });
      case 'bye': {
        const why = reason?.code ?? code ?? ErrorCode.internal;
        const text = reason?.text ?? `${event} while ${before}`;
        if (why !== ErrorCode.shuttingDown) this.#host.onRefused(why, text);
        return this.#connection.bye(why, text);
      }
      case 'close':
        if (message?.kind === 'bye') {
          this.#retryAfterMs = message.retryAfterMs;
          this.#host.onRefused(message.code, `the publisher ended the session: ${message.text}`);
        }
        return this.#connection.close();
      case 'never':
        return;
    }
  }

  /** Sends without waiting; a send that fails means the connection is gone, which the receiver notices. */
  #post(message: Message, transaction = 0): void {
    this.#connection.send(message, transaction).catch(() => undefined);
  }

  // ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────

  #welcomed(welcome: MessageOf<'welcome'>): void {
    if (welcome.protocol !== PROTOCOL_VERSION || !same(welcome.lineage, this.#host.lineage)) {
      const text = 'the publisher is of another lineage than the one trusted here';
      return this.#raise('stop', undefined, 0, { code: ErrorCode.wrongLineage, text });
    }
    const { heartbeatMs } = welcome;
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    this.#silence = setTimeout(() => this.#raise('timeout'), 3 * heartbeatMs);
    this.#host.onWelcome(welcome.name);
  }

  #beat(): void {
    if (!this.#connection.sendPending) this.#post({ kind: 'ping', ...this.#alive() });
  }

  #alive(): { readonly hash?: Uint8Array; readonly ageMs?: number } {
    const { active } = this.#host.activator;
    if (active === undefined || this.#host.notEnforced() !== undefined) return {};
    return {
      hash: active.hash,
      ageMs: Math.min(DURATION_MAX_MS, Math.max(0, this.#host.nowMs() - active.appliedAtMs)),
    };
  }

  #want(): void {
    const offer = this.#offer;
    if (offer === undefined) return;
    const snapshotOnly = this.#host.patience.needsSnapshot(offer.hash);
    this.#wantedBase = snapshotOnly ? undefined : this.#host.activator.active?.hash;
    this.#post({ kind: 'want', hash: offer.hash, base: this.#wantedBase });
  }

  #receive(begin: MessageOf<'begin'>): void {
    const offer = this.#offer;
    const wantedBase = this.#wantedBase;
    this.#transferStartMs = performance.now();
    if (offer === undefined) return;
    const fault = !same(begin.hash, offer.hash)
      ? { code: ErrorCode.badTransfer, text: 'the transfer is of another release than was wanted' }
      : begin.base !== undefined && !(wantedBase !== undefined && same(begin.base, wantedBase))
        ? {
            code: ErrorCode.badBase,
            text: 'the transfer starts from a release that was not said to be its base',
          }
        : undefined;
    this.#guarded(offer, begin.base !== undefined, () => {
      if (fault !== undefined) throw new ProtocolError(fault.code, fault.text);
      const streamBytes = Math.min(this.#host.limits.bytes, streamMaxBytes(offer.manifest.parts));
      this.#stage = new Stage(begin, { streamBytes });
    });
  }

  /** A publisher that says what it will send, and does not, is left: another connection may do better. */
  #setDeadline(): void {
    this.#cancelDeadline?.();
    const delayMs = STATE_TIMEOUT_MS[this.#state];
    this.#movedBytes = 0;
    this.#cancelDeadline =
      delayMs === undefined ? undefined : this.#host.after(delayMs, () => this.#raise('timeout'));
  }

  #noteMoved(byteCount: number): void {
    this.#movedBytes += byteCount;
    if (this.#movedBytes >= TRANSFER_WINDOW_MIN_BYTES) this.#setDeadline();
  }

  #store(bytes: Uint8Array): void {
    this.#noteMoved(bytes.length);
    const offer = this.#offer;
    const stage = this.#stage;
    if (offer === undefined || stage === undefined) return;
    this.#guarded(offer, stage.base !== undefined, () => stage.push(bytes));
  }

  /** Runs a step of receiving; what it throws refuses the transfer. */
  #guarded(offer: VerifiedOffer, isChain: boolean, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#raise('refused', undefined, 0, this.#refusalOf(offer, isChain, error));
    }
  }

  async #apply(sha256: Uint8Array): Promise<void> {
    const offer = this.#offer;
    const stage = this.#stage;
    this.#stage = undefined;
    this.#receiveMs = performance.now() - this.#transferStartMs;
    if (offer === undefined || stage === undefined) return;
    try {
      const stream = stage.finish(sha256);
      const report = await this.#host.activator.apply({ offer, base: stage.base, stream });
      this.#lastReport = report;
      this.#host.patience.verified();
      this.#host.onApplied(report);
      this.#raise('applied');
    } catch (error) {
      const isChain = stage.base !== undefined;
      if (isChain && error instanceof RefusedError && error.code === ErrorCode.overBudget) {
        this.#host.patience.wantSnapshot(offer.hash);
        const { version } = offer.manifest;
        this.#host.logger.info({ version }, `${error.message}: a snapshot is asked for`);
        return this.#raise('overBudget');
      }
      this.#raise('refused', undefined, 0, this.#refusalOf(offer, isChain, error));
    }
  }

  /**
   * Only what the key signed is refused for good. A stream that does not make its release is one more of its
   * channel, see Patience.
   */
  #refusalOf(offer: VerifiedOffer, isChain: boolean, error: unknown): Nack {
    const { hash } = offer;
    const { blame, code, part, entry } = faultOf(error);
    if (blame === undefined)
      this.#host.logger.error({ err: error, version: offer.manifest.version }, 'applying a release failed');
    const text = error instanceof Error ? error.message : String(error);
    const retry = blame === 'signed' ? 'never' : 'later';
    const nack: Nack = { ...this.#refusal(hash, code, text, retry), part, entry };
    if (retry === 'never') this.#host.refused.add(hash, nack);
    if (blame !== 'stream') return nack;
    return { ...nack, retryAfterMs: this.#host.patience.failed(hash, isChain) };
  }

  #refusal(hash: Uint8Array, code: string, text: string, retry: 'never' | 'later'): Nack {
    return {
      kind: 'nack',
      hash,
      code,
      text: boundText(text),
      retry,
      keeps: this.#host.activator.active?.hash,
    };
  }

  #sayApplied(): void {
    const { active } = this.#host.activator;
    if (active === undefined) return;
    const report = this.#lastReport?.release === active ? this.#lastReport : undefined;
    const { epoch, version } = active.manifest;
    this.#post({
      kind: 'applied',
      hash: active.hash,
      epoch,
      version,
      receiveMs: Math.round(report === undefined ? 0 : this.#receiveMs),
      verifyMs: Math.round(report?.verifyMs ?? 0),
      compileMs: Math.round(report?.compileMs ?? 0),
      flipMs: Math.round(report?.flipMs ?? 0),
      persisted: active.persisted,
      generation: report?.generation ?? this.#host.generation(),
    });
  }

  #sayNack(event: SubscriberEvent, message: Message | undefined, reason: Reason | undefined): void {
    const offer = this.#offer;
    if (reason !== undefined && 'hash' in reason) {
      this.#host.onRefused(reason.code, reason.text);
      return this.#post(reason);
    }
    const aborted = message?.kind === 'abort';
    const code = aborted ? message.code : ErrorCode.badTransfer;
    const text = aborted ? `the publisher gave up: ${message.text}` : `${event}`;
    if (offer !== undefined) this.#post(this.#refusal(offer.hash, code, text, 'later'));
  }

  #prove(): void {
    const { active } = this.#host.activator;
    if (active === undefined) return;
    this.#post({ kind: 'proof', signature: active.signature, manifest: active.manifestBytes });
  }

  #answer(query: MessageOf<'query'>, transaction: number): void {
    const second = Math.floor(performance.now() / 1000);
    this.#queries =
      second === this.#queries.second ? { second, count: this.#queries.count + 1 } : { second, count: 1 };
    if (this.#queries.count > QUERIES_PER_SECOND_MAX) return this.#sayTooMany('a second', transaction);
    if (query.packet === undefined) return this.#count(transaction);
    const held = activeFields(this.#host.activator.active);
    const explained = this.#host.explain(packetFromWire(query.packet));
    const verdict = verdictToWire(explained.verdict, explained.rule);
    this.#post({ kind: 'answer', ok: true, verdict, ...held, generation: explained.generation }, transaction);
  }

  #sayTooMany(how: string, transaction: number): void {
    const text = `at most ${QUERIES_PER_SECOND_MAX} questions ${how} are answered`;
    this.#post({ kind: 'answer', ok: false, code: ErrorCode.rateLimited, text }, transaction);
  }

  /** A sink may take its time, or for ever: so many questions wait for it at most. */
  #count(transaction: number): void {
    if (this.#counting >= QUERIES_PER_SECOND_MAX) return this.#sayTooMany('at once', transaction);
    this.#counting += 1;
    void this.#answerStats(transaction).finally(() => {
      this.#counting -= 1;
    });
  }

  async #answerStats(transaction: number): Promise<void> {
    try {
      const stats = await this.#host.counters();
      this.#post(
        { kind: 'answer', ok: true, ...activeFields(this.#host.activator.active), stats },
        transaction,
      );
    } catch (error) {
      const text = boundText(error instanceof Error ? error.message : String(error));
      this.#post({ kind: 'answer', ok: false, code: ErrorCode.notReady, text }, transaction);
    }
  }
}

/** Why a session ends, or the NACK that refuses a release. */
type Reason = Nack | { readonly code: ErrorCode; readonly text: string };

function activeFields(active: ActiveRelease | undefined): {
  readonly hash?: Uint8Array;
  readonly epoch?: number;
  readonly version?: number;
} {
  if (active === undefined) return {};
  return { hash: active.hash, epoch: active.manifest.epoch, version: active.manifest.version };
}

/** Whose fault a refusal is, and where it lies; of nobody that we know of where it is our own mistake. */
function faultOf(error: unknown): {
  readonly blame: Blame | undefined;
  readonly code: ErrorCode;
  readonly part?: string | undefined;
  readonly entry?: number | undefined;
} {
  if (error instanceof RefusedError) return error;
  if (error instanceof ProtocolError) return { blame: 'stream', code: error.code };
  if (error instanceof RangeError) return { blame: 'host', code: ErrorCode.outOfMemory }; // no room for the stream itself
  return { blame: undefined, code: ErrorCode.internal };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
