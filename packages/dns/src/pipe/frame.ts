/**
 * Messages between a subscriber and `rulecast-dns`, over a local stream; numbers little-endian:
 *
 *     frame     bytes u32 │ kind u8 │ body
 *     change    kind 1: number u32 │ whole u8 │ step …          to DNS: what to judge by from now on
 *     step      0 remove │ kind u8 │ name text8
 *               1 put    │ kind u8 │ name text8 │ bytes u32 │ canonical bytes
 *               2 edit   │ name text8 │ (bytes u32 │ keys) × 4: entries removed, added, exceptions likewise
 *     ask       kind 2: nothing                                  to DNS: what do you judge by?
 *     has       kind 3: number u32                               from DNS: this, 0: nothing of this stream
 *     counts    kind 4: (name text8 │ count u64) …               from DNS, with `has`: what it counted
 *     listen    kind 5: nothing │ group u32                      to DNS: questions are captured │ hosts ask this one
 *     watch     kind 7: nothing                                  to DNS: tell what is blocked from now on
 *     blocked   kind 8: lost u32 │ entry …                       from DNS, if it is watched
 *     entry     count u32 │ qube, name, policy, its rule's policy, block and list, text8 each
 *     fault     kind 6: text                                     from DNS, before `has`: why it is not asked, or empty
 *
 * Whoever reads trusts no length: it is checked before anything is kept for it.
 */

import {
  ByteReader,
  ByteWriter,
  canonicalBytes,
  canonicalPieces,
  ErrorCode,
  isPartKind,
  type PartId,
  PartKind,
  ProtocolError,
} from '@rulecast/protocol';
import {
  type Address,
  formatAddress,
  isPartName,
  type Names,
  namePieces,
  type Pieces,
  parseAddress,
  RULE_BLOCKS,
} from '@rulecast/rules';
import type { NameRule } from '../judge/program.ts';
import type { PartStep } from './change.ts';

/** A change of more bytes is not sent, and not read: of twelve million names. */
export const CHANGE_MAX_BYTES = 256 * 1024 * 1024;
/** The longest message from DNS. */
export const SAID_MAX_BYTES = 2048;
const HEAD_BYTES = 5;

const Kind = { change: 1, ask: 2, has: 3, counts: 4, listen: 5, fault: 6, watch: 7, blocked: 8 } as const;
/** The names that counters from DNS may have; others are refused. */
const COUNTER = /^dns[A-Z][A-Za-z0-9._-]{1,28}$/;
const COUNTERS_MAX = 40;
/** Characters of a fault. */
const FAULT_MAX = 400;
const Op = { remove: 0, put: 1, edit: 2 } as const;

export interface Change {
  /** A number by the sender, from 1. */
  readonly number: number;
  /** Whether the steps start from nothing; otherwise from the change before. */
  readonly isWhole: boolean;
  readonly steps: readonly PartStep[];
}

/** A question that was blocked so often: the policy that judged, and the rule, if one did. */
export interface BlockedName {
  readonly count: number;
  readonly qube: Address;
  readonly name: string;
  readonly policy: string | undefined;
  readonly rule: Pick<NameRule, 'policy' | 'block' | 'list'> | undefined;
}

export type PipeMessage =
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'ask' }
  | { readonly kind: 'has'; readonly number: number }
  | { readonly kind: 'counts'; readonly counts: Readonly<Record<string, number>> }
  /** The link group of the interfaces whose hosts ask this program; undefined: none do. */
  | { readonly kind: 'listen'; readonly group: number | undefined }
  | { readonly kind: 'fault'; readonly text: string }
  | { readonly kind: 'watch' }
  /** `lost`: the number of blocked names that were not reported. */
  | { readonly kind: 'blocked'; readonly lost: number; readonly names: readonly BlockedName[] };

/** A received message; a change is bytes, which changePieces decodes. */
export type ReadMessage =
  | Exclude<PipeMessage, { readonly kind: 'change' }>
  | { readonly kind: 'change'; readonly body: Uint8Array };

export function frameOf(message: PipeMessage): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(0); // a place for its length, known later
  writer.u8(Kind[message.kind]);
  if (message.kind === 'has') writer.u32(message.number);
  else if (message.kind === 'change') writeChange(writer, message.change);
  else if (message.kind === 'counts') writeCounts(writer, message.counts);
  else if (message.kind === 'listen' && message.group !== undefined) writer.u32(message.group);
  else if (message.kind === 'blocked') writeBlocked(writer, message);
  else if (message.kind === 'fault') writer.bytes(Buffer.from(message.text.slice(0, FAULT_MAX), 'utf8'));
  const bytes = writer.take();
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length - HEAD_BYTES, true);
  return bytes;
}

function writeBlocked(
  writer: ByteWriter,
  { lost, names }: Extract<PipeMessage, { readonly kind: 'blocked' }>,
): void {
  writer.u32(lost);
  for (const { count, qube, name, policy = '', rule } of names) {
    writer.u32(count);
    const ofRule = [rule?.policy ?? '', rule?.block ?? '', rule?.list ?? ''];
    for (const text of [formatAddress(qube), name, policy, ...ofRule]) writer.shortText(text);
  }
}

function writeCounts(writer: ByteWriter, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts).slice(0, COUNTERS_MAX)) {
    writer.shortText(name);
    writer.u64(count);
  }
}

function writeChange(writer: ByteWriter, { number, isWhole, steps }: Change): void {
  writer.u32(number);
  writer.u8(isWhole ? 1 : 0);
  for (const step of steps) {
    writer.u8(Op[step.op]);
    if (step.op === 'edit') {
      writer.shortText(step.list);
      for (const { removed, added } of [step.names, step.exceptions]) {
        writeBytes(writer, removed.bytes);
        writeBytes(writer, added.bytes);
      }
      continue;
    }
    const { kind, name } = step.op === 'put' ? step.part : step.id;
    writer.u8(kind);
    writer.shortText(name);
    if (step.op === 'put') writeBytes(writer, canonicalBytes(step.part));
  }
}

function writeBytes(writer: ByteWriter, bytes: Uint8Array): void {
  writer.u32(bytes.length);
  writer.bytes(bytes);
}

/** Reads frames out of a stream. The bytes are copied once. */
export class FrameReader {
  readonly #mostBytes: number;
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headBytes = 0;
  #body: Uint8Array | undefined;
  #bodyBytes = 0;

  /** Bodies of more bytes are refused. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** The messages that end in these bytes. Throws ProtocolError for what is none; read no more then. */
  *feed(bytes: Uint8Array): Generator<ReadMessage> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#body === undefined) {
        const taken = bytes.subarray(at, at + HEAD_BYTES - this.#headBytes);
        this.#head.set(taken, this.#headBytes);
        this.#headBytes += taken.length;
        at += taken.length;
        if (this.#headBytes < HEAD_BYTES) return;
        this.#body = this.#room();
        this.#bodyBytes = 0;
      }
      const taken = bytes.subarray(at, at + this.#body.length - this.#bodyBytes);
      this.#body.set(taken, this.#bodyBytes);
      this.#bodyBytes += taken.length;
      at += taken.length;
      if (this.#bodyBytes < this.#body.length) return;
      const body = this.#body;
      this.#body = undefined;
      this.#headBytes = 0;
      yield messageOf(this.#head[HEAD_BYTES - 1], body);
    }
  }

  /** The system gives memory page by page as bytes arrive, so a large frame's room costs nothing before. */
  #room(): Uint8Array {
    const length = new DataView(this.#head.buffer).getUint32(0, true);
    if (length <= this.#mostBytes) return new Uint8Array(length);
    throw new ProtocolError(ErrorCode.overLimit, `a frame of ${length} bytes, at most ${this.#mostBytes}`);
  }
}

function messageOf(kind: number | undefined, body: Uint8Array): ReadMessage {
  const reader = new ByteReader(body, ErrorCode.badMessage);
  switch (kind) {
    case Kind.change:
      return { kind: 'change', body };
    case Kind.ask:
      reader.end();
      return { kind: 'ask' };
    case Kind.has: {
      const number = reader.u32();
      reader.end();
      return { kind: 'has', number };
    }
    case Kind.counts:
      return { kind: 'counts', counts: readCounts(reader) };
    case Kind.listen: {
      const group = reader.remaining === 0 ? undefined : reader.u32();
      reader.end();
      return { kind: 'listen', group };
    }
    case Kind.watch:
      reader.end();
      return { kind: 'watch' };
    case Kind.blocked:
      return { kind: 'blocked', lost: reader.u32(), names: readBlocked(reader) };
    case Kind.fault:
      return { kind: 'fault', text: Buffer.from(body).toString('utf8') };
    default:
      throw reader.error(`a frame of kind ${kind}`);
  }
}

function readBlocked(reader: ByteReader): readonly BlockedName[] {
  const names: BlockedName[] = [];
  while (reader.remaining > 0) {
    const count = reader.u32();
    const qube = parseAddress(reader.shortText());
    const name = reader.shortText();
    const [policy = '', ofRule = '', inBlock = '', list = ''] = Array.from({ length: 4 }, () =>
      reader.shortText(),
    );
    const block = RULE_BLOCKS.find((each) => each === inBlock);
    if (qube === undefined || [policy, ofRule, list].some((each) => each !== '' && !isPartName(each)))
      throw reader.error('a blocked name without a qube, or with malformed names');
    const rule = block && { policy: ofRule, block, list: list || undefined };
    names.push({ count, qube, name, policy: policy || undefined, rule });
  }
  return names;
}

function readCounts(reader: ByteReader): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  while (reader.remaining > 0) {
    const name = reader.shortText();
    if (!COUNTER.test(name) || counts.has(name) || counts.size === COUNTERS_MAX)
      throw reader.error('a counter with a malformed or repeated name, or too many counters');
    counts.set(name, reader.u64());
  }
  return Object.fromEntries(counts);
}

/** The change that the body of a frame says, in pieces. Throws ProtocolError where it is none. */
export function* changePieces(body: Uint8Array): Pieces<Change> {
  const reader = new ByteReader(body, ErrorCode.badMessage);
  const number = reader.u32();
  const whole = reader.u8();
  if (number === 0 || whole > 1) throw reader.error('a change without a number, or with an unknown flag');
  const steps: PartStep[] = [];
  while (reader.remaining > 0) steps.push(yield* stepPieces(reader));
  return { number, isWhole: whole === 1, steps };
}

function* stepPieces(reader: ByteReader): Pieces<PartStep> {
  const op = reader.u8();
  switch (op) {
    case Op.edit: {
      const { name } = named(reader, PartKind.nameList);
      const names = { removed: yield* keyPieces(reader), added: yield* keyPieces(reader) };
      const exceptions = { removed: yield* keyPieces(reader), added: yield* keyPieces(reader) };
      return { op: 'edit', list: name, names, exceptions };
    }
    case Op.remove:
      return { op: 'remove', id: named(reader, reader.u8()) };
    case Op.put: {
      const id = named(reader, reader.u8());
      return { op: 'put', part: yield* canonicalPieces(id, readBytes(reader)) };
    }
    default:
      throw reader.error(`a step of kind ${op}`);
  }
}

function named(reader: ByteReader, kind: number): PartId {
  const name = reader.shortText();
  if (!isPartKind(kind) || kind === PartKind.resolutions) throw reader.error(`a part of kind ${kind}`);
  if (kind === PartKind.unmatched ? name !== '' : !isPartName(name))
    throw reader.error('a part with a malformed name');
  return { kind, name };
}

function readBytes(reader: ByteReader): Uint8Array {
  return reader.bytes(reader.count(1));
}

function* keyPieces(reader: ByteReader): Pieces<Names> {
  const names = yield* namePieces(readBytes(reader));
  if ('reason' in names) throw reader.error(`name ${names.index} ${names.reason}`);
  return names;
}
