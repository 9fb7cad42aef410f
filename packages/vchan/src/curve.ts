/**
 * CURVE, ZeroMQ's encryption and authentication by keys (RFC 26/CurveZMQ), and the handler that tells a listener which clients
 * to admit (RFC 27/ZAP). Keys are text in Z85 (RFC 32), as curve_keypair(3) and zeromq.js make them.
 */
import type { Context, Router } from 'zeromq';
import { decodeZ85 } from './curve-key.ts';
import { EndpointError } from './endpoint.ts';

// Fixed by ZeroMQ.

const ZAP_ADDRESS = 'inproc://zeromq.zap.01';
const ZAP_VERSION = '1.0';
/** Frames of a CURVE request: version, request id, domain, address, identity, mechanism, key. */
const ZAP_CURVE_FRAME_COUNT = 7;

// Our choice.

/** A ZAP domain must not be empty, or the handler is not required to be there. */
export const ZAP_DOMAIN = 'rulecast';
/** After an error, so that one which stays does not keep the processor busy. */
const PAUSE_MS = 20;

/** What a client needs. */
export interface CurveClientKeys {
  /** The public key of the listener, which it must prove to have the secret of. */
  readonly serverKey: string;
  /** This client's own pair. */
  readonly publicKey: string;
  readonly secretKey: string;
}

/** What a listener needs. */
export interface CurveServerKeys {
  readonly secretKey: string;
  /** Public keys of the clients to admit; nobody else is. */
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
      'bad_key',
      'curve clientKeys is empty, so nobody could connect: list the public keys',
    );
  }
  keys.clientKeys.forEach((key, i) => void decodeKey(`clientKeys[${i}]`, key));
}

/**
 * Answers the admission questions of one context until `close`. Binds at once, so that no listener can be ahead of it. A ROUTER, for a
 * REP whose answer fails takes no further question: one bad moment would shut everybody out.
 */
export class Admission {
  readonly #socket: Router;
  readonly #admitted: ReadonlySet<string>;
  readonly #onError: (error: unknown) => void;

  /** `onError` hears of questions that could not be answered; whoever asked is not admitted. */
  constructor(
    zmq: Pick<typeof import('zeromq'), 'Router'>,
    context: Context,
    clientKeys: readonly string[],
    onError: (error: unknown) => void,
  ) {
    this.#admitted = new Set(clientKeys.map((key) => decodeKey('clientKeys', key).toString('hex')));
    this.#onError = onError;
    this.#socket = new zmq.Router({ context, linger: 0 });
    this.#socket.bindSync(ZAP_ADDRESS);
    void this.#answerAll();
  }

  close(): void {
    this.#socket.close();
  }

  async #answerAll(): Promise<void> {
    while (!this.#socket.closed) {
      try {
        const [asker, , ...request] = await this.#socket.receive();
        if (asker !== undefined) await this.#answer(asker, request);
      } catch (error) {
        if (this.#socket.closed) return;
        this.#onError(error);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  async #answer(asker: Buffer, request: readonly Buffer[]): Promise<void> {
    const answer = this.#admits(request) ? ['200', 'OK', 'client', ''] : ['400', 'unknown key', '', ''];
    await this.#socket.send([asker, '', ZAP_VERSION, request[1] ?? '', ...answer]);
  }

  #admits(request: readonly Buffer[]): boolean {
    const [version, , domain, , , mechanism, key] = request;
    return (
      request.length === ZAP_CURVE_FRAME_COUNT &&
      version?.toString() === ZAP_VERSION &&
      domain?.toString() === ZAP_DOMAIN &&
      mechanism?.toString() === 'CURVE' &&
      key !== undefined &&
      this.#admitted.has(key.toString('hex'))
    );
  }
}

function decodeKey(what: string, text: string): Buffer {
  const bytes = decodeZ85(text);
  if (bytes !== undefined) return bytes;
  const message = `curve ${what} is no Z85 key of 40 characters: make a pair with curve_keypair, or rulectl keygen FILE`;
  throw new EndpointError('bad_key', message);
}
