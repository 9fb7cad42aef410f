/**
 * Netlink messages byte by byte, against the layouts of linux/netlink.h and nf_tables.h, with a kernel that
 * answers what it is told to.
 */

import { describe, expect, it } from 'vitest';
import {
  addBaseChain,
  addRule,
  addSet,
  addTable,
  type Command,
  deleteTable,
} from '../src/kernel/commands.ts';
import type { Piece } from '../src/kernel/elements.ts';
import { byte, Ct, CtDirection, ct, equals, verdict } from '../src/kernel/expressions.ts';
import { namedIn, renewNamed } from '../src/kernel/name-elements.ts';
import type { NetlinkSocket } from '../src/kernel/native.ts';
import { Netlink } from '../src/kernel/netlink.ts';
import { PIECE_ELEMENTS } from '../src/limits.ts';

/** A socket that keeps what was sent, and gives the answers that it was made with. */
class Recorder implements NetlinkSocket {
  readonly sent: string[] = [];
  closed = false;
  private readonly answers: string[];

  constructor(...answers: readonly string[]) {
    this.answers = [...answers];
  }

  send(bytes: Uint8Array, length: number): void {
    this.sent.push(Buffer.from(bytes.subarray(0, length)).toString('hex'));
  }

  receive(into: Uint8Array): number {
    const bytes = Buffer.from(this.answers.shift() ?? '', 'hex');
    into.set(bytes);
    return bytes.length;
  }

  close(): void {
    this.closed = true;
  }
}

/** Hex digits in groups, as they are read best. */
const hex = (...groups: readonly string[]): string => groups.join('').replaceAll(' ', '');
/** A netlink message of type 2 with an error number, for the first message of a batch. */
const answered = (code: number): string => {
  const bytes = Buffer.alloc(36);
  bytes.writeUInt32LE(36, 0);
  bytes.writeUInt16LE(2, 4);
  bytes.writeInt32LE(code, 16);
  return bytes.toString('hex');
};
const TABLE = 'rulecast_a';
const TABLE_NAME = hex('0f00 0100 72756c65636173745f61 00 00');
const SET_NAMES = hex(TABLE_NAME, '0600 0200 73 00 0000');

function changed(
  verb: 'add' | 'delete' | 'destroy',
  family: 4 | 6,
  keys: readonly number[],
  more: Pick<Piece, 'chains' | 'ends'> = {},
): string {
  const socket = new Recorder(answered(0));
  const piece = { set: 's', family, keys: Uint32Array.from(keys), ...more };
  expect(new Netlink(() => socket).change(verb, TABLE, [piece].values())).toBe(
    keys.length / (family === 4 ? 1 : 4) >= PIECE_ELEMENTS,
  );
  return socket.sent.join();
}

/** The messages between the ends of a transaction. */
function ran(...commands: readonly Command[]): string {
  const socket = new Recorder(answered(0));
  new Netlink(() => socket).run(commands);
  return socket.sent.join().slice(40, -40);
}

describe('a command', () => {
  it.each<[string, Command, string]>([
    [
      'makes a table that is owned and persists',
      addTable(TABLE, true),
      hex('2c000000 000a 0504 02000000 00000000 01 00 0000', TABLE_NAME, '0800 0200 00000006'),
    ],
    [
      'deletes a table',
      deleteTable(TABLE),
      hex('24000000 020a 0500 02000000 00000000 01 00 0000', TABLE_NAME),
    ],
    [
      'makes a base chain',
      addBaseChain(TABLE, 'f'),
      hex(
        '54000000 030a 0504 02000000 00000000 01 00 0000',
        TABLE_NAME,
        '0600 0300 66 00 0000',
        '1400 0480 0800 0100 00000002 0800 0200 fffffff6',
        '0800 0500 00000001',
        '0b00 0700 66696c746572 00 00',
      ),
    ],
    [
      'adds a rule of its expressions',
      addRule(TABLE, 'c', [ct(Ct.protocol, CtDirection.reply), equals(byte(17)), verdict('goto', 'd')]),
      hex(
        'bc000000 060a 050c 02000000 00000000 01 00 0000',
        TABLE_NAME,
        '0600 0200 63 00 0000',
        '9000 0480',
        '2800 0180 0700 0100 6374 00 00 1c00 0280 0800 0100 00000001 0800 0200 0000000a 0500 0300 01 000000',
        '2c00 0180 0800 0100 636d70 00 2000 0280 0800 0100 00000001 0800 0200 00000000 0c00 0380 0500 0100 11 000000',
        '3800 0180 0e00 0100 696d6d656469617465 00 0000',
        '2400 0280 0800 0100 00000000 1800 0280 1400 0280 0800 0100 fffffffc 0600 0200 64 00 0000',
      ),
    ],
  ])('%s', (_, command, bytes) => {
    expect(ran(command)).toBe(bytes);
  });

  it('makes a set of pairs of addresses, each with its time', () => {
    expect(ran(addSet(TABLE, 'n0123456789abcdef_4_65536_89abcdef89abcdef'))).toBe(
      hex(
        '80000000 090a 0504 02000000 00000000 01 00 0000',
        TABLE_NAME,
        `2f00 0200 ${Buffer.from('n0123456789abcdef_4_65536_89abcdef89abcdef').toString('hex')} 00 00`,
        '0800 0300 00000010 0800 0400 000001c7 0800 0500 00000008',
        '0c00 0980 0800 0100 00020000 0800 0a00 00000001',
      ),
    );
  });

  it('renews an address of a qube with its time and its name', () => {
    const key = Uint32Array.of(0x0a890005, 0x5db8d822);
    expect(ran(...renewNamed(TABLE, 's', [{ key, milliseconds: 90_000, label: 'a.b' }]))).toBe(
      hex(
        '44000000 1e0a 0500 02000000 00000000 01 00 0000',
        SET_NAMES,
        '1800 0380 1400 0180 1000 0180 0c00 0100 0a890005 5db8d822',
        '5c000000 0c0a 0104 03000000 00000000 01 00 0000',
        SET_NAMES,
        '3000 0380 2c00 0180 1000 0180 0c00 0100 0a890005 5db8d822',
        '0c00 0400 0000000000015f90 0a00 0600 00 04 612e62 00 0000',
      ),
    );
  });

  it('asks for an answer once in a transaction, which is that of the first', () => {
    const flags = [...ran(deleteTable(TABLE), deleteTable(TABLE)).matchAll(/020a(....)/g)];
    expect(flags.map(([, each]) => each)).toEqual(['0500', '0100']);
  });

  it('that the kernel refuses fails with what it said, however many it took before', () => {
    const socket = new Recorder(answered(0) + answered(-16));
    expect(() => new Netlink(() => socket).run([deleteTable(TABLE), deleteTable(TABLE)])).toThrow('EBUSY');
  });
});

describe('a batch of elements', () => {
  const begin = hex('14000000 1000 0100 01000000 00000000 00 00 000a');
  const end = hex('14000000 1100 0100 03000000 00000000 00 00 000a');

  it('of IPv4 is written as the kernel reads it', () => {
    expect(changed('add', 4, [0x0a000001, 0xc0a80102])).toBe(
      hex(
        begin,
        '50000000 0c0a 0504 02000000 00000000 01 00 0000', // add, acknowledge, create
        SET_NAMES,
        '2400 0380',
        '1000 0180 0c00 0180 0800 0100 0a000001',
        '1000 0180 0c00 0180 0800 0100 c0a80102',
        end,
      ),
    );
  });

  it('of IPv6 is deleted by its keys', () => {
    expect(changed('delete', 6, [0x20010db8, 0, 0, 1])).toBe(
      hex(
        begin,
        '4c000000 0e0a 0500 02000000 00000000 01 00 0000',
        SET_NAMES,
        '2000 0380 1c00 0180 1800 0180 1400 0100 20010db8 00000000 00000000 00000001',
        end,
      ),
    );
  });

  it('of IPv4 is destroyed by its keys, which need not be there', () => {
    expect(changed('destroy', 4, [0x0a000001])).toContain(
      hex(
        '40000000 1e0a 0500 02000000 00000000 01 00 0000',
        SET_NAMES,
        '1400 0380 1000 0180 0c00 0180 0800 0100 0a000001',
      ),
    );
  });

  it('of a map leads to a chain', () => {
    expect(changed('add', 4, [0x0a000001], { chains: ['c1'] })).toContain(
      hex(
        SET_NAMES,
        '2c00 0380 2800 0180 0c00 0180 0800 0100 0a000001',
        '1800 0280 1400 0280 0800 0100 fffffffc 0700 0200 6331 00 00',
        end,
      ),
    );
  });

  it('of intervals says which are ends', () => {
    expect(changed('add', 4, [0x0a000000, 0x0b000000], { ends: Uint8Array.of(0, 1) })).toContain(
      hex(
        SET_NAMES,
        '2c00 0380 1000 0180 0c00 0180 0800 0100 0a000000',
        '1800 0180 0c00 0180 0800 0100 0b000000 0800 0300 00000001',
        end,
      ),
    );
  });

  it.each([4, 6] as const)(
    'of a whole piece of IPv%i comes in messages whose lists fit 16 bits',
    (family) => {
      const stride = family === 4 ? 1 : 4;
      const sent = Buffer.from(changed('add', family, new Array(PIECE_ELEMENTS * stride).fill(7)), 'hex');
      let elements = 0;
      let acknowledged = 0;
      for (let at = 0; at < sent.length; at += sent.readUInt32LE(at)) {
        if (sent.readUInt16LE(at + 4) !== 0x0a0c) continue;
        const list = at + 20 + SET_NAMES.length / 2;
        expect(list + sent.readUInt16LE(list)).toBe(at + sent.readUInt32LE(at));
        elements += (sent.readUInt16LE(list) - 4) / (12 + stride * 4);
        acknowledged += (sent.readUInt16LE(at + 6) >> 2) & 1;
      }
      expect([elements, acknowledged]).toEqual([PIECE_ELEMENTS, 1]);
    },
  );

  it.each([
    [-1, 'EPERM'],
    [-2, 'ENOENT'],
    [-12, 'ENOMEM'],
  ])('that the kernel answers with %i fails with its name', (code, name) => {
    const netlink = new Netlink(() => new Recorder(answered(code)));
    const piece = { set: 's', family: 4, keys: Uint32Array.of(1) } as const;
    expect(() => netlink.change('add', TABLE, [piece].values())).toThrow(`elements of s: ${name}`);
  });

  it('that is not answered fails', () => {
    const netlink = new Netlink(() => new Recorder());
    expect(() => netlink.run([deleteTable(TABLE)])).toThrow('does not answer');
  });
});

describe('an answer', () => {
  it('has the generation', () => {
    const answer = hex('1c000000 0f0a 0000 00000000 00000000 00 00 0007 0800 0100 00000007');
    expect(new Netlink(() => new Recorder(answer)).generation()).toBe(7);
  });

  it('has tables with their handles and whether they are owned', () => {
    const handle = hex('0c00 0400 0000000000000009');
    const table = (flags: string): string =>
      hex(
        '38000000 000a 0200 00000000 00000000 01 00 0000',
        '0f00 0100 72756c65636173745f61 0000',
        '0800 0200',
        flags,
        handle,
      );
    const tables = new Netlink(() => new Recorder(hex(table('00000006'), table('00000000')))).tables();
    expect(tables).toEqual([
      { name: 'rulecast_a', handle: 9, isOwned: true },
      { name: 'rulecast_a', handle: 9, isOwned: false },
    ]);
  });

  it('about flows has our labels taken but those to keep, until there are none', async () => {
    const [tuple, zone] = [
      hex('1400 0180', '1000 0280', ...new Array(3).fill('00000000')),
      hex('0600 1200 00070000'),
    ];
    const flow = (labels: string): string =>
      hex(
        '4c000000 0001 0200 00000000 00000000 0a 00 0000',
        tuple,
        zone,
        '1400 1600',
        labels,
        '0800 0800 00000000',
      );
    const done = hex('14000000 0300 0200 00000000 00000000 00000000');
    const clean = [flow('ffffffff 00000000 00000000 00000080'), done];
    const socket = new Recorder(
      flow('ffffffff 01000000 00000000 00000080') + flow('ffffffff 00000000 00000000 00000000'),
      answered(-2), // it has ended meanwhile
      '',
      done,
      '',
      ...clean,
      '',
      '',
    );
    let turns = 0;
    await new Netlink(() => socket).clearLabels([96], async () => {
      turns++;
    });
    expect([socket.sent.length, turns]).toEqual([3, 4]);
    expect(socket.sent[1]).toBe(
      hex(
        '58000000 0001 0100 01000000 00000000 0a 00 0000',
        tuple.replace('0180', '0100'),
        zone,
        '1400 1600 00000000 00000000 00000000 00000000',
        '1400 1700 00000000 01000000 00000000 00000000',
      ),
    );
  });

  // TCP_CONNTRACK_* of nf_conntrack_tcp.h; of UDP there is no state.
  it.each([
    ['opened by one side (SYN_SENT)', '01', true],
    ['there (ESTABLISHED)', '03', true],
    ['half closed, in which the other side may still send (FIN_WAIT)', '04', true],
    ['the same, acknowledged (CLOSE_WAIT)', '05', true],
    ['closed by both sides (LAST_ACK)', '06', false],
    ['over (TIME_WAIT)', '07', false],
    ['reset (CLOSE)', '08', false],
    ['of UDP', undefined, true],
  ])('about flows has the pair of one that may go on: %s', async (_, state, isThere) => {
    const tuple = (type: string, address: string): string =>
      hex('1000', type, '0c00 0180', '0800 0100', address);
    const ofTcp = state === undefined ? '' : hex('1000 0480', '0c00 0180', '0500 0100', state, '000000');
    const attributes = hex(tuple('0180', '0a890005'), tuple('0280', '5db8d822'), ofTcp);
    const length = (20 + attributes.length / 2).toString(16);
    const flow = hex(length, '000000 0001 0200 00000000 00000000 02 00 0000', attributes);
    const done = hex('14000000 0300 0200 00000000 00000000 00000000');
    const pairs: unknown[] = [];
    const netlink = new Netlink(() => new Recorder(flow, done, ''));
    await netlink.flows(
      (key) => pairs.push([...key]),
      async () => undefined,
    );
    expect(pairs).toEqual(isThere ? [[0x0a890005, 0x5db8d822]] : []);
  });

  it.each([
    [-1, [], 'EPERM'],
    [0, new Array(20).fill('ffffffff ffffffff ffffffff ffffffff'), 'another program'],
  ])('about labels that are not taken, as it is %i, fails', async (code, more, text) => {
    const answer = answered(code);
    const flow = hex(
      '30000000 0001 0200 00000000 00000000 0a 00 0000',
      '0800 0100 00000000',
      '1400 1600',
      ...new Array(4).fill('ffffffff'),
    );
    const done = hex('14000000 0300 0200 00000000 00000000 00000000');
    const socket = new Recorder(
      ...[0, ...more].flatMap(() => [flow + done, ...(code === 0 ? [] : [answer]), '']),
    );
    await expect(new Netlink(() => socket).clearLabels([], async () => undefined)).rejects.toThrow(text);
  });

  it.each([
    ['as it is', '04 612e62 00', ['a.b']],
    ['that has another length', '05 612e62 00', []],
    ['that has no end', '04 612e62 62', []],
    ['of letters that nft would not read', '04 612262 00', []],
  ])('has an element with its name %s', (_, comment, labels) => {
    const element = hex(
      '1000 0180 0c00 0100 0a890005 5db8d822 0c00 0400 0000000000000096 0c00 0500 0000000000000064 0a00 0600 00',
      comment,
      '0000',
    );
    const length = Buffer.of(4 + element.length / 2, 0, 1, 0x80).toString('hex');
    const list = Buffer.of(8 + element.length / 2, 0, 3, 0x80).toString('hex');
    const body = Buffer.from(hex('01 00 0000', list, length, element), 'hex');
    const read = [...namedIn(body, 'n0123456789abcdef_4_65536_89abcdef89abcdef')];
    expect(read).toEqual(
      labels.map((label) => {
        const key = Uint32Array.of(0x0a890005, 0x5db8d822);
        return { key, milliseconds: 100, label, agoMs: 50 };
      }),
    );
  });

  it.each([
    ['has no end', 'ffffffff'],
    ['has an attribute of no length', '1c000000 0f0a 0000 00000000 00000000 00 00 0007 0000 0100 00000007'],
    ['is an error', answered(-1)],
    ['is none', ''],
  ])('that %s tells no generation', (_, answer) => {
    expect(() => new Netlink(() => new Recorder(hex(answer))).generation()).toThrow('generation');
  });
});
