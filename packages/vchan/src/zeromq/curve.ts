/**
 * CURVE, ZeroMQ's encryption and authentication by keys (RFC 26/CurveZMQ), and the handler that tells a
 * listener which clients to admit (RFC 27/ZAP). Keys are text in Z85 (RFC 32), as curve_keypair(3) and
 * zeromq.js make them.
 */
import { randomBytes } from 'node:crypto';
import type { Context, Router } from 'zeromq';
import { EndpointError } from '../channel/endpoint.ts';
import { decodeZ85 } from './curve-key.ts';

// Fixed by ZeroMQ.

const ZAP_ADDRESS = 'inproc://zeromq.zap.01';
const ZAP_VERSION = '1.0';
/** The property of ZMTP that a ROUTER names a connection by. */
const IDENTITY_PROPERTY = 'Identity';
/** Frames of a CURVE request: version, request id, domain, address, identity, mechanism, key. */
const ZAP_CURVE_FRAME_COUNT = 7;

// Our choice.

/** A ZAP domain must not be empty, or the handler is not required to be there. */
export const ZAP_DOMAIN = 'rulecast';
/**
 * An answer that arrives while ZeroMQ still sends the question is processed before the client's own metadata,
 * which then decides the connection's name. A client that is admitted without our name is turned away, so
 * this only saves a second attempt.
 */
const ANSWER_DELAY_MS = 5;
/**
 * Names of connections that were given and have not shown up yet, for each key: a client connects once, and
 * again when that fails.
 */
const NAMES_OF_KEY_MAX = 16;
/** The length of a name that cannot be guessed, so that no client can give its own connection that name. */
const NAME_BYTES = 16;
/** The first byte; names that ZeroMQ makes begin with 0. */
const NAME_PREFIX = 1;
/** After an error, so that one which stays does not keep the processor busy. */
const PAUSE_MS = 20;

/** The keys of a client. */
export interface CurveClientKeys {
  /** The public key of the listener, which it must prove to have the secret of. */
  readonly serverKey: string;
  /** This client's own pair. */
  readonly publicKey: string;
  readonly secretKey: string;
}

/** The keys of a listener. */
export interface CurveServerKeys {
  readonly secretKey: string;
  /** Public keys of the clients to admit; others are not admitted. */
  readonly clientKeys: readonly string[];
}

/** @throws EndpointError that names the key, never shows it. */
export function checkClientKeys(keys: CurveClientKeys): void {
  decodeKey('serverKey', keys.serverKey);
  decodeKey('publicKey', keys.publicKey);
  decodeKey('secretKey', keys.secretKey);
}

/** @throws EndpointError that names the key, never shows it. */
export function checkServerKeys(keys: CurveServerKeys): void {
  decodeKey('secretKey', keys.secretKey);
  if (keys.clientKeys.length === 0) {
    throw new EndpointError(
      'bad-key',
      'curve clientKeys is empty, so nobody could connect: list the public keys',
    );
  }
  keys.clientKeys.forEach((key, i) => void decodeKey(`clientKeys[${i}]`, key));
}

/**
 * Answers the admission questions of one context until `close`, and tells afterwards which key each
 * connection was admitted with: ZeroMQ does not, so each is given a secret name with the answer, by which its
 * ROUTER calls it (RFC 27 takes properties of the connection; of `Identity` that was tried with libzmq 4.3,
 * and a test does). Binds at once, so that no listener can be ahead of it. A ROUTER, for a REP whose answer
 * fails takes no further question: one bad moment would shut everybody out.
 */
export class Admission {
  readonly #socket: Router;
  /** By the key's bytes in hexadecimal: its text, and the names of its connections that have not shown up. */
  readonly #admitted: ReadonlyMap<string, { readonly key: string; readonly names: Set<string> }>;
  readonly #onError: (error: unknown) => void;

  /** `onError` gets questions that could not be answered; their clients are not admitted. */
  constructor(
    zmq: Pick<typeof import('zeromq'), 'Router'>,
    context: Context,
    clientKeys: readonly string[],
    onError: (error: unknown) => void,
  ) {
    this.#admitted = new Map(
      clientKeys.map((key) => [decodeKey('clientKeys', key).toString('hex'), { key, names: new Set() }]),
    );
    this.#onError = onError;
    this.#socket = new zmq.Router({ context, linger: 0 });
    this.#socket.bindSync(ZAP_ADDRESS);
    void this.#answerAll();
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * The key that a connection was admitted with; asked once for each, `undefined` from then on and for any
   * that is not known.
   */
  keyOf(routingId: Uint8Array): string | undefined {
    const name = Buffer.from(routingId).toString('hex');
    for (const { key, names } of this.#admitted.values()) if (names.delete(name)) return key;
    return undefined;
  }

  async #answerAll(): Promise<void> {
    while (!this.#socket.closed) {
      try {
        const [asker, , ...request] = await this.#socket.receive();
        // Not awaited: the next question does not wait for the delay of this answer.
        if (asker !== undefined) this.#answer(asker, request).catch((error: unknown) => this.#tell(error));
      } catch (error) {
        this.#tell(error);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  #tell(error: unknown): void {
    if (!this.#socket.closed) this.#onError(error);
  }

  async #answer(asker: Buffer, request: readonly Buffer[]): Promise<void> {
    const admitted = this.#admits(request);
    const answer =
      admitted === undefined ? ['400', 'unknown key', '', ''] : ['200', 'OK', 'client', nameFor(admitted)];
    await new Promise((resolve) => setTimeout(resolve, ANSWER_DELAY_MS));
    if (this.#socket.closed) return;
    await this.#socket.send([asker, '', ZAP_VERSION, request[1] ?? '', ...answer]);
  }

  /** The names of the key that asks, if it is admitted. */
  #admits(request: readonly Buffer[]): Set<string> | undefined {
    const [version, , domain, , , mechanism, key] = request;
    const isQuestion =
      request.length === ZAP_CURVE_FRAME_COUNT &&
      version?.toString() === ZAP_VERSION &&
      domain?.toString() === ZAP_DOMAIN &&
      mechanism?.toString() === 'CURVE';
    return isQuestion && key !== undefined ? this.#admitted.get(key.toString('hex'))?.names : undefined;
  }
}

/**
 * The property that names a connection anew, as metadata of an answer; of too many that never showed up the
 * oldest is forgotten.
 */
function nameFor(names: Set<string>): Buffer {
  const name = Buffer.concat([Buffer.of(NAME_PREFIX), randomBytes(NAME_BYTES)]);
  const [oldest] = names;
  if (names.size >= NAMES_OF_KEY_MAX && oldest !== undefined) names.delete(oldest);
  names.add(name.toString('hex'));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  return Buffer.concat([Buffer.of(IDENTITY_PROPERTY.length), Buffer.from(IDENTITY_PROPERTY), length, name]);
}

function decodeKey(what: string, text: string): Buffer {
  const bytes = decodeZ85(text);
  if (bytes !== undefined) return bytes;
  const message = `curve ${what} is no Z85 key of 40 characters: make a pair with curve_keypair, or rulectl keys new FILE`;
  throw new EndpointError('bad-key', message);
}
