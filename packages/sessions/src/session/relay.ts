/** A session of a relay: the head and the objects of a depot, and reports. DEPOT.md "Relays". */

import type { PacedLog } from '@rulecast/program';
import {
  type Connection,
  ErrorCode,
  HEARTBEAT_MS,
  joinReports,
  type Message,
  type MessageOf,
  NAME_PATIENCE_MS,
  type ObjectReference,
  objectPath,
  PROTOCOL_VERSION,
  ProtocolError,
  RETRY_AFTER_MS,
  splitReports,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import type { NameHolder } from '../admission/name-holders.ts';
import { type Refusal, versionRefusal } from '../admission/refusal.ts';
import type { SessionHost } from '../host.ts';
import { Heartbeat } from './heartbeat.ts';

/** A depot, and the receiver of reports. */
export interface RelayHost {
  readonly head: Uint8Array | undefined;
  /** Undefined if it is gone. */
  object(reference: ObjectReference): Promise<Uint8Array | undefined>;
  /** Called after each head; returns what ends that. */
  onHead(listener: () => void): () => void;
  /** The answer to each, in the same order. */
  takeReports(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}

/**
 * Objects in memory for relays without a binding: each stays until the slowest of them has read it. A bound
 * relay has objects of its own, so that no crowd keeps it from new ones. Our choice.
 */
const OBJECTS_MAX = 16;

const NO_DEPOT =
  'this publisher writes no depot, from which a relay is served: name a directory below depot: in its configuration';

/** One copy of an object for all relays that are being sent it. */
class SharedObjects {
  readonly #used = new Map<string, { readonly bytes: Promise<Uint8Array | undefined>; count: number }>();

  /**
   * Calls `use` with an object, and resolves when that has; undefined if the object is gone, or if there are
   * too many.
   */
  async with(
    host: RelayHost,
    reference: ObjectReference,
    isBound: boolean,
    use: (bytes: Uint8Array | undefined) => Promise<void>,
  ): Promise<void> {
    const path = objectPath(reference);
    const known = this.#used.get(path);
    if (known === undefined && !isBound && this.#used.size >= OBJECTS_MAX) return use(undefined);
    const used = known ?? { bytes: host.object(reference), count: 0 };
    this.#used.set(path, used);
    used.count += 1;
    try {
      await use(await used.bytes);
    } finally {
      used.count -= 1;
      if (used.count === 0) this.#used.delete(path);
    }
  }
}

/** Decides about a session's name, and releases it. */
export interface RelayNames {
  readonly admit: (session: RelaySession, name: string) => Promise<Refusal | undefined>;
  readonly release: (session: RelaySession) => void;
  /** Whether it is known for the one that the name is bound to. */
  readonly isBound: boolean;
}

/** All sessions of relays; served if `relays` has a depot. */
export class RelaySessions {
  readonly all = new Set<RelaySession>();
  readonly #host: SessionHost;
  readonly #relays: RelayHost | undefined;
  readonly #objects = new SharedObjects();

  constructor(host: SessionHost, relays: RelayHost | undefined) {
    this.#host = host;
    this.#relays = relays;
  }

  /** Until the connection ends, of which RELAY was the first message. */
  async serve(
    connection: Connection,
    relay: MessageOf<'relay'>,
    logger: PacedLog,
    names: RelayNames,
  ): Promise<void> {
    const { name } = relay;
    if (this.#relays === undefined) return connection.bye(ErrorCode.unsupported, NO_DEPOT);
    const parts = { connection, host: this.#host, relays: this.#relays, objects: this.#objects };
    const session = new RelaySession({ ...parts, logger, name, isBound: names.isBound });
    this.all.add(session);
    try {
      const refusal = versionRefusal(relay, 'relay') ?? (await names.admit(session, name));
      if (refusal === undefined) await session.run();
      else session.stop(refusal);
    } finally {
      this.all.delete(session);
      names.release(session);
    }
  }
}

interface RelayParts {
  readonly connection: Connection;
  readonly host: SessionHost;
  readonly relays: RelayHost;
  readonly objects: SharedObjects;
  readonly logger: PacedLog;
  readonly name: string;
  readonly isBound: boolean;
}

export class RelaySession implements NameHolder {
  readonly #parts: RelayParts;
  #heardCount = 0;
  #toldHead: Uint8Array | undefined;
  #isTelling = false;
  #isReporting = false;
  /** While an object is being sent. */
  #cancelWatch: (() => void) | undefined;
  #isOpen = true;

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async answers(): Promise<boolean> {
    const before = this.#heardCount;
    this.#send({ kind: 'ping' });
    await new Promise<void>((resolve) => void this.#parts.host.clock.after(NAME_PATIENCE_MS, resolve));
    return this.#isOpen && this.#heardCount > before;
  }

  yieldName(): void {
    const text = `another connection has the name ${this.#parts.name} now`;
    this.stop({ code: ErrorCode.nameInUse, text, retryAfterMs: RETRY_AFTER_MS });
  }

  stop({ code, text, retryAfterMs }: Refusal): void {
    this.#isOpen = false;
    this.#parts.connection.bye(code, text, retryAfterMs);
  }

  /** From RELAY, whose name is this session's, until the connection ends. */
  async run(): Promise<void> {
    const { connection, host, relays, logger, name: relay } = this.#parts;
    const { name, lineage, pace } = host;
    const welcome = { protocol: PROTOCOL_VERSION, name, lineage, heartbeatMs: HEARTBEAT_MS };
    this.#send({ kind: 'welcome', ...welcome });
    logger.info({ relay }, 'relay connected');
    const unheed = relays.onHead(() => void this.#tellHead());
    void this.#tellHead();
    const silent: Refusal = { code: ErrorCode.timeout, text: 'nothing was heard for too long' };
    const heartbeat = new Heartbeat(connection, host.clock, HEARTBEAT_MS, () => this.stop(silent));
    try {
      while (this.#isOpen) {
        const received = await connection.receive().finally(() => pace.step());
        if (received === undefined) break;
        this.#heardCount += 1;
        heartbeat.heard();
        this.#hear(received.message);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      logger.warn({ relay, code: error.code }, `the session of a relay failed: ${error.message}`);
    } finally {
      this.#isOpen = false;
      unheed();
      heartbeat.stop();
      this.#cancelWatch?.();
      connection.close();
      logger.info({ relay }, 'relay disconnected');
    }
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case 'ping':
        return this.#send({ kind: 'pong' });
      case 'pong':
        return;
      case 'bye':
        return this.#parts.connection.close();
      case 'fetch':
        if (this.#cancelWatch === undefined) return void this.#deliver(message);
        break;
      case 'reports':
        if (!this.#isReporting) return void this.#answer(message);
    }
    this.stop({ code: ErrorCode.unexpectedMessage, text: `a relay has no ${message.kind} to say now` });
  }

  /** Without waiting: that a send fails is noticed by who receives. */
  #send(message: Message): void {
    this.#parts.connection.send(message).catch(() => undefined);
  }

  /** Sends the newest head only, however many there were since. */
  async #tellHead(): Promise<void> {
    const { connection, relays } = this.#parts;
    if (this.#isTelling) return;
    this.#isTelling = true;
    for (let bytes = relays.head; bytes !== undefined && bytes !== this.#toldHead; bytes = relays.head) {
      this.#toldHead = bytes;
      await connection.send({ kind: 'head', bytes }).catch(() => undefined);
    }
    this.#isTelling = false;
  }

  async #deliver({ sha256, length }: MessageOf<'fetch'>): Promise<void> {
    const { connection, host, relays, objects, logger, name, isBound } = this.#parts;
    this.#watch();
    try {
      await objects.with(relays, { sha256, length }, isBound, async (bytes) => {
        if (bytes === undefined) {
          const text = 'this object is gone, or too many are sent just now';
          return connection.send({ kind: 'abort', code: ErrorCode.badTransfer, text });
        }
        await connection.send({ kind: 'begin', bytes: bytes.length });
        await connection.sendStream(
          bytes,
          () => !this.#isOpen,
          () => host.pace.step(),
        );
        await connection.send({ kind: 'end' });
      });
    } catch (error) {
      this.#failed(error, `an object cannot be read for the relay ${name}`, logger);
    }
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  async #answer({ bytes }: MessageOf<'reports'>): Promise<void> {
    const { connection, relays, logger, name } = this.#parts;
    this.#isReporting = true;
    try {
      const answers = joinReports(await relays.takeReports(splitReports(bytes)));
      await connection.send({ kind: 'answers', bytes: answers });
    } catch (error) {
      this.#failed(error, `reports of the relay ${name} cannot be taken`, logger);
    }
    this.#isReporting = false;
  }

  #failed(error: unknown, text: string, logger: PacedLog): void {
    if (!this.#isOpen) return;
    if (error instanceof ProtocolError) return this.stop({ code: error.code, text: error.message });
    logger.error({ err: error }, text);
    this.stop({ code: ErrorCode.internal, text: 'the publisher failed' });
  }

  /** Ends a relay that reads too little of an object in each window of time. */
  #watch(): void {
    const { connection, host } = this.#parts;
    const sentBefore = connection.bytesSent;
    this.#cancelWatch = host.clock.after(TRANSFER_WINDOW_MS, () => {
      if (connection.bytesSent - sentBefore >= TRANSFER_WINDOW_MIN_BYTES) return this.#watch();
      this.stop({ code: ErrorCode.timeout, text: 'an object is read too slowly' });
    });
  }
}
