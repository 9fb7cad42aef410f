/** Classes of addresses say the same as the rules that they are made of, asked one after the other. */

import { describe, expect, it } from 'vitest';
import { prefixFrom, runsFrom } from '../../../test/kit/rules.ts';
import { classesIn, type FirewallLoad, firewallLoad, segmentsOf } from '../src/longest-match.ts';
import { FIREWALL_CHAINS_MAX, FIREWALL_RULES_MAX, type MatchClasses } from '../src/match-classes.ts';
import { atOnce } from '../src/pieces.ts';
import { emptyPolicy } from '../src/policy.ts';
import { containsAt, type Family, type Prefixes } from '../src/prefix.ts';
import type { RuleMatch } from '../src/rule.ts';
import type { RuleSet } from '../src/rule-set.ts';

function only(lines: readonly string[], family: Family = 4): MatchClasses {
  const runs = runsFrom('egress', lines);
  const [segment, ...others] = segmentsOf(runs, family);
  if (segment === undefined || others.length > 0 || !segment.gathered)
    throw new Error('one gathered segment');
  return classesIn(runs, segment);
}

/** What a class asks, in short. */
function brief(matches: readonly RuleMatch[]): string {
  return matches
    .map(({ action, proto, ports }) => `${action} ${proto ?? ''}${ports?.first ?? ''}`.trim())
    .join(', ');
}

/** Rules that gather with others, and hold nowhere else. */
const FILLING = Array.from({ length: 40 }, (_, i) => `${i % 2 === 0 ? 'accept' : 'drop'} dst4=192.0.2.${i}`);

function classAt(classes: MatchClasses, text: string): string | undefined {
  const address = prefixFrom(text);
  let found: string | undefined;
  for (let i = 0; i < classes.prefixes.lengths.length; i++) {
    if (containsAt(classes.prefixes, i, address.words, 0))
      found = brief(classes.classes[classes.classOf[i] ?? 0] ?? []);
  }
  return found;
}

describe('classes of addresses', () => {
  it.each([
    [
      'the first rule that holds decides',
      ['drop dst4=9.0.0.0/8', 'accept dst4=9.1.0.0/16'],
      '9.1.2.3',
      'drop',
    ],
    [
      'a longer prefix before a shorter one',
      ['accept dst4=9.1.0.0/16', 'drop dst4=9.0.0.0/8'],
      '9.1.2.3',
      'accept',
    ],
    ['beside the longer one', ['accept dst4=9.1.0.0/16', 'drop dst4=9.0.0.0/8'], '9.2.2.3', 'drop'],
    [
      'conditions are asked in the order of the rules',
      ['drop dst4=9.0.0.0/8 proto=udp', 'accept dst4=9.1.0.0/16 proto=tcp', 'drop dst4=9.1.0.0/16'],
      '9.1.0.1',
      'drop udp, accept tcp, drop',
    ],
    ['until one has none', ['accept dst4=9.1.0.0/16', 'drop dst4=9.0.0.0/8 proto=udp'], '9.1.0.1', 'accept'],
    [
      'where none has, what comes after decides',
      ['accept dst4=9.0.0.0/8 proto=udp'],
      '9.1.0.1',
      'accept udp',
    ],
    [
      'what was asked is not asked again',
      ['accept dst4=9.0.0.0/8 proto=udp', 'accept dst4=9.1.0.0/16 proto=udp'],
      '9.1.0.1',
      'accept udp',
    ],
    [
      'nor is what makes no difference',
      ['accept dst4=9.0.0.0/8 proto=tcp', 'drop dst4=9.0.0.0/8 proto=udp', 'drop dst4=9.0.0.0/8'],
      '9.1.0.1',
      'accept tcp, drop',
    ],
    ['a rule for all is one for the prefix of no bits', ['accept dst4=9.0.0.0/8', 'drop'], '8.1.0.1', 'drop'],
    ['no rule: what comes after decides', ['accept dst4=9.0.0.0/8'], '8.1.0.1', ''],
  ])('%s', (_, lines, address, expected) => {
    expect(classAt(only([...lines, ...FILLING]), address)).toBe(expected);
  });

  it('are as many as there are lists of rules, and prefixes only where the class changes', () => {
    const { prefixes, classes } = only([
      ...FILLING,
      'drop dst4=9.1.1.0/24',
      'accept dst4=9.0.0.0/8',
      'accept dst4=9.1.0.0/16',
    ]);
    expect(classes.map(brief).sort()).toEqual(['', 'accept', 'drop']);
    expect(prefixes.lengths.length).toBe(FILLING.length + 3); // one of them is that of no bits
  });

  it.each([
    ['a name', 'accept dsthost=example.com'],
    ['a list', 'drop dst=@bad'],
    ['DNS', 'accept specialtarget=dns'],
    ['an end', 'accept dst4=9.0.0.0/8 expire=2000'],
  ])('end at %s, which may say something else without a release', (_, line) => {
    const segments = segmentsOf(runsFrom('egress', [...FILLING, line, ...FILLING]), 4);
    expect(segments.map(({ gathered }) => gathered)).toEqual([true, false, true]);
  });

  it('are of one family', () => {
    const lines = FILLING.map((line, i) => line.replace(/dst4=.*/, `dst6=2001:db8::${i}`));
    const runs = runsFrom('egress', [...FILLING, ...lines]);
    for (const family of [4, 6] as const) {
      const [segment] = segmentsOf(runs, family);
      const prefixes: Prefixes | undefined = segment && classesIn(runs, segment).prefixes;
      expect([prefixes?.family, prefixes?.lengths.length]).toEqual([family, FILLING.length + 1]);
    }
    expect(segmentsOf(runsFrom('egress', FILLING), 6)[0]?.gathered).toBe(false);
  });
});

describe('what a firewall loads', () => {
  const ruleSet = (lines: readonly string[]): RuleSet => ({
    lists: new Map(),
    policies: new Map([['default', { ...emptyPolicy('default'), egress: runsFrom('egress', lines) }]]),
    resolutions: new Map(),
    unmatched: undefined,
  });
  const loadOf = (rules: RuleSet): FirewallLoad => atOnce(firewallLoad(rules));
  const alternating = (count: number, condition: (i: number) => string): string[] =>
    Array.from({ length: count }, (_, i) => {
      const address = `9.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      return `${i % 2 === 0 ? 'accept' : 'drop'} dst4=${address} ${condition(i)}`.trim();
    });

  it('does not grow with rules that ask the same', () => {
    const few = loadOf(ruleSet(alternating(1000, () => '')));
    expect(loadOf(ruleSet(alternating(20_000, () => '')))).toEqual(few);
    const ports = loadOf(ruleSet(alternating(20_000, (i) => `proto=tcp dstports=${i % 7}`)));
    expect(ports.chains).toBeLessThan(few.chains + 14);
  });

  it('grows with rules that ask something else each', () => {
    const count = 3000;
    const { chains, rules } = loadOf(ruleSet(alternating(count, (i) => `proto=tcp dstports=${i}`)));
    expect(chains).toBeGreaterThanOrEqual(count);
    expect(rules).toBeGreaterThanOrEqual(count);
    expect(chains).toBeLessThan(FIREWALL_CHAINS_MAX);
    expect(rules).toBeLessThan(FIREWALL_RULES_MAX);
  });

  // Prefixes of /16 to /32 of a /12 at random, each with a port: of 2^18 the count took a second and 0.4 GB.
  const nested = (count: number): RuleSet => {
    let seed = 7;
    const below = (most: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * most);
    };
    return ruleSet(
      Array.from({ length: count }, (_, i) => {
        const length = 16 + below(17);
        const address = (0x0a000000 + below(2 ** 20)) & (length === 32 ? -1 : -1 << (32 - length));
        const dotted = [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
        return `${i % 2 === 0 ? 'accept' : 'drop'} dst4=${dotted}/${length} proto=tcp dstports=${below(60_000)}`;
      }),
    );
  };

  it('is counted no further than a firewall takes', () => {
    expect(loadOf(nested(2 ** 12)).rules).toBeLessThan(FIREWALL_RULES_MAX);
    for (const count of [2 ** 13, 2 ** 14])
      expect(() => loadOf(nested(count))).toThrow(
        `${count} rules with conditions, for prefixes within each other, are more than 262144 rules of a firewall: gather destinations in lists`,
      );
  });
});
