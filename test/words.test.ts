import { describe, expect, it } from 'vitest';
import { faultsOf, type Page, pageOf } from '../words.mjs';

const sentencesOf = (markdown: string): readonly string[] =>
  pageOf(markdown).sentences.map(({ text }) => text);
const paragraphsOf = (markdown: string): readonly string[] =>
  pageOf(markdown).paragraphs.map(({ text }) => text);

describe('sentences', () => {
  it.each([
    ['It starts. It stops! Why? So.', ['It starts.', 'It stops!', 'Why?', 'So.']],
    [
      'A feed, e.g. Tor, i.e. RFC 1918, cf. WIRE. No. 5 is next.',
      ['A feed, e.g. Tor, i.e. RFC 1918, cf. WIRE.', 'No. 5 is next.'],
    ],
    ['Ads, trackers, etc. All of them.', ['Ads, trackers, etc.', 'All of them.']],
    ['Node 22.15 and 10.0.0.1/8 need 0.3 s. 20 wait.', ['Node 22.15 and 10.0.0.1/8 need 0.3 s.', '20 wait.']],
    [
      'Write `a. B` or ``a ` b. C`` here. `rulectl get` prints.',
      ['Write Code or Code here.', 'Code prints.'],
    ],
    [
      'It says so (as before.) Then *it ends.* "Now." Next.',
      ['It says so (as before.)', 'Then *it ends.*', '"Now."', 'Next.'],
    ],
    ['After 5 s, 10 s, ... 5 min it ends.', ['After 5 s, 10 s, ... 5 min it ends.']],
    [
      'See [the page. Really](a.md#b.C), [one][two] and <https://a.example/B. C>.',
      ['See the page.', 'Really, one and Link.'],
    ],
    [
      '**Never block.** A feed that blocks.\nIt goes on\nhere.',
      ['Never block.', 'A feed that blocks.', 'It goes on here.'],
    ],
  ])('of %j', (markdown, expected) => {
    expect(sentencesOf(markdown)).toEqual(expected);
  });
});

describe('paragraphs', () => {
  it.each([
    ['are parted by empty lines', 'One\ntwo.\n\nThree.\n', ['One two.', 'Three.']],
    [
      'are items of lists, with the lines that go on',
      'So:\n- one\n  goes on\n- two\n\n  more of it\n\nEnd.',
      ['So:', 'one goes on', 'two', 'more of it', 'End.'],
    ],
    ['are items with numbers', '1. one\n2. two\n10) ten', ['one', 'two', 'ten']],
    [
      'do not end where a line begins with a number',
      'That was in\n2026. It was late.',
      ['That was in 2026. It was late.'],
    ],
    ['stand within quotes', '> One\n> two.\n>\n> - three', ['One two.', 'three']],
  ])('%s', (_, markdown, expected) => {
    expect(paragraphsOf(markdown)).toEqual(expected);
  });

  it.each([
    ['headings', '# One. Two'],
    ['tables', '| a | b |\n| --- | --- |\n| One. Two | three |'],
    ['code', '```sh\n# One. Two\n\nthree\n```'],
    ['code within code', '~~~~\n~~~\nOne.\n~~~\n~~~~'],
    ['code in a list', '  ```yaml\n  one: two\n  ```'],
    ['comments', '<!-- One.\n\nTwo. -->'],
    ['rules and targets of links', '---\n\n[one]: https://a.example'],
    ['pictures', '![One. Two](a.svg)\n\n<img src="a.svg">'],
  ])('are no %s', (_, markdown) => {
    expect(paragraphsOf(`Before.\n\n${markdown}\n\nAfter.`)).toEqual(['Before.', 'After.']);
    expect(pageOf(`${markdown}\n\nAfter.`).paragraphs[0]?.line).toBe(markdown.split('\n').length + 2);
  });
});

describe('lines', () => {
  const long = 'word '.repeat(21).trim();

  it.each([
    [long, 1],
    [`- ${long}`, 1],
    [`| ${long} |`, 0],
    [`\`\`\`text\n${long}\n\`\`\``, 0],
    [`# ${long}`, 0],
    [`- https://a.example/${'a'.repeat(100)}`, 0],
  ])('%j', (markdown, wide) => {
    expect(pageOf(markdown).figures.wide).toBe(wide);
  });
});

describe('the gate', () => {
  /** A page of so many sentences, each of so many words. */
  const page = (count: number, words: number): Page =>
    pageOf(`${'So\n'.repeat(words - 1)}on.\n\n`.repeat(count));

  it.each([
    ['README.md', page(20, 17), []],
    ['README.md', page(20, 18), ['README.md: mean is 18, over 17']],
    ['README.md', page(19, 29), []],
    ['protocol/WIRE.md', page(20, 20), []],
    ['protocol/CONTROL.md', page(20, 20), ['protocol/CONTROL.md: mean is 20, over 17']],
  ])('asks for a mean in %s', (path, found, faults) => {
    expect(faultsOf(new Map([[path, found]]), {})).toEqual(faults);
  });

  it('asks for no sentence above 60 words, and one of a hundred above 40', () => {
    const pages = new Map([
      ['a.md', page(1, 61)],
      ['b.md', page(100, 5)],
    ] as const);
    expect(faultsOf(pages, {})).toEqual(['a.md: longest is 61, over 60']);
    expect(faultsOf(new Map([...pages, ['c.md', page(1, 41)]]), { 'a.md': { longest: 61 } })).toEqual([]);
    expect(faultsOf(new Map([...pages, ['c.md', page(2, 41)]]), { 'a.md': { longest: 61 } })).toEqual([
      '2 of 102 sentences have more than 40 words',
    ]);
  });

  it('takes a page up to its ceiling, and no ceiling that is not needed', () => {
    const pages = new Map([['a.md', page(20, 18)]]);
    expect(faultsOf(pages, { 'a.md': { mean: 18 } })).toEqual([]);
    expect(faultsOf(pages, { 'a.md': { mean: 17.9 } })).toEqual(['a.md: mean is 18, over 17.9']);
    expect(faultsOf(pages, { 'a.md': { mean: 18, p90: 30 } })).toEqual([
      'words-excused.json: a.md needs no "p90" any more',
    ]);
  });
});
