/** Questions to the kernel's routing: by which link a packet would leave. linux/rtnetlink.h. */

import type { Family } from '@rulecast/rules';
import { messagesIn, textOf, within } from './attributes.ts';
import { MessageFlag } from './commands.ts';
import type { NetlinkSocket } from './native.ts';

const NLMSG_ERROR = 2;
const GET_LINK = 18;
const GET_ROUTE = 26;
const ADDRESS_FAMILY = { 4: 2, 6: 10 } as const;
const HEADER_BYTES = 16;
const LINK_BYTES = 16;
const ROUTE_BYTES = 12;
/** Attributes of a route: where to, by which link, with which mark. */
const DESTINATION = 1;
const OUT_LINK = 4;
const MARK = 16;
const LINK_NAME = 3;
const UNICAST = 1;
const LOCAL = 2;
/** The link has a carrier. */
const LOWER_UP = 0x10000;
const ANSWER_BYTES = 16_384;

/** The next hop of a packet. */
export type Way =
  | { readonly kind: 'link'; readonly index: number }
  /** To this host. */
  | { readonly kind: 'here' }
  | { readonly kind: 'nowhere' };

export class Routes {
  readonly #socket: NetlinkSocket;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** The way of a packet to an address, with a mark. Throws NativeError. */
  wayOf(family: Family, address: Uint8Array, mark: number): Way {
    const route = Buffer.alloc(ROUTE_BYTES);
    route[0] = ADDRESS_FAMILY[family];
    route[1] = address.length * 8;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(mark);
    const answer = this.#ask(GET_ROUTE, [route, attributeOf(DESTINATION, address), attributeOf(MARK, word)]);
    if (answer === undefined) return { kind: 'nowhere' };
    const kind = answer[7];
    if (kind === LOCAL) return { kind: 'here' };
    const index = within(answer.subarray(ROUTE_BYTES), OUT_LINK)?.readUInt32LE(0);
    return kind === UNICAST && index !== undefined ? { kind: 'link', index } : { kind: 'nowhere' };
  }

  /** A link by its name; undefined: there is none. Throws NativeError. */
  link(name: string): { readonly index: number; readonly isConnected: boolean } | undefined {
    const text = attributeOf(LINK_NAME, Buffer.from(`${name}\0`, 'latin1'));
    const answer = this.#ask(GET_LINK, [Buffer.alloc(LINK_BYTES), text]);
    if (answer === undefined || textOf(within(answer.subarray(LINK_BYTES), LINK_NAME)) !== name)
      return undefined;
    return { index: answer.readInt32LE(4), isConnected: (answer.readUInt32LE(8) & LOWER_UP) !== 0 };
  }

  /** The body of the answer; undefined: an error. */
  #ask(type: number, parts: readonly Uint8Array[]): Buffer | undefined {
    const header = Buffer.alloc(HEADER_BYTES);
    const message = Buffer.concat([header, ...parts]);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(MessageFlag.request, 6);
    this.#socket.send(message, message.length);
    const count = this.#socket.receive(this.#answer);
    for (const answer of messagesIn(this.#answer.subarray(0, count)))
      return answer.type === NLMSG_ERROR ? undefined : answer.body;
    return undefined;
  }
}

function attributeOf(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}
