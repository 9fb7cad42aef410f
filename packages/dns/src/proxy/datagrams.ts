/** The sockets for questions by datagram. An edge: machine.ts decides what to do. */

import { type Address, formatAddress } from '@rulecast/rules';
import { MESSAGE_MAX_BYTES } from '../message/wire.ts';
import { ASKERS_MAX, RECEIVED_BYTES } from './limits.ts';
import type { Client } from './machine.ts';
import {
  addressIn,
  bindDatagrams,
  close,
  FROM_BYTES,
  keyIn,
  makeRoom,
  portIn,
  receiveFrom,
  senderIn,
  sendTo,
  withPort,
} from './native.ts';
import type { DnsEndpoint } from './upstream.ts';
import type { Watch } from './watch.ts';

/** Questions that are read before other sockets have their turn. */
const READ_MAX = 64;

/** The client of a question, and the way for its answer. */
export interface SocketClient extends Client {
  readonly reply: (answer: Uint8Array) => void;
  readonly end: () => void;
}

/** The bytes are good until it returns. */
export type TakeQuestion = (client: SocketClient, bytes: Uint8Array) => void;

/** A known source address of questions. */
interface Sender {
  readonly asker: Address;
  readonly askerKey: string;
  /** The kernel's form of it, with the port that gets the answer. */
  readonly to: Buffer;
}

export class QuestionSocket {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #take: TakeQuestion;
  readonly #bytes = new Uint8Array(MESSAGE_MAX_BYTES);
  readonly #from = Buffer.alloc(FROM_BYTES);
  /** By their addresses, as the kernel has them. */
  readonly #senders = new Map<string | number, Sender>();
  #isClosed = false;

  /** Throws SocketError if it cannot be opened. */
  static at(endpoint: DnsEndpoint, watch: Watch, take: TakeQuestion): QuestionSocket {
    return new QuestionSocket(bindDatagrams(endpoint), watch, take);
  }

  /** Uses a bound socket, and closes it in the end. Throws SocketError. */
  constructor(fd: number, watch: Watch, take: TakeQuestion) {
    this.#fd = fd;
    this.#watch = watch;
    this.#take = take;
    makeRoom(fd, RECEIVED_BYTES);
    watch.add(fd, () => this.#receive());
  }

  #receive(): void {
    for (let i = 0; i < READ_MAX && !this.#isClosed; i++) {
      const count = receiveFrom(this.#fd, this.#bytes, this.#from);
      if (count < 0) return;
      const port = portIn(this.#from);
      if (port === 0) continue; // from a raw socket: nothing can be sent there
      const sender = this.#senderNow();
      if (sender !== undefined) this.#take(this.#clientOf(sender, port), this.#bytes.subarray(0, count));
    }
  }

  #clientOf({ asker, askerKey, to }: Sender, port: number): SocketClient {
    const reply = (answer: Uint8Array): void => {
      if (!this.#isClosed) sendTo(this.#fd, answer, withPort(to, port)); // the answer may be lost
    };
    return { asker, askerKey, transport: 'udp', reply, end: () => undefined };
  }

  /** The sender of the question just read. Undefined: no qube has such an address. */
  #senderNow(): Sender | undefined {
    const key = keyIn(this.#from);
    const known = this.#senders.get(key);
    if (known !== undefined) return known;
    const asker = addressIn(this.#from);
    if (asker === undefined) return undefined;
    const sender = { asker, askerKey: formatAddress(asker), to: senderIn(this.#from) };
    if (this.#senders.size >= ASKERS_MAX) this.#senders.clear();
    this.#senders.set(key, sender);
    return sender;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.delete(this.#fd);
    close(this.#fd);
  }
}
