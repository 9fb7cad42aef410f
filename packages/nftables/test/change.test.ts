/** Changes: applied to what was there, each gives what its plan says; and small ones are small. */

import type { RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { randomCase } from '../../table/test/random-rule-set.ts';
import { checkRequest } from '../src/apply/check.ts';
import {
  type Change,
  type ChangeOptions,
  type ChangeWithBody,
  namesOf,
  probesOf,
  type Tag,
  transition,
  wholeChange,
} from '../src/plan/change.ts';
import { type Plan, parseSetName } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';
import { list, planned, plannedAfter, ruleSet } from './sample.ts';

const OPTIONS = { downstreamGroup: 2, answer: 'reject' } as const;

function options(digit: string): ChangeOptions {
  return { ...OPTIONS, tag: { release: digit.repeat(64), conditions: digit.repeat(16), mark: 7 } };
}

/** A kernel as slow and obvious as can be: named sets of texts. It refuses what the kernel refuses. */
class ModelKernel {
  readonly sets = new Map<string, Set<string>>();
  readonly maps = new Map<string, Map<string, string>>();
  readonly chains = new Map<string, string>();
  readonly counters = new Set<string>();

  apply({ change, body }: ChangeWithBody): void {
    const bytes = Buffer.concat(body);
    if (change.base === 'fresh')
      for (const part of [this.sets, this.maps, this.chains, this.counters]) part.clear();
    for (const name of change.newCounters) this.counters.add(name);
    for (const name of change.newSets) this.make(this.sets, name, new Set());
    for (const name of change.newMaps) this.make(this.maps, name, new Map());
    for (const name of change.newChains) this.chains.set(name, '[]');
    for (const name of change.oldChains) this.chains.set(name, '[]');
    for (const each of change.removed) {
      for (const element of elementsOf(each, bytes))
        this.must(this.sets.get(each.set)?.delete(element), `${each.set} lacks ${element}`);
    }
    for (const each of change.added) {
      const set = this.sets.get(each.set);
      for (const element of elementsOf(each, bytes)) {
        this.must(set !== undefined && !set.has(element), `${each.set} has ${element}`);
        set?.add(element);
      }
    }
    for (const { name, steps } of change.chains) this.chains.set(name, JSON.stringify(steps));
    for (const { map, address, chain } of change.keys) {
      this.must(this.chains.has(chain), chain);
      this.maps.get(map)?.set(address, chain);
    }
    for (const name of change.oldMaps) this.must(this.maps.delete(name), name);
    for (const name of change.oldChains) this.must(this.chains.delete(name), name);
    for (const name of change.oldSets) this.must(this.sets.delete(name), name);
    for (const name of change.oldCounters) this.must(this.counters.delete(name), name);
    this.checkReferences();
  }

  private checkReferences(): void {
    const all = [...this.chains.values()].join('\n');
    const mustHave = (pattern: RegExp, has: (name: string) => boolean): void => {
      for (const [, name = ''] of all.matchAll(pattern)) this.must(has(name), `${name} is used`);
    };
    mustHave(/"(s[0-9a-f]{16}_[^"]*)"/g, (name) => this.sets.has(name));
    mustHave(/"(c[0-9a-f]{16})"/g, (name) => this.counters.has(name));
    mustHave(/"(d[ei][46]_[^"]*)"/g, (name) => this.maps.has(name));
    mustHave(/"chain":"([^"]*)"/g, (name) => this.chains.has(name));
    for (const keys of this.maps.values()) {
      for (const chain of keys.values()) this.must(this.chains.has(chain), `${chain} is referred to`);
    }
  }

  private make<T>(parts: Map<string, T>, name: string, empty: T): void {
    this.must(!parts.has(name), `${name} is there already`);
    parts.set(name, empty);
  }

  private must(holds: boolean | undefined, what: string): void {
    if (holds !== true) throw new Error(`the kernel refuses: ${what}`);
  }

  state(): unknown {
    const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      sets: sorted(this.sets).map(([name, set]) => [name, [...set].sort()]),
      maps: sorted(this.maps).map(([name, keys]) => [name, sorted(keys)]),
      chains: sorted(this.chains),
      counters: [...this.counters].sort(),
    };
  }
}

/** Every element as text, by counting through the prefixes with big integers. */
function* elementsOf({ set, at, count, above }: Change['added'][number], body: Buffer): Generator<string> {
  const bytes = set.includes('_6_') ? 16 : 4;
  const tier = parseSetName(set)?.tier?.length;
  for (let i = 0; i < count; i++) {
    const words = Array.from({ length: bytes / 4 }, (_, w) => body.readUInt32LE(at + i * bytes + w * 4));
    const hex = words.map((word) => word.toString(16).padStart(8, '0')).join('');
    const length = body[at + count * bytes + i] ?? -1;
    if (tier === undefined) yield `${hex}/${length}`;
    else if (length > above && length <= tier) {
      const size = 1n << BigInt(bytes * 8 - tier);
      for (let copy = 0n; copy < 1n << BigInt(tier - length); copy++) {
        yield (BigInt(`0x${hex}`) + copy * size).toString(16).padStart(bytes * 2, '0');
      }
    }
  }
}

function loaded(plan: Plan): ModelKernel {
  const kernel = new ModelKernel();
  kernel.apply(wholeChange(plan, options('0')));
  return kernel;
}

function checked(change: ChangeWithBody): ChangeWithBody {
  const request = JSON.parse(JSON.stringify({ kind: 'apply', change: change.change })) as unknown;
  const accepted = checkRequest(request, new Uint8Array(Buffer.concat(change.body)));
  expect(accepted).toEqual({ kind: 'apply', change: change.change });
  return change;
}

function blocking(texts: readonly string[]): RuleSet {
  return ruleSet([{ name: 'default', prefixes: [], egress: ['drop dst=@bad', 'accept'] }], {
    bad: list(...texts),
  });
}

/** So many hosts, apart from those with a first octet below 10. */
function hosts(count: number): string[] {
  const random = new Random(1);
  return Array.from({ length: count }, () => {
    const word = random.word();
    return `${((word >>> 24) % 200) + 10}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
  });
}

describe('a transition', () => {
  it.each([1, 2, 3, 4])(
    'makes of any plan any other, and passes the check of the applier, seeds from %i000',
    (thousand) => {
      const kernel = new ModelKernel();
      let before: { plan: Plan; tag: Tag } | undefined;
      for (let seed = thousand * 1000; seed < thousand * 1000 + 60; seed++) {
        const { ruleSet: rules, environment } = randomCase(seed, 40);
        const { plan } = planOf({ ruleSet: rules, environment }, (key) => before?.plan.sets.get(key));
        const { tag } = options((seed % 16).toString(16));
        if (before === undefined) kernel.apply(checked(wholeChange(plan, { ...OPTIONS, tag })));
        else {
          const { release, afterwards } = transition(before, plan, { ...OPTIONS, tag });
          expect([release.change.removed, release.change.oldMaps, release.change.oldSets]).toEqual([
            [],
            [],
            [],
          ]);
          for (const change of [release, ...afterwards]) kernel.apply(checked(change));
        }
        expect(kernel.state()).toEqual(loaded(plan).state());
        before = { plan, tag };
      }
    },
  );

  it('of a large list asks the added and the removed apart first, then folds them in', () => {
    const entries = hosts(5000);
    const before = planned(blocking(entries));
    const after = plannedAfter(blocking([...entries.slice(3), '9.9.9.9', '9.9.9.10']), before);
    const base = { plan: before, tag: options('1').tag };
    const { release, afterwards } = transition(base, after, options('2'));
    const [set = ''] = namesOf(before).sets;
    expect(namesOf(after).sets).toEqual([set]);
    expect(release.change).toMatchObject({ base: base.tag, removed: [], oldSets: [], oldChains: [] });
    expect(release.change.newSets).toHaveLength(2);
    expect(release.elementCount).toBe(5);
    const [added = '', removed = ''] = release.change.newSets;
    expect(release.change.chains.flatMap(({ steps }) => steps).slice(0, 2)).toMatchObject([
      { remote: { set: added, except: [] } },
      { remote: { set, except: [removed] } },
    ]);
    expect(afterwards).toHaveLength(2);
    const [fold, cleanUp] = afterwards;
    expect(fold?.change).toMatchObject({
      chains: [],
      newSets: [],
      oldSets: [],
      removed: [{ set }],
      added: [{ set }],
    });
    expect(cleanUp?.change).toMatchObject({ removed: [], added: [], oldSets: [added, removed] });
    expect(cleanUp?.change.chains.flatMap(({ steps }) => steps)[0]).toMatchObject({
      remote: { set, except: [] },
    });
  });

  it('puts another set in place of a small one, of one that has outgrown its room, and of one that changes by more than half', () => {
    const another = (from: readonly string[], to: readonly string[]) => {
      const before = planned(blocking(from));
      const after = plannedAfter(blocking(to), before);
      const { release } = transition({ plan: before, tag: options('1').tag }, after, options('2'));
      expect(release.change.newSets).toEqual(namesOf(after).sets);
      expect(namesOf(after).sets).not.toEqual(namesOf(before).sets);
      return release;
    };
    another(['1.0.0.0/8', '2.0.0.0/16', '3.0.0.0/24'], ['1.0.0.0/8', '2.0.0.0/16', '4.4.4.4']);
    const entries = hosts(9000);
    another(entries.slice(0, 4000), entries.slice(0, 6500)); // 6,144 elements is what its buckets take
    another(entries.slice(0, 4000), entries.slice(2500, 6500));
  });

  it('keeps the counters of runs that stay, when others come before them', () => {
    const rules = (lines: readonly string[]) => ruleSet([{ name: 'default', prefixes: [], egress: lines }]);
    const before = planned(rules(['accept dst4=1.1.1.1', 'drop']));
    const after = plannedAfter(rules(['accept proto=tcp', 'accept dst4=1.1.1.1', 'drop']), before);
    const { release, afterwards } = transition({ plan: before, tag: options('1').tag }, after, options('2'));
    expect(release.change.newCounters).toHaveLength(1);
    expect(afterwards).toEqual([]);
  });

  it('takes nothing away that a packet on its way may look into', () => {
    const before = planned(
      ruleSet([
        { name: 'a', prefixes: ['10.0.0.1'], egress: ['accept'] },
        { name: 'b', prefixes: ['10.0.0.2'], egress: ['drop'] },
      ]),
    );
    const after = plannedAfter(ruleSet([{ name: 'b', prefixes: ['10.0.0.2'], egress: ['drop'] }]), before);
    const { release, afterwards } = transition({ plan: before, tag: options('1').tag }, after, options('2'));
    expect(release.change).toMatchObject({ oldMaps: [], oldChains: [], oldCounters: [] });
    expect(release.change.newMaps).toHaveLength(1);
    expect(afterwards.map(({ change }) => [change.oldMaps.length, change.oldChains.length])).toEqual([
      [1, 1],
    ]);
  });
});

describe('probes', () => {
  it('are some elements of every hash set, each in the set that has it', () => {
    const lists = { bad: list('1.1.1.1', '1.1.1.2'), mixed: list('2.0.0.0/8', '3.3.3.3') };
    const rules = [{ name: 'work', prefixes: ['10.0.0.1/32'], egress: ['drop dst=@bad', 'drop dst=@mixed'] }];
    const plan = planned(ruleSet(rules, lists));
    const { probes } = probesOf(plan);
    expect(probes.map(({ set }) => set).sort()).toEqual([...namesOf(plan).sets].sort());
    expect(probes.map(({ count }) => count).sort()).toEqual([2, 2, 2]);
  });
});
