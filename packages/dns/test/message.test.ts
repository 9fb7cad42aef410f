import { describe, expect, it } from 'vitest';
import { MessageFault, MessageReader, Section } from '../src/message/message.ts';
import { nameBytes, nameText, newNameScratch, readName, turnCase } from '../src/message/name.ts';
import { MessageStream } from '../src/message/stream.ts';
import { HEADER_BYTES, Rcode } from '../src/message/wire.ts';
import {
  readdress,
  WRITTEN_MAX_BYTES,
  writeAnswer,
  writeQuestion,
  writeTruncated,
} from '../src/message/writer.ts';

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** www.example.com A, recursion desired. */
const QUESTION = bytesOf('1234 0100 0001 0000 0000 0000  03777777 076578616d706c65 03636f6d 00  0001 0001');
/** OPT of 1,232 bytes with DO. */
const OPT = '00 0029 04d0 0000 8000 0000';
/** … is an alias of c.ads.example, which is 192.0.2.7. */
const ANSWER = bytesOf(`1234 8180 0001 0002 0000 0001  03777777 076578616d706c65 03636f6d 00  0001 0001
  c00c 0005 0001 0000012c 000f  0163 03616473 076578616d706c65 00
  c02d 0001 0001 0000003c 0004  c0000207  ${OPT}`);

function read(bytes: Uint8Array): MessageReader {
  const reader = new MessageReader();
  expect(reader.read(bytes)).toBeUndefined();
  return reader;
}

function nameAt(reader: MessageReader, at: number): string {
  const name = newNameScratch();
  expect(readName(reader.bytes, at, name)).toBeGreaterThan(0);
  return nameText(name);
}

describe('a message', () => {
  it('has its question read', () => {
    const reader = read(QUESTION);
    expect(reader).toMatchObject({ id: 0x1234, flags: 0x0100, type: 1, class: 1, recordCount: 0, opt: -1 });
    expect(reader).toMatchObject({ isResponse: false, isQuery: true, isTruncated: false, ednsBytes: 0 });
    expect(nameAt(reader, HEADER_BYTES)).toBe('www.example.com');
  });

  it('has its records read, with the names that pointers lead to', () => {
    const reader = read(ANSWER);
    expect(reader.recordCount).toBe(3);
    expect([...reader.sections.subarray(0, 3)]).toEqual([Section.answer, Section.answer, Section.additional]);
    expect(nameAt(reader, reader.owners[0] ?? 0)).toBe('www.example.com');
    expect(nameAt(reader, reader.targetOf(0))).toBe('c.ads.example');
    expect(nameAt(reader, reader.owners[1] ?? 0)).toBe('c.ads.example');
    expect(reader.targetOf(1)).toBe(-1);
    expect([...reader.ttls.subarray(0, 2)]).toEqual([300, 60]);
    expect(reader).toMatchObject({ opt: 2, ednsBytes: 1232, ednsVersion: 0, isDnssecOk: true });
  });

  it('is none if it is cut anywhere, or has a byte more', () => {
    const reader = new MessageReader();
    for (let length = 0; length < ANSWER.length; length++)
      expect(reader.read(ANSWER.subarray(0, length)), `${length}`).toBeDefined();
    expect(reader.read(Uint8Array.of(...ANSWER, 0))).toBe(MessageFault.trailing);
  });

  const header = (counts: string): string => `1234 8180 ${counts}`;
  const name = '0161 00';
  it.each([
    ['two questions', `${header('0002 0000 0000 0000')} ${name} 0001 0001 ${name} 0001 0001`, 'questions'],
    ['no question', header('0000 0000 0000 0000'), 'questions'],
    ['a label of a kind that is none', `${header('0001 0000 0000 0000')} 4161 00 0001 0001`, 'name'],
    ['a pointer into the header', `${header('0001 0000 0000 0000')} c002 0001 0001`, 'name'],
    ['a pointer to itself', `${header('0001 0000 0000 0000')} c00c 0001 0001`, 'name'],
    [
      'a pointer forward',
      `${header('0001 0001 0000 0000')} ${name} 0001 0001 c015 0001 0001 00000000 0004 01610000`,
      'name',
    ],
    ['an address of three bytes', `${record('0001 0001 00000000 0003 010203')}`, 'record'],
    ['an alias with a byte more', `${record('0005 0001 00000000 0004 0161 00 00')}`, 'record'],
    ['a service without a target', `${record('0041 0001 00000000 0002 0001')}`, 'record'],
    ['an OPT that is an answer', `${record('0029 04d0 00000000 0000').replace(`${name}  `, '00')}`, 'opt'],
  ] as const)('is none with %s', (_, hex, fault) => {
    expect(new MessageReader().read(bytesOf(hex))).toBe(MessageFault[fault]);
  });

  /** An answer of one record of `a`. */
  function record(fields: string): string {
    return `${header('0001 0001 0000 0000')} ${name} 0001 0001 ${name}  ${fields}`;
  }

  it('has one OPT, of the root, whose options fill it', () => {
    const opts = (counts: string, ...records: string[]): MessageFault | undefined =>
      new MessageReader().read(bytesOf(`${header(counts)} ${name} 0001 0001 ${records.join('')}`));
    expect(opts('0001 0000 0000 0001', OPT)).toBeUndefined();
    expect(opts('0001 0000 0000 0002', OPT, OPT)).toBe(MessageFault.opt);
    expect(opts('0001 0000 0000 0001', `0161${OPT}`)).toBe(MessageFault.opt);
    expect(opts('0001 0000 0000 0001', '00 0029 04d0 00000000 0004 000f 0000')).toBeUndefined();
    expect(opts('0001 0000 0000 0001', '00 0029 04d0 00000000 0004 000f 0001')).toBe(MessageFault.opt);
  });

  it('passes what it does not judge by: types that nobody knows, other classes', () => {
    expect(new MessageReader().read(bytesOf(record('ff01 0001 00000000 0003 010203')))).toBeUndefined();
    expect(new MessageReader().read(bytesOf(record('0001 0003 00000000 0003 010203')))).toBeUndefined();
  });

  it('says of a service where it is, unless that is its own name', () => {
    expect(read(bytesOf(record('0041 0001 00000000 0005 0001 0162 00'))).targetOf(0)).toBe(34);
    expect(read(bytesOf(record('0041 0001 00000000 0003 0001 00'))).targetOf(0)).toBe(-1);
  });
});

describe('a name', () => {
  it('has 255 bytes at the most, however many pointers it is made of', () => {
    const long = [...Array.from({ length: 3 }, () => 'x'.repeat(63)), 'y'.repeat(61)].join('.');
    const head = new Uint8Array(HEADER_BYTES);
    expect(readName(Uint8Array.of(...head, ...nameBytes(long)), 12, newNameScratch())).toBe(255);
    expect(readName(Uint8Array.of(...head, ...nameBytes(`${long}y`)), 12, newNameScratch())).toBe(-1);
    const pointed = Uint8Array.of(...head, ...nameBytes(long), 1, 0x7a, 0xc0, 12);
    expect(readName(pointed, 12 + 255, newNameScratch())).toBe(-1);
  });

  it('is not reached by a chain of more pointers than a name has labels', () => {
    const chain = (pointers: number): Uint8Array =>
      Uint8Array.of(
        ...new Uint8Array(HEADER_BYTES),
        0,
        ...Array.from({ length: pointers }, (_, i) => (i === 0 ? 12 : 13 + 2 * (i - 1))).flatMap((to) => [
          0xc0 | (to >> 8),
          to & 255,
        ]),
      );
    expect(readName(chain(127), 13 + 2 * 126, newNameScratch())).toBe(1);
    expect(readName(chain(128), 13 + 2 * 127, newNameScratch())).toBe(-1);
  });

  it.each([
    ['03575757 01 5f 00', 'www._'],
    ['03 61 2e 62 00', 'a\\046b'],
    ['02 00 ff 00', '\\000\\255'],
    ['00', '.'],
  ])('is for people without letters that mean something else: %s', (hex, text) => {
    expect(nameText(bytesOf(hex))).toBe(text);
  });

  it('turns the case of letters alone, by a bit each', () => {
    const name = nameBytes('a1-Bc.D');
    turnCase(name, 0, name.length, Uint8Array.of(0b1010));
    expect(Buffer.from(name).toString('latin1')).toBe('\x05a1-Bc\x01D\x00');
  });

  it('is made of a host name and back', () => {
    expect(nameText(nameBytes('mail.example.com'))).toBe('mail.example.com');
    expect(hexOf(nameBytes('.'))).toBe('00');
  });
});

describe('what is written', () => {
  const out = new Uint8Array(WRITTEN_MAX_BYTES);
  const plain = (used: number): Uint8Array => out.slice(0, used);

  it('to an upstream is the question alone, with our size for who takes as much', () => {
    expect(hexOf(plain(writeQuestion(read(QUESTION), 0xabcd, out)))).toBe(`abcd${hexOf(QUESTION).slice(4)}`);
    const asked = (size: string): string => {
      const bytes = bytesOf(
        `1234 0130 0001 0000 0000 0001 0161 00 0041 0001 00 0029 ${size} 0000 8000 0006 0008 0002 0001`,
      );
      return hexOf(plain(writeQuestion(read(bytes), 1, out)));
    };
    const passed = (size: string): string =>
      `00010130000100000000000101610000410001000029${size}000080000000`;
    expect(asked('1000')).toBe(passed('04d0'));
    expect(asked('0300')).toBe(passed('0300'));
    expect(asked('0001')).toBe(passed('0200'));
  });

  it('of a blocked name is NXDOMAIN with an SOA, and says why to who sent OPT', () => {
    const answer = { rcode: Rcode.noName, error: 15, ttl: 60 } as const;
    const soa = 'c00c 0006 0001 0000003c 0016 0000 00000001 00000708 00000384 00093a80 0000003c';
    const question = hexOf(QUESTION.subarray(HEADER_BYTES));
    expect(hexOf(plain(writeAnswer(read(QUESTION), answer, out)))).toBe(
      hexOf(bytesOf(`1234 8183 0001 0000 0001 0000 ${question} ${soa}`)),
    );
    const withOpt = bytesOf(`1234 0110 0001 0000 0000 0001 ${question} ${OPT}`);
    expect(hexOf(plain(writeAnswer(read(withOpt), answer, out)))).toBe(
      hexOf(
        bytesOf(
          `1234 8193 0001 0000 0001 0001 ${question} ${soa} 00 0029 04d0 0000 8000 0006 000f 0002 000f`,
        ),
      ),
    );
  });

  it.each([
    ['0001', 'c00c 0001 0001 0000003c 0004 00000000', 1],
    ['001c', `c00c 001c 0001 0000003c 0010 ${'00'.repeat(16)}`, 1],
    ['0041', 'c00c 0006 0001 0000003c 0016 0000 00000001 00000708 00000384 00093a80 0000003c', 0],
  ])('is the unspecified address of the family asked for, or nothing: type %s', (type, record, answers) => {
    const asked = bytesOf(`1234 0100 0001 0000 0000 0000 0161 00 ${type} 0001`);
    const used = writeAnswer(read(asked), { rcode: Rcode.ok, ttl: 60, isNull: true }, out);
    const counts = answers === 1 ? '0001 0000' : '0000 0001';
    expect(hexOf(plain(used))).toBe(
      hexOf(bytesOf(`1234 8180 0001 ${counts} 0000 0161 00 ${type} 0001 ${record}`)),
    );
  });

  it('of an answer that is too long is its question, cut', () => {
    const question = hexOf(QUESTION.subarray(HEADER_BYTES));
    expect(hexOf(plain(writeTruncated(read(ANSWER), out)))).toBe(
      hexOf(bytesOf(`1234 8380 0001 0000 0000 0001 ${question} ${OPT}`)),
    );
  });

  it('to who asked has the id and the case that were asked in', () => {
    const asked = read(QUESTION);
    const answer = ANSWER.slice();
    answer[0] = 0xff;
    turnCase(answer, HEADER_BYTES, asked.nameEnd, Uint8Array.of(0xff));
    expect(hexOf(answer)).not.toBe(hexOf(ANSWER));
    readdress(answer, asked);
    expect(hexOf(answer)).toBe(hexOf(ANSWER));
  });

  it('fits into what is reserved for it, for the longest name', () => {
    const long = nameBytes([...Array.from({ length: 3 }, () => 'x'.repeat(63)), 'y'.repeat(61)].join('.'));
    const asked = bytesOf(`1234 0100 0001 0000 0000 0001 ${hexOf(long)} 0001 0001 ${OPT}`);
    const used = writeAnswer(read(asked), { rcode: Rcode.noName, error: 15, ttl: 60 }, out);
    expect(used).toBe(322);
    expect(writeQuestion(read(asked), 1, out, true)).toBe(WRITTEN_MAX_BYTES);
  });
});

describe('a stream of messages', () => {
  it('gives each as soon as it is whole, whatever it comes in', () => {
    const bytes = bytesOf('0003 010203 0000 0001 ff');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const stream = new MessageStream();
      const got = [bytes.subarray(0, cut), bytes.subarray(cut)].flatMap((chunk) =>
        [...stream.feed(chunk)].map(hexOf),
      );
      expect(got).toEqual(['010203', '', 'ff']);
      expect(stream.isWaiting).toBe(false);
    }
  });

  it('waits for the rest', () => {
    const stream = new MessageStream();
    expect([...stream.feed(bytesOf('ffff 00'))]).toEqual([]);
    expect(stream.isWaiting).toBe(true);
  });
});
