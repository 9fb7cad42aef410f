/** The matcher beside a slow twin: a map of texts, walked up label by label. */

import { type NameSet, NO_NAME_SET, nameSetOfTexts, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { NameMatcher, type SubjectChange, setEditOf } from '../src/match/matcher.ts';
import { nameBytes, turnCase } from '../src/message/name.ts';

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i * 7);
const LABELS = ['a', 'b', 'ads', 'cdn', 'example', 'com', 'co', 'uk', '_x', 'x'.repeat(63), 'mail-7'];

function run<T>(steps: Generator<undefined, T>, between: () => void = () => undefined): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    between();
  }
}

function matcherOf(lists: readonly NameSet[], key = KEY): NameMatcher {
  const matcher = new NameMatcher(
    lists.reduce((sum, { names, exceptions }) => sum + names.count + exceptions.count, 0),
    key,
  );
  expect(run(matcher.fill(lists.map((set, subject) => ({ subject, set }))))).toBe('done');
  return matcher;
}

function found(matcher: NameMatcher, name: string, bits = Uint8Array.of(0)): readonly number[] {
  const bytes = nameBytes(name);
  turnCase(bytes, 0, bytes.length, bits);
  return visited(matcher, bytes);
}

function visited(matcher: NameMatcher, name: Uint8Array): readonly number[] {
  const subjects = new Set<number>();
  matcher.visit(name, 0, (subject) => subjects.add(subject));
  return [...subjects].sort((a, b) => a - b);
}

/** The twin. */
function foundSlowly(lists: readonly NameSet[]): (name: string) => readonly number[] {
  const sets = lists.map(({ names, exceptions }) => [
    new Set(nameTexts(names)),
    new Set(nameTexts(exceptions)),
  ]);
  return (name) => {
    const labels = name.split('.');
    const asked = labels.flatMap((_, i) => {
      const other = labels.slice(i).join('.');
      return [[other === name ? other : `*.${other}`, `.${other}`]];
    });
    return sets.flatMap((both, subject) => {
      const nearest = both.map((set) => asked.findIndex((texts) => texts.some((text) => set.has(text))));
      const [entry = -1, exception = -1] = nearest;
      return entry >= 0 && (exception < 0 || entry < exception) ? [subject] : [];
    });
  };
}

function nameFrom(random: Random): string {
  const labels = Array.from({ length: 1 + random.below(4) }, () => random.pick(LABELS));
  return labels.join('.');
}

function namesFrom(random: Random, count: number, exceptionCount = count >> 2): NameSet {
  const texts = (length: number): readonly string[] =>
    Array.from({ length }, () => random.pick(['', '', '', '*.', '.']) + nameFrom(random));
  return nameSetOfTexts(texts(count), texts(exceptionCount));
}

/** What turns some lists into others. */
function changesOf(before: readonly NameSet[], after: readonly NameSet[]): readonly SubjectChange[] {
  return after.map((set, subject) => ({ subject, ...setEditOf(before[subject] ?? NO_NAME_SET, set) }));
}

describe('the matcher', () => {
  it.each([
    [['example.com'], 'example.com', true],
    [['example.com'], 'EXAMPLE.Com', true],
    [['example.com'], 'www.example.com', false],
    [['example.com'], 'com', false],
    [['example.com'], 'notexample.com', false],
    [['*.example.com'], 'example.com', false],
    [['*.example.com'], 'a.b.example.com', true],
    [['.example.com'], 'example.com', true],
    [['.example.com'], 'www.example.com', true],
    [['com'], 'com', true],
    [['*.com'], 'example.com', true],
    [['.com', 'x.example.com'], 'example.com', true],
    [['.com'], '.', false],
    [['.com', '!.ads.com'], 'x.ads.com', false],
    [['.com', '!.ads.com'], 'ads.com', false],
    [['.com', '!*.ads.com'], 'ads.com', true],
    [['.com', '!.ads.com', 'a.ads.com'], 'a.ads.com', true],
    [['.com', '!.ads.com', 'a.ads.com'], 'b.a.ads.com', false],
    [['.com', '!.ads.com', '*.a.ads.com'], 'b.A.ads.com', true],
  ] as const)('of %s says of %s: %s', (list, name, isFound) => {
    const [excepted, entries] = [true, false].map((is) => list.filter((text) => text.startsWith('!') === is));
    const set = nameSetOfTexts(
      entries ?? [],
      excepted?.map((text) => text.slice(1)),
    );
    expect(found(matcherOf([set]), name)).toEqual(isFound ? [0] : []);
  });

  it('takes a label with a dot in it for no two labels, and one with any byte for no other', () => {
    const matcher = matcherOf([nameSetOfTexts(['a.example', 'b.example'])]);
    const asked = (...labels: readonly (readonly number[])[]): number =>
      visited(matcher, Uint8Array.from([...labels.flatMap((label) => [label.length, ...label]), 0])).length;
    const example = [...Buffer.from('example')];
    expect(asked([0x61], example)).toBe(1);
    expect(asked([0x61, 0x2e, ...example])).toBe(0);
    expect(asked([0xc1], example)).toBe(0);
    expect(asked([0x61, 0], example)).toBe(0);
    expect(asked([0x61], [...example, 3])).toBe(0);
  });

  it('knows names of 255 bytes and of 127 labels', () => {
    const long = [...Array.from({ length: 3 }, () => 'x'.repeat(63)), 'y'.repeat(61)].join('.');
    const deep = Array.from({ length: 126 }, () => 'a').join('.');
    const matcher = matcherOf([nameSetOfTexts([long, `.${deep}`])]);
    expect(found(matcher, long)).toEqual([0]);
    expect(found(matcher, deep)).toEqual([0]);
    expect(found(matcher, `b.${deep}`)).toEqual([0]);
    expect(found(matcher, `b.${deep.slice(2)}`)).toEqual([]);
  });

  //
  it('says what the twin says, of any lists and names', () => {
    for (let seed = 1; seed <= often(30, 2000); seed++) {
      const random = new Random(seed);
      const lists = Array.from({ length: random.below(6) }, () => namesFrom(random, random.below(400)));
      const matcher = matcherOf(lists);
      const slowly = foundSlowly(lists);
      for (let i = 0; i < 300; i++) {
        const name = nameFrom(random);
        expect(found(matcher, name, Uint8Array.of(random.below(256))), name).toEqual(slowly(name));
      }
    }
  });

  it('goes from release to release, each question answered by one of them whole', () => {
    for (let seed = 1; seed <= often(12, 500); seed++) {
      const random = new Random(seed);
      let lists = Array.from({ length: 3 }, () => namesFrom(random, 300));
      const matcher = matcherOf([...lists, namesFrom(random, 5000)]);
      const names = Array.from({ length: 60 }, () => nameFrom(random));
      for (let release = 0; release < 6; release++) {
        const after = lists.map((list) =>
          random.chance(0.2)
            ? NO_NAME_SET
            : nameSetOfTexts(
                [...nameTexts(list.names)]
                  .filter(() => random.chance(0.8))
                  .concat([...nameTexts(namesFrom(random, 60).names)]),
                [...nameTexts(list.exceptions)]
                  .filter(() => random.chance(0.8))
                  .concat([...nameTexts(namesFrom(random, 60).names)]),
              ),
        );
        const answers = [lists, after].map((all) => names.map(foundSlowly(all)));
        let turned = 0;
        const check = (): void => {
          const said = names.map((name) => found(matcher, name).filter((subject) => subject < 3));
          expect(said).toEqual(answers[turned]);
        };
        const steps = matcher.change(changesOf(lists, after), () => {
          turned = 1;
          check(); // at once
        });
        expect(run(steps, check)).toBe('done');
        check();
        expect(turned).toBe(1);
        lists = after;
      }
    }
  });

  it('forgets what is in no list any more', () => {
    const random = new Random(1);
    const set = namesFrom(random, 3000, 0);
    const { names } = set;
    const matcher = matcherOf([set, NO_NAME_SET]);
    expect(matcher.size).toBe(names.count);
    for (let i = 0; i < 5; i++) {
      run(matcher.change(changesOf([set], [NO_NAME_SET]), () => undefined));
      expect(matcher.size).toBe(0);
      run(matcher.change(changesOf([NO_NAME_SET], [set]), () => undefined));
      expect(matcher.size).toBe(names.count);
    }
    const slowly = foundSlowly([set]);
    for (let i = 0; i < 500; i++) {
      const name = nameFrom(random);
      expect(found(matcher, name), name).toEqual(slowly(name));
    }
  });

  it('says when there is no room, and answers on as before', () => {
    const before = nameSetOfTexts(Array.from({ length: 40 }, (_, i) => `n${i}.example`));
    const matcher = matcherOf([before]);
    const after = nameSetOfTexts(Array.from({ length: 4000 }, (_, i) => `n${i + 20}.example`));
    let turned = false;
    const outcome = run(
      matcher.change(changesOf([before], [after]), () => {
        turned = true;
      }),
    );
    expect([outcome, turned]).toEqual(['full', false]);
    const slowly = foundSlowly([before]);
    for (let i = 0; i < 100; i++) expect(found(matcher, `n${i}.example`)).toEqual(slowly(`n${i}.example`));
  });

  it('holds every name at full load, whatever its key', () => {
    for (let seed = 1; seed <= often(4, 100); seed++) {
      const key = Uint8Array.from({ length: 16 }, (_, i) => seed * (i + 1));
      const names = nameSetOfTexts(Array.from({ length: 30_000 }, (_, i) => `h${i}.example`));
      const matcher = matcherOf([names], key);
      const more = nameSetOfTexts(Array.from({ length: 34_600 }, (_, i) => `h${i}.example`));
      expect(run(matcher.change(changesOf([names], [more]), () => undefined))).toBe('done');
      let missing = 0;
      for (const name of nameTexts(more.names)) if (visited(matcher, nameBytes(name)).length !== 1) missing++;
      expect([matcher.size, missing]).toEqual([34_600, 0]);
    }
  });
});
