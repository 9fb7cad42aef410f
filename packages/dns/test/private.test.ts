/** Private addresses in answers, by the vectors: messages are made here, and compared byte by byte. */

import { readFileSync } from 'node:fs';
import { parseDocument } from '@rulecast/formats';
import { type Address, isPrivateAddress, parseAddress } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { portionOf } from '../src/judge/portion.ts';
import { nameBytes } from '../src/message/name.ts';
import { type Client, DnsProxy, type ProxyEffect } from '../src/proxy/machine.ts';
import { judgeOf } from './judge-of.ts';

interface Case {
  readonly name: string;
  readonly asked: string;
  readonly answers: readonly string[];
  readonly beside?: readonly string[];
  readonly left: 'all' | 'nothing' | readonly string[];
}

const VECTORS: {
  readonly private: readonly string[];
  readonly public: readonly string[];
  readonly document: object;
  readonly answers: readonly Case[];
} = JSON.parse(readFileSync(new URL('../../../protocol/vectors/private.json', import.meta.url), 'utf8'));

const TYPES = { A: 1, CNAME: 5, MX: 15, AAAA: 28, SVCB: 64, HTTPS: 65, ANY: 255 } as const;
const KEYS = { mandatory: 0, alpn: 1, ipv4hint: 4, ipv6hint: 6 } as const;
const [RESPONSE, AUTHENTIC] = [0x8180, 0x0020];

function addressOf(text: string): Address {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(text);
  return found;
}

const u16 = (...values: readonly number[]): readonly number[] =>
  values.flatMap((value) => [value >> 8, value & 0xff]);
const bytesOf = (text: string): readonly number[] =>
  [...addressOf(text).words].flatMap((word) => u16(word >>> 16, word & 0xffff));

function typeOf(text: string): number {
  return TYPES[text as keyof typeof TYPES]; // the vectors have no other
}

/** The name asked for is written out in every case; here it is pointed to, if `isShort`. */
function recordOf(text: string, isShort: boolean): readonly number[] {
  const [owner = '', type = '', ...rest] = text.split(' ');
  const data = dataOf(type, rest);
  const name = isShort ? [0xc0, 12] : nameBytes(owner);
  return [...name, ...u16(typeOf(type), 1, 0, 60, data.length), ...data];
}

function dataOf(
  type: string,
  [first = '', target = '', ...parameters]: readonly string[],
): readonly number[] {
  if (type === 'A' || type === 'AAAA') return bytesOf(first);
  if (type === 'CNAME') return [...nameBytes(first)];
  if (type === 'MX') return [...u16(10), ...nameBytes(first)];
  if (target === '.' && parameters[0] === 'broken') return [...u16(1), 0, ...u16(4, 3), 1, 1, 1];
  const values = parameters.flatMap((parameter) => {
    const [key = '', value = ''] = parameter.split('=');
    const bytes =
      key === 'mandatory'
        ? u16(KEYS.ipv4hint)
        : key === 'alpn'
          ? [value.length, ...Buffer.from(value)]
          : value.split(',').flatMap(bytesOf);
    return [...u16(KEYS[key as keyof typeof KEYS], bytes.length), ...bytes];
  });
  return [...u16(Number(first)), ...nameBytes(target), ...values];
}

/** A question, or its answer with records that point to its name where they are of it. */
function messageOf(
  id: number,
  flags: number,
  question: readonly number[],
  answers: readonly (readonly number[])[],
  beside: readonly (readonly number[])[] = [],
): Uint8Array {
  const counts = u16(id, flags, 1, answers.length, 0, beside.length);
  return Uint8Array.from([...counts, ...question, ...answers.flat(), ...beside.flat()]);
}

const asker: Client = { asker: addressOf('10.137.0.5'), askerKey: '10.137.0.5', transport: 'tcp' };

/** What a qube gets, and how often private addresses were left out. */
function exchanged({ asked, answers, beside = [] }: Case): {
  readonly reply: Uint8Array;
  readonly full: Uint8Array;
  readonly counted: number;
} {
  const text = Buffer.from(JSON.stringify(VECTORS.document));
  const { rejects, ...parts } = parseDocument('f', text, 0, () => undefined);
  expect(rejects).toEqual([]);
  const judge = judgeOf(portionOf({ ...parts, resolutions: new Map() }));
  const proxy = new DnsProxy<Client>({
    upstreamCount: 1,
    judge: (by, name, at, aliases) => judge.judge(by, name, at, aliases, { now: 0 }),
    mayBePrivate: (name, at) => judge.mayBePrivate(name, at),
    randomBytes: (count) => new Uint8Array(count),
  });
  const [name = '', type = ''] = asked.split(' ');
  const question = [...nameBytes(name), ...u16(typeOf(type), 1)];
  const [ask] = proxy.ask(asker, messageOf(7, 0x0100, question, []), 0);
  if (ask?.kind !== 'ask') throw new TypeError(`${ask?.kind}`);
  const isOfName = (record: string): boolean => record.startsWith(`${name} `);
  const answer = messageOf(
    (ask.bytes[0]! << 8) | ask.bytes[1]!, // a message
    RESPONSE | AUTHENTIC,
    [...ask.bytes.subarray(12, 12 + question.length)],
    answers.map((record) => recordOf(record, isOfName(record))),
    beside.map((record) => recordOf(record, isOfName(record))),
  );
  const effects = proxy.answer(ask.query, Uint8Array.from(answer), 1);
  const reply = effects.find(
    (effect): effect is ProxyEffect<Client> & { kind: 'reply' } => effect.kind === 'reply',
  );
  const full = Uint8Array.from(answer);
  full.set([0, 7], 0);
  full.set(question, 12);
  return { reply: reply?.bytes ?? new Uint8Array(0), full, counted: proxy.counts.private };
}

describe('an address', () => {
  it.each(VECTORS.private)('%s is private', (text) => expect(isPrivateAddress(addressOf(text))).toBe(true));
  it.each(VECTORS.public)('%s is not', (text) => expect(isPrivateAddress(addressOf(text))).toBe(false));
});

//
describe('an answer with a private address', () => {
  it.each(VECTORS.answers)('$name', (one) => {
    const { reply, full, counted } = exchanged(one);
    const { left } = one;
    expect(counted).toBe(left === 'all' ? 0 : 1);
    if (left === 'all') return expect(reply).toEqual(full);
    const [name = '', type = ''] = one.asked.split(' ');
    const question = [...nameBytes(name), ...u16(typeOf(type), 1)];
    if (left === 'nothing') {
      expect([...reply.subarray(2, 12)]).toEqual(u16(RESPONSE, 1, 0, 1, 0)); // there is nothing, and an SOA
      return expect([...reply.subarray(12, 12 + question.length)]).toEqual(question);
    }
    // What stands before what was left out is as it came; what is written anew has its names written out.
    const isAsItCame = one.beside !== undefined;
    const records = left.map((record) => recordOf(record, isAsItCame && record.startsWith(`${name} `)));
    expect(reply).toEqual(messageOf(7, RESPONSE, question, records));
  });
});
