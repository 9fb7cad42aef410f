/** What lists of sources make of a rule set, and of which of them nothing is made. */

import { ingest, readPushed } from '@rulecast/formats';
import { atOnce, type List, nameListOf, nameTexts, prefixListOf, type RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { type ListUpdate, withLists } from '../src/release/list-update.ts';
import { prefixes, pushOf } from './fresh-publisher.ts';

const EMPTY: RuleSet = {
  lists: new Map(),
  policies: new Map(),
  resolutions: new Map(),
  unmatched: undefined,
};

function list(...texts: readonly string[]): List {
  return prefixListOf(prefixes(...texts));
}

function ruleSetOf(document: string): RuleSet {
  const input = pushOf({ 'rules.yaml': document });
  const read = ingest(EMPTY, readPushed(input, 0), input);
  if (read.kind === 'rejects') throw new Error(JSON.stringify(read.rejects));
  return read.ruleSet;
}

const CURRENT = ruleSetOf(`lists:
  used: { entries: [192.0.2.1] }
  idle: { entries: [192.0.2.2] }
policies:
  default: { egress: [drop dst=@used] }`);

/** All at once. */
function updated(...args: Parameters<typeof withLists>): ListUpdate {
  return atOnce(withLists(...args));
}

describe('withLists', () => {
  it('puts lists in place of others and beside them, and leaves the rest as the same objects', () => {
    const { ruleSet, refused } = updated(
      CURRENT,
      new Map([
        ['used', list('192.0.2.9')],
        ['new', list('192.0.2.8')],
      ]),
    );
    expect(refused.size).toBe(0);
    expect([...ruleSet.lists.keys()]).toEqual(['used', 'idle', 'new']);
    expect(ruleSet.lists.get('idle')).toBe(CURRENT.lists.get('idle'));
    expect(ruleSet.policies).toBe(CURRENT.policies);
    expect(ruleSet.lists.get('used')).toEqual(list('192.0.2.9'));
  });

  it('removes a list that no rule uses, and keeps one that a rule does', () => {
    const { ruleSet, refused } = updated(
      CURRENT,
      new Map([
        ['used', undefined],
        ['idle', undefined],
        ['gone', undefined],
      ]),
    );
    expect([...ruleSet.lists.keys()]).toEqual(['used']);
    expect([...refused]).toMatchObject([
      ['used', { code: 'in-use', reason: expect.stringContaining('remove dst=@used') }],
    ]);
  });

  it('leaves out the one list that rules cannot use, and takes the others', () => {
    const names = nameListOf(['a.example'], false);
    const batch = new Map<string, List>([
      ['idle', list('192.0.2.7')],
      ['used', names],
      ['new', names],
    ]);
    const { ruleSet, refused } = updated(CURRENT, batch);
    expect([...refused.keys()]).toEqual(['used']);
    expect(refused.get('used')).toMatchObject({ code: 'names-not-resolvable' });
    expect(ruleSet.lists.get('used')).toBe(CURRENT.lists.get('used'));
    expect(ruleSet.lists.get('idle')).toEqual(list('192.0.2.7'));
    expect(ruleSet.lists.get('new')).toBe(names);
  });

  it('refuses names beyond what rules may use, with how many that is', () => {
    const many = nameListOf(
      Array.from({ length: 4097 }, (_, i) => `n${i}.example`),
      true,
    );
    const { refused } = updated(CURRENT, new Map([['used', many]]));
    expect(refused.get('used')).toMatchObject({
      code: 'too-many-names',
      reason: expect.stringContaining('4096'),
    });
    const most = nameListOf([...nameTexts(many.names)].slice(1), many.resolve);
    expect(updated(CURRENT, new Map([['used', most]])).refused.size).toBe(0);
  });

  it('leaves out what a release has no room for, the list that gains most before others', () => {
    const many = (count: number): List =>
      list(...Array.from({ length: count }, (_, i) => `198.18.0.${i * 2}`));
    const batch = new Map([
      ['huge', many(20)],
      ['used', many(4)],
      ['idle', many(2)],
    ]);
    // Two entries and one rule are there; the two small lists make that 7.
    const tight = { entries: 7, parts: 10 };
    const { ruleSet, refused } = updated(CURRENT, batch, tight);
    expect([...refused]).toMatchObject([
      ['huge', { code: 'over-limit', reason: expect.stringContaining('the most is 7') }],
    ]);
    expect([...ruleSet.lists].map(([name, { kind }]) => [name, kind])).toEqual([
      ['used', 'prefixes'],
      ['idle', 'prefixes'],
    ]);
    expect([...updated(CURRENT, batch, { entries: 6, parts: 10 }).refused.keys()]).toEqual(['used', 'huge']);
    expect(updated(CURRENT, new Map([['used', many(1)]]), { entries: 1, parts: 10 }).refused.size).toBe(0);
  });

  it('leaves out a list that would be one part too many', () => {
    const batch = new Map([
      ['a', list('192.0.2.9')],
      ['b', list('192.0.2.8', '192.0.2.7')],
    ]);
    // Two lists, a policy and the resolutions are there.
    expect([...updated(CURRENT, batch, { entries: 100, parts: 5 }).refused.keys()]).toEqual(['b']);
    expect(updated(CURRENT, batch, { entries: 100, parts: 6 }).refused.size).toBe(0);
  });

  it('mends a rule set whose list was missing', () => {
    const broken: RuleSet = { ...CURRENT, lists: new Map() };
    const { ruleSet, refused } = updated(broken, new Map([['used', list('192.0.2.1')]]));
    expect({ refused: refused.size, lists: ruleSet.lists.size }).toEqual({ refused: 0, lists: 1 });
  });
});

describe('a push', () => {
  const isKept = (name: string): boolean => name === 'used';

  it.each(['replace', 'merge', 'withdraw'] as const)(
    'to %s a list that a source keeps is refused with its own code',
    (action) => {
      const input = pushOf({ 'used.txt': '192.0.2.5\n', 'other.txt': '192.0.2.6\n' }, { action });
      expect(ingest(CURRENT, readPushed(input, 0), input, isKept)).toMatchObject({
        kind: 'rejects',
        rejects: [{ file: 'used', code: 'list-of-a-source' }],
        rejectCount: 1,
      });
    },
  );

  it('that replaces everything leaves the lists that sources keep', () => {
    const input = pushOf(
      { 'x.yaml': 'policies: { default: { egress: [drop dst=@used] } }' },
      { replaceAll: true },
    );
    const read = ingest(CURRENT, readPushed(input, 0), input, isKept);
    expect(read.kind === 'rule-set' && [...read.ruleSet.lists.keys()]).toEqual(['used']);
  });
});
