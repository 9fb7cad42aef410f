/**
 * Reads the kernel's log of refused packets, by a socket that is opened, bound to the group and set up with
 * CAP_NET_ADMIN; reading needs no right, and never blocks.
 *
 * Before that, the kernel is probed for every feature of log-script.ts, so that no release fails for lack of
 * one.
 */

import { MessageWriter, messagesIn } from '../kernel/attributes.ts';
import { addTable, deleteTable, MessageFlag } from '../kernel/commands.ts';
import { logCommands } from '../kernel/log-script.ts';
import { interfaceNameOf, NativeError, type NetlinkSocket, openNetlink } from '../kernel/native.ts';
import { Netlink } from '../kernel/netlink.ts';
import { LOGGED_BYTES } from '../limits.ts';
import { loggedIn, type RefusedPacket } from './packet.ts';

const CONFIGURE = (4 << 8) | 1;
const NLMSG_ERROR = 2;
const Setting = { command: 1, mode: 2, bufferBytes: 3, flushTime: 4, threshold: 5, flags: 6 } as const;
const BIND = 1;
const COPY_PACKET = 2;
const WITH_SEQUENCE = 1;
/** How much the kernel gathers for one datagram, and for how long, in hundredths of a second. */
const GATHERED_BYTES = 65_536;
const FLUSH_TIME = 10;
/** Packets of a datagram. */
const GATHERED_MAX = 200;
/** Bytes read in one turn: 3,000 packets, some milliseconds. */
const READ_MAX_BYTES = 524_288;
const SEQUENCES = 2 ** 32;
const PROBE_TABLE = 'rulecast_probe_log';

/**
 * Opens the log of a group. Throws NativeError if the kernel cannot log so, or another program reads the
 * group.
 */
export function openDropLog(group: number, downstreamGroup: number): DropLog {
  // without room, messages are dropped and numbers are missing, which tells more than an error
  const socket = openNetlink();
  try {
    new Netlink(() => socket).run([
      addTable(PROBE_TABLE, false),
      ...logCommands(PROBE_TABLE, { closed: undefined }, { logGroup: group, downstreamGroup }),
      deleteTable(PROBE_TABLE), // in the same transaction: nothing is left behind
    ]);
    bind(socket, group);
  } catch (error) {
    socket.close();
    throw error;
  }
  return new DropLog(socket);
}

function bind(socket: NetlinkSocket, group: number): void {
  const mode = Buffer.alloc(6);
  mode.writeUInt32BE(LOGGED_BYTES);
  mode[4] = COPY_PACKET;
  const writer = new MessageWriter();
  writer.message(CONFIGURE, MessageFlag.request | MessageFlag.ack, 0, group, () =>
    writer.attributes([
      [Setting.command, Buffer.of(BIND)],
      [Setting.mode, mode],
      [Setting.bufferBytes, GATHERED_BYTES],
      [Setting.flushTime, FLUSH_TIME],
      [Setting.threshold, GATHERED_MAX],
      [Setting.flags, Buffer.of(0, WITH_SEQUENCE)],
    ]),
  );
  socket.send(writer.bytes, writer.length);
  const answer = Buffer.alloc(GATHERED_BYTES);
  for (let count = socket.receive(answer); count > 0; count = socket.receive(answer))
    for (const { type, body } of messagesIn(answer.subarray(0, count))) {
      if (type !== NLMSG_ERROR) continue; // packets may arrive already
      const errno = body.readInt32LE(0);
      if (errno === 0) return;
      throw new NativeError(`group ${group} of NFLOG`, errno);
    }
  throw new NativeError(`the kernel does not answer about group ${group} of NFLOG`);
}

/** Exported for tests. */
export class DropLog {
  readonly #socket: NetlinkSocket;
  readonly #bytes = Buffer.alloc(2 * GATHERED_BYTES);
  #expected: number | undefined;
  /** Packets that the kernel had no room for, or that cannot be read. */
  lost = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Passes waiting packets to `take`, at most some hundred thousand bytes. Throws NativeError. */
  read(take: (packet: RefusedPacket) => void): void {
    for (let read = 0; read < READ_MAX_BYTES; ) {
      const count = this.#socket.receive(this.#bytes);
      if (count === 0) return;
      read += count;
      for (const { sequence, packet } of loggedIn(this.#bytes.subarray(0, count), interfaceNameOf)) {
        if (sequence !== undefined) this.#follow(sequence);
        if (packet === undefined) this.lost += 1;
        else take(packet);
      }
    }
  }

  #follow(sequence: number): void {
    const gap = (sequence - (this.#expected ?? sequence) + SEQUENCES) % SEQUENCES;
    if (gap < SEQUENCES / 2) this.lost += gap;
    this.#expected = (sequence + 1) % SEQUENCES;
  }

  close(): void {
    this.#socket.close();
  }
}
