/**
 * Messages: the meaning of a frame's type and body, WIRE.md "Messages". Control bodies are maps checked
 * against its fields; OFFER, PROOF, ROOT, FRESH, CHUNK, HEAD, REPORTS and ANSWERS are binary. session.ts has
 * which message may come when.
 */

import { joinSigned, type Signed, splitSigned } from '../content/signature-block.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import {
  COUNTERS_MAX,
  FRAME_BODY_MAX_BYTES,
  HEARTBEAT_MAX_MS,
  LINEAGE_BYTES,
  NONCE_BYTES,
  REFUSALS_MAX,
  REFUSED_MAX,
  RETRY_AFTER_MAX_MS,
  SKIPPABLE_TYPE_MIN,
  STREAM_ID_BYTES,
} from '../limits.ts';
import { type BodyMap, type BodyValue, decodeBody, encodeBody } from './body.ts';
import { CONTROL_FIELDS, type ControlRecord, RECORD_FIELDS } from './control.ts';
import {
  boolean,
  bytes,
  type Check,
  capabilities,
  checkOf,
  code,
  countersOf,
  duration,
  type Fields,
  type FieldValues,
  hash,
  integer,
  isMap,
  listOf,
  mapOf,
  name,
  oneOf,
  optional,
  partText,
  protocolVersion,
  taggedCheck,
  text,
  uint,
} from './field.ts';
import { PACKET_FIELDS, REFUSED_FIELDS, REFUSED_QUERY_FIELDS, TOLD_FIELDS, VERDICT_FIELDS } from './query.ts';

/** The type byte of each message. From 64 on: control. */
export const MessageType = {
  hello: 1,
  welcome: 2,
  offer: 3,
  want: 4,
  begin: 5,
  chunk: 6,
  end: 7,
  abort: 8,
  applied: 9,
  nack: 10,
  query: 11,
  answer: 12,
  prove: 13,
  proof: 14,
  ping: 15,
  pong: 16,
  bye: 17,
  unsupported: 18,
  root: 19,
  fresh: 20,
  relay: 21,
  head: 22,
  fetch: 23,
  reports: 24,
  answers: 25,
  push: 64,
  file: 65,
  status: 66,
  test: 67,
  record: 68,
  done: 69,
  fail: 70,
  rollback: 71,
  history: 72,
  diff: 73,
  lists: 74,
  list: 75,
  refresh: 76,
  forget: 77,
  greet: 78,
  log: 79,
  top: 80,
  block: 81,
  unblock: 82,
  blocks: 83,
  which: 84,
  metrics: 90,
} as const;
export type MessageKind = keyof typeof MessageType;

const alive = {
  /** The active release of the sender: a subscriber's, or a publisher's head. */
  hash: optional(hash),
  /** For how long that has been so. */
  ageMs: optional(duration),
} as const;

/** A subscriber's nonce for freshness; answered by FRESH. */
const nonce = optional(bytes(NONCE_BYTES));

/** Publisher and subscriber. */
export const SESSION_FIELDS = {
  hello: {
    protocolMin: protocolVersion,
    protocolMax: protocolVersion,
    name,
    /** The lineage of its trust line. */
    lineage: bytes(LINEAGE_BYTES),
    /** The newest root it believes; without a number: that of its trust line, which it has not seen. */
    root: mapOf({ hash, number: optional(uint) }),
    /** The active release. */
    holds: optional(mapOf({ hash, epoch: uint, version: uint })),
    /** The newest release it ever had, if that is another. */
    floor: optional(mapOf({ hash, epoch: uint, version: uint })),
    /** Manifests it refused with `never`, the newest last. */
    refused: listOf(hash, REFUSED_MAX),
    /** Its limits; a larger release is not offered. */
    limits: mapOf({ entries: uint, bytes: uint, parts: uint }),
    /** Its capabilities; absent: the common ones only. capability.ts. */
    capabilities: optional(capabilities),
    nonce,
  },
  welcome: {
    protocol: protocolVersion,
    name,
    lineage: bytes(LINEAGE_BYTES),
    heartbeatMs: integer(100, HEARTBEAT_MAX_MS),
    capabilities: optional(capabilities),
  },
  want: {
    hash,
    /** The release it holds, to which a chain of deltas may be applied. */
    base: optional(hash),
    /** The part that it has of a snapshot of this release, from a transfer that was cut. */
    has: optional(mapOf({ stream: bytes(STREAM_ID_BYTES), bytes: uint })),
  },
  begin: {
    /** Length of the stream: what the CHUNKs up to END hold, and `from` bytes before. */
    bytes: uint,
    /** True: it starts from nothing; absent: from the base of WANT. */
    snapshot: optional(boolean),
    /** The id of these bytes, if they may be resumed. */
    stream: optional(bytes(STREAM_ID_BYTES)),
    /** The offset at which the first CHUNK continues, as in WANT. Absent: 0. */
    from: optional(uint),
  },
  end: {
    /** SHA-256 of a file's bytes; absent after a transfer, whose result is verified. */
    sha256: optional(hash),
  },
  abort: { code, text },
  applied: {
    hash,
    epoch: uint,
    version: uint,
    receiveMs: duration,
    verifyMs: duration,
    compileMs: duration,
    flipMs: duration,
    /** Whether the release survives a restart of the subscriber. */
    persisted: boolean,
    generation: uint,
  },
  nack: {
    hash,
    code,
    text,
    part: optional(partText),
    entry: optional(uint),
    retry: oneOf('never', 'later'),
    retryAfterMs: optional(integer(0, RETRY_AFTER_MAX_MS)),
    /** The release that stays active. */
    keeps: optional(hash),
  },
  query: {
    question: oneOf('test', 'stats', 'refused'),
    packet: optional(mapOf(PACKET_FIELDS)),
    refused: optional(mapOf(REFUSED_QUERY_FIELDS)),
    /** Index of the first counter of the page that is asked for. */
    '+from': optional(uint),
  },
  answer: {
    ok: boolean,
    verdict: optional(mapOf(VERDICT_FIELDS)),
    '+told': optional(mapOf(TOLD_FIELDS)),
    hash: optional(hash),
    version: optional(uint),
    epoch: optional(uint),
    generation: optional(uint),
    stats: optional(countersOf(COUNTERS_MAX)),
    refused: optional(listOf({ ...mapOf(REFUSED_FIELDS), label: 'Refused' }, REFUSALS_MAX)),
    /** The number of refusals that could not be kept, since the log began. */
    refusedLost: optional(uint),
    /** The start of the next page: a first index, or an `after`; absent behind the last page. */
    '+next': optional(uint),
    code: optional(code),
    text: optional(text),
  },
  prove: {},
  ping: { ...alive, nonce },
  pong: alive,
  bye: { code, text, retryAfterMs: optional(integer(0, RETRY_AFTER_MAX_MS)) },
  unsupported: {
    /** The release that is not offered. */
    hash,
    /** The required capabilities that the subscriber lacks. */
    capabilities,
    text,
  },
} as const satisfies Record<string, Fields>;

/** Publisher and relay, DEPOT.md "Relays". */
export const RELAY_FIELDS = {
  relay: { protocolMin: protocolVersion, protocolMax: protocolVersion, name },
  fetch: { sha256: hash, length: uint },
} as const satisfies Record<string, Fields>;

const SIGNED_KINDS = ['offer', 'proof', 'root', 'fresh'] as const;
type SignedKind = (typeof SIGNED_KINDS)[number];

/** Kinds whose body is bytes, made and read elsewhere. */
const BYTES_KINDS = ['chunk', 'head', 'reports', 'answers'] as const;
type BytesKind = (typeof BYTES_KINDS)[number];

const MAP_FIELDS = { ...SESSION_FIELDS, ...RELAY_FIELDS, ...CONTROL_FIELDS } as const;
type MapKind = keyof typeof MAP_FIELDS;

type MapMessages = {
  [K in MapKind]: { readonly kind: K } & FieldValues<(typeof MAP_FIELDS)[K]>;
};
type SignedMessages = { [K in SignedKind]: Signed & { readonly kind: K } };
type BytesMessages = {
  [K in BytesKind]: {
    readonly kind: K;
    /** 1 to 65,512 bytes; those of a received CHUNK may be a view of the channel's memory. */
    readonly bytes: Uint8Array;
  };
};
interface RecordMessages {
  readonly record: { readonly kind: 'record'; readonly record: ControlRecord };
}

type Messages = MapMessages & SignedMessages & BytesMessages & RecordMessages;
export type Message = Messages[MessageKind];
export type MessageOf<K extends MessageKind> = Messages[K];

/** A message in the form of the frame layer. */
export interface EncodedMessage {
  readonly type: number;
  readonly body: Uint8Array;
}

interface MapCodec {
  readonly names: readonly string[];
  readonly check: Check;
}

const KINDS = new Map<number, MessageKind>();
const MAP_CODECS = new Map<MessageKind, MapCodec>();
for (const kind of kindsOf(MessageType)) KINDS.set(MessageType[kind], kind);
for (const kind of kindsOf(MAP_FIELDS)) {
  const fields: Fields = MAP_FIELDS[kind];
  MAP_CODECS.set(kind, { names: Object.keys(fields), check: checkOf(fields) });
}
MAP_CODECS.set('record', { names: ['record'], check: taggedCheck('record', RECORD_FIELDS) });

/**
 * The type and body of a message; a CHUNK's body is its bytes, not a copy. Throws TypeError if the message
 * breaks its fields or a rule of WIRE.md, and RangeError if it does not fit: both are the caller's
 * mistakes.
 */
export function encodeMessage(message: Message): EncodedMessage {
  const type = MessageType[message.kind];
  if (isBytesMessage(message)) {
    const wrong = bytesFault(message.kind, message.bytes);
    if (wrong !== undefined) throw new TypeError(wrong);
    return { type, body: message.bytes };
  }
  if (isSignedMessage(message)) return { type, body: encodeSigned(message) };
  const codec = MAP_CODECS.get(message.kind);
  if (codec === undefined) throw new TypeError(`no message is called ${message.kind}`);
  const fields: Record<string, BodyMap[string]> = {};
  const values: { readonly [name: string]: BodyMap[string] } = message;
  for (const fieldName of codec.names) {
    const value = withoutUndefined(values[fieldName]);
    if (value !== undefined) fields[fieldName] = value;
  }
  const wrong = codec.check(fields) ?? ruleFault(message);
  if (wrong !== undefined) throw new TypeError(`${message.kind}: ${wrong}`);
  return { type, body: encodeBody(fields) };
}

/**
 * The message in a frame. Throws ProtocolError: `unknown-type`, `body-too-long`, `bad-body` or `bad-message`.
 * All but a CHUNK's bytes are copied out of `body`. `onSkipped` is called for each field that is passed over.
 */
export function decodeMessage(type: number, body: Uint8Array, onSkipped?: () => void): Message {
  const kind = KINDS.get(type);
  if (kind === undefined) throw new ProtocolError(ErrorCode.unknownType, `no message has the type ${type}`);
  if (isBytesKind(kind)) {
    const wrong = bytesFault(kind, body);
    if (wrong !== undefined) throw new ProtocolError(ErrorCode.badMessage, wrong);
    return { kind, bytes: kind === 'chunk' ? body : body.slice() };
  }
  // Copies: a manifest is kept for as long as its release, the frame is not.
  if (isSignedKind(kind)) return { kind, ...splitSigned(body) };
  const codec = MAP_CODECS.get(kind);
  const fields = withoutSkippable(decodeBody(body), codec?.names ?? [], onSkipped);
  const wrong = codec?.check(fields);
  if (wrong !== undefined) throw new ProtocolError(ErrorCode.badMessage, `${kind}: ${wrong}`);
  const message = { kind, ...fields } as Message; // the check of this kind has just accepted the fields
  const fault = ruleFault(message);
  if (fault !== undefined) throw new ProtocolError(ErrorCode.badMessage, `${kind}: ${fault}`);
  return message;
}

/** Whether a message is skipped here: its type is unknown, and the sender has marked it as skippable. */
export function isSkippable(type: number): boolean {
  return type >= SKIPPABLE_TYPE_MIN && !KINDS.has(type);
}

/** The first character of a field's name that may be skipped. */
const SKIPPABLE_MARK = '+';

function withoutSkippable(
  body: object,
  known: readonly string[],
  onSkipped: (() => void) | undefined,
): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  const deeply = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(deeply);
    return isMap(value) ? withoutSkippable(value, [], onSkipped) : value;
  };
  for (const [field, value] of Object.entries(body)) {
    if (field.startsWith(SKIPPABLE_MARK) && !known.includes(field)) onSkipped?.();
    else kept[field] = deeply(value);
  }
  return kept;
}

/** A fault of several fields together. */
function ruleFault(message: Message): string | undefined {
  switch (message.kind) {
    case 'hello':
    case 'relay':
    case 'greet':
      return message.protocolMin > message.protocolMax ? 'protocolMin is above protocolMax' : undefined;
    case 'query':
      if ((message.question === 'test') !== (message.packet !== undefined))
        return 'a packet belongs to the question test, and only there';
      return (message.question === 'refused') === (message.refused !== undefined)
        ? undefined
        : 'the field refused belongs to the question refused, and only there';
    case 'answer':
      return message.ok === (message.code === undefined) ? undefined : 'code says why, unless ok';
    case 'test':
      if ((message.packet === undefined) === (message.question === undefined))
        return 'a packet or a question, and not both';
      return message.question !== undefined &&
        (message.question.asker === undefined) === (message.question.policy === undefined)
        ? 'asker or policy says who asks, and not both'
        : undefined;
    case 'status':
      if (message.state !== undefined && (message.watch || message.counters === true))
        return 'state goes alone';
      return message.watch && message.counters === true ? 'counters are not watched' : undefined;
    case 'block':
      return blockFault(message);
    case 'unblock':
      return message.rows.length > 0 === (message.all === true) ? 'rows or all, and not both' : undefined;
    case 'push':
      if (message.compare !== undefined && !message.dryRun) return 'compare goes with dryRun';
      return partFault(message) ?? partFault(message.compare ?? {});
    case 'rollback':
    case 'history':
    case 'diff':
      return partFault(message);
    default:
      return undefined;
  }
}

function partFault({
  list,
  policy,
}: {
  readonly list?: unknown;
  readonly policy?: unknown;
}): string | undefined {
  return list !== undefined && policy !== undefined ? 'a list or a policy, not both' : undefined;
}

function blockFault({ verb, target, qube }: MessageOf<'block'>): string | undefined {
  if ((verb === 'cut') === (target !== undefined))
    return 'a target belongs to block and allow, and only there';
  return verb !== 'block' && qube === undefined ? 'a qube belongs to allow and cut' : undefined;
}

function bytesFault(kind: BytesKind, body: Uint8Array): string | undefined {
  if (body.length >= 1 && body.length <= FRAME_BODY_MAX_BYTES) return undefined;
  return `${kind} of ${body.length} bytes; it holds 1 to ${FRAME_BODY_MAX_BYTES}`;
}

function isBytesKind(kind: MessageKind): kind is BytesKind {
  return BYTES_KINDS.some((bytes) => bytes === kind);
}

function isBytesMessage(message: Message): message is MessageOf<BytesKind> {
  return isBytesKind(message.kind);
}

function isSignedKind(kind: MessageKind): kind is SignedKind {
  return SIGNED_KINDS.some((signed) => signed === kind);
}

function isSignedMessage(message: Message): message is MessageOf<SignedKind> {
  return isSignedKind(message.kind);
}

function encodeSigned(message: Signed): Uint8Array {
  const body = joinSigned(message);
  if (body.length > FRAME_BODY_MAX_BYTES) throw new RangeError(`${body.length} bytes, and their signatures`);
  splitSigned(body); // throws for a block that is none
  return body;
}

/** Optional fields set to undefined are left out, in maps within maps as well, before the check looks. */
function withoutUndefined(value: BodyMap[string]): BodyMap[string] {
  if (typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((each) => withoutUndefined(each) as BodyValue); // a list has no gaps
  const copy: Record<string, BodyMap[string]> = {};
  for (const [key, field] of Object.entries(value)) {
    const kept = withoutUndefined(field);
    if (kept !== undefined) copy[key] = kept;
  }
  return copy;
}

function kindsOf<K extends string>(table: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(table) as K[]; // the tables are literals of this file and hold no other keys
}
