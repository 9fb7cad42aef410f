import { formatAddress } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import {
  type PacketResult,
  parseAskedPacket,
  parsePacketLine,
  parsePacketText,
} from '../src/document/packet.ts';

/** A result in one line: the packet's fields, or `column code`. */
function shown(result: PacketResult): string {
  if (result.kind === 'fault') return `${result.column} ${result.code}`;
  const { direction, src, dst, proto, port, icmpType } = result.packet;
  const from = src === undefined ? '' : `${formatAddress(src)} > `;
  const expected = result.expect === undefined ? '' : ` = ${result.expect}`;
  return `${direction} ${from}${formatAddress(dst)} ${proto}/${port ?? icmpType ?? ''}${expected}`;
}

describe('parsePacketLine', () => {
  it.each([
    ['{"dst":"192.0.2.7","proto":"tcp","dport":443}', 'egress 192.0.2.7 6/443'],
    [
      ' { "direction" : "ingress", "src": "10.137.0.9", "dst": "10.137.0.5", "proto": "udp", "dport": 53, "expect": "drop" } \r\n',
      'ingress 10.137.0.9 > 10.137.0.5 17/53 = drop',
    ],
    ['{"dst":"192.0.2.7","proto":"icmp","icmptype":8,"expect":"none"}', 'egress 192.0.2.7 1/8 = none'],
    ['{"dst":"2001:db8::1","proto":"icmp","icmptype":128}', 'egress 2001:db8::1 58/128'],
    ['{"dst":"2001:db8::1","proto":"icmpv6"}', 'egress 2001:db8::1 58/'],
    ['{"dst":"::ffff:192.0.2.7","proto":17}', 'egress 192.0.2.7 17/'],
    ['{"dst":"192.0.2.7","proto":"47"}', 'egress 192.0.2.7 47/'],
    ['{"dst":"192.0.2.7","proto":"sctp","dport":0}', 'egress 192.0.2.7 132/0'],
    ['{"dst":"192.0.2.7","proto":"gre"}', 'egress 192.0.2.7 47/'],
    ['{"dst":"192.0.2.7","proto":"esp"}', 'egress 192.0.2.7 50/'],
    ['{"dst":"192.0.2.7","proto":"ah"}', 'egress 192.0.2.7 51/'],
    ['{"direction":"both","dst":"192.0.2.7","\\u0070roto":"tcp"}', 'both 192.0.2.7 6/'],
  ])('reads %j', (text, packet) => {
    expect(shown(parsePacketLine(text))).toBe(packet);
  });

  it.each([
    ['', '1 bad-json'],
    ['  ', '3 bad-json'],
    ['[]', '1 bad-json'],
    ['{', '2 bad-json'],
    ['{}', '2 missing-key'],
    ['{"dst":"192.0.2.7"}', '19 missing-key'],
    ['{"dst":"192.0.2.7",}', '20 bad-json'],
    ['{"dst" "192.0.2.7"}', '8 bad-json'],
    ['{"dst":"192.0.2.7" "proto":6}', '20 bad-json'],
    ['{"dst":{}}', '8 bad-json'],
    ['{"dst":"192.0.2.7","proto":6} x', '31 bad-json'],
    ['{"dst":"192.0.2.7","proto":6}{', '30 bad-json'],
    ['{"dst":"192.0.2.7","proto":06}', '28 bad-json'],
    ["{'dst':1}", '2 bad-json'],
    ['{"dst":"192.0.2.7","proto":6,"dst":"192.0.2.8"}', '30 duplicate-key'],
    ['{"dst":"192.0.2.7","proto":6,"port":1}', '30 unknown-key'],
    ['{"dst":"192.0.2.0/24","proto":6}', '8 bad-address'],
    ['{"dst":"example.com","proto":6}', '8 bad-address'],
    ['{"dst":7,"proto":6}', '8 bad-address'],
    ['{"dst":null,"proto":6}', '8 bad-address'],
    ['{"src":"2001:db8::1","dst":"192.0.2.7","proto":6}', '2 mixed-families'],
    ['{"dst":"192.0.2.7","proto":"TCP"}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":256}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":-1}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":1.5}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":true}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":"icmpv6"}', '28 bad-proto'],
    ['{"dst":"192.0.2.7","proto":6,"dport":65536}', '38 bad-port'],
    ['{"dst":"192.0.2.7","proto":6,"dport":"443"}', '38 bad-port'],
    ['{"dst":"192.0.2.7","proto":1,"dport":443}', '30 port-without-proto'],
    ['{"dst":"192.0.2.7","proto":1,"icmptype":256}', '41 bad-icmptype'],
    ['{"dst":"192.0.2.7","proto":6,"icmptype":8}', '30 icmptype-without-icmp'],
    ['{"dst":"192.0.2.7","proto":6,"direction":"out"}', '42 bad-direction'],
    ['{"dst":"192.0.2.7","proto":6,"expect":"reject"}', '39 bad-expect'],
  ])('refuses %j at %s', (text, fault) => {
    expect(shown(parsePacketLine(text))).toBe(fault);
  });

  it('says which key was probably meant', () => {
    const result = parsePacketLine('{"dts":"192.0.2.7"}');
    expect(result.kind === 'fault' && result.reason).toBe('"dts" is no key of a packet: did you mean "dst"?');
  });

  it('never throws, and takes no text that is not JSON', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '"dst"',
      '"proto"',
      ':',
      ',',
      '6',
      '"192.0.2.7"',
      ' ',
      '"',
      '\\',
      'é',
      '\n',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          if (parsePacketLine(text).kind === 'packet') expect(() => JSON.parse(text)).not.toThrow();
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('parsePacketText', () => {
  it.each([
    ['192.0.2.7', 'egress 192.0.2.7 6/443'],
    [' 192.0.2.7  ', 'egress 192.0.2.7 6/443'],
    ['192.0.2.7 tcp/80', 'egress 192.0.2.7 6/80'],
    ['192.0.2.7 udp', 'egress 192.0.2.7 17/'],
    ['10.137.0.5 > 1.2.3.4 tcp/443', 'egress 10.137.0.5 > 1.2.3.4 6/443'],
    ['10.137.0.5>1.2.3.4', 'egress 10.137.0.5 > 1.2.3.4 6/443'],
    ['2001:db8::1 icmp/128', 'egress 2001:db8::1 58/128'],
    ['192.0.2.7 icmp/8', 'egress 192.0.2.7 1/8'],
    ['192.0.2.7 47', 'egress 192.0.2.7 47/'],
  ])('reads %j', (text, packet) => {
    expect(shown(parsePacketText(text))).toBe(packet);
  });

  it.each([
    ['work > 192.0.2.7 tcp/80', 'work', 'egress 192.0.2.7 6/80'],
    [' a.b>192.0.2.7', 'a.b', 'egress 192.0.2.7 6/443'],
    ['10.137.0.5 > 192.0.2.7', undefined, 'egress 10.137.0.5 > 192.0.2.7 6/443'],
    ['2001:db8::5 > 2001:db8::1', undefined, 'egress 2001:db8::5 > 2001:db8::1 6/443'],
    ['192.0.2.7', undefined, 'egress 192.0.2.7 6/443'],
    ['work > wrok', undefined, '8 bad-address'],
    ['10.0.0.300 > 192.0.2.7', undefined, '1 bad-address'],
    ['10.0.0.0/24 > 192.0.2.7', undefined, '1 bad-address'],
    ['work', undefined, '1 bad-address'],
  ])('reads %j, where a policy may be asked for', (text, policy, packet) => {
    const result = parseAskedPacket(text);
    expect(result.kind === 'packet' ? result.policy : undefined).toBe(policy);
    expect(shown(result.kind === 'packet' ? { ...result, expect: undefined } : result)).toBe(packet);
  });

  it('takes the direction from the caller', () => {
    expect(shown(parsePacketText('10.137.0.9 > 10.137.0.5 tcp/22', 'both'))).toBe(
      'both 10.137.0.9 > 10.137.0.5 6/22',
    );
  });

  it.each([
    ['', '1 bad-packet'],
    ['a b c', '1 bad-packet'],
    ['> 192.0.2.7', '1 bad-packet'],
    ['192.0.2.7:443', '1 bad-address'],
    ['192.0.2.0/24', '1 bad-address'],
    ['10.0.0.1 > example.com tcp/1', '12 bad-address'],
    [' 10.0.0.300 > 192.0.2.7', '2 bad-address'],
    ['192.0.2.7 tpc/1', '11 bad-proto'],
    ['192.0.2.7 tcp/', '15 bad-port'],
    ['192.0.2.7 tcp/65536', '15 bad-port'],
    ['192.0.2.7 icmp/256', '16 bad-icmptype'],
    ['192.0.2.7 gre/1', '15 port-without-proto'],
    ['2001:db8::1 > 192.0.2.7', '1 mixed-families'],
  ])('refuses %j at %s', (text, fault) => {
    expect(shown(parsePacketText(text))).toBe(fault);
  });
});
