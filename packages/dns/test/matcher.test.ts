/** The matcher beside a slow twin: a map of texts, walked up label by label. */

import { diffNames, type Names, NO_NAMES, namesAt, namesOf, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { NameMatcher, type SubjectChange } from '../src/match/matcher.ts';
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

function matcherOf(lists: readonly Names[], key = KEY): NameMatcher {
  const matcher = new NameMatcher(
    lists.reduce((sum, { count }) => sum + count, 0),
    key,
  );
  expect(run(matcher.fill(lists.map((names, subject) => ({ subject, names }))))).toBe('done');
  return matcher;
}

function found(matcher: NameMatcher, name: string, bits = Uint8Array.of(0)): readonly number[] {
  const bytes = nameBytes(name);
  turnCase(bytes, 0, bytes.length, bits);
  const subjects = new Set<number>();
  for (let count = matcher.look(bytes), i = 0; i < count; i++)
    for (const subject of matcher.subjectsAt(i)) subjects.add(subject);
  return [...subjects].sort((a, b) => a - b);
}

/** The twin. */
function foundSlowly(lists: readonly Names[]): (name: string) => readonly number[] {
  const sets = lists.map((names) => new Set(nameTexts(names)));
  return (name) => {
    const labels = name.split('.');
    const above = labels.map((_, i) => labels.slice(i).join('.'));
    return sets.flatMap((set, subject) => {
      const isSelf = set.has(name) || set.has(`.${name}`);
      const isBelow = above.slice(1).some((other) => set.has(`*.${other}`) || set.has(`.${other}`));
      return isSelf || isBelow ? [subject] : [];
    });
  };
}

function nameFrom(random: Random): string {
  const labels = Array.from({ length: 1 + random.below(4) }, () => random.pick(LABELS));
  return labels.join('.');
}

function namesFrom(random: Random, count: number): Names {
  return namesOf(
    Array.from({ length: count }, () => random.pick(['', '', '', '*.', '.']) + nameFrom(random)),
  );
}

/** What turns some lists into others. */
function changesOf(before: readonly Names[], after: readonly Names[]): readonly SubjectChange[] {
  return after.map((names, subject) => {
    const { removed, added } = diffNames(before[subject] ?? NO_NAMES, names);
    return { subject, removed: namesAt(before[subject] ?? NO_NAMES, removed), added };
  });
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
  ] as const)('of %s says of %s: %s', (list, name, isFound) => {
    expect(found(matcherOf([namesOf(list)]), name)).toEqual(isFound ? [0] : []);
  });

  it('takes a label with a dot in it for no two labels, and one with any byte for no other', () => {
    const matcher = matcherOf([namesOf(['a.example', 'b.example'])]);
    const asked = (...labels: readonly (readonly number[])[]): number =>
      matcher.look(Uint8Array.from([...labels.flatMap((label) => [label.length, ...label]), 0]));
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
    const matcher = matcherOf([namesOf([long, `.${deep}`])]);
    expect(found(matcher, long)).toEqual([0]);
    expect(found(matcher, deep)).toEqual([0]);
    expect(found(matcher, `b.${deep}`)).toEqual([0]);
    expect(found(matcher, `b.${deep.slice(2)}`)).toEqual([]);
  });

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
            ? NO_NAMES
            : namesOf(
                [...nameTexts(list)]
                  .filter(() => random.chance(0.8))
                  .concat([...nameTexts(namesFrom(random, 60))]),
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
    const names = namesFrom(random, 3000);
    const matcher = matcherOf([names, NO_NAMES]);
    expect(matcher.size).toBe(names.count);
    for (let i = 0; i < 5; i++) {
      run(matcher.change(changesOf([names], [NO_NAMES]), () => undefined));
      expect(matcher.size).toBe(0);
      run(matcher.change(changesOf([NO_NAMES], [names]), () => undefined));
      expect(matcher.size).toBe(names.count);
    }
    const slowly = foundSlowly([names]);
    for (let i = 0; i < 500; i++) {
      const name = nameFrom(random);
      expect(found(matcher, name), name).toEqual(slowly(name));
    }
  });

  it('says when there is no room, and answers on as before', () => {
    const before = namesOf(Array.from({ length: 40 }, (_, i) => `n${i}.example`));
    const matcher = matcherOf([before]);
    const after = namesOf(Array.from({ length: 4000 }, (_, i) => `n${i + 20}.example`));
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
      const names = namesOf(Array.from({ length: 30_000 }, (_, i) => `h${i}.example`));
      const matcher = matcherOf([names], key);
      const more = namesOf(Array.from({ length: 34_600 }, (_, i) => `h${i}.example`));
      expect(run(matcher.change(changesOf([names], [more]), () => undefined))).toBe('done');
      let missing = 0;
      for (const name of nameTexts(more)) if (matcher.look(nameBytes(name)) !== 1) missing++;
      expect([matcher.size, missing]).toEqual([34_600, 0]);
    }
  });
});
