/**
 * `vectors/budget.json`: streams exactly at what they may cost, and one above. `RULECAST_RECORD=1` writes it
 * anew: the work of a stream is measured, and filled up to the unit.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/kit/code.ts';
import {
  applyChain,
  applyDelta,
  decodeChain,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeSnapshot,
} from '../src/codec/delta.ts';
import { Budget, stepMost, streamMaxBytes, workMax } from '../src/content/budget.ts';
import { catalogueOf } from '../src/content/catalogue.ts';
import type { Totals } from '../src/content/manifest.ts';
import { Meter } from '../src/content/work.ts';
import { ENTRIES_MAX } from '../src/limits.ts';
import { bytesOfHex, hexOf, ruleSetOf } from './part-spec.ts';

interface BudgetCase {
  readonly name: string;
  /** A snapshot of the stream's base; empty: none. */
  readonly base: string;
  /** What the manifest says. */
  readonly result: Totals;
  /** The most entries that the receiver takes. */
  readonly entriesMax: number;
  readonly stream: string;
  /** What the deltas cost, and what they may; null where the stream is refused before it is read. */
  readonly work: number | null;
  readonly most: number;
  readonly code: string | null;
}

const VECTOR = new URL('../vectors/budget.json', import.meta.url);
const ENTRIES = 32_768;
const PADS_MAX = 500;
const NAME_MAX = 200;

/** Counts, and refuses nothing. */
class Counter extends Meter {
  total = 0;

  override spend(work: number): void {
    this.total += work;
  }
}

/** So many hosts, each the second after the one before; `more` is another one. */
function hosts(count: number, more: readonly string[] = []): readonly string[] {
  const own = Array.from(
    { length: count },
    (_, i) => `10.${(i >> 15) & 255}.${(i >> 7) & 255}.${(i & 127) * 2}/32`,
  );
  return [...own, ...more];
}

function listsOf(lists: Readonly<Record<string, readonly string[]>>): RuleSet {
  return ruleSetOf(Object.entries(lists).map(([name, prefixes]) => ({ kind: 'list', name, prefixes })));
}

function deltaOf(before: RuleSet, after: RuleSet): Uint8Array {
  return encodeDelta(diffRuleSets(before, after));
}

function workOf(base: RuleSet, deltas: readonly Uint8Array[]): number {
  const meter = new Counter();
  let ruleSet = base;
  for (const delta of deltas) ruleSet = applyDelta(ruleSet, delta, { entriesMax: ENTRIES_MAX, meter });
  return meter.total;
}

function totalsIn(ruleSet: RuleSet): Totals {
  const { parts, prefixes, others, bytes } = catalogueOf(ruleSet);
  return { parts, prefixes, others, bytes };
}

interface Pad {
  readonly deltas: readonly Uint8Array[];
  readonly work: number;
}

/** Deltas that cost so much, and leave what was there: a list comes, and goes. */
class Pads {
  readonly #hosts = Array.from({ length: PADS_MAX }, (_, i) => this.#padOf({ prefixes: hosts(i + 1) }));
  /** Pads of one name, for less work than a host. */
  readonly #names = Array.from({ length: NAME_MAX }, (_, i) => this.#padOf({ names: [nameOf(i + 1)] }));

  #padOf(of: { readonly prefixes: readonly string[] } | { readonly names: readonly string[] }): Pad {
    const own = { kind: 'list', name: 'large', prefixes: hosts(1) } as const; // more of it costs no more here
    const pad =
      'names' in of
        ? ({ kind: 'names', name: 'pad', resolve: false, ...of } as const)
        : ({ kind: 'list', name: 'pad', ...of } as const);
    const [base, padded] = [ruleSetOf([own]), ruleSetOf([own, pad])];
    const deltas = [deltaOf(base, padded), deltaOf(padded, base)];
    return { deltas, work: workOf(base, deltas) };
  }

  /** The most of a single one. */
  get largest(): Pad {
    return this.#hosts.at(-1) ?? { deltas: [], work: 0 };
  }

  /** Two pads with this total; throws if there are none. */
  of(work: number): readonly Uint8Array[] {
    for (const one of this.#names) {
      const other = this.#hosts.find((pad) => pad.work === work - one.work);
      if (other !== undefined) return [...one.deltas, ...other.deltas];
    }
    throw new Error(`no two pads cost ${work}`);
  }
}

/** A name of so many characters, in labels of 50 at most. */
function nameOf(length: number): string {
  return Array.from({ length }, (_, i) => (i % 50 === 48 && i < length - 1 ? '.' : 'n')).join('');
}

/** A chain that leads nowhere, at what it may cost, and a unit above. */
function workCases(): readonly BudgetCase[] {
  const own = { large: hosts(ENTRIES) };
  const base = listsOf(own);
  const other = listsOf({ large: hosts(ENTRIES, ['192.0.2.1/32']) });
  const pair = [deltaOf(base, other), deltaOf(other, base)];
  const pairWork = workOf(base, pair);
  const result = totalsIn(base);
  const most = workMax(result, result);
  const pads = new Pads();
  const { largest } = pads;
  const pairs = Math.floor((most - largest.work) / pairWork);
  const steps: Uint8Array[] = Array.from({ length: pairs }, () => pair).flat();
  let left = most - pairs * pairWork;
  for (; left > largest.work; left -= largest.work) steps.push(...largest.deltas);
  const caseOf = (name: string, more: number, code: string | null): BudgetCase => ({
    name,
    base: hexOf(encodeChain([encodeSnapshot(base)])),
    result,
    entriesMax: ENTRIES_MAX,
    stream: hexOf(encodeChain([...steps, ...pads.of(left + more)])),
    work: most + more,
    most,
    code,
  });
  return [
    caseOf('a chain whose deltas cost all that they may', 0, null),
    caseOf('one that costs a unit more', 1, 'over-budget'),
  ];
}

/** A chain over a release that is larger than both of its ends. */
function entriesCase(name: string, count: number, entriesMax: number, code: string | null): BudgetCase {
  const [middle, end] = [listsOf({ l: hosts(count) }), listsOf({ l: ['192.0.2.1/32'] })];
  const deltas = [deltaOf(EMPTY_RULE_SET, middle), deltaOf(middle, end)];
  const result = totalsIn(end);
  return {
    name,
    base: '',
    result,
    entriesMax,
    stream: hexOf(encodeChain(deltas)),
    work: workOf(EMPTY_RULE_SET, deltas),
    most: workMax(totalsIn(EMPTY_RULE_SET), result),
    code,
  };
}

function snapshotCase(name: string, count: number, entriesMax: number, code: string | null): BudgetCase {
  const end = listsOf({ l: hosts(count) });
  const deltas = [encodeSnapshot(end)];
  const result = totalsIn(end);
  const work = workOf(EMPTY_RULE_SET, deltas);
  const most = workMax(totalsIn(EMPTY_RULE_SET), result);
  return { name, base: '', result, entriesMax, stream: hexOf(encodeChain(deltas)), work, most, code };
}

/** Deltas of no change. */
function stepsCase(name: string, count: number, code: string | null): BudgetCase {
  const result = totalsIn(EMPTY_RULE_SET);
  const stream = '0100'.repeat(count);
  const work = code === null ? 0 : null;
  return {
    name,
    base: '',
    result,
    entriesMax: ENTRIES_MAX,
    stream,
    work,
    most: workMax(result, result),
    code,
  };
}

/** What may be done for totals. */
function bounds(): readonly object[] {
  const none = totalsIn(EMPTY_RULE_SET);
  const million = { parts: 3, prefixes: 1_000_000, others: 0, bytes: 5_000_030 };
  const names = { parts: 2, prefixes: 0, others: 170_000, bytes: 3_400_000 };
  return [
    [none, none],
    [none, million],
    [million, names],
  ].map(([base = none, result = none]) => ({
    base,
    result,
    work: workMax(base, result),
    stream: streamMaxBytes(result),
    between: stepMost(base, result),
  }));
}

function cases(): readonly BudgetCase[] {
  return [
    ...workCases(),
    entriesCase('65,538 entries on the way to one', 65_538, ENTRIES_MAX, null),
    entriesCase('65,539 entries on the way to one', 65_539, ENTRIES_MAX, 'over-budget'),
    entriesCase('more entries on the way than the receiver takes', 11, 10, 'over-budget'),
    snapshotCase('more entries than the receiver takes', 11, 10, 'over-limit'),
    stepsCase('1,024 deltas', 1024, null),
    stepsCase('1,025 deltas', 1025, 'over-limit'),
  ];
}

if (process.env['RULECAST_RECORD'] === '1') {
  const recorded = { about: 'See CONTENT.md, Vectors.', bounds: bounds(), cases: cases() };
  writeFileSync(VECTOR, `${JSON.stringify(recorded, undefined, 1)}\n`);
}
const vectors: { readonly bounds: readonly object[]; readonly cases: readonly BudgetCase[] } = JSON.parse(
  readFileSync(VECTOR, 'utf8'),
);

describe('budget vectors', () => {
  it('say what the bounds are', () => {
    expect(vectors.bounds).toEqual(bounds());
  });

  //
  it.each(vectors.cases)('$name: $code', ({ base, result, entriesMax, stream, work, most, code }) => {
    const before = base === '' ? EMPTY_RULE_SET : applyChain(EMPTY_RULE_SET, bytesOfHex(base));
    const bytes = bytesOfHex(stream);
    expect(most).toBe(workMax(totalsIn(before), result));
    if (work !== null) expect(workOf(before, decodeChain(bytes))).toBe(work);
    expect(bytes.length).toBeLessThanOrEqual(streamMaxBytes(result));
    const apply = (): RuleSet => applyChain(before, bytes, new Budget(before, result, entriesMax));
    if (code === null) expect(totalsIn(apply())).toEqual(result);
    else expect(codeOf(apply)).toBe(code);
  });
});
