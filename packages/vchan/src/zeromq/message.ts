/**
 * The messages between the two ends of a ZeroMQ channel, one ZeroMQ message each. Integers are little-endian.
 *
 * ```
 *   HELLO    client, first    | 1 | "RCZ" | version u8 | connection id 16 | buffer u32 |
 *   WELCOME  server, first    | 2 | connection id 16   | buffer u32 |
 *   FLOW     both             | 3 | grant u32 | bytes 0..65,536 |
 *   CLOSE    both, last       | 4 | code u8 |
 * ```
 * `buffer` is how many bytes the sender of the message takes ahead of its reader: the credit that the other
 * end begins with. A FLOW carries stream bytes, which cost credit, and gives credit back for bytes read. An
 * empty one is a probe: a ROUTER learns from it whether the other end is still there.
 */
import { MAX_BUFFER_BYTES, MIN_BUFFER_BYTES } from '../channel/endpoint.ts';

// Fixed by the messages above.

const MAGIC = Uint8Array.of(0x52, 0x43, 0x5a);
const VERSION = 1;
export const CONNECTION_ID_BYTES = 16;
const KIND = { hello: 1, welcome: 2, flow: 3, close: 4 } as const;
const FLOW_HEADER_BYTES = 5;
const HELLO_BYTES = 1 + MAGIC.length + 1 + CONNECTION_ID_BYTES + 4;
const WELCOME_BYTES = 1 + CONNECTION_ID_BYTES + 4;
const CLOSE_BYTES = 2;

// Our choice.

/**
 * Large enough that the cost of a message is little beside its copies, small enough to give credit back
 * early.
 */
export const MAX_PIECE_BYTES = 65_536;
/** The longest message; ZeroMQ itself disconnects the sender of a longer one. */
export const MAX_MESSAGE_BYTES = FLOW_HEADER_BYTES + MAX_PIECE_BYTES;

/** Why an end closes. */
export const CLOSE_CODE = {
  /** `close()` was called. */
  closed: 0,
  /** Too many channels wait to be accepted. */
  busy: 1,
  /** The other end broke the rules of this file. */
  protocol: 2,
  /** The listener accepts no more connections. */
  notListening: 3,
} as const;

export type CloseCode = (typeof CLOSE_CODE)[keyof typeof CLOSE_CODE];

export interface HelloMessage {
  readonly kind: 'hello';
  /** 16 random bytes; no two connections have the same. */
  readonly connectionId: Uint8Array;
  readonly bufferBytes: number;
}

export interface WelcomeMessage {
  readonly kind: 'welcome';
  /** The id in the HELLO. */
  readonly connectionId: Uint8Array;
  readonly bufferBytes: number;
}

export interface FlowMessage {
  readonly kind: 'flow';
  /** Bytes that the reader took, not yet granted back before. */
  readonly grantBytes: number;
  /** A view into the message. */
  readonly bytes: Uint8Array;
}

export interface CloseMessage {
  readonly kind: 'close';
  readonly code: CloseCode;
}

export type ZmqMessage = HelloMessage | WelcomeMessage | FlowMessage | CloseMessage;

export function encodeHello(connectionId: Uint8Array, bufferBytes: number): Uint8Array {
  const message = new Uint8Array(HELLO_BYTES);
  message[0] = KIND.hello;
  message.set(MAGIC, 1);
  message[1 + MAGIC.length] = VERSION;
  message.set(connectionId, 2 + MAGIC.length);
  viewOf(message).setUint32(HELLO_BYTES - 4, bufferBytes, true);
  return message;
}

export function encodeWelcome(connectionId: Uint8Array, bufferBytes: number): Uint8Array {
  const message = new Uint8Array(WELCOME_BYTES);
  message[0] = KIND.welcome;
  message.set(connectionId, 1);
  viewOf(message).setUint32(WELCOME_BYTES - 4, bufferBytes, true);
  return message;
}

/** Copies `bytes`. */
export function encodeFlow(grantBytes: number, bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(FLOW_HEADER_BYTES + bytes.length);
  message[0] = KIND.flow;
  viewOf(message).setUint32(1, grantBytes, true);
  message.set(bytes, FLOW_HEADER_BYTES);
  return message;
}

export function encodeClose(code: CloseCode): Uint8Array {
  return Uint8Array.of(KIND.close, code);
}

/** Reads a message; `undefined` if it is none. Byte strings of the result are views into `message`. */
export function decodeMessage(message: Uint8Array): ZmqMessage | undefined {
  switch (message[0]) {
    case KIND.hello:
      return decodeHello(message);
    case KIND.welcome: {
      if (message.length !== WELCOME_BYTES) return undefined;
      const bufferBytes = viewOf(message).getUint32(WELCOME_BYTES - 4, true);
      if (!isBufferSize(bufferBytes)) return undefined;
      return { kind: 'welcome', connectionId: message.subarray(1, 1 + CONNECTION_ID_BYTES), bufferBytes };
    }
    case KIND.flow:
      if (message.length < FLOW_HEADER_BYTES || message.length > MAX_MESSAGE_BYTES) return undefined;
      return {
        kind: 'flow',
        grantBytes: viewOf(message).getUint32(1, true),
        bytes: message.subarray(FLOW_HEADER_BYTES),
      };
    case KIND.close: {
      const code = Object.values(CLOSE_CODE).find((known) => known === message[1]);
      if (message.length !== CLOSE_BYTES || code === undefined) return undefined;
      return { kind: 'close', code };
    }
    default:
      return undefined;
  }
}

function decodeHello(message: Uint8Array): HelloMessage | undefined {
  if (message.length !== HELLO_BYTES || message[1 + MAGIC.length] !== VERSION) return undefined;
  if (!MAGIC.every((byte, i) => message[1 + i] === byte)) return undefined;
  const bufferBytes = viewOf(message).getUint32(HELLO_BYTES - 4, true);
  if (!isBufferSize(bufferBytes)) return undefined;
  const connectionId = message.subarray(2 + MAGIC.length, 2 + MAGIC.length + CONNECTION_ID_BYTES);
  return { kind: 'hello', connectionId, bufferBytes };
}

function isBufferSize(bytes: number): boolean {
  return bytes >= MIN_BUFFER_BYTES && bytes <= MAX_BUFFER_BYTES;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
