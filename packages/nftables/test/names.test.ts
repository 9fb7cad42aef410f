/** Rules that accept by name: what is planned for them, and what the applier takes of it. */

import { NO_NAME_SET, nameListOf, namesOf, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { checkRequest, RequestError } from '../src/apply/check.ts';
import {
  type Change,
  type ChangeWithBody,
  type ColumnInBody,
  transition,
  wholeChange,
} from '../src/plan/change.ts';
import { kernelBytesOf } from '../src/plan/memory.ts';
import { listKeys, nameSetName, parseNameSetName } from '../src/plan/name-set.ts';
import { hexAt, policyChain } from '../src/plan/plan.ts';
import { planned, plannedAfter, ruleSet, type SamplePolicy, scriptText } from './sample.ts';

const OPTIONS = {
  tag: { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 7 },
  downstreamGroup: 2,
  answer: 'reject',
} as const;
const NAMES = ['a.example', '*.b.example'];
const WORK: SamplePolicy = {
  name: 'work',
  prefixes: ['10.137.0.5', '10.137.0.6', 'fd00::5'],
  egress: ['accept dst=@updates proto=tcp dstports=443', 'drop dst=@updates', 'accept dst4=1.2.3.4'],
};

const rulesOf = (policies: readonly SamplePolicy[], names: readonly string[] = NAMES) =>
  ruleSet(policies, { updates: nameListOf(names, 'firewall') });
const setOf = (family: 4 | 6, size: number, names: readonly string[] = NAMES): string =>
  nameSetName({ ...listKeys('updates', nameListOf(names, 'firewall'), false), family, size });
const networks = (plan: ReturnType<typeof planned>): Record<string, readonly string[]> =>
  Object.fromEntries(
    [...plan.nameSets].map(
      ([
        set,
        {
          qubes: { family, words, lengths },
        },
      ]) => [set, Array.from(lengths, (length, i) => `${hexAt(words, i, family)}/${length}`)],
    ),
  );

describe('a rule that accepts by a list of names', () => {
  it('asks what the qube was told, in both families; one that drops asks of no packet', () => {
    const plan = planned(rulesOf([WORK]));
    for (const [family, qubes] of [
      [4, 2],
      [6, 1],
    ] as const) {
      const [first, second] = plan.chains.get(policyChain('egress', family, 'work')) ?? [];
      expect(first).toMatchObject({
        remote: { kind: 'told', set: setOf(family, qubes * 1024) },
        ports: [443, 443],
      });
      expect(second).toMatchObject({ remote: { kind: family === 4 ? 'prefix' : 'any' } });
    }
    expect(networks(plan)).toEqual({
      [setOf(4, 2048)]: ['0a890005/32', '0a890006/32'],
      [setOf(6, 1024)]: ['fd000000000000000000000000000005/128'],
    });
  });

  it('says whether its names may stand for private addresses, as another state of the list', () => {
    const lists = { updates: nameListOf(NAMES, 'firewall-private') };
    const { change } = wholeChange(planned(ruleSet([WORK], lists)), OPTIONS);
    const keys = listKeys('updates', lists.updates, true);
    expect(change.nameSets?.map(({ set, isPrivate }) => [set, isPrivate])).toEqual([
      [nameSetName({ ...keys, family: 4, size: 2048 }), true],
      [nameSetName({ ...keys, family: 6, size: 1024 }), true],
    ]);
    expect(change.nameSets?.map(({ set }) => set)).not.toContain(setOf(4, 2048));
  });

  it.each<[string, readonly string[], readonly (readonly [string, string])[]]>([
    ['one address of each family', ['10.0.0.1', 'fd00::5'], [['0a000001', `fd${'0'.repeat(29)}5`]]],
    ['two of one', ['10.0.0.1', '10.0.0.2', 'fd00::5'], []],
    ['a network', ['10.0.0.1', 'fd00::/64'], []],
    ['one address', ['10.0.0.1'], []],
  ])('says which addresses are one qube, where its policy is for %s', (_, prefixes, pairs) => {
    const other = { name: 'other', prefixes: ['10.0.0.9', 'fd00::9'] };
    const change = wholeChange(planned(rulesOf([{ ...WORK, prefixes }, other])), OPTIONS).change;
    expect(change.nameSets?.flatMap((each) => each.pairs)).toEqual(pairs);
  });

  it.each<[string, readonly SamplePolicy[], Record<string, readonly string[]>]>([
    [
      'of no policy with prefixes in a family, has no set there',
      [{ ...WORK, prefixes: ['10.0.0.1'] }],
      {
        [setOf(4, 1024)]: ['0a000001/32'],
      },
    ],
    [
      'of two policies, has one set for the qubes of both',
      [
        { ...WORK, prefixes: ['10.0.0.1'] },
        { ...WORK, name: 'other', prefixes: ['10.0.1.0/24'] },
        { name: 'third', prefixes: ['10.0.2.1'], egress: ['drop dst=@updates'] },
      ],
      { [setOf(4, 65_536)]: ['0a000001/32', '0a000100/24'] },
    ],
    [
      'of common, is for whoever asks',
      [
        { name: 'common', prefixes: [], egress: ['accept dst=@updates'] },
        { name: 'third', prefixes: ['10.0.2.1'] },
      ],
      {
        [setOf(4, 65_536)]: ['00000000/0'],
        [setOf(6, 65_536)]: [`${'0'.repeat(32)}/0`],
      },
    ],
    [
      'among exceptions, counts too',
      [{ name: 'work', prefixes: ['10.0.0.1'], exceptions: { egress: ['accept dst=@updates'] } }],
      { [setOf(4, 1024)]: ['0a000001/32'] },
    ],
    [
      'with specialtarget=dns, opens nothing',
      [{ ...WORK, prefixes: ['10.0.0.1'], egress: ['accept dst=@updates specialtarget=dns'] }],
      {},
    ],
  ])('%s', (_, policies, expected) => {
    expect(networks(planned(rulesOf(policies)))).toEqual(expected);
  });

  it('is a pair of addresses of the flow to the kernel', () => {
    const change = wholeChange(planned(rulesOf([WORK])), OPTIONS);
    const text = scriptText(change.change, new Uint8Array(Buffer.concat(change.body)));
    expect(text).toContain(
      `add set inet rulecast_a ${setOf(4, 2048)} { type ipv4_addr . ipv4_addr; flags timeout; size 4096; }`,
    );
    expect(text).toMatch(
      new RegExp(`ct original ip saddr \\. ct reply ip saddr @${setOf(4, 2048)} counter name \\S+ goto told`),
    );
    expect(text).toMatch(
      new RegExp(
        `ct original ip6 saddr \\. ct reply ip6 saddr @${setOf(6, 1024)} counter name \\S+ goto told`,
      ),
    );
  });

  it('keeps its set where the list does, and has another where the list changes', () => {
    const before = planned(rulesOf([WORK]));
    const changeTo = (names: readonly string[], work = WORK): Change => {
      const after = plannedAfter(rulesOf([work], names), before);
      const to = { ...OPTIONS, tag: { ...OPTIONS.tag, mark: 8 } };
      const { release, afterwards } = transition({ plan: before, tag: OPTIONS.tag }, after, to);
      return { ...release.change, oldSets: afterwards.flatMap(({ change }) => change.oldSets) };
    };
    const same = changeTo(NAMES, { ...WORK, egress: [...(WORK.egress ?? []), 'accept proto=udp'] });
    expect([same.newSets, same.oldSets]).toEqual([[], []]);
    expect(same.nameSets?.map(({ set }) => set)).toEqual([setOf(4, 2048), setOf(6, 1024)]);
    const other = changeTo(['a.example']);
    expect(other.newSets).toEqual([setOf(4, 2048, ['a.example']), setOf(6, 1024, ['a.example'])]);
    expect(other.oldSets).toEqual([setOf(4, 2048), setOf(6, 1024)]);
  });

  it('is told what is left of a list that changes, once for both families, and of no other', () => {
    const before = planned(rulesOf([WORK]));
    const leftOf = ({ change, body }: ChangeWithBody) => {
      const bytes = Buffer.concat(body);
      const texts = ({ at, byteCount }: ColumnInBody) => [
        ...nameTexts({ bytes: bytes.subarray(at, at + byteCount) }),
      ];
      return change.nameSets?.map(
        ({ left }) => left && { ...left, names: texts(left.names), exceptions: texts(left.exceptions) },
      );
    };
    const to = { ...OPTIONS, tag: { ...OPTIONS.tag, mark: 8 } };
    const after = (names: readonly string[]) => plannedAfter(rulesOf([WORK], names), before);
    const { release, afterwards } = transition(
      { plan: before, tag: OPTIONS.tag },
      after(['*.b.example', 'c.example']),
      to,
    );
    const from = listKeys('updates', nameListOf(NAMES, 'firewall'), false).version;
    const left = { from, isOfGone: true, names: ['a.example'], exceptions: [] };
    expect(leftOf(release)).toEqual([left, left]);
    for (const each of afterwards) expect([undefined, [undefined, undefined]]).toContainEqual(leftOf(each));
    expect(leftOf(wholeChange(after(['*.b.example', 'c.example']), to, before))).toEqual([left, left]);
    expect(leftOf(wholeChange(after(NAMES), to, before))).toEqual([undefined, undefined]);
    const many = Array.from({ length: 60_000 }, (_, i) => `n${i}.very-long-name.b.example`);
    const holed = { ...nameListOf(NAMES, 'firewall'), exceptions: namesOf(many) };
    const withHoles = plannedAfter(ruleSet([WORK], { updates: holed }), before);
    expect(leftOf(wholeChange(withHoles, to, before))).toEqual([undefined, undefined]);
    const one = { ...holed, exceptions: namesOf(['.c.b.example']) };
    const gone = { from, isOfGone: true, names: ['.c.b.example'], exceptions: [] };
    const withHole = plannedAfter(ruleSet([WORK], { updates: one }), before);
    expect(leftOf(wholeChange(withHole, to, before))).toEqual([gone, gone]);
    // The former state is unknown.
    const whole = { from: null, isOfGone: false, names: NAMES, exceptions: [] };
    expect(leftOf(wholeChange(before, to))).toEqual([whole, whole]);
  });

  it('counts with all that it may open in the memory of the kernel', () => {
    const bytesOf = (policies: readonly SamplePolicy[]): number => {
      const { change, body } = wholeChange(planned(rulesOf(policies)), OPTIONS);
      return kernelBytesOf(change, new Uint8Array(Buffer.concat(body)));
    };
    const one = bytesOf([{ ...WORK, prefixes: ['10.0.0.1'] }]);
    const many = bytesOf([{ ...WORK, prefixes: ['10.0.0.0/8'] }]);
    expect(one).toBeGreaterThan(1024 * 300);
    expect(many - one).toBeGreaterThan(63 * 1024 * 300);
  });
});

describe('a rule that accepts all that was answered', () => {
  it('asks a name set of its own, of the qubes whose policy says so', () => {
    const work = { ...WORK, egress: ['accept dst=@resolved proto=tcp'] };
    const plan = planned(ruleSet([work, { name: 'other', prefixes: ['10.137.0.9'] }]));
    const set = nameSetName({ ...listKeys('resolved', NO_NAME_SET, false), family: 4, size: 2048 });
    expect(plan.chains.get(policyChain('egress', 4, 'work'))?.[0]).toMatchObject({
      remote: { kind: 'told', set },
    });
    expect([...plan.nameSets.values()].map(({ list, qubes }) => [list, qubes.lengths.length])).toEqual([
      ['resolved', 2],
      ['resolved', 1],
    ]);
  });
});

describe('the check', () => {
  const { change, body } = wholeChange(planned(rulesOf([WORK])), OPTIONS);
  const whole = new Uint8Array(Buffer.concat(body));
  const [first, second] = change.nameSets ?? [];
  const names = (nameSets: unknown): unknown => checkRequest({ kind: 'names', nameSets }, new Uint8Array(0));

  it('takes name sets as they are planned', () => {
    const request = JSON.parse(JSON.stringify({ kind: 'apply', change }));
    expect(checkRequest(request, whole)).toEqual({ kind: 'apply', change });
    const nameSets = change.nameSets?.map(({ left: _, ...rest }) => rest);
    expect(names(change.nameSets)).toEqual({ kind: 'names', nameSets }); // nothing is left of a list by that
  });

  const { left: all } = first ?? {};
  it.each<[string, unknown]>([
    ['words', 'all'],
    ['another state', { ...first?.left, from: 'any' }],
    ['no state', { ...all, from: undefined }],
    ['no columns', { from: null, isOfGone: true }],
    ['no word for what they are', { ...all, isOfGone: 1 }],
    ['a column outside the body', { ...all, names: { at: whole.length, byteCount: 1 } }],
    ['a piece of a column', { ...all, exceptions: { at: all?.names.at, byteCount: 3 } }],
  ])('refuses %s in place of what is left of a list', (_, left) => {
    const spoiled = { kind: 'apply', change: { ...change, nameSets: [{ ...first, left }] } };
    expect(() => checkRequest(spoiled, whole)).toThrow(RequestError);
  });

  it('refuses more names than may be left, and names in no order', () => {
    const checked = (bytes: Uint8Array): unknown => {
      const exceptions = { at: 0, byteCount: 0 };
      const left = { from: null, isOfGone: false, names: { at: 0, byteCount: bytes.length }, exceptions };
      const spoiled = { kind: 'apply', change: { ...change, nameSets: [{ ...first, left }] } };
      return checkRequest(spoiled, bytes);
    };
    const many = Array.from({ length: 60_000 }, (_, i) => `n${i}.very-long-name.example`);
    expect(() => checked(namesOf(many).bytes)).toThrow('too many names');
    const columns = ['b.example', 'a.example'].map((name) => namesOf([name]).bytes);
    expect(() => checked(Buffer.concat(columns))).toThrow('no column');
  });

  it.each<[string, unknown]>([
    ['no list', {}],
    ['a set of another form', [{ ...first, set: 's0123456789abcdef_4_i_00000000' }]],
    ['a list twice', [first, { ...first, set: first?.set.replace(/_\d+_/, '_1024_') }]],
    ['a qube of another family', [{ ...first, qubes: second?.qubes }]],
    ['another word than yes or no', [{ ...first, isPrivate: 'true' }]],
    ['two addresses of a family for one qube', [{ ...first, pairs: [['0a000001', '0a000002']] }]],
    ['a qube of three addresses', [{ ...first, pairs: [['0a000001', `fd${'0'.repeat(29)}5`, '']] }]],
    ['no pairs', [{ set: first?.set, list: 'updates', qubes: [] }]],
    ['a network that is too long', [{ ...first, qubes: [{ address: '0a000001', length: 33 }] }]],
    ['no qubes', [{ set: first?.set, list: 'updates' }]],
    ['a list of other letters', [{ ...first, list: 'a" ; flush ruleset' }]],
    ['no name of a list', [{ ...first, list: '' }]],
    ['more room than any has', [{ ...first, set: first?.set.replace(/_\d+_/, '_65537_') }]],
  ])('refuses %s', (_, spoiled) => {
    expect(() => names(spoiled)).toThrow();
  });

  it('refuses a rule that asks a name set of the other family', () => {
    const spoiled = JSON.stringify({ kind: 'apply', change }).replaceAll(setOf(4, 2048), setOf(6, 2048));
    expect(() => checkRequest(JSON.parse(spoiled), new Uint8Array(0))).toThrow('name set');
    expect(parseNameSetName(setOf(6, 2048))).toBeDefined();
  });
});
