/**
 * A plan means what its rule set means: it judges the first packet of every flow as the reference evaluator
 * does.
 */

import {
  type Address,
  atOnce,
  evaluate,
  firewallLoad,
  IpProtocol,
  type Packet,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { edgeAddresses, randomCase, randomPacket } from '../../table/test/random-rule-set.ts';
import type { Plan } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';
import { judgeDirection, type PlanVerdict, type SeenPacket } from './judge.ts';
import { ENVIRONMENT, list, planned, prefix, ruleSet } from './sample.ts';

function hex({ words }: Address): string {
  return [...words].map((word) => word.toString(16).padStart(8, '0')).join('');
}

/** A plan takes no more than a push counts for its rule set. */
function expectWithin({ chains }: Plan, rules: RuleSet): void {
  const load = atOnce(firewallLoad(rules));
  expect(chains.size).toBeLessThanOrEqual(load.chains);
  const steps = [...chains.values()].reduce((sum, chain) => sum + chain.length, 0);
  expect(steps).toBeLessThanOrEqual(load.rules);
}

/** As the two base chains do: both judge a packet between two qubes, and a drop of either drops it. */
function judge(plan: Plan, packet: Packet, src: Address): PlanVerdict {
  const seen: SeenPacket = {
    src: hex(src),
    dst: hex(packet.dst),
    protocol: packet.proto,
    port: packet.port,
    icmpType: packet.icmpType,
  };
  const directions = packet.direction === 'both' ? (['egress', 'ingress'] as const) : [packet.direction];
  const verdicts = directions.map((direction) => judgeDirection(plan, direction, seen));
  return (
    verdicts.find((verdict) => verdict === 'drop') ??
    verdicts.find((verdict) => verdict === 'accept') ??
    'none'
  );
}

/** What the kernel cannot read belongs to no flow, and comes to no plan. */
function isReadable({ proto, port, icmpType }: Packet): boolean {
  const { tcp, udp, icmp, icmp6 } = IpProtocol;
  if (proto === tcp || proto === udp) return port !== undefined;
  return (proto !== icmp && proto !== icmp6) || icmpType !== undefined;
}

describe('a plan', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('judges like the reference evaluator, seeds from %i000', (thousand) => {
    let judged = 0;
    for (let seed = thousand * 1000; seed < thousand * 1000 + 60; seed++) {
      const { ruleSet: rules, environment, prefixes } = randomCase(seed, 60);
      const { plan } = planOf({ ruleSet: rules, environment }, () => undefined);
      expectWithin(plan, rules);
      const random = new Random(seed);
      const addresses = edgeAddresses(prefixes);
      for (let i = 0; addresses.length > 0 && i < 300; i++) {
        const packet = randomPacket(random, addresses);
        const { src } = packet;
        if (src === undefined || src.family !== packet.dst.family || !isReadable(packet)) continue;
        const expected = evaluate(rules, environment, packet).action;
        const got = judge(plan, packet, src);
        if (got !== expected) expect({ seed, i, packet, got }).toEqual({ seed, i, packet, got: expected });
        judged++;
      }
    }
    expect(judged).toBeGreaterThan(2000);
  });

  const egress = (rules: RuleSet, packet: Partial<Packet> & { readonly dst: Address }): PlanVerdict => {
    const src = packet.src ?? prefix('10.137.0.5');
    const whole: Packet = {
      direction: 'egress',
      src,
      proto: 6,
      port: 80,
      icmpType: undefined,
      ...packet,
    };
    return judge(planned(rules), whole, src);
  };

  it.each([1, 2, 3, 4, 5, 6])(
    'of many rules for prefixes judges like the reference evaluator, seed %i',
    (seed) => {
      const random = new Random(seed);
      const word = (): string => String(random.pick([0, 0, 1, 9, 64, 255]));
      const destination = (): string => {
        if (random.chance(0.03)) return '';
        if (random.chance(0.4))
          return `dst6=2001:db8:${word()}::${word()}/${random.pick([32, 33, 47, 48, 64, 127, 128])}`;
        return `dst4=9.${word()}.${word()}.${word()}/${random.pick([8, 9, 15, 16, 17, 23, 24, 30, 31, 32])}`;
      };
      const rule = (): string => {
        const what = random.pick([
          '',
          '',
          '',
          'proto=tcp dstports=80',
          'proto=udp',
          'proto=tcp dstports=80-90',
          'proto=icmp icmptype=8',
        ]);
        const end = random.chance(0.01) ? `expire=${ENVIRONMENT.now - 1}` : '';
        return `${random.pick(['accept', 'drop'])} ${destination()} ${what} ${end}`
          .replaceAll(/ +/g, ' ')
          .trim();
      };
      const rules = (count: number): string[] => [
        ...Array.from({ length: count }, rule),
        'drop dst=@bad',
        ...Array.from({ length: count }, rule),
      ];
      const free = (lines: readonly string[]): string[] =>
        lines.filter((line) => line.includes('dst') || seed % 2 === 0);
      const drops = rules(40).filter((line) => line.startsWith('drop') && line.includes('dst'));
      const rulesOf = ruleSet(
        [
          { name: 'first', prefixes: [], egress: drops.filter((_, i) => i % 3 === seed % 3) },
          { name: 'common', prefixes: [], egress: free(rules(60)) },
          {
            name: 'work',
            prefixes: ['10.137.0.5', 'fd00::5'],
            exceptions: { egress: free(rules(50)) },
            egress: free(rules(120)),
            defaultAction: seed % 3 === 0 ? 'accept' : 'drop',
          },
        ],
        { bad: list('9.64.0.0/16', '2001:db8:9::/48') },
        'accept',
      );
      const plan = planned(rulesOf);
      expect(plan.classMaps.size).toBeGreaterThan(3);
      expectWithin(plan, rulesOf);
      const counts = { accept: 0, drop: 0, none: 0 };
      for (let i = 0; i < 3000; i++) {
        const isV4 = random.chance(0.6);
        const src = prefix(isV4 ? random.pick(['10.137.0.5', '10.137.0.6']) : 'fd00::5');
        const proto = random.pick([6, 6, 17, isV4 ? 1 : 58, 47]);
        const packet: Packet = {
          direction: 'egress',
          src,
          dst: prefix(isV4 ? `9.${word()}.${word()}.${word()}` : `2001:db8:${word()}::${word()}`),
          proto,
          port: proto === 6 || proto === 17 ? random.pick([79, 80, 85, 90, 91]) : undefined,
          icmpType: proto === 1 || proto === 58 ? random.pick([8, 128]) : undefined,
        };
        const expected = evaluate(rulesOf, ENVIRONMENT, packet).action;
        const got = judge(plan, packet, src);
        if (got !== expected) expect({ i, packet, got }).toEqual({ i, packet, got: expected });
        counts[got]++;
      }
      expect(counts.accept).toBeGreaterThan(100);
      expect(counts.drop).toBeGreaterThan(100);
    },
  );

  it('lets the longest prefix decide, and default only where there is none', () => {
    const rules = ruleSet([
      { name: 'wide', prefixes: ['10.137.0.0/16'], egress: ['accept'] },
      { name: 'narrow', prefixes: ['10.137.0.5/32'], egress: ['drop'] },
      { name: 'default', prefixes: [], egress: ['drop'] },
    ]);
    expect(egress(rules, { dst: prefix('1.2.3.4') })).toBe('drop');
    expect(egress(rules, { dst: prefix('1.2.3.4'), src: prefix('10.137.0.6') })).toBe('accept');
    expect(egress(rules, { dst: prefix('1.2.3.4'), src: prefix('10.138.0.6') })).toBe('drop');
  });

  it.each([
    ['drop', '10.137.0.9', '6.1.1.1', 'drop'],
    ['drop', '10.137.0.9', '9.9.9.9', 'accept'], // by common
    ['accept', '10.137.0.9', '6.1.1.1', 'none'],
    ['accept', '10.137.0.9', '5.1.1.1', 'drop'], // by common
    [undefined, '10.137.0.9', '5.1.1.1', 'none'],
    ['drop', 'fd00::5', '2001:db8::1', 'drop'], // the other family of a policy of one
    ['accept', 'fd00::5', '2001:db8::1', 'none'],
    ['drop', '10.137.0.5', '6.1.1.1', 'accept'],
  ] as const)('with unmatched %s judges egress from %s to %s: %s', (unmatched, src, dst, expected) => {
    const policies = [
      { name: 'common', prefixes: [], egress: ['accept dst4=9.9.9.9', 'drop dst=@bad'] },
      { name: 'work', prefixes: ['10.137.0.5'], egress: ['accept'] },
    ];
    const rules = ruleSet(policies, { bad: list('5.0.0.0/8') }, unmatched);
    expect(egress(rules, { src: prefix(src), dst: prefix(dst) })).toBe(expected);
  });

  it('without policies does what is said of unmatched qubes, and to ingress nothing', () => {
    const packet: Packet = {
      direction: 'egress',
      src: prefix('10.137.0.9'),
      dst: prefix('10.137.0.8'),
      proto: 6,
      port: 80,
      icmpType: undefined,
    };
    for (const [unmatched, expected] of [
      ['drop', 'drop'],
      ['accept', 'none'],
    ] as const) {
      const plan = planned(ruleSet([], {}, unmatched));
      expect(judge(plan, packet, prefix('10.137.0.9'))).toBe(expected);
      expect(judge(plan, { ...packet, direction: 'ingress' }, prefix('10.137.0.9'))).toBe('none');
    }
  });

  it('takes any word for unmatched qubes but accept for drop', () => {
    const rules = { ...ruleSet([]), unmatched: 'Accept' as 'accept' };
    expect(egress(rules, { dst: prefix('6.1.1.1') })).toBe('drop');
  });

  it('asks exceptions before common, of their policy only', () => {
    const rules = ruleSet(
      [
        { name: 'common', prefixes: [], egress: ['drop dst=@bad'] },
        {
          name: 'work',
          prefixes: ['10.137.0.5'],
          exceptions: { egress: ['accept dst4=5.1.1.1 proto=tcp dstports=443'] },
          egress: ['accept'],
        },
      ],
      { bad: list('5.0.0.0/8') },
      'accept',
    );
    const dst = prefix('5.1.1.1');
    expect(egress(rules, { dst, port: 443 })).toBe('accept');
    expect(egress(rules, { dst, port: 80 })).toBe('drop');
    expect(egress(rules, { dst, port: 443, src: prefix('10.137.0.6') })).toBe('drop');
    expect(egress(rules, { dst: prefix('6.1.1.1') })).toBe('accept');
  });

  it('ends at an accept of common', () => {
    const rules = ruleSet(
      [
        { name: 'common', prefixes: [], egress: ['accept dst4=9.9.9.9', 'drop dst=@bad'] },
        { name: 'default', prefixes: [], egress: ['drop dst4=9.0.0.0/8', 'accept'] },
      ],
      { bad: list('5.0.0.0/8') },
    );
    expect(egress(rules, { dst: prefix('9.9.9.9') })).toBe('accept');
    expect(egress(rules, { dst: prefix('9.9.9.8') })).toBe('drop');
    expect(egress(rules, { dst: prefix('5.1.1.1') })).toBe('drop');
    expect(egress(rules, { dst: prefix('6.1.1.1') })).toBe('accept');
  });

  it('means by specialtarget=dns the DNS addresses of the environment, and by an expired rule nothing', () => {
    const rules = ruleSet([
      {
        name: 'default',
        prefixes: [],
        egress: ['accept specialtarget=dns', `accept expire=${ENVIRONMENT.now + 5}`],
      },
    ]);
    const dns = { dst: prefix('10.139.1.1'), proto: 17, port: 53 };
    expect(egress(rules, dns)).toBe('accept');
    const later = planned(rules, { now: ENVIRONMENT.now + 5, dns: [prefix('10.139.1.2')] });
    const packet: Packet = { direction: 'egress', src: prefix('10.137.0.5'), icmpType: undefined, ...dns };
    expect(judge(later, packet, prefix('10.137.0.5'))).toBe('drop');
    expect(judge(later, { ...packet, dst: prefix('10.139.1.2') }, prefix('10.137.0.5'))).toBe('accept');
  });
});
