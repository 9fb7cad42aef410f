/**
 * A plan that builds on the one before it means what one from nothing does, and both what the rule set says.
 */

import { type Address, evaluate, IpProtocol, nameListOf, type Packet, type RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { seededNumbers } from '../../../test/kit/random.mjs';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { transition, wholeChange } from '../src/plan/change.ts';
import type { Plan } from '../src/plan/plan.ts';
import { type Planned, planOf } from '../src/plan/planner.ts';
import { judgeDirection, type SeenPacket } from './judge.ts';
import { ENVIRONMENT, prefix, ruleSet, sourceOf } from './sample.ts';

/** Enough for class maps to be patched. */
const RULES = 4000;
const CONDITIONS = ['', '', '', ' proto=tcp dstports=80', ' proto=udp', ' proto=tcp dstports=80-90'];
const SOURCE = '10.137.0.5';

type Below = (below: number) => number;

/** Numbers from a seed; the first ones of a small seed are small. */
function numbersFrom(seed: number): Below {
  const below = seededNumbers(seed);
  for (let i = 0; i < 32; i++) below(2);
  return below;
}

function randomLine(below: Below): string {
  const action = below(2) === 0 ? 'accept' : 'drop';
  const condition = CONDITIONS[below(CONDITIONS.length)] ?? '';
  if (below(20_000) === 0) return `${action}${condition || ' proto=tcp'}`;
  const bytes = [below(64), below(256), below(256)].join('.');
  return `${action} dst4=9.${bytes}/${below(200) === 0 ? 15 + below(4) : [20, 22, 23, 24, 24, 25, 30, 31, 32, 32, 32][below(11)]}${condition}`;
}

/** As far as it is an edit at the start, in the middle or at the end: rules go, come, or are others. */
const edit = fc.record({
  at: fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  drop: fc.constantFrom(0, 0, 1, 1, 1, 2, 40),
  insert: fc.constantFrom(0, 1, 1, 2, 30),
});

function plannedAfter(rules: RuleSet, before: Planned | undefined): Planned {
  return planOf(sourceOf(rules), (key) => before?.plan.sets.get(key), before?.basis);
}

function rulesOf(lines: readonly string[]): RuleSet {
  return ruleSet(
    [
      { name: 'common', prefixes: [], egress: lines.slice(0, 40) },
      {
        name: 'work',
        prefixes: [SOURCE],
        egress: [...lines.slice(40), 'drop dst=@bad', ...lines.slice(0, 50)],
      },
    ],
    { bad: nameListOf([], false) },
  );
}

function hex({ words }: Address): string {
  return [...words].map((word) => word.toString(16).padStart(8, '0')).join('');
}

/** What leads nowhere: the kernel would refuse it. */
function missingChains({ chains, classMaps, maps }: Plan): readonly string[] {
  const named = [...chains.values()].flat().flatMap((step) => ('chain' in step ? [step.chain] : []));
  const ofMaps = [...classMaps.values()].flatMap((map) => map.chains);
  const ofQubes = [...maps.values()].flatMap((map) => [...map.values()]);
  return [...named, ...ofMaps, ...ofQubes].filter((chain) => !chains.has(chain));
}

/** Addresses at the edges of the prefix of a random rule. */
function edges(lines: readonly string[], below: Below): Address {
  const text = / dst4=(\S+)/.exec(lines[below(lines.length)] ?? '')?.[1] ?? '9.1.1.1/32';
  const { words, length } = prefix(text);
  const [first = 0] = words;
  const last = first + 2 ** (32 - length) - 1;
  return { family: 4, words: Uint32Array.of([first, last, first - 1, last + 1][below(4)] ?? 0) };
}

describe('a plan after others', () => {
  it('judges like one from nothing and the reference evaluator, whatever changed', () => {
    let patched = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1 << 30 }),
        fc.array(fc.array(edit, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 5 }),
        (seed, releases) => {
          const below = numbersFrom(seed);
          let lines = Array.from({ length: RULES }, () => randomLine(below));
          let before = plannedAfter(rulesOf(lines), undefined);
          for (const edits of releases) {
            const touched: string[] = [...lines.slice(0, 20)];
            for (const { at, drop, insert } of edits) {
              const place = Math.floor(at * (lines.length - drop));
              const more = Array.from({ length: insert }, () => randomLine(below));
              touched.push(...more, ...lines.slice(place, place + drop));
              lines = lines.toSpliced(place, drop, ...more);
            }
            const rules = rulesOf(lines);
            const after = plannedAfter(rules, before);
            const alone = plannedAfter(rules, undefined);
            if (after.plan.classMaps.size > alone.plan.classMaps.size) patched++;
            expect([...after.plan.counters]).toEqual([...alone.plan.counters]);
            expect(after.counters).toEqual(alone.counters);
            expect([...alone.plan.chains.keys()].filter((chain) => !after.plan.chains.has(chain))).toEqual(
              [],
            );
            expect(missingChains(after.plan)).toEqual([]);
            for (let i = 0; i < 60; i++) {
              const dst = edges(i % 2 === 0 ? touched : lines, below);
              const proto = [IpProtocol.tcp, IpProtocol.udp, 47][below(3)] ?? 47;
              const port = proto === 47 ? undefined : [79, 80, 85, 91][below(4)];
              const packet: Packet = {
                direction: 'egress',
                src: prefix(SOURCE),
                dst,
                proto,
                port,
                icmpType: undefined,
              };
              const seen: SeenPacket = {
                src: hex(prefix(SOURCE)),
                dst: hex(dst),
                protocol: proto,
                port,
                icmpType: undefined,
              };
              const expected = evaluate(rules, ENVIRONMENT, packet).action;
              const got = [after, alone].map(({ plan }) => judgeDirection(plan, 'egress', seen));
              if (got.some((verdict) => verdict !== expected))
                expect({ seed, packet, got }).toEqual({ seed, packet, got: [expected, expected] });
            }
            before = after;
          }
        },
      ),
      { numRuns: often(6, 12) },
    );
    expect(patched).toBeGreaterThan(often(5, 10));
  });

  it('keeps the chains of maps that stay, though no rule asks for them any more', () => {
    const below = numbersFrom(5);
    const lines = Array.from({ length: RULES }, () => randomLine(below));
    const odd = 'accept dst4=9.200.1.1 proto=udp dstports=7';
    const first = plannedAfter(rulesOf([odd, ...lines, odd]), undefined);
    const second = plannedAfter(rulesOf(lines), first);
    expect(second.plan.classMaps.size).toBeGreaterThan(
      plannedAfter(rulesOf(lines), undefined).plan.classMaps.size,
    );
    expect(missingChains(second.plan)).toEqual([]);
  });

  it('changes little in the kernel where one of many rules changed, and goes back to what was there', () => {
    const below = numbersFrom(3);
    const lines = Array.from({ length: RULES }, () => randomLine(below));
    const first = plannedAfter(rulesOf(lines), undefined);
    const second = plannedAfter(rulesOf(lines.toSpliced(1500, 0, 'drop dst4=9.200.1.1 proto=udp')), first);
    const third = plannedAfter(rulesOf(lines), second);
    const options = {
      tag: { release: '0'.repeat(64), conditions: '0'.repeat(16), mark: 1 },
      downstreamGroup: 2,
      answer: 'reject',
    } as const;
    const { release } = transition({ plan: first.plan, tag: options.tag }, second.plan, options);
    expect(release.elementCount).toBeLessThan(4);
    expect(release.change.chains.length).toBeLessThan(6);
    expect(wholeChange(first.plan, options).elementCount).toBeGreaterThan(RULES / 2);
    expect([...third.plan.classMaps.keys()]).toEqual([...first.plan.classMaps.keys()]);
    expect(third.plan.kernelChains).toEqual(first.plan.kernelChains);
  });
});
