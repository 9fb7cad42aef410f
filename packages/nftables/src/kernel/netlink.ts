/**
 * Conversations with nf_tables: transactions, questions about what there is, the generation of the ruleset.
 * And flows of the connection table (nfnetlink_conntrack.h).
 */

import type { Family } from '@rulecast/rules';
import { strideOf } from '@rulecast/rules/columns';
import { PIECE_ELEMENTS, SOURCES_MAX } from '../limits.ts';
import {
  type Attribute,
  attribute,
  attributesOf,
  type Message,
  MessageWriter,
  messagesIn,
  textOf,
  within,
} from './attributes.ts';
import { type Command, MessageFlag, NftMessage, OBJECT_COUNTER, TableFlag } from './commands.ts';
import type { Piece } from './elements.ts';
import { VerdictCode, verdictData } from './expressions.ts';
import { labelsOf, type Unlabel, unlabelOf } from './flow-labels.ts';
import { namedIn, type ReadNameElement } from './name-elements.ts';
import { NativeError, type NetlinkSocket } from './native.ts';
import { type Source, sourcesIn } from './sources.ts';

export interface TableInfo {
  readonly name: string;
  /** Grows with each table that the kernel makes. */
  readonly handle: number;
  readonly isOwned: boolean;
}

/** Elements read from the kernel: as in `Piece`, with an empty text for an element without a chain. */
export interface ReadElements {
  readonly keys: Uint32Array;
  readonly ends: Uint8Array;
  readonly chains: readonly string[];
}

// ── Fixed by the kernel ────────────────────────────────────────────────────────────────────────────────────

const NFNL_SUBSYS_NFTABLES = 10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const BATCH_BEGIN = 16;
const BATCH_END = 17;
const GET_FLOW = (1 << 8) | 1; // of the connection table, subsystem 1
const CHANGE_FLOW = (1 << 8) | 0;
/** Attributes of a flow: both of its tuples, and in each the source address. */
const FLOW_ORIGINAL = 1;
const FLOW_REPLY = 2;
/** And the state of one of TCP: LAST_ACK, TIME_WAIT and CLOSE have been closed by both sides. */
const FLOW_PROTOCOL = 4;
const TCP_STATES_OVER: readonly (number | undefined)[] = [6, 7, 8];
const SOURCE_4 = 1;
const SOURCE_6 = 3;
const VERBS = {
  add: NftMessage.newSetElem,
  delete: NftMessage.delSetElem,
  destroy: NftMessage.destroySetElem,
} as const;
const NFPROTO_UNSPEC = 0;
const NFPROTO_INET = 1;
const INTERVAL_END = 1;
/** The limit for lists of elements, as the length of an attribute has 16 bits. */
const LIST_MAX_BYTES = 60_000;

// ── Our choice ─────────────────────────────────────────────────────────────────────────────────────────────

/** The largest element: of IPv6, to a chain of the longest name. */
const ELEMENT_MAX_BYTES = 160;
const ANSWER_BYTES = 262_144;
/** How often a listing is repeated that was interrupted by a change. */
const READ_TRIES = 5;

const NO_MORE: IteratorResult<Piece> = { done: true, value: undefined };

export class Netlink {
  readonly #writer = new MessageWriter();
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  readonly #open: () => NetlinkSocket;
  readonly #asking: NetlinkSocket;
  readonly #changing: NetlinkSocket;
  /**
   * The socket for long answers. It is kept, as closing any such socket waits, with the kernel's lock held,
   * until deleted objects are freed: 20 ms or more, in which nothing can be changed.
   */
  #reading: NetlinkSocket | undefined;

  /**
   * `open` opens a socket: one for reads, one for changes, which owns what it creates, and one for long
   * answers.
   */
  constructor(open: () => NetlinkSocket) {
    this.#open = open;
    this.#asking = open();
    this.#changing = open();
  }

  // ── Questions ────────────────────────────────────────────────────────────────────────────────────────────

  /** Counts the transactions of the ruleset. */
  generation(): number {
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getGen, [])) {
      if (type === NLMSG_ERROR) throwIfError(body, 'the generation of nftables');
      const id = type === NftMessage.newGen ? attribute(body, 1) : undefined;
      if (id !== undefined) return id.readUInt32BE(0);
    }
    throw new NativeError('the kernel does not tell its generation');
  }

  /** All tables of family inet. */
  tables(): readonly TableInfo[] {
    const tables: TableInfo[] = [];
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getTable, [], MessageFlag.dump)) {
      if (type !== NftMessage.newTable) continue;
      const flags = attribute(body, 2)?.readUInt32BE(0) ?? 0;
      const handle = Number(attribute(body, 4)?.readBigUInt64BE(0) ?? 0n);
      tables.push({ name: textOf(attribute(body, 1)), handle, isOwned: (flags & TableFlag.owner) !== 0 });
    }
    return tables;
  }

  /** Whether a table has a chain that packets come into by a hook. */
  isHooked(table: string, chain: string): boolean {
    const asked: Attribute[] = [
      [1, table],
      [3, chain],
    ];
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getChain, asked)) {
      if (type === NftMessage.newChain) return attribute(body, 4) !== undefined;
    }
    return false;
  }

  /** The names of all chains of some tables. */
  chains(tables: readonly string[]): string[] {
    const names: string[] = [];
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getChain, [], MessageFlag.dump)) {
      if (type === NftMessage.newChain && tables.includes(textOf(attribute(body, 1))))
        names.push(textOf(attribute(body, 3)));
    }
    return names;
  }

  /** The names of all sets and maps of a table. */
  sets(table: string): string[] {
    const names: string[] = [];
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getSet, [[1, table]], MessageFlag.dump)) {
      if (type === NftMessage.newSet) names.push(textOf(attribute(body, 2)));
    }
    return names;
  }

  /**
   * The first elements of a set, about `most` of them. The kernel walks the set anew for every 32 KB of
   * answer, so reading all of a large one takes quadratic time.
   */
  elements(table: string, set: string, family: Family, most = Number.POSITIVE_INFINITY): ReadElements {
    const keys: number[] = [];
    const ends: number[] = [];
    const chains: string[] = [];
    const asked: Attribute[] = [
      [1, table],
      [2, set],
    ];
    const socket = this.#taken();
    let isDone = false;
    try {
      for (const { type, body } of this.#ask(socket, NftMessage.getSetElem, asked, MessageFlag.dump)) {
        if (type === NLMSG_ERROR) throwIfError(body, set);
        isDone ||= type === NLMSG_DONE;
        if (type !== NftMessage.newSetElem) continue;
        for (const { value } of attributesOf(attribute(body, 3))) {
          const key = within(within(value, 1), 1) ?? Buffer.alloc(strideOf(family) * 4);
          for (let at = 0; at + 4 <= key.length; at += 4) keys.push(key.readUInt32BE(at));
          ends.push((within(value, 3)?.readUInt32BE(0) ?? 0) & INTERVAL_END);
          chains.push(textOf(within(within(within(value, 2), 2), 2)));
        }
        if (ends.length >= most) break;
      }
    } finally {
      this.#giveBack(socket, isDone);
    }
    return { keys: Uint32Array.from(keys), ends: Uint8Array.from(ends), chains };
  }

  /**
   * All elements of a name set; `turn` is awaited between pieces of the answer. Rejects with NativeError.
   */
  async named(table: string, set: string, turn: () => Promise<void>): Promise<readonly ReadNameElement[]> {
    let found: ReadNameElement[] = [];
    const start = (): ((body: Buffer) => void) => {
      found = [];
      return (body) => found.push(...namedIn(body, set));
    };
    const asked: Attribute[] = [
      [1, table],
      [2, set],
    ];
    await this.all(NftMessage.getSetElem, asked, start, turn);
    return found;
  }

  /** The pairs in a set of interfaces and addresses. Rejects with NativeError. */
  async sources(
    table: string,
    set: string,
    turn: () => Promise<void>,
    family = NFPROTO_INET,
  ): Promise<readonly Source[]> {
    let found: Source[] = [];
    const start = (): ((body: Buffer) => void) => {
      found = [];
      return (body) => {
        for (const each of sourcesIn(body)) if (found.length <= SOURCES_MAX) found.push(each);
      };
    };
    const asked: Attribute[] = [
      [1, table],
      [2, set],
    ];
    await this.all(NftMessage.getSetElem, asked, start, turn, family);
    return found;
  }

  /** Packets and bytes of every counter of a table. Throws NativeError. */
  counters(table: string): Record<string, readonly [number, number]> {
    const counters: Record<string, readonly [number, number]> = {};
    const asked: Attribute[] = [
      [1, table],
      [3, OBJECT_COUNTER],
    ];
    for (const { type, body } of this.#ask(this.#asking, NftMessage.getObj, asked, MessageFlag.dump)) {
      if (type === NLMSG_ERROR) throwIfError(body, 'counters');
      if (type !== NftMessage.newObj) continue;
      const data = attribute(body, 4);
      const [bytes, packets] = [1, 2].map((each) => Number(within(data, each)?.readBigUInt64BE(0) ?? 0n));
      counters[textOf(attribute(body, 2))] = [packets ?? 0, bytes ?? 0];
    }
    return counters;
  }

  /** Whether a set has an element. */
  has(table: string, set: string, family: Family, key: Uint32Array): boolean {
    const put = (): void => this.#elementList(table, { set, family, keys: key }, 0, 1);
    this.#request(this.#asking, NftMessage.getSetElem, 0, NFPROTO_INET, put);
    let isThere = false;
    for (const { type } of this.#answers(this.#asking)) isThere ||= type === NftMessage.newSetElem;
    return isThere;
  }

  /**
   * Gives all messages of a kind about a table, all of one state; `turn` is awaited between pieces of the
   * answer. If the ruleset changes meanwhile, it begins again with `start`. Rejects with NativeError.
   */
  async all(
    type: number,
    asked: readonly Attribute[],
    start: () => (body: Buffer) => void,
    turn: () => Promise<void>,
    family = NFPROTO_INET,
  ): Promise<void> {
    for (let tries = 1; ; tries++) {
      if (await this.#readAll(type, asked, start(), turn, family)) return;
      if (tries === READ_TRIES) throw new NativeError('the ruleset changes all the time');
    }
  }

  async #readAll(
    type: number,
    asked: readonly Attribute[],
    take: (body: Buffer) => void,
    turn: () => Promise<void>,
    family: number,
  ): Promise<boolean> {
    const socket = this.#taken(); // others may ask meanwhile
    const answer = Buffer.alloc(ANSWER_BYTES);
    let isWhole = true;
    let isDone = false;
    try {
      this.#request(socket, type, MessageFlag.dump, family, () => this.#writer.attributes(asked));
      for (; !isDone; await turn()) {
        const count = socket.receive(answer);
        isDone = count === 0;
        for (const message of messagesIn(answer.subarray(0, count))) {
          if (message.type === NLMSG_ERROR) throwIfError(message.body, 'reading');
          if ((message.flags & NLM_F_DUMP_INTR) !== 0) isWhole = false;
          isDone ||= message.type === NLMSG_DONE;
          if (message.type > NLMSG_DONE) take(message.body);
        }
      }
    } finally {
      this.#giveBack(socket, isDone);
    }
    return isWhole;
  }

  #taken(): NetlinkSocket {
    const socket = this.#reading ?? this.#open();
    this.#reading = undefined;
    return socket;
  }

  /** Keeps the socket for later if its answers are all read; otherwise closes it. */
  #giveBack(socket: NetlinkSocket, isAtEnd: boolean): void {
    if (isAtEnd && this.#reading === undefined) this.#reading = socket;
    else socket.close();
  }

  /**
   * Removes our labels from all flows, except those of the marks `kept`, and reads the table again until it
   * has none. `turn` is awaited between pieces of the answer. Rejects with NativeError, also where another
   * program goes on adding them.
   */
  async clearLabels(kept: readonly number[], turn: () => Promise<void>): Promise<void> {
    const labels = labelsOf(kept);
    for (let tries = 0; tries < READ_TRIES; tries++) {
      let count = 0;
      let unlabels: Unlabel[] = [];
      const take = (body: Buffer): void => {
        const unlabel = unlabelOf(body, labels);
        if (unlabel !== undefined) unlabels.push(unlabel);
      };
      const clear = (): Promise<void> => {
        count += unlabels.length;
        this.#unlabel(unlabels);
        unlabels = [];
        return turn();
      };
      await this.all(GET_FLOW, [], () => take, clear, NFPROTO_UNSPEC);
      if (count === 0) return;
    }
    throw new NativeError('another program adds our labels to flows');
  }

  /** Clears labels of flows; some of the flows may have ended meanwhile. */
  #unlabel(unlabels: readonly Unlabel[]): void {
    const writer = this.#writer;
    writer.clear();
    for (const { family, attributes } of unlabels)
      writer.message(CHANGE_FLOW, MessageFlag.request, family, 0, () => writer.attributes(attributes));
    if (unlabels.length > 0) this.#asking.send(writer.bytes, writer.length);
    for (const { type, body } of this.#answers(this.#asking)) {
      const error = type === NLMSG_ERROR ? errorIn(body, 'labels of flows') : undefined;
      if (error !== undefined && !error.isAbsent) throw error;
    }
  }

  /**
   * Visits every flow that may go on, as a key of name sets: the address that began it, and the one that
   * replies. `turn` is awaited between pieces of the answer. Rejects with NativeError.
   */
  async flows(take: (key: Uint32Array) => void, turn: () => Promise<void>): Promise<void> {
    const read = (body: Buffer): void => {
      const ofTcp = within(attribute(body, FLOW_PROTOCOL), 1);
      if (TCP_STATES_OVER.includes(within(ofTcp, 1)?.[0])) return;
      const [from, to] = [FLOW_ORIGINAL, FLOW_REPLY].map((tuple) => {
        const address = within(attribute(body, tuple), 1);
        return within(address, SOURCE_4) ?? within(address, SOURCE_6);
      });
      if (from === undefined || from.length !== to?.length) return;
      const bytes = Buffer.concat([from, to]);
      take(Uint32Array.from({ length: bytes.length / 4 }, (_, word) => bytes.readUInt32BE(word * 4)));
    };
    await this.all(GET_FLOW, [], () => read, turn, NFPROTO_UNSPEC);
  }

  // ── Transactions ─────────────────────────────────────────────────────────────────────────────────────────

  /** Does all commands or none. Throws NativeError. */
  run(commands: Iterable<Command>): void {
    const writer = this.#writer;
    this.#transact('what was to change', (ack) => {
      let more = ack;
      for (const { type, flags, attributes } of commands) {
        writer.message(type, flags | more | MessageFlag.request, NFPROTO_INET, 0, () =>
          writer.attributes(attributes),
        );
        more = 0;
      }
    });
  }

  /**
   * Adds or deletes the next PIECE_ELEMENTS elements, or a few more, all or none; `destroy` deletes those of
   * them that are there. Whether there may be more. Throws NativeError.
   */
  change(verb: keyof typeof VERBS, table: string, pieces: Iterator<Piece>): boolean {
    let next = pieces.next();
    if (next.done === true) return false;
    this.#transact(`elements of ${next.value.set}`, (ack) => {
      let taken = 0;
      for (; next.done !== true; next = taken < PIECE_ELEMENTS ? pieces.next() : NO_MORE) {
        this.#piece(verb, table, next.value, taken === 0 ? ack : 0);
        taken += next.value.keys.length / strideOf(next.value.family);
      }
    });
    return next === NO_MORE;
  }

  #piece(verb: keyof typeof VERBS, table: string, piece: Piece, ack: number): void {
    const stride = strideOf(piece.family);
    const isPlain = piece.chains === undefined && piece.ends === undefined;
    const perMessage = Math.floor(LIST_MAX_BYTES / (isPlain ? 12 + stride * 4 : ELEMENT_MAX_BYTES));
    const count = piece.keys.length / stride;
    const flags = (verb === 'add' ? MessageFlag.create : 0) | MessageFlag.request;
    for (let from = 0; from < count; from += perMessage)
      this.#writer.message(VERBS[verb], flags | (from === 0 ? ack : 0), NFPROTO_INET, 0, () =>
        this.#elementList(table, piece, from, Math.min(count, from + perMessage)),
      );
  }

  /**
   * Runs a transaction. `put` writes its messages, the first of which requests an acknowledgement, which
   * comes after the last.
   */
  #transact(what: string, put: (ack: number) => void): void {
    const writer = this.#writer;
    writer.clear();
    writer.message(BATCH_BEGIN, MessageFlag.request, 0, NFNL_SUBSYS_NFTABLES);
    put(MessageFlag.ack);
    writer.message(BATCH_END, MessageFlag.request, 0, NFNL_SUBSYS_NFTABLES);
    this.#changing.send(writer.bytes, writer.length);
    let acknowledged = false;
    let failure: Error | undefined;
    for (const { type, body } of this.#answers(this.#changing)) {
      if (type !== NLMSG_ERROR) continue;
      acknowledged = true;
      failure ??= errorIn(body, what);
    }
    if (failure !== undefined) throw failure;
    if (!acknowledged) throw new NativeError(`the kernel does not answer about ${what}`);
  }

  #elementList(table: string, { set, family, keys, ends, chains }: Piece, from: number, to: number): void {
    const writer = this.#writer;
    const stride = strideOf(family);
    writer.attributes([
      [1, table],
      [2, set],
    ]);
    writer.nest(3, () => {
      if (chains === undefined && ends === undefined)
        return writer.keys(keys, from * stride, to * stride, stride);
      for (let at = from; at < to; at++) {
        writer.nest(1, () => {
          writer.nest(1, () => {
            writer.header(1, stride * 4);
            for (let w = at * stride; w < (at + 1) * stride; w++) writer.word(keys[w]!); // within the keys
          });
          if (chains !== undefined) writer.attributes([[2, [verdictData(VerdictCode.goto, chains[at])]]]);
          if (ends?.[at] === 1) writer.attributes([[3, INTERVAL_END]]);
        });
      }
    });
  }

  // ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────

  *#ask(socket: NetlinkSocket, type: number, asked: readonly Attribute[], flags = 0): Generator<Message> {
    this.#request(socket, type, flags, NFPROTO_INET, () => this.#writer.attributes(asked));
    yield* this.#answers(socket);
  }

  #request(socket: NetlinkSocket, type: number, flags: number, family: number, put: () => void): void {
    this.#writer.clear();
    this.#writer.message(type, flags | MessageFlag.request, family, 0, put);
    socket.send(this.#writer.bytes, this.#writer.length);
  }

  /**
   * The answers that are there already: the kernel answers before `send` returns, and continues as it is read
   * from.
   */
  *#answers(socket: NetlinkSocket): Generator<Message> {
    for (let count = socket.receive(this.#answer); count > 0; count = socket.receive(this.#answer))
      yield* messagesIn(this.#answer.subarray(0, count));
  }
}

function errorIn(body: Buffer, what: string): NativeError | undefined {
  const code = body.readInt32LE(0);
  return code === 0 ? undefined : new NativeError(what, code);
}

function throwIfError(body: Buffer, what: string): void {
  const error = errorIn(body, what);
  if (error !== undefined) throw error;
}
