/**
 * One subscriber's session, publisher side: turns messages and local events into steps of the protocol's
 * table, and does what the table says. PROTOCOL.md "Sessions". State per subscriber is O(1); a stuck one
 * holds up nobody.
 */

import {
  ANSWER_TIMEOUT_MS,
  APPLY_TIMEOUT_MS,
  boundText,
  type Connection,
  compareRelease,
  decodeManifest,
  ErrorCode,
  FORK_HASH_CHARS,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_MS,
  hexOf,
  type Message,
  type MessageOf,
  manifestHash,
  NAME_PATIENCE_MS,
  PROTOCOL_VERSION,
  ProtocolError,
  type PublisherEvent,
  type PublisherState,
  RETRY_AFTER_MS,
  SILENCE_TIMEOUT_MS,
  stepPublisher,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
  verifySignature,
  type WirePacket,
} from '@rulecast/protocol';
import type { Clock } from '@rulecast/sources';
import type { NameHolder } from '../admission/name-holders.ts';
import type { Refusal } from '../admission/refusal.ts';
import type { Publisher } from '../release/publisher.ts';
import type { Release } from '../store/store.ts';
import { type HeldRelease, refusalOf, type SubscriberEntry } from '../subscribers/entry.ts';
import { isSame, UnansweredOffers } from './offers.ts';
import { type Answer, Queries } from './queries.ts';
import { Timers } from './timers.ts';

/** How long a state may last without the message it waits for; other states end by silence only. */
const STATE_TIMEOUT_MS: Partial<Record<PublisherState, number>> = {
  greeting: HANDSHAKE_TIMEOUT_MS,
  proving: ANSWER_TIMEOUT_MS,
  offered: APPLY_TIMEOUT_MS, // it may be compiling for a changed environment
  confirming: APPLY_TIMEOUT_MS,
};

/**
 * Decides about the name in HELLO, which may take as long as another session has to answer for it; undefined:
 * it is this session's.
 */
export type Admit = (session: SubscriberSession, name: string) => Promise<Refusal | undefined>;

export class SubscriberSession implements NameHolder {
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  readonly #admit: Admit;
  #state: PublisherState = 'greeting';
  #entry: SubscriberEntry | undefined;
  #hello: MessageOf<'hello'> | undefined;
  #offered: Release | undefined; // the last OFFER
  #sentChain = false; // in answer to a WANT after it
  readonly #unanswered = new UnansweredOffers();
  #sentBefore = 0; // bytes sent before the transfer under way
  #lastReceivedMs: number;
  readonly #queries: Queries;
  readonly #timers: Timers<TimerName>;
  #saidName: string | undefined; // in HELLO, whether it is its own or not
  #claiming = false; // HELLO came, and whose name it is is being found out
  #probe: Probe | undefined;
  #left = false;
  #corrected = false; // PING or PONG named another release than was believed

  constructor(connection: Connection, publisher: Publisher, admit: Admit) {
    this.#connection = connection;
    this.#publisher = publisher;
    this.#clock = publisher.clock;
    this.#admit = admit;
    this.#timers = new Timers(this.#clock);
    this.#queries = new Queries(connection, this.#clock);
    this.#lastReceivedMs = this.#clock.monotonicMs();
  }

  get isOpen(): boolean {
    return this.#state !== 'closed';
  }

  /** Runs until the connection ends. Never throws. */
  async run(): Promise<void> {
    this.#beat();
    this.#watchSilence();
    const onRelease = (): void => this.#offerIfDue();
    this.#publisher.on('release', onRelease);
    this.#watchState();
    try {
      for (;;) {
        const received = await this.#connection.receive();
        if (received === undefined) break;
        this.#lastReceivedMs = this.#clock.monotonicMs();
        this.#take(received.message, received.transaction);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (error.code !== ErrorCode.disconnected) this.#noteError(error.code, error.message);
    } finally {
      this.#publisher.off('release', onRelease);
      this.#raise('disconnected');
      this.#leave();
    }
  }

  /** Ends the session with BYE. */
  stop(reason: Refusal): void {
    this.#raise('stop', reason);
    this.#leave(); // at once: a newer session of the same name is about to write the same entry
  }

  yieldName(why: 'reconnected' | 'no-answer'): void {
    const subscriber = this.#entry?.name;
    const code = ErrorCode.nameInUse;
    const text =
      why === 'reconnected'
        ? `${subscriber} connected once more`
        : `another connection has the name ${subscriber} now: there was no PONG from this one in ${NAME_PATIENCE_MS / 1000} s`;
    this.#publisher.logger.warn({ subscriber, code }, text);
    // Two subscribers of one name would else drive each other out again and again.
    this.stop({ code, text, retryAfterMs: RETRY_AFTER_MS });
  }

  /**
   * Whoever asks while one PING is out hears of the same one: claims cost who has the name no more than that.
   */
  answers(): Promise<boolean> {
    if (this.#state === 'greeting') return Promise.resolve(true); // it has just said HELLO, and nothing goes before WELCOME
    this.#probe ??= this.#sendProbe();
    return this.#probe.answered;
  }

  #sendProbe(): Probe {
    let tell: (alive: boolean) => void = () => undefined;
    const answered = new Promise<boolean>((resolve) => {
      tell = (alive) => {
        this.#timers.stop('probe');
        this.#probe = undefined;
        resolve(alive);
      };
    });
    this.#timers.start('probe', NAME_PATIENCE_MS, () => tell(false));
    this.#post({ kind: 'ping', hash: this.#publisher.head?.hash });
    return { answered, tell };
  }

  /**
   * Asks the live table about a packet; without one, for its counters. Rejects with ProtocolError
   * `not-ready`, `timeout` or `disconnected`.
   */
  async ask(packet?: WirePacket): Promise<Answer> {
    const name = this.#entry?.name;
    if (name === undefined || this.#state === 'closed') {
      throw new ProtocolError(ErrorCode.notReady, `${name ?? 'the subscriber'} is not connected`);
    }
    return this.#queries.ask(name, packet);
  }

  // ── Events ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A message becomes an event: answers that name another release than the one offered last are told apart.
   */
  #take(message: Message, transaction: number): void {
    if (this.#entry !== undefined) this.#entry.lastSeenMs = this.#publisher.nowMs();
    switch (message.kind) {
      case 'hello':
        if (this.#claiming) return this.#raise('other');
        if (this.#state !== 'greeting') return this.#raise('hello');
        void this.#greet(message);
        return;
      case 'pong':
        this.#probe?.tell(true);
        this.#noteActive(message);
        return this.#raise('pong', { message });
      case 'ping':
        this.#noteActive(message);
        return this.#raise('ping', { message });
      case 'proof':
      case 'bye':
        return this.#raise(message.kind, { message });
      case 'want':
      case 'applied':
      case 'nack':
        return this.#takeAnswer(message);
      case 'answer':
        return this.#raise('answer', { message, transaction });
      default:
        return this.#raise('other');
    }
  }

  /**
   * What was not offered here, or was answered before, has no place; what was is believed with the numbers
   * that it was offered with.
   */
  #takeAnswer(message: MessageOf<'want' | 'applied' | 'nack'>): void {
    const { kind, hash } = message;
    const offered = this.#offered;
    const state = this.#state;
    const isLatest = offered !== undefined && isSame(offered.hash, hash);
    const isOfTransfer = isLatest && (state === 'sending' || state === 'confirming');
    const isOfClaim = state === 'proving' && isSame(this.#hello?.holds?.hash, hash);
    const release = isOfTransfer ? offered.manifest : this.#unanswered.answered(hash);
    if (release === undefined && !isOfClaim) return this.#raise('other');
    if (kind === 'applied' && (release === undefined || compareRelease(message, release) !== 0)) {
      const text = `it says that it applied ${message.epoch}/${message.version}, and was offered another release`;
      return this.#raise('stop', { code: ErrorCode.badMessage, text });
    }
    const isAgain = kind === 'want' && message.base === undefined && this.#sentChain;
    if (isLatest && isAgain) return this.#raise('wantSnapshot', { message });
    this.#raise(isLatest ? kind : `${kind}Other`, { message });
    if (kind === 'want') this.#offerIfDue(); // of an older one: the head may have waited for this answer
  }

  /**
   * What PING and PONG say is in force there: where something else was believed, the status is put right, and
   * the head offered again.
   */
  #noteActive({ hash, ageMs }: MessageOf<'ping' | 'pong'>): void {
    const entry = this.#entry;
    const hello = this.#hello;
    const publisher = this.#publisher;
    if (entry === undefined || isSame(entry.held?.hash, hash)) return;
    const { held } = entry;
    const number = hash === undefined ? undefined : publisher.store.numberOf(hexOf(hash));
    if (hash === undefined || number === undefined) {
      entry.held = hash !== undefined && isSame(hello?.holds?.hash, hash) ? hello?.holds : undefined;
    } else entry.held = { hash, ...number };
    if (held === undefined && entry.held === undefined) return; // a hash that says nothing, again
    if (!this.#corrected) {
      const { epoch, version } = entry.held ?? { epoch: 0, version: 0 };
      const text = 'another release is in force there than it said: the status follows';
      publisher.logger.warn({ subscriber: entry.name, epoch, version }, text);
    }
    this.#corrected = true; // told once a session, however often it changes its word
    entry.appliedAtMs = ageMs === undefined ? undefined : Math.max(0, publisher.nowMs() - ageMs);
    entry.applyMs = undefined;
    entry.persisted = undefined;
    publisher.subscribers.changed();
    if (held === undefined || !isSame(held.hash, this.#offered?.hash)) return;
    this.#offered = undefined; // it acknowledged it, and has it not
    this.#offerIfDue();
  }

  #raise(event: PublisherEvent, context: EventContext = {}): void {
    const before = this.#state;
    const { next, action, code } = stepPublisher(before, event);
    if (next !== before) {
      this.#state = next;
      this.#watchState();
    }
    const { message } = context;
    switch (action) {
      case 'none':
        return;
      case 'welcome':
        return this.#welcome(context.message as MessageOf<'hello'>);
      case 'prove':
        return this.#post({ kind: 'prove' });
      case 'judge':
        return this.#checkProof(message as MessageOf<'proof'>);
      case 'diverge':
        return this.#diverge();
      case 'offer':
        return this.#offer();
      case 'transfer':
        void this.#transfer((message as MessageOf<'want'>).base);
        return;
      case 'abort':
        return this.#abort(message);
      case 'record':
        return this.#record(message as MessageOf<'applied' | 'nack'>);
      case 'answer':
        return this.#queries.answered(context.transaction ?? 0, message as Answer);
      case 'pong':
        return this.#post({ kind: 'pong', hash: this.#publisher.head?.hash });
      case 'bye': {
        const reason = context.code ?? code ?? ErrorCode.internal;
        this.#noteError(reason, context.text ?? `the session ended: ${event} while ${before}`);
        return this.#connection.bye(reason, context.text ?? reason, context.retryAfterMs);
      }
      case 'close':
        return this.#connection.close();
      case 'never':
        return;
    }
  }

  /** Sends without waiting; a send that fails means the connection is gone, which the receiver notices. */
  #post(message: Message): void {
    this.#connection.send(message).catch(() => undefined);
  }

  // ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────

  /** What can be seen in HELLO is looked at before anybody else hears of the name. */
  async #greet(hello: MessageOf<'hello'>): Promise<void> {
    this.#claiming = true;
    this.#saidName = hello.name;
    const refusal = this.#refusalOfHello(hello) ?? (await this.#admit(this, hello.name));
    this.#claiming = false;
    if (refusal === undefined) this.#raise('hello', { message: hello });
    else this.#raise('stop', refusal);
  }

  #refusalOfHello(hello: MessageOf<'hello'>): Refusal | undefined {
    if (hello.protocolMin > PROTOCOL_VERSION || hello.protocolMax < PROTOCOL_VERSION) {
      return {
        code: ErrorCode.noCommonVersion,
        text: `this publisher speaks protocol ${PROTOCOL_VERSION} only`,
      };
    }
    const { identity, store } = this.#publisher;
    if (hello.lineage !== undefined && !isSame(hello.lineage, identity.lineage)) {
      const text = 'this publisher is of another lineage than the subscriber trusts';
      return { code: ErrorCode.wrongLineage, text };
    }
    const number = hello.holds && store.numberOf(hexOf(hello.holds.hash));
    if (hello.holds === undefined || number === undefined || compareRelease(number, hello.holds) === 0)
      return undefined;
    const text = 'it holds a release of this publisher, and says another number of it';
    return { code: ErrorCode.badMessage, text };
  }

  #welcome(hello: MessageOf<'hello'>): void {
    const { name, identity, store, subscribers } = this.#publisher;
    const number = hello.holds && store.numberOf(hexOf(hello.holds.hash));
    this.#hello = hello;
    const nowMs = this.#publisher.nowMs();
    this.#entry = subscribers.entry(hello.name, nowMs);
    this.#entry.connectedSinceMs = nowMs;
    this.#entry.lastSeenMs = nowMs;
    this.#entry.held = hello.holds;
    this.#entry.diverged = false;
    this.#entry.bytesSent = 0;
    this.#entry.isBack = true;
    if (number !== undefined) this.#entry.hasApplied = true;
    subscribers.takeRefusals(this.#entry, hello.refused.map(hexOf), nowMs);
    this.#publisher.logger.info(
      { subscriber: hello.name, version: hello.holds?.version ?? 0 },
      'subscriber connected',
    );
    if (hello.holds !== undefined && number === undefined) this.#noteFork(hello.holds);
    subscribers.changed();
    this.#post({
      kind: 'welcome',
      protocol: PROTOCOL_VERSION,
      name,
      lineage: identity.lineage,
      heartbeatMs: HEARTBEAT_MS,
    });
    if (hello.holds !== undefined && this.#isAhead(hello.holds)) this.#raise('claimAhead');
    else this.#offerIfDue();
  }

  /** Two releases of one number: another publisher has, or had, this lineage's key. */
  #noteFork(held: HeldRelease): void {
    const { logger, store } = this.#publisher;
    const own = store.hashOf(held);
    if (own === undefined) return;
    const { epoch, version } = held;
    const text = `it holds a release ${epoch}/${version} (${hexOf(held.hash).slice(0, FORK_HASH_CHARS)}) that is not the one of that number here (${own.slice(0, FORK_HASH_CHARS)}): does another publisher use this key?`;
    logger.error({ subscriber: this.#entry?.name, epoch, version, code: ErrorCode.forked }, text);
    this.#noteError(ErrorCode.forked, text);
  }

  /** Whether a subscriber claims a release that this publisher cannot have been followed by its head. */
  #isAhead(held: HeldRelease): boolean {
    const { head, store } = this.#publisher;
    if (head === undefined) return true;
    return compareRelease(held, head.manifest) >= 0 && !store.knows(hexOf(held.hash));
  }

  #checkProof(proof: MessageOf<'proof'>): void {
    const { identity } = this.#publisher;
    const claimed = this.#hello?.holds;
    const isSigned =
      claimed !== undefined &&
      Buffer.from(manifestHash(proof.manifest)).equals(claimed.hash) &&
      verifySignature(proof.manifest, proof.signature, identity.publicKey);
    const known = isSigned ? decodeManifest(proof.manifest) : undefined;
    const isOurs = known !== undefined && isSame(known.lineage, identity.lineage); // a key may have had another one before
    if (claimed === undefined || known === undefined || !isOurs || compareRelease(known, claimed) !== 0) {
      return this.#diverge();
    }
    const { name = '' } = this.#entry ?? {};
    this.#publisher.proved(known, name).then(
      () => {
        if (this.#publisher.behind !== undefined) {
          const text = `it proved release ${known.epoch}/${known.version}, which this publisher has not: nothing is offered`;
          this.#noteError(ErrorCode.publisherBehind, text);
        }
        this.#offerIfDue(); // where an epoch above it is open, no release comes now
      },
      (error: unknown) => {
        this.#publisher.logger.error({ err: error, subscriber: name }, 'what was proved cannot be noted');
      },
    );
  }

  #diverge(): void {
    if (this.#entry !== undefined) this.#entry.diverged = true;
    const text = 'it claims a release above the head and has no proof of it';
    this.#noteError(ErrorCode.unknownRelease, text);
    this.#publisher.logger.warn({ subscriber: this.#entry?.name }, text);
    this.#offerIfDue();
  }

  /** Raises headChanged if there is a head that the subscriber lacks, may take, and was not offered last. */
  #offerIfDue(): void {
    const { head } = this.#publisher;
    const entry = this.#entry;
    const hello = this.#hello;
    if (head === undefined || entry === undefined || hello === undefined || this.#offered === head) return;
    if (this.#unanswered.isFull) return; // the next answer brings it
    if (this.#publisher.behind !== undefined) return; // what it has may be older than what subscribers have
    if (entry.held !== undefined && Buffer.from(entry.held.hash).equals(head.hash)) return;
    if (refusalOf(entry, head.hash) !== undefined) return;
    const { parts } = head.manifest;
    let entries = 0;
    for (const part of parts) entries += part.count;
    if (parts.length > hello.limits.parts || entries > hello.limits.entries) {
      const { epoch, version } = head.manifest;
      const text = `release ${version} has ${parts.length} parts and ${entries} entries, beyond its limits`;
      const code = ErrorCode.overLimit;
      this.#noteError(code, text);
      const refused = {
        subscriber: entry.name,
        state: 'refused',
        epoch,
        version,
        bytes: 0,
        code,
        text,
      } as const;
      return this.#publisher.subscribers.settle(refused);
    }
    this.#raise('headChanged');
  }

  #offer(): void {
    const { head } = this.#publisher;
    if (head === undefined) return;
    this.#timers.stop('retry');
    this.#offered = head;
    this.#sentChain = false;
    this.#unanswered.add(head);
    this.#sentBefore = this.#connection.bytesSent;
    this.#post({ kind: 'offer', signature: head.signature, manifest: head.manifestBytes });
  }

  async #transfer(base: Uint8Array | undefined): Promise<void> {
    const release = this.#offered;
    if (release === undefined || this.#entry === undefined) return;
    this.#entry.receiving = true;
    const stopped = (): boolean => this.#state !== 'sending' || this.#offered !== release;
    try {
      const transfer = await this.#publisher.transfers.for(release, base);
      if (stopped()) return;
      this.#watchTransfer();
      const { steps, stream } = transfer;
      this.#sentChain = transfer.base !== undefined;
      const begin = {
        kind: 'begin',
        hash: release.hash,
        base: transfer.base,
        steps,
        bytes: stream.length,
      } as const;
      await this.#connection.send(begin);
      const sent = await this.#connection.sendBytes([stream], { stopped });
      if (sent === undefined || stopped()) return; // a NACK may have come since the last CHUNK was taken
      const ended = this.#connection.send({ kind: 'end', sha256: sent.sha256 });
      this.#raise('transferSent');
      await ended;
    } catch (error) {
      if (error instanceof ProtocolError && error.code === ErrorCode.disconnected) return; // the receiver notices
      this.#publisher.logger.error({ err: error, subscriber: this.#entry.name }, 'a transfer failed');
      if (!stopped()) this.#raise('transferFailed');
    }
  }

  #abort(message: Message | undefined): void {
    this.#post({ kind: 'abort', code: ErrorCode.badTransfer, text: 'the transfer was given up' });
    if (message?.kind === 'nack') this.#record(message); // after ABORT: it may bring the next OFFER
  }

  #record(message: MessageOf<'applied' | 'nack'>): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    entry.receiving = false;
    entry.bytesSent = this.#connection.bytesSent;
    const release = this.#offered;
    const bytes = this.#connection.bytesSent - this.#sentBefore;
    if (message.kind === 'applied') {
      const { hash, epoch, version, persisted } = message;
      entry.held = { hash, epoch, version };
      entry.appliedAtMs = this.#publisher.nowMs();
      entry.applyMs = message.receiveMs + message.verifyMs + message.compileMs + message.flipMs;
      entry.persisted = persisted;
      entry.lastError = undefined;
      entry.diverged = false;
      entry.hasApplied = true;
      this.#publisher.logger.info({ subscriber: entry.name, epoch, version, bytes }, 'applied');
      this.#publisher.subscribers.settle({
        subscriber: entry.name,
        state: 'applied',
        epoch,
        version,
        bytes,
        persisted,
      });
    } else this.#recordRefusal(message, entry, release, bytes);
    this.#offerIfDue();
  }

  #recordRefusal(
    nack: MessageOf<'nack'>,
    entry: SubscriberEntry,
    release: Release | undefined,
    bytes: number,
  ): void {
    const { code, retry } = nack;
    const text = nack.part === undefined ? nack.text : `${nack.part}: ${nack.text}`;
    this.#noteError(code, text);
    const isLatest = release !== undefined && Buffer.from(release.hash).equals(nack.hash);
    const reason = { code, text: boundText(text), atMs: this.#publisher.nowMs() };
    if (retry === 'never') this.#publisher.subscribers.refuse(entry, hexOf(nack.hash), reason);
    else if (isLatest) {
      this.#timers.start('retry', nack.retryAfterMs ?? RETRY_AFTER_MS, () => {
        this.#offered = undefined;
        this.#offerIfDue();
      });
    }
    if (!isLatest) return;
    const { epoch, version } = release.manifest;
    this.#publisher.logger.warn({ subscriber: entry.name, epoch, version, code, retry }, `refused: ${text}`);
    this.#publisher.subscribers.settle({
      subscriber: entry.name,
      state: 'refused',
      epoch,
      version,
      bytes,
      code,
      text,
    });
  }

  #noteError(code: string, text: string): void {
    if (this.#entry === undefined) {
      const subscriber = this.#saidName;
      this.#publisher.logger.warn({ code, subscriber }, `a connection ended before it had a name: ${text}`);
      return;
    }
    this.#entry.lastError = { code, text: boundText(text), atMs: this.#publisher.nowMs() };
    this.#publisher.subscribers.changed();
  }

  // ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────

  #watchState(): void {
    this.#timers.stop('state');
    const timeoutMs = STATE_TIMEOUT_MS[this.#state];
    if (timeoutMs !== undefined) this.#timers.start('state', timeoutMs, () => this.#raise('timeout'));
  }

  #beat(): void {
    this.#timers.start('heartbeat', HEARTBEAT_MS, () => {
      if (this.#state !== 'greeting' && !this.#connection.sendPending) {
        this.#post({ kind: 'ping', hash: this.#publisher.head?.hash });
      }
      this.#beat();
    });
  }

  /** A peer whose power was cut says nothing any more, and nothing says that it went. */
  #watchSilence(): void {
    const dueMs = this.#lastReceivedMs + SILENCE_TIMEOUT_MS - this.#clock.monotonicMs();
    if (dueMs <= 0) return this.#raise('timeout');
    this.#timers.start('silence', dueMs, () => this.#watchSilence());
  }

  /**
   * What is accepted of a transfer is looked at window by window: one byte now and then does not keep it
   * going.
   */
  #watchTransfer(): void {
    const sentBefore = this.#connection.bytesSent;
    this.#timers.start('transfer', TRANSFER_WINDOW_MS, () => {
      if (this.#state !== 'sending') return;
      if (this.#connection.bytesSent - sentBefore < TRANSFER_WINDOW_MIN_BYTES) return this.#raise('timeout');
      this.#watchTransfer();
    });
  }

  #leave(): void {
    this.#timers.stopAll();
    this.#probe?.tell(false);
    const entry = this.#entry;
    if (entry === undefined || this.#left) return;
    this.#left = true;
    this.#queries.end(entry.name);
    entry.connectedSinceMs = undefined;
    entry.receiving = false;
    entry.lastSeenMs = this.#publisher.nowMs();
    const { epoch, version } = entry.held ?? { epoch: 0, version: 0 };
    this.#publisher.logger.info({ subscriber: entry.name, version }, 'subscriber disconnected');
    this.#publisher.subscribers.settle({
      subscriber: entry.name,
      state: 'disconnected',
      epoch,
      version,
      bytes: 0,
    });
  }
}

/** A PING that the peer has to answer to keep its name. */
interface Probe {
  readonly answered: Promise<boolean>;
  readonly tell: (alive: boolean) => void;
}

type TimerName = 'state' | 'heartbeat' | 'silence' | 'transfer' | 'retry' | 'probe';

interface EventContext {
  readonly message?: Message;
  readonly transaction?: number;
  readonly code?: ErrorCode;
  readonly text?: string;
  readonly retryAfterMs?: number;
}
