import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { prefixSetOf } from '../src/list.ts';
import {
  emptyPolicy,
  type Policy,
  policyOfSameRuns,
  type Run,
  ruleCount,
  runRuleCount,
  runStarts,
} from '../src/policy.ts';
import { columnOf, prefixOf } from '../src/prefix.ts';
import { commonEnds, madeOf, mentionsOfBlocks, sumOfBlocks } from '../src/run-blocks.ts';

const MATCH = {
  action: 'drop',
  proto: undefined,
  dns: false,
  ports: undefined,
  icmpType: undefined,
  expire: undefined,
  comment: undefined,
} as const;

/** So many rules; of one, for a list, if there is one. */
function run(rules: number, list: string | undefined): Run {
  if (list !== undefined) return { match: MATCH, remote: { kind: 'list', list } };
  const hosts = Array.from({ length: rules }, (_, i) => ({
    family: 4 as const,
    words: Uint32Array.of(i),
    length: 32,
  }));
  return { match: MATCH, remote: { kind: 'prefixes', prefixes: columnOf(hosts, 4) } };
}

const MANY = Array.from({ length: 17 }, () => run(1, 'c'));
const block = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.option(fc.constantFrom('a', 'b'))), {
  maxLength: 6,
});
const runs = block.map((each) => each.map(([rules, list]) => run(rules, list ?? undefined)));
const sum = (all: readonly Run[]) => all.reduce((total, each) => total + runRuleCount(each), 0);

describe('blocks of runs', () => {
  it('tell of what was made of them what all of its runs tell', () => {
    const lists = mentionsOfBlocks(({ remote }: Run) => (remote.kind === 'list' ? remote.list : undefined));
    const rules = sumOfBlocks(runRuleCount);
    fc.assert(
      fc.property(runs, runs, runs, runs, (first, gone, come, tail) => {
        const head = [...MANY, ...first]; // of few nothing is remembered
        const before = [...head, ...gone, ...tail];
        for (const fact of [lists, rules, runStarts]) fact(before);
        const after = [...head, ...come, ...tail];
        const ends = commonEnds(before, after);
        for (const few of [first, gone]) expect(ruleCount(few)).toBe(sum(few));
        expect(ends.head).toBeGreaterThanOrEqual(head.length);
        expect(ends.head + ends.tail).toBeGreaterThanOrEqual(head.length + tail.length);
        expect(madeOf(after)?.of).toBe(before);
        expect(rules(after)).toBe(sum(after));
        expect(ruleCount(after)).toBe(sum(after));
        expect([...runStarts(after)]).toEqual(
          [...after.keys(), after.length].map((at) => sum(after.slice(0, at))),
        );
        expect([...lists(after)].sort()).toEqual(
          [...new Set(after.flatMap(({ remote }) => (remote.kind === 'list' ? [remote.list] : [])))].sort(),
        );
      }),
    );
  });
});

describe('a policy that was read again', () => {
  const made = (change: Partial<Policy> = {}, last = run(1, 'b')): Policy => ({
    ...emptyPolicy('work'),
    prefixes: prefixSetOf([prefixOf(4, [0x0a000000], 24)]),
    egress: [run(2, undefined), run(1, 'a'), last],
    ...change,
  });

  it('is the one before where it says the same', () => {
    const before = made();
    expect(policyOfSameRuns(before, made())).toBe(before);
    const long = { egress: Array.from({ length: 40 }, () => run(1, 'a')) };
    const many = made(long);
    expect(policyOfSameRuns(many, made({ egress: [...long.egress] }))).toBe(many);
  });

  it.each<readonly [string, Policy]>([
    ['a rule', made({}, run(1, 'c'))],
    ['a rule more', made({ egress: [...made().egress, run(1, 'a')] })],
    ['a rule of an exception', made({ exceptions: { egress: [run(1, 'a')], ingress: [] } })],
    ['its default action', made({ defaultAction: 'accept' })],
    ['a prefix', made({ prefixes: prefixSetOf([prefixOf(4, [0x0a000000], 25)]) })],
    ['how it answers blocked names', made({ blocked: 'refused' })],
    ['how it answers unlisted names', made({ unlisted: 'nxdomain' })],
  ])('is another where %s differs, and says what was read', (_, after) => {
    const before = made();
    const shared = policyOfSameRuns(before, after);
    expect(shared).not.toBe(before);
    expect(shared).toEqual(after);
  });

  it('are not looked through where whoever made one of the other knows how both begin and end', () => {
    let looks = 0;
    const watched = (all: readonly Run[]): readonly Run[] =>
      new Proxy(all, {
        get: (of, key) => {
          if (/^\d+$/.test(String(key))) looks++;
          return Reflect.get(of, key);
        },
      });
    const before = Array.from({ length: 1000 }, () => run(1, 'c'));
    const after = before.with(500, run(1, 'd'));
    expect(commonEnds(watched(before), watched(after), { head: 490, tail: 495 })).toEqual({
      head: 500,
      tail: 499,
    });
    expect(looks).toBeLessThan(64);
  });
});
