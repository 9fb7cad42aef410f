/**
 * Messages of nf_tables over netlink, for what libnftables is slow at or has no call for: elements of sets
 * and maps in batches, the generation of the ruleset, tables and base chains, elements read back. Layouts:
 * linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h, which never change. And what flows of the
 * connection table are marked with (nfnetlink_conntrack.h).
 *
 *   nlmsghdr: u32 length │ u16 type │ u16 flags │ u32 sequence │ u32 port      in the byte order of the machine
 *   nfgenmsg: u8 family │ u8 version │ u16 resource                           from here on big-endian
 *   attributes: u16 length │ u16 type (lengths and types as the machine has them), value, padding to 4 bytes
 */

import { getSystemErrorName } from 'node:util';
import type { Family } from '@rulecast/rules';
import { FLOW_MARK_UNIT, NO_FLOW_MARK } from '../limits.ts';
import { NativeError, type NetlinkSocket } from './native.ts';

/** Where elements of a map lead. */
export type Verdict =
  | { readonly kind: 'drop' }
  | { readonly kind: 'accept' }
  | { readonly kind: 'goto'; readonly chain: string };

export interface TableInfo {
  readonly name: string;
  /** Grows with each table that the kernel makes. */
  readonly handle: number;
  readonly isOwned: boolean;
}

// ── Fixed by the kernel ────────────────────────────────────────────────────────────────────────────────────

const NFNL_SUBSYS_NFTABLES = 10;
const nft = (type: number): number => (NFNL_SUBSYS_NFTABLES << 8) | type;
const Message = {
  error: 2,
  done: 3,
  batchBegin: 16,
  batchEnd: 17,
  newTable: nft(0),
  getTable: nft(1),
  newChain: nft(3),
  getChain: nft(4),
  newSet: nft(9),
  getSet: nft(10),
  newSetElem: nft(12),
  getSetElem: nft(13),
  delSetElem: nft(14),
  destroySetElem: nft(30), // Linux 6.3
  newGen: nft(15),
  getGen: nft(16),
  newFlow: 1 << 8, // of the connection table, subsystem 1
  getFlow: (1 << 8) | 1,
} as const;
const VERBS = {
  add: Message.newSetElem,
  delete: Message.delSetElem,
  destroy: Message.destroySetElem,
} as const;
const Flag = { request: 1, ack: 4, create: 0x400, dump: 0x300 } as const;
const NFPROTO_UNSPEC = 0;
const NFPROTO_INET = 1;
const NESTED = 0x8000;
const HEADER_BYTES = 20;
const TABLE_FLAG_OWNER = 2;
/** Of the lists of elements, which are attributes: their length is 16 bits. */
const LIST_MAX_BYTES = 60_000;
const Code = { drop: 0, accept: 1, goto: -4 } as const;

// ── Our choice ─────────────────────────────────────────────────────────────────────────────────────────────

/** Elements of one transaction: others wait for it, 1.5 ms. Four times as many would load no faster. */
export const PIECE_ELEMENTS = 2048;
/** A piece of the largest elements: IPv6 to a chain of the longest name. */
const PIECE_BYTES = PIECE_ELEMENTS * 160 + 65_536;
const ANSWER_BYTES = 262_144;

export class Netlink {
  readonly #bytes = Buffer.alloc(PIECE_BYTES);
  readonly #words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, PIECE_BYTES / 4);
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #length = 0;
  #sequence = 1;
  readonly #open: () => NetlinkSocket;
  readonly #asking: NetlinkSocket;

  /** `open` gives sockets to read by; what changes anything goes through a socket that is given for it. */
  constructor(open: () => NetlinkSocket) {
    this.#open = open;
    this.#asking = open();
  }

  // ── Questions ────────────────────────────────────────────────────────────────────────────────────────────

  /** Counts the transactions of the ruleset. */
  generation(): number {
    for (const message of this.#ask(this.#asking, Message.getGen, Flag.request, () => undefined)) {
      const id = message.type === Message.newGen ? attribute(message.body, 1) : undefined;
      if (id !== undefined) return id.readUInt32BE(0);
    }
    throw new NativeError('the kernel does not tell its generation');
  }

  /** All tables of family inet. */
  tables(): readonly TableInfo[] {
    const tables: TableInfo[] = [];
    for (const { type, body } of this.#ask(
      this.#asking,
      Message.getTable,
      Flag.request | Flag.dump,
      () => {},
    )) {
      if (type !== Message.newTable) continue;
      const flags = attribute(body, 2)?.readUInt32BE(0) ?? 0;
      const handle = Number(attribute(body, 4)?.readBigUInt64BE(0) ?? 0n);
      tables.push({ name: textOf(attribute(body, 1)), handle, isOwned: (flags & TABLE_FLAG_OWNER) !== 0 });
    }
    return tables;
  }

  /** Whether a table has a chain that packets come into by a hook. */
  isHooked(table: string, chain: string): boolean {
    const put = (): void => {
      this.#text(1, table);
      this.#text(3, chain);
    };
    for (const { type, body } of this.#ask(this.#asking, Message.getChain, Flag.request, put)) {
      if (type === Message.newChain) return attribute(body, 4) !== undefined;
    }
    return false;
  }

  /** The names of all sets and maps of a table. */
  sets(table: string): string[] {
    const names: string[] = [];
    const put = (): void => this.#text(1, table);
    for (const { type, body } of this.#ask(this.#asking, Message.getSet, Flag.request | Flag.dump, put)) {
      if (type === Message.newSet) names.push(textOf(attribute(body, 2)));
    }
    return names;
  }

  /**
   * The keys of the first elements of a set, 1 or 4 words each, up to about `most` of them. The kernel walks
   * the set anew for every 32 KB of answer, so reading all of a large one takes quadratic time.
   */
  firstElements(table: string, set: string, family: Family, most: number): Uint32Array {
    const socket = this.#open(); // closed with the reading not at its end
    const keys: number[] = [];
    try {
      const put = (): void => {
        this.#text(1, table);
        this.#text(2, set);
      };
      for (const { type, body } of this.#ask(socket, Message.getSetElem, Flag.request | Flag.dump, put)) {
        if (type === Message.newSetElem) keys.push(...keysOf(body));
        if (keys.length >= most * wordsOf(family)) break;
      }
    } finally {
      socket.close();
    }
    return Uint32Array.from(keys);
  }

  /** Whether a set has an element. */
  has(table: string, set: string, family: Family, key: Uint32Array): boolean {
    const stride = wordsOf(family);
    const put = (): void => this.#elementList(table, set, key, 0, stride, stride, undefined);
    for (const { type } of this.#ask(this.#asking, Message.getSetElem, Flag.request, put)) {
      if (type === Message.newSetElem) return true;
    }
    return false;
  }

  /** Our part of the marks that any flow has; `turn` is awaited between pieces of the answer. */
  async marks(turn: () => Promise<void>): Promise<readonly number[]> {
    const socket = this.#open(); // others ask meanwhile
    const marks = new Set<number>();
    try {
      this.#request(socket, Message.getFlow, Flag.request | Flag.dump, () => {}, NFPROTO_UNSPEC);
      for (let isDone = false; !isDone; await turn()) {
        const count = socket.receive(this.#answer);
        isDone = count === 0;
        for (const { type, body } of this.#messages(count)) {
          if (type === Message.error) throwIfError(body, 'the connection table');
          isDone ||= type === Message.done;
          const mark = type === Message.newFlow ? (attribute(body, 8)?.readUInt32BE(0) ?? 0) : 0;
          marks.add(Math.floor(mark / FLOW_MARK_UNIT));
        }
      }
    } finally {
      socket.close();
    }
    marks.delete(NO_FLOW_MARK);
    return [...marks];
  }

  // ── Elements ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds or deletes up to PIECE_ELEMENTS elements of one hash set or verdict map, all or none, in one
   * transaction over `socket`; `destroy` deletes those of them that are there. `keys`: 1 or 4 words each, as
   * numbers. Throws NativeError.
   */
  change(
    socket: NetlinkSocket,
    verb: keyof typeof VERBS,
    at: { readonly table: string; readonly set: string; readonly family: Family },
    keys: Uint32Array,
    verdicts?: readonly Verdict[],
  ): void {
    const stride = wordsOf(at.family);
    this.#length = 0;
    this.#batchMark(Message.batchBegin);
    const perMessage = Math.floor(LIST_MAX_BYTES / (verdicts === undefined ? 12 + stride * 4 : 160));
    const count = keys.length / stride;
    for (let from = 0; from < count; from += perMessage) {
      const to = Math.min(count, from + perMessage);
      const flags = (verb === 'add' ? Flag.create : 0) | (to === count ? Flag.ack : 0) | Flag.request;
      const start = this.#begin(VERBS[verb], flags, NFPROTO_INET, 0);
      this.#elementList(
        at.table,
        at.set,
        keys,
        from * stride,
        to * stride,
        stride,
        verdicts?.slice(from, to),
      );
      this.#end(start);
    }
    this.#batchMark(Message.batchEnd);
    socket.send(this.#bytes, this.#length);
    let acknowledged = false;
    for (const { type, body } of this.#answers(socket)) {
      if (type !== Message.error) continue;
      acknowledged = true;
      throwIfError(body, `elements of ${at.set}`);
    }
    if (!acknowledged) throw new NativeError(`the kernel does not answer about elements of ${at.set}`);
  }

  #elementList(
    table: string,
    set: string,
    keys: Uint32Array,
    from: number,
    to: number,
    stride: number,
    verdicts: readonly Verdict[] | undefined,
  ): void {
    this.#text(1, table);
    this.#text(2, set);
    const list = this.#nest(3);
    if (verdicts === undefined) this.#plainElements(keys, from, to, stride);
    else
      for (const [index, verdict] of verdicts.entries()) {
        const element = this.#nest(1);
        this.#key(keys, from + index * stride, stride);
        this.#verdict(verdict);
        this.#endNest(element);
      }
    this.#endNest(list);
  }

  /** By words, as a list has a million: three headers that are always the same, and the key. */
  #plainElements(keys: Uint32Array, from: number, to: number, stride: number): void {
    const keyBytes = stride * 4;
    const headers = [
      attrHeader(12 + keyBytes, 1 | NESTED),
      attrHeader(8 + keyBytes, 1 | NESTED),
      attrHeader(4 + keyBytes, 1),
    ];
    const words = this.#words;
    let at = this.#length >> 2;
    for (let i = from; i < to; i += stride) {
      for (const header of headers) words[at++] = header;
      for (let w = i; w < i + stride; w++) words[at++] = bigEndian(keys[w]!); // within the keys
    }
    this.#length = at << 2;
  }

  #key(keys: Uint32Array, at: number, stride: number): void {
    const key = this.#nest(1);
    this.#words[this.#length >> 2] = attrHeader(4 + stride * 4, 1);
    this.#length += 4;
    for (let w = at; w < at + stride; w++, this.#length += 4)
      this.#words[this.#length >> 2] = bigEndian(keys[w]!); // within the keys
    this.#endNest(key);
  }

  #verdict(verdict: Verdict): void {
    const data = this.#nest(2);
    const inner = this.#nest(2);
    this.#words[this.#length >> 2] = attrHeader(8, 1);
    this.#words[(this.#length >> 2) + 1] = bigEndian(Code[verdict.kind]);
    this.#length += 8;
    if (verdict.kind === 'goto') this.#text(2, verdict.chain);
    this.#endNest(inner);
    this.#endNest(data);
  }

  // ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────

  *#ask(socket: NetlinkSocket, type: number, flags: number, put: () => void): Generator<Answer> {
    this.#request(socket, type, flags, put, NFPROTO_INET);
    yield* this.#answers(socket);
  }

  #request(socket: NetlinkSocket, type: number, flags: number, put: () => void, family: number): void {
    this.#length = 0;
    const start = this.#begin(type, flags, family, 0);
    put();
    this.#end(start);
    socket.send(this.#bytes, this.#length);
  }

  /**
   * What the kernel has answered already: it answers before `send` returns, and goes on as it is read from.
   */
  *#answers(socket: NetlinkSocket): Generator<Answer> {
    for (let count = socket.receive(this.#answer); count > 0; count = socket.receive(this.#answer))
      yield* this.#messages(count);
  }

  /** The messages in the first bytes of the answer. */
  *#messages(count: number): Generator<Answer> {
    for (let at = 0; at + 16 <= count; ) {
      const length = this.#answer.readUInt32LE(at);
      if (length < 16) return;
      yield { type: this.#answer.readUInt16LE(at + 4), body: this.#answer.subarray(at + 16, at + length) };
      at += (length + 3) & ~3;
    }
  }

  #batchMark(type: number): void {
    this.#end(this.#begin(type, Flag.request, 0, NFNL_SUBSYS_NFTABLES));
  }

  #begin(type: number, flags: number, family: number, resource: number): number {
    const bytes = this.#bytes;
    const start = this.#length;
    bytes.writeUInt16LE(type, start + 4);
    bytes.writeUInt16LE(flags, start + 6);
    bytes.writeUInt32LE(this.#sequence++ >>> 0, start + 8);
    bytes.writeUInt32LE(0, start + 12);
    bytes[start + 16] = family;
    bytes[start + 17] = 0;
    bytes.writeUInt16BE(resource, start + 18);
    this.#length += HEADER_BYTES;
    return start;
  }

  #end(start: number): void {
    this.#bytes.writeUInt32LE(this.#length - start, start);
  }

  #text(type: number, text: string): void {
    const bytes = this.#bytes;
    const start = this.#length;
    const end = start + 4 + bytes.write(text, start + 4, 'latin1');
    const padded = (end + 1 + 3) & ~3;
    bytes.fill(0, end, padded);
    bytes.writeUInt16LE(end + 1 - start, start);
    bytes.writeUInt16LE(type, start + 2);
    this.#length = padded;
  }

  #nest(type: number): number {
    this.#bytes.writeUInt16LE(type | NESTED, this.#length + 2);
    this.#length += 4;
    return this.#length - 4;
  }

  #endNest(start: number): void {
    this.#bytes.writeUInt16LE(this.#length - start, start);
  }
}

interface Answer {
  readonly type: number;
  /** After the netlink header; valid until the next one. */
  readonly body: Buffer;
}

/** Attributes of a message of the ruleset follow its nfgenmsg. */
function attribute(body: Buffer, type: number): Buffer | undefined {
  return within(body.subarray(4), type);
}

function within(attributes: Buffer, type: number): Buffer | undefined {
  for (const each of attributesOf(attributes)) if (each.type === type) return each.value;
  return undefined;
}

function* attributesOf(bytes: Buffer): Generator<{ readonly type: number; readonly value: Buffer }> {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) return;
    yield { type: bytes.readUInt16LE(at + 2) & 0x3fff, value: bytes.subarray(at + 4, at + length) };
    at += (length + 3) & ~3;
  }
}

/** The keys of a list of elements, as words. */
function* keysOf(body: Buffer): Generator<number> {
  for (const { value } of attributesOf(attribute(body, 3) ?? Buffer.alloc(0))) {
    const key = within(within(value, 1) ?? Buffer.alloc(0), 1);
    for (let at = 0; key !== undefined && at + 4 <= key.length; at += 4) yield key.readUInt32BE(at);
  }
}

function throwIfError(body: Buffer, what: string): void {
  const code = body.readInt32LE(0);
  if (code !== 0) throw new NativeError(`${what}: ${getSystemErrorName(code)}`);
}

function textOf(value: Buffer | undefined): string {
  return value === undefined ? '' : value.toString('latin1', 0, Math.max(0, value.length - 1));
}

function wordsOf(family: Family): 1 | 4 {
  return family === 4 ? 1 : 4;
}

const attrHeader = (length: number, type: number): number => (type << 16) | length;

/** The machine is little-endian, as every one that Node runs on with Linux and nftables, but for s390x. */
function bigEndian(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
