/** The packet loop of the examples: what its parser makes of packets, sound and unsound, and that it runs. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseDocument } from '@rulecast/formats';
import {
  type Address,
  type Environment,
  evaluate,
  formatPrefix,
  type Packet,
  parseAddress,
  type RuleSet,
} from '@rulecast/rules';
import { Table, UNREADABLE } from '@rulecast/table';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lane, Parsed, type ParsedKind, parsePacket } from '../../examples/packet-loop/parser.mjs';
import { PcapError, readPcap } from '../../examples/packet-loop/pcap.mjs';
import { trafficOf } from '../../examples/packet-loop/traffic.mjs';
import { fragmentFrames, frameOf, segment } from '../enforce/frames.mjs';
import { seededNumbers } from '../kit/random.mjs';

const LOOP = fileURLToPath(new URL('../../examples/packet-loop.mjs', import.meta.url));
const ENVIRONMENT: Environment = { now: 0, dns: [addressOf('198.18.0.53')] };
const RULES = `
lists:
  blocked: { entries: [198.18.0.64/26, 198.18.128.0/17, "2001:db8:8000::/33"] }
first:
  egress: [drop dst4=198.18.4.0/23, drop dst=@blocked proto=tcp dstports=443]
common:
  egress: [drop dst=@blocked proto=tcp]
policies:
  work:
    prefixes: [10.137.0.0/30, "fd09:24ef:4179::a89:0/126"]
    egress:
      - accept dst=@blocked proto=udp dstports=53-443
      - accept specialtarget=dns
      - accept proto=icmp icmptype=8
      - accept proto=tcp dstports=443
  default:
    default: accept
    egress:
      - drop proto=udp dstports=443
      - drop proto=icmp icmptype=128
      - drop dst4=198.18.4.0/22
      - drop dst4=198.18.8.0/22
`;

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`no address: ${text}`);
  return address;
}

function ruleSetOf(document: string): RuleSet {
  const { rejects, lists, policies } = parseDocument(
    'rules.yaml',
    new TextEncoder().encode(document),
    0,
    () => undefined,
  );
  expect(rejects).toEqual([]);
  return { lists, policies, resolutions: new Map(), unmatched: undefined };
}

// ── The parser ─────────────────────────────────────────────────────────────────────────────────────────────

const kindName = new Map<number, keyof typeof Parsed>(
  Object.entries(Parsed).map(([name, kind]) => [kind, name as keyof typeof Parsed]),
);

/** A table with the rules above, and lanes of its own columns. */
class Judge {
  readonly ruleSet = ruleSetOf(RULES);
  readonly table = new Table();
  readonly lane4 = new Lane(this.table.reader.columns(4));
  readonly lane6 = new Lane(this.table.reader.columns(6));

  constructor() {
    this.table.flip(this.table.prepare(this.ruleSet, ENVIRONMENT));
  }

  /** What the parser makes of bytes of which a buffer has no more. */
  parse(bytes: Uint8Array): ParsedKind {
    const exact = Uint8Array.from(bytes);
    return this.parseIn(new DataView(exact.buffer), 0, exact.length);
  }

  parseIn(view: DataView, start: number, end: number): ParsedKind {
    this.lane4.count = 0;
    this.lane6.count = 0;
    return parsePacket(view, start, end, 7, this.lane4, this.lane6);
  }

  /** The packet that was parsed last, as the rule language has it. */
  packetIn(family: 4 | 6): Packet {
    const { columns, count, frames } = family === 4 ? this.lane4 : this.lane6;
    expect([count, frames[0]]).toEqual([1, 7]);
    const words = family === 4 ? 1 : 4;
    return packetOf(
      { family, words: columns.src.slice(0, words) },
      { family, words: columns.dst.slice(0, words) },
      columns.protos[0] ?? 0,
      columns.details[0] ?? 0,
    );
  }

  /** Has the table judge what was parsed last, and expects what the evaluator says of `packet`. */
  expectVerdictOn(packet: Packet): void {
    const { columns } = packet.dst.family === 4 ? this.lane4 : this.lane6;
    const { family, src, dst, protos, details, codes } = columns;
    this.table.reader.lookupBatch(
      { family, direction: 0, count: 1, src, dst, protos, details },
      { codes, generation: 0 },
    );
    const found = this.table.reader.decode(codes[0] ?? 0);
    const { action, by } = evaluate(this.ruleSet, ENVIRONMENT, packet);
    expect([found?.action, found?.policy, found?.rulePolicy, found?.run, found?.list]).toEqual([
      action,
      by?.policy,
      by?.rule?.policy,
      by?.rule?.run,
      by?.rule?.list,
    ]);
  }
}

function packetOf(src: Address, dst: Address, proto: number, detail: number): Packet {
  const known = detail === UNREADABLE ? undefined : detail;
  const hasPort = proto === 6 || proto === 17;
  return {
    direction: 'egress',
    src,
    dst,
    proto,
    port: hasPort ? known : undefined,
    icmpType: hasPort ? undefined : known,
  };
}

/** Hexadecimal digits, spaces between them as one likes; a number in braces is so many zeros. */
function hex(digits: string): Uint8Array {
  const zeros = digits.replace(/\{(\d+)\}/g, (_, count) => '00'.repeat(Number(count)));
  return Uint8Array.from(Buffer.from(zeros.replaceAll(' ', ''), 'hex'));
}

/** An IPv4 header up to the addresses, which are 10.137.0.1 and 198.18.0.9. */
const ADDRESSES4 = '0a890001 c6120009';
const ADDRESSES6 = 'fd0924ef41790000000000000a890001 20010db8000000000000000000000009';
const READ4 = { src: '10.137.0.1', dst: '198.18.0.9' };
const READ6 = { src: 'fd09:24ef:4179::a89:1', dst: '2001:db8::9' };

describe('the parser', () => {
  it.each([
    ['TCP', `4500002c 00010000 40060000 ${ADDRESSES4} 9c4001bb {20}`, READ4, 6, 443],
    ['UDP of no data', `4500001c 00010000 40110000 ${ADDRESSES4} 9c400035 00080000`, READ4, 17, 53],
    ['ICMP', `4500001c 00010000 40010000 ${ADDRESSES4} 08000000 {4}`, READ4, 1, 8],
    [
      'ICMPv6 in IPv4, which has no type',
      `4500001c 00010000 403a0000 ${ADDRESSES4} 80000000 {4}`,
      READ4,
      58,
      UNREADABLE,
    ],
    [
      'SCTP, whose ports no rule names',
      `45000020 00010000 40840000 ${ADDRESSES4} 9c4001bb {8}`,
      READ4,
      132,
      UNREADABLE,
    ],
    ['options', `47000020 00010000 40110000 ${ADDRESSES4} 01010101 01010100 9c400035`, READ4, 17, 53],
    ['the longest header', `4f000040 00010000 40010000 ${ADDRESSES4} {40} 03000000`, READ4, 1, 3],
    ['padding of the frame', `45000016 00010000 40060000 ${ADDRESSES4} 9c40 01bb{24}`, READ4, 6, UNREADABLE],
    ['do not fragment', `45000018 00014000 40060000 ${ADDRESSES4} 9c4001bb`, READ4, 6, 443],
    ['a first fragment', `45000018 00012000 40060000 ${ADDRESSES4} 9c4001bb`, READ4, 6, 443],
    ['a later fragment', `45000018 00012001 40060000 ${ADDRESSES4} 9c4001bb`, READ4, 6, UNREADABLE],
    ['the last fragment', `45000018 00011fff 40010000 ${ADDRESSES4} 08000000`, READ4, 1, UNREADABLE],
    ['no transport header', `45000014 00010000 40010000 ${ADDRESSES4}`, READ4, 1, UNREADABLE],
    ['an ICMP type and no more', `45000015 00010000 40010000 ${ADDRESSES4} 08`, READ4, 1, 8],
    ['a port cut in two', `45000017 00010000 40110000 ${ADDRESSES4} 9c4001`, READ4, 17, UNREADABLE],
  ])('reads IPv4: %s', (_, digits, { src, dst }, proto, detail) => {
    const judge = new Judge();
    expect(judge.parse(hex(digits))).toBe(Parsed.ip4);
    const packet = packetOf(addressOf(src), addressOf(dst), proto, detail);
    expect(judge.packetIn(4)).toEqual(packet);
    judge.expectVerdictOn(packet);
  });

  it.each([
    ['TCP', `60000000 00140640 ${ADDRESSES6} 9c4001bb {16}`, 6, 443],
    ['UDP', `60000000 00081140 ${ADDRESSES6} 9c400035 {4}`, 17, 53],
    ['ICMPv6', `60000000 00083a40 ${ADDRESSES6} 80000000 {4}`, 58, 128],
    ['ICMP in IPv6, which has no type', `60000000 00080140 ${ADDRESSES6} 08000000 {4}`, 1, UNREADABLE],
    ['padding of the frame', `60000000 00020640 ${ADDRESSES6} 9c40 01bb`, 6, UNREADABLE],
    ['no next header', `60000000 00003b40 ${ADDRESSES6}`, 59, UNREADABLE],
    ['ESP, which hides what is in it', `60000000 00083240 ${ADDRESSES6} 06000000 000001bb`, 50, UNREADABLE],
    ['hop-by-hop options', `60000000 000c0040 ${ADDRESSES6} 06000104 {4} 9c4001bb`, 6, 443],
    ['long destination options', `60000000 001c3c40 ${ADDRESSES6} 1102010c {20} 9c400035`, 17, 53],
    [
      'hop-by-hop, routing, destination',
      `60000000 001c0040 ${ADDRESSES6} 2b000104{4} 3c00fd00{4} 06000104{4} 9c4001bb`,
      6,
      443,
    ],
    ['authentication, in units of four', `60000000 00143340 ${ADDRESSES6} 3a020000 {12} 80000000`, 58, 128],
    ['a fragment that is whole', `60000000 000c2c40 ${ADDRESSES6} 06000000 00000001 9c4001bb`, 6, 443],
    ['a first fragment', `60000000 000c2c40 ${ADDRESSES6} 06000001 00000001 9c4001bb`, 6, 443],
    [
      'a first fragment with options behind',
      `60000000 00142c40 ${ADDRESSES6} 3c000001 00000001 11000104{4} 9c400035`,
      17,
      53,
    ],
    ['a later fragment', `60000000 000c2c40 ${ADDRESSES6} 06000009 00000001 9c4001bb`, 6, UNREADABLE],
    ['the last fragment', `60000000 000c2c40 ${ADDRESSES6} 3a00fff8 00000001 80000000`, 58, UNREADABLE],
    [
      'reserved bits of a fragment header',
      `60000000 000c2c40 ${ADDRESSES6} 06ff0006 00000001 9c4001bb`,
      6,
      443,
    ],
  ])('reads IPv6: %s', (_, digits, proto, detail) => {
    const judge = new Judge();
    expect(judge.parse(hex(digits))).toBe(Parsed.ip6);
    const packet = packetOf(addressOf(READ6.src), addressOf(READ6.dst), proto, detail);
    expect(judge.packetIn(6)).toEqual(packet);
    judge.expectVerdictOn(packet);
  });

  it.each([
    ['nothing', '', Parsed.notIp],
    ['ARP', '00010800 06040001 {20}', Parsed.notIp],
    ['version 5', `55000014 00010000 40010000 ${ADDRESSES4}`, Parsed.notIp],
    ['an IPv4 header of 16 bytes', `44000014 00010000 40010000 ${ADDRESSES4}`, Parsed.malformed],
    [
      'an IPv4 packet of less than its header',
      `46000017 00010000 40010000 ${ADDRESSES4} {4}`,
      Parsed.malformed,
    ],
    ['an IPv4 packet of 0 bytes', `45000000 00010000 40010000 ${ADDRESSES4}`, Parsed.malformed],
    ['an IPv4 packet of more than there is', `45000015 00010000 40010000 ${ADDRESSES4}`, Parsed.truncated],
    ['an IPv4 header of more than there is', `46000018 00010000 40010000 ${ADDRESSES4}`, Parsed.truncated],
    ['an IPv6 packet of more than there is', `60000000 00010640 ${ADDRESSES6}`, Parsed.truncated],
    ['a jumbogram', `60000000 00000040 ${ADDRESSES6} 0600c204 00010000`, Parsed.truncated],
    ['half an extension header', `60000000 00070040 ${ADDRESSES6} 06000104 000000`, Parsed.truncated],
    [
      'an extension header of more than there is',
      `60000000 00083c40 ${ADDRESSES6} 06010104 {4}`,
      Parsed.truncated,
    ],
    [
      'an extension header that goes on behind the packet',
      `60000000 00083c40 ${ADDRESSES6} 06010104 {12}`,
      Parsed.truncated,
    ],
    ['a chain that does not end', `60000000 00080040 ${ADDRESSES6} 3c000104 {4}`, Parsed.truncated],
    [
      'a first fragment without all headers',
      `60000000 00082c40 ${ADDRESSES6} 3c000001 00000001`,
      Parsed.truncated,
    ],
    [
      'a later fragment whose protocol is elsewhere',
      `60000000 000c2c40 ${ADDRESSES6} 3c000008 00000001 06000104`,
      Parsed.hidden,
    ],
    ['an IPv4-mapped source', '60000000 00000640 {10} ffff0a890001 20010db8 {12}', Parsed.malformed],
    ['an IPv4-mapped destination', '60000000 00000640 20010db8 {12} {10} ffffc6120009', Parsed.malformed],
  ])('refuses %s', (_, digits, kind) => {
    const judge = new Judge();
    expect(judge.parse(hex(digits))).toBe(kind);
    expect([judge.lane4.count, judge.lane6.count]).toEqual([0, 0]);
  });

  it('reads what was sent: segments in packets, chains of headers and fragments, and has it judged as the evaluator does', () => {
    const judge = new Judge();
    const below = seededNumbers(5);
    const pick = <T>(...items: readonly [T, ...T[]]): T => items[below(items.length)] ?? items[0];
    const mac = new Uint8Array(6);
    const seen = new Set<string>();
    for (let mark = 0; mark < 3000; mark++) {
      const family = pick(4, 6);
      const src =
        family === 4 ? addressOf(`10.137.0.${below(8)}`) : addressOf(`fd09:24ef:4179::a89:${below(8)}`);
      const dst =
        family === 4
          ? addressOf(pick('198.18.0.53', `198.18.${below(256)}.${below(256)}`))
          : addressOf(`2001:db8:${below(65_536).toString(16)}::1`);
      const proto = pick(6, 17, family === 4 ? 1 : 58, 47);
      const dstPort = pick(53, 80, 443, below(65_536));
      const icmpType = pick(0, 8, 128);
      const payload = segment(src, dst, proto, { mark, dstPort, icmpType, dataBytes: 64 });
      const detail = proto === 6 || proto === 17 ? dstPort : proto === 47 ? UNREADABLE : icmpType;
      const whole = frameOf(mac, mac, {
        src,
        dst,
        proto,
        payload,
        extensions: pick([], [0], [60], [0, 43, 60], [44]),
      });
      const parts = fragmentFrames(mac, mac, { src, dst, proto, payload }, [8, 40], mark);
      for (const [i, frame] of [whole, ...parts].entries()) {
        expect(judge.parse(frame.subarray(14))).toBe(family === 4 ? Parsed.ip4 : Parsed.ip6);
        const packet = packetOf(src, dst, proto, i < 2 ? detail : UNREADABLE);
        expect(judge.packetIn(family)).toEqual(packet);
        judge.expectVerdictOn(packet);
        const { action, by } = evaluate(judge.ruleSet, ENVIRONMENT, packet);
        seen.add(`${action} ${by?.rule === undefined ? 'default' : by.rule.policy} ${by?.rule?.run}`);
      }
    }
    const accepted = ['accept default undefined', ...[0, 1, 2, 3].map((run) => `accept work ${run}`)];
    const dropped = [
      'drop first 0',
      'drop first 1',
      'drop common 0',
      ...[0, 1, 2, 'undefined'].map((run) => `drop default ${run}`),
    ];
    const unread = [0, 1, 2, 3].map((run) => `drop work ${run}`); // accepts with ports or types, where these cannot be read
    expect([...seen].sort()).toEqual([...accepted, ...dropped, ...unread].sort());
  });

  it('refuses what is cut at any byte, and reads no byte behind the cut', () => {
    const judge = new Judge();
    const outcomes = new Map<string, number>();
    for (const packet of trafficOf(600, 4)) {
      const isSound = slowParse(packet).kind !== 'refused';
      for (let length = 0; length <= Math.min(packet.length, 80); length++) {
        const cut = packet.subarray(0, length);
        const kind = judge.parse(cut);
        if (isSound && length < packet.length)
          expect(kind).toBe(length === 0 ? Parsed.notIp : Parsed.truncated);
        expectSame(judge, cut, kind);
        outcomes.set(kindName.get(kind) ?? '', (outcomes.get(kindName.get(kind) ?? '') ?? 0) + 1);
      }
    }
    expect([...outcomes.keys()].sort()).toEqual(Object.keys(Parsed).sort());
  });

  it('makes of 30,000 mangled packets what a slow parser and the evaluator make of them', () => {
    const judge = new Judge();
    const below = seededNumbers(9);
    const outcomes = new Map<string, number>();
    const packets = trafficOf(2000, 7).filter(({ length }) => length > 0);
    for (let i = 0; i < 30_000; i++) {
      const mangled = Uint8Array.from(packets[i % packets.length] ?? []).subarray(0, 200);
      for (let change = below(4); change >= 0; change--) {
        // Mostly within the headers, and often to a value that means something there.
        const at = below(below(2) === 0 ? Math.min(mangled.length, 56) : mangled.length);
        mangled[at] = [0, 1, 43, 44, 51, 59, 60, below(256)][below(8)] ?? 0;
      }
      const kind = judge.parse(mangled);
      expectSame(judge, mangled, kind);
      outcomes.set(kindName.get(kind) ?? '', (outcomes.get(kindName.get(kind) ?? '') ?? 0) + 1);
    }
    for (const kind of Object.keys(Parsed)) expect(outcomes.get(kind) ?? 0, kind).toBeGreaterThan(50);
  });
});

/**
 * Expects of bytes, which the judge has parsed to `kind`, what the slow parser and the evaluator say,
 * wherever the bytes are.
 */
function expectSame(judge: Judge, bytes: Uint8Array, kind: ParsedKind): void {
  const expected = slowParse(bytes);
  expect(kindName.get(kind)).toBe(expected.kind === 'refused' ? expected.reason : expected.kind);
  // Again among other bytes, all of which would say TCP to port 0x0606.
  const poisoned = new Uint8Array(bytes.length + 300).fill(6);
  poisoned.set(bytes, 101);
  expect(judge.parseIn(new DataView(poisoned.buffer), 101, 101 + bytes.length)).toBe(kind);
  if (expected.kind === 'refused') return expect(judge.lane4.count + judge.lane6.count).toBe(0);
  expect(judge.packetIn(expected.packet.dst.family)).toEqual(expected.packet);
  judge.expectVerdictOn(expected.packet);
}

type SlowResult =
  | { readonly kind: 'ip4' | 'ip6'; readonly packet: Packet }
  | { readonly kind: 'refused'; readonly reason: keyof typeof Parsed };

/** The parser's slow twin, as the RFCs draw it: takes headers off the front, one by one. */
function slowParse(bytes: Uint8Array): SlowResult {
  const refused = (reason: keyof typeof Parsed): SlowResult => ({ kind: 'refused', reason });
  const number = (at: number, length: number): number =>
    Number(`0x0${Buffer.from(bytes.slice(at, at + length)).toString('hex')}`);
  const version = bytes.length === 0 ? 0 : number(0, 1) >> 4;
  if (version !== 4 && version !== 6) return refused('notIp');
  if (version === 4) {
    if (bytes.length < 20) return refused('truncated');
    const [header, total] = [(number(0, 1) % 16) * 4, number(2, 2)];
    if (header < 20 || total < header) return refused('malformed');
    if (total > bytes.length) return refused('truncated');
    const payload = number(6, 2) % 8192 === 0 ? bytes.slice(header, total) : undefined;
    return {
      kind: 'ip4',
      packet: slowPacket(bytes.slice(12, 16), bytes.slice(16, 20), number(9, 1), payload),
    };
  }
  if (bytes.length < 40 || 40 + number(4, 2) > bytes.length) return refused('truncated');
  const [src, dst] = [bytes.slice(8, 24), bytes.slice(24, 40)];
  const mapped = `${'00'.repeat(10)}ffff`;
  if ([src, dst].some((address) => Buffer.from(address).toString('hex').startsWith(mapped)))
    return refused('malformed');
  let left = bytes.slice(40, 40 + number(4, 2));
  let proto = number(6, 1);
  while ([0, 43, 44, 51, 60].includes(proto)) {
    const [next, length = 0, high = 0, low = 0] = left;
    const header = proto === 44 ? 8 : proto === 51 ? 4 * (length + 2) : 8 * (length + 1);
    if (next === undefined || left.length < Math.max(8, header)) return refused('truncated');
    const isLater = proto === 44 && Math.floor((high * 256 + low) / 8) > 0;
    proto = next;
    if (!isLater) left = left.slice(header);
    else if ([0, 43, 44, 51, 60].includes(next)) return refused('hidden');
    else return { kind: 'ip6', packet: slowPacket(src, dst, next, undefined) };
  }
  return { kind: 'ip6', packet: slowPacket(src, dst, proto, left) };
}

/** `payload` undefined: that of a later fragment. */
function slowPacket(
  src: Uint8Array,
  dst: Uint8Array,
  proto: number,
  payload: Uint8Array | undefined,
): Packet {
  const [first, , third, fourth] = payload ?? [];
  const port = third === undefined || fourth === undefined ? undefined : third * 256 + fourth;
  const icmp = dst.length === 4 ? 1 : 58;
  const detail = proto === 6 || proto === 17 ? port : proto === icmp ? first : undefined;
  return packetOf(slowAddress(src), slowAddress(dst), proto, detail ?? UNREADABLE);
}

function slowAddress(bytes: Uint8Array): Address {
  const words = Uint32Array.from({ length: bytes.length / 4 }, (_, i) =>
    Buffer.from(bytes).readUInt32BE(i * 4),
  );
  return { family: bytes.length === 4 ? 4 : 6, words };
}

describe('explaining what a packet met', () => {
  const judge = new Judge();
  it.each([
    [
      'a rule of all policies, by the member of its list',
      `45000018 00010000 40060000 0a890001 c6120041 9c400050`,
      { action: 'drop', policy: 'common', index: 0, list: 'blocked', prefix: '198.18.0.64/26' },
      'action=drop dst=@blocked proto=tcp',
    ],
    [
      'a rule of the qube’s own policy',
      `60000000 00083a40 fd0924ef41790000000000000a890005 20010db8000000000000000000000009 80000000 {4}`,
      { action: 'drop', policy: 'default', index: 1, list: undefined, prefix: undefined },
      'action=drop proto=icmp icmptype=128',
    ],
    [
      'a rule of first',
      `45000018 00010000 40060000 0a890001 c6120041 9c4001bb`,
      { action: 'drop', policy: 'first', index: 1, list: 'blocked', prefix: '198.18.0.64/26' },
      'action=drop dst=@blocked proto=tcp dstports=443-443',
    ],
    [
      'the second literal of a run',
      `45000018 00010000 40060000 0a890005 c6120901 9c400050`,
      { action: 'drop', policy: 'default', index: 3, list: undefined, prefix: '198.18.8.0/22' },
      'action=drop dst4=198.18.8.0/22',
    ],
    [
      'a rule for ports that drops what has none that can be read',
      `60000000 000c2c40 fd0924ef41790000000000000a890001 20010db8800000000000000000000009 11000009 00000001 9c400035`,
      { action: 'drop', policy: 'work', index: 0, list: 'blocked', prefix: '2001:db8:8000::/33' },
      'action=accept dst=@blocked proto=udp dstports=53-443',
    ],
    [
      'no rule, but the default action',
      `45000018 00010000 40060000 0a890005 c6120001 9c400050`,
      { action: 'accept', policy: undefined, index: undefined, list: undefined, prefix: undefined },
      undefined,
    ],
  ])('names %s', (_, digits, expected, line) => {
    const family = judge.parse(hex(digits)) === Parsed.ip4 ? 4 : 6;
    const { verdict, rule, generation } = judge.table.explain(judge.packetIn(family));
    const { policy, index, list, prefix } = verdict.by?.rule ?? {};
    const shown = prefix && formatPrefix(prefix);
    expect({ action: verdict.action, policy, index, list, prefix: shown }).toEqual(expected);
    expect([rule, generation]).toEqual([line, 1]);
  });
});

// ── Captures ───────────────────────────────────────────────────────────────────────────────────────────────

/** A capture file; numbers of its headers in either byte order. */
function pcapOf(
  linkType: number,
  frames: readonly string[],
  isLittle = true,
  magic = 0xa1b2c3d4,
): Uint8Array {
  const numbers = (...values: readonly number[]): Uint8Array => {
    const view = new DataView(new ArrayBuffer(values.length * 4));
    for (const [i, value] of values.entries()) view.setUint32(i * 4, value, isLittle);
    return new Uint8Array(view.buffer);
  };
  const version = isLittle ? 0x00040002 : 0x00020004;
  const records = frames.map(hex).flatMap((frame) => [numbers(1, 2, frame.length, 1500), frame]);
  return Buffer.concat([numbers(magic, version, 0, 0, 262_144, linkType), ...records]);
}

describe('a capture file', () => {
  const MACS = '020000000001 020000000002';
  it.each([
    ['Ethernet', 1, [`${MACS} 0800 45aa`, `${MACS} 86dd 60bb`, `${MACS} 0806 0001`], true],
    ['Ethernet, big-endian', 1, [`${MACS} 0800 45aa`, `${MACS} 86dd 60bb`, `${MACS} 0806 0001`], false],
    [
      'tagged Ethernet',
      1,
      [`${MACS} 8100 0007 0800 45aa`, `${MACS} 88a8 0001 8100 0002 86dd 60bb`, `${MACS} 8100`],
      true,
    ],
    ['cooked', 113, ['{14} 0800 45aa', '{14} 86dd 60bb', '{14} 0806 00'], true],
  ] as const)('gives its IP packets without their link layer: %s', (_, linkType, frames, isLittle) => {
    const { packets, others } = readPcap(pcapOf(linkType, frames, isLittle));
    expect(packets.map((packet) => Buffer.from(packet).toString('hex'))).toEqual(['45aa', '60bb']);
    expect(others).toBe(1);
  });

  it('of raw packets, with nanoseconds, gives them as they are', () => {
    const { packets } = readPcap(pcapOf(101, ['45aa', ''], true, 0xa1b23c4d));
    expect(packets.map((packet) => [...packet])).toEqual([[0x45, 0xaa], []]);
  });

  it.each([
    ['cut within a frame', pcapOf(1, ['{60}']).subarray(0, 80), /ends within the frame at byte 24/],
    [
      'cut within the header of a frame',
      pcapOf(1, ['{60}']).subarray(0, 30),
      /ends within the frame at byte 24/,
    ],
    ['cut within its header', pcapOf(1, []).subarray(0, 23), /shorter/],
    ['of another kind', Buffer.alloc(64, 'x'), /does not begin/],
    ['in pcapng', hex('0a0d0d0a {60}'), /editcap/],
    ['of another link layer', pcapOf(105, ['{20}']), /link type is 105/],
  ])('%s is refused with the reason', (_, bytes, reason) => {
    expect(() => readPcap(bytes)).toThrow(PcapError);
    expect(() => readPcap(bytes)).toThrow(reason);
  });
});

// ── The loop ───────────────────────────────────────────────────────────────────────────────────────────────

/** Runs the example to its end. */
async function runLoop(
  ...args: readonly string[]
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [LOOP, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, out, err };
}

/**
 * Runs the example until what it told of its seconds is enough, however slow the machine is, and interrupts
 * it.
 */
async function runLoopUntil(
  enough: (seconds: readonly LoopLine[]) => boolean,
  ...args: readonly string[]
): Promise<{ code: number | null; lines: readonly LoopLine[]; err: string }> {
  const child = spawn(process.execPath, [LOOP, '--json', '--seconds', '3600', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: LoopLine[] = [];
  let isInterrupted = false; // once: it ends by itself then, with its total
  createInterface(child.stdout).on('line', (line) => {
    lines.push(JSON.parse(line));
    if (isInterrupted || !enough(lines)) return;
    isInterrupted = true;
    child.kill('SIGINT');
  });
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  return { code, lines, err };
}

interface LoopLine {
  readonly kind: 'second' | 'total';
  readonly accepted: number;
  readonly dropped: number;
  readonly none: number;
  readonly parsed: Readonly<Record<keyof typeof Parsed, number>>;
  readonly packets: readonly number[];
  readonly packetsPerSecond: readonly number[];
  readonly release: { readonly epoch: number; readonly version: number };
  readonly generation: number;
  readonly hits?: {
    readonly lists: Readonly<Record<string, number>>;
    readonly programs: readonly {
      readonly defaultAction: number;
      readonly exceptions: number[];
      readonly common: number[];
      readonly own: number[];
    }[];
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

describe('the packet loop', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'rulecast-loop-test-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('judges each packet once while releases flip, and every verdict is a hit', async () => {
    const hasFlipped = (lines: readonly LoopLine[]): boolean => {
      const [first, last] = [lines[0], lines.at(-1)];
      if (first === undefined || last === undefined) return false;
      return last.release.version > first.release.version && last.generation > first.generation;
    };
    const { code, lines, err } = await runLoopUntil(hasFlipped);
    expect([code, err]).toEqual([0, '']);
    const kinds = lines.map(({ kind }) => kind);
    expect(kinds).toEqual([...kinds.slice(1).map(() => 'second'), 'total']);
    const total = lines.at(-1);
    if (total?.hits === undefined) return expect.fail(JSON.stringify(lines));
    const { ip4, ip6, ...refused } = total.parsed;
    expect(sum(total.packets)).toBe(ip4 + ip6 + sum(Object.values(refused)));
    expect(total.accepted + total.dropped + total.none).toBe(ip4 + ip6);
    for (const count of [total.accepted, total.dropped, ip4, ip6, refused.truncated, refused.hidden]) {
      expect(count).toBeGreaterThan(0);
    }
    const byRun = total.hits.programs.flatMap(({ defaultAction, exceptions, common, own }) => [
      defaultAction,
      ...exceptions,
      ...common,
      ...own,
    ]);
    expect(sum(byRun)).toBe(ip4 + ip6); // all of the run, because deltas keep the counters
    const blocked = sum(total.hits.programs.flatMap(({ common }) => common));
    expect(total.hits.lists['blocked']).toBe(blocked);
    expect(blocked).toBeGreaterThan(total.dropped / 3);
  });

  it('judges in two threads what a capture holds', async () => {
    const file = join(directory, 'two.pcap');
    const macs = '020000000001 020000000002';
    const packet = `45000018 00010000 40060000 ${ADDRESSES4} 9c4001bb`;
    writeFileSync(file, pcapOf(1, [`${macs} 0800 ${packet}`, `${macs} 0806 0001`]));
    const bothWork = (lines: readonly LoopLine[]): boolean =>
      lines.at(-1)?.packetsPerSecond.every((rate) => rate > 0) ?? false;
    const { code, lines, err } = await runLoopUntil(bothWork, '--pcap', file, '--threads', '2');
    expect([code, err]).toEqual([0, `${file}: 1 frames are no IP packets\n`]);
    const total = lines.at(-1);
    expect(total?.packets).toHaveLength(2);
    expect(total?.parsed.ip4).toBe(sum(total?.packets ?? []));
  });

  it.each([
    [['--threads', '0'], 64, /--threads is a whole number from 1 to 32, not "0"/],
    [['--seconds', 'x'], 64, /--seconds/],
    [['--connect', 'memory:x'], 64, /go together/],
    [['--frobnicate'], 64, /frobnicate/],
    [['--trust', 'rulecast2:', '--connect', 'memory:x'], 64, /--trust is the line/],
    [['--pcap', LOOP], 64, /does not begin like a pcap file/],
    [['--pcap', '/nowhere.pcap'], 64, /no such file/],
  ])('%j is refused with the reason', async (args, expected, reason) => {
    const { code, out, err } = await runLoop(...args);
    expect([code, out]).toEqual([expected, '']);
    expect(err).toMatch(reason);
  });

  it('explains itself', async () => {
    const { code, out } = await runLoop('--help');
    expect(code).toBe(0);
    for (const option of ['--threads', '--seconds', '--pcap', '--json', '--connect', '--trust'])
      expect(out).toContain(option);
  });
});
