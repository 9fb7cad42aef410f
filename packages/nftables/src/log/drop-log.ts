/**
 * Reads what the kernel logs of refused packets, by a socket that is opened, bound to the group and set up
 * while there is CAP_NET_ADMIN; to read it needs no right. It never waits: whoever has it reads now and then.
 *
 * Before that it is tried whether the kernel knows all that the rules of log-script.ts ask for, so that no
 * release fails by them.
 */

import { type Attribute, MessageWriter, messagesIn } from '../kernel/attributes.ts';
import { addTable, deleteTable, MessageFlag } from '../kernel/commands.ts';
import { logCommands } from '../kernel/log-script.ts';
import { interfaceNameOf, NativeError, type NetlinkSocket, openNetlink } from '../kernel/native.ts';
import { Netlink } from '../kernel/netlink.ts';
import { LOGGED_BYTES } from '../limits.ts';
import { loggedIn, type RefusedPacket } from './packet.ts';

export interface DropLog {
  /** Gives packets that wait, at most some hundred thousand bytes of them. Throws NativeError. */
  read(take: (packet: RefusedPacket) => void): void;
  /** Packets that the kernel logged and had no room for, or that cannot be read. */
  readonly lost: number;
  /** The name of an interface, as it is called now. */
  interfaceName(index: number): string | undefined;
  close(): void;
}

const CONFIGURE = (4 << 8) | 1;
const NLMSG_ERROR = 2;
const Setting = { command: 1, mode: 2, bufferBytes: 3, flushTime: 4, threshold: 5, flags: 6 } as const;
const BIND = 1;
const COPY_PACKET = 2;
const WITH_SEQUENCE = 1;
/** What the kernel gathers for one datagram, and for how long, in hundredths of a second. */
const GATHERED_BYTES = 65_536;
const FLUSH_TIME = 10;
/** Packets of a datagram. */
const GATHERED_MAX = 200;
/** Of one turn: 3,000 packets, which take some milliseconds. */
const READ_MAX_BYTES = 524_288;
const SEQUENCES = 2 ** 32;
const PROBE_TABLE = 'rulecast_probe_log';

/**
 * Opens the log of a group. Throws NativeError where the kernel cannot log so, or somebody else reads the
 * group.
 */
export function openDropLog(group: number, downstreamGroup: number): DropLog {
  probe(group, downstreamGroup);
  const socket = openNetlink(); // where it has no room, numbers are left out, which tell more than its error
  try {
    configure(socket, group);
  } catch (error) {
    socket.close();
    throw error;
  }
  return new SocketDropLog(socket);
}

/** One transaction that leaves nothing behind. */
function probe(group: number, downstreamGroup: number): void {
  const sockets: NetlinkSocket[] = [];
  const open = (): NetlinkSocket => {
    const socket = openNetlink();
    sockets.push(socket);
    return socket;
  };
  try {
    new Netlink(open).run([
      addTable(PROBE_TABLE, false),
      ...logCommands(PROBE_TABLE, { closed: undefined }, { logGroup: group, downstreamGroup }),
      deleteTable(PROBE_TABLE),
    ]);
  } finally {
    for (const socket of sockets) socket.close();
  }
}

function configure(socket: NetlinkSocket, group: number): void {
  const word = (number: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return bytes;
  };
  const mode = Buffer.concat([word(LOGGED_BYTES), Buffer.of(COPY_PACKET, 0)]);
  ask(socket, group, [[Setting.command, Buffer.of(BIND)]]);
  ask(socket, group, [
    [Setting.mode, mode],
    [Setting.bufferBytes, GATHERED_BYTES],
    [Setting.flushTime, FLUSH_TIME],
    [Setting.threshold, GATHERED_MAX],
    [Setting.flags, Buffer.of(0, WITH_SEQUENCE)],
  ]);
}

function ask(socket: NetlinkSocket, group: number, settings: readonly Attribute[]): void {
  const writer = new MessageWriter();
  writer.message(CONFIGURE, MessageFlag.request | MessageFlag.ack, 0, group, () =>
    writer.attributes(settings),
  );
  socket.send(writer.bytes, writer.length);
  const answer = Buffer.alloc(GATHERED_BYTES);
  for (let count = socket.receive(answer); count > 0; count = socket.receive(answer))
    for (const { type, body } of messagesIn(answer.subarray(0, count))) {
      const errno = type === NLMSG_ERROR && body.length >= 4 ? body.readInt32LE(0) : undefined;
      if (errno === 0) return;
      if (errno !== undefined) throw new NativeError(`group ${group} of NFLOG`, errno);
    }
  throw new NativeError(`the kernel does not answer about group ${group} of NFLOG`);
}

/** Exported for tests. */
export class SocketDropLog implements DropLog {
  readonly #socket: NetlinkSocket;
  readonly #bytes = Buffer.alloc(2 * GATHERED_BYTES);
  #expected: number | undefined;
  lost = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  read(take: (packet: RefusedPacket) => void): void {
    for (let read = 0; read < READ_MAX_BYTES; ) {
      const count = this.#socket.receive(this.#bytes);
      if (count === 0) return;
      read += count;
      for (const { sequence, packet } of loggedIn(this.#bytes.subarray(0, count))) {
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

  interfaceName(index: number): string | undefined {
    return interfaceNameOf(index);
  }

  close(): void {
    this.#socket.close();
  }
}
