/** The rules file: taken when it changes, within the guards of the role push, and nobody else's to change. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefixListOf } from '@rulecast/rules';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { WatchedRules } from '../src/daemon/watched-rules.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { freshPublisher, place, prefixes, pushOf } from './fresh-publisher.ts';

const OPEN = 'first: { egress: [drop dst4=192.0.2.1] }\nunmatched: accept\n';
const WORK =
  'policies:\n  work: { prefixes: [10.137.0.5], egress: [accept dst4=203.0.113.0/24] }\nunmatched: drop\n';

interface House {
  readonly publisher: Publisher;
  readonly rules: WatchedRules;
  readonly path: string;
  /** Paths that are watched now. */
  readonly watched: () => readonly string[];
  /** Puts another content in place, and looks. */
  readonly write: (text: string, name?: string) => Promise<void>;
}

async function house(text: string | undefined, options: Partial<PublisherOptions> = {}): Promise<House> {
  const directory = temporaryDirectory();
  const path = join(directory, 'rules.yaml');
  if (text !== undefined) place(path, text);
  const publisher = freshPublisher(options);
  publisher.setListOwner({ owns: (list) => list === 'feed', isOperand: () => false });
  return { ...(await watching(publisher, path)), path, publisher };
}

async function watching(
  publisher: Publisher,
  path: string,
): Promise<Pick<House, 'rules' | 'watched' | 'write'>> {
  let watched: readonly string[] = [];
  const rules = new WatchedRules({
    publisher,
    path,
    isOfSource: (list) => list === 'feed',
    watch: async (paths) => {
      watched = paths;
      return () => Promise.resolve();
    },
  });
  onTestFinished(() => rules.close());
  publisher.on('release', () => {
    rules.listsChanged((list) => publisher.head?.ruleSet.lists.has(list) === true);
  });
  await rules.start();
  await rules.look();
  const write = async (text: string, name = 'rules.yaml'): Promise<void> => {
    place(join(path, '..', name), text);
    await rules.look();
  };
  return { rules, watched: () => watched, write };
}

const versionOf = ({ head }: Publisher): number => head?.manifest.version ?? 0;
const policiesOf = ({ head }: Publisher): readonly string[] => [...(head?.ruleSet.policies.keys() ?? [])];

async function pushed(
  publisher: Publisher,
  text: string,
  options: PushOptions = {},
  replaceAll = false,
): Promise<string> {
  const outcome = await publisher.push(pushOf({ 'x.yaml': text }, { replaceAll }), options);
  if (outcome.kind !== 'rejects') return outcome.kind;
  return outcome.rejects.map(({ file, code }) => `${code} ${file}`).join(', ');
}

function inPlaceOf(path: string, make: () => void): void {
  rmSync(path);
  make();
}

describe('the rules file', () => {
  it('is released when it is there, and when it changes, as a release of its own cause', async () => {
    const { publisher, write, rules } = await house(OPEN);
    expect([versionOf(publisher), rules.trouble]).toEqual([1, undefined]);
    await write(WORK);
    expect([versionOf(publisher), policiesOf(publisher)]).toEqual([2, ['work']]);
    const notes = [...publisher.store.pastReleases()].map(({ notes: { cause, detail } }) => [cause, detail]);
    expect(notes).toEqual([
      ['rules', 'rules.yaml'],
      ['rules', 'rules.yaml'],
    ]);
  });

  it('that says the same makes no release, and one that is written anew with the same bytes neither', async () => {
    const { publisher, write } = await house(WORK);
    await write(`# a comment\n${WORK}`);
    await write(WORK);
    expect(versionOf(publisher)).toBe(1);
  });

  it('that is refused leaves what it said before, and says file, line and column', async () => {
    const { publisher, write, rules } = await house(WORK);
    await write(WORK.replace('accept dst4', 'accpt dst4'));
    expect(rules.trouble).toMatch(
      /^rules.yaml is refused and what it said before stays: line 2, column \d+: /,
    );
    expect(versionOf(publisher)).toBe(1);
    await write(WORK);
    expect(rules.trouble).toBeUndefined();
  });

  it('withdraws what it says no more, but for a list that a pushed policy uses', async () => {
    const lists = 'lists:\n  a: { entries: [192.0.2.1] }\n  b: { entries: [192.0.2.3] }\n';
    const { publisher, write } = await house(`${lists}${WORK}`);
    expect(
      await pushed(publisher, 'policies: { lab: { prefixes: [10.137.0.9], egress: [drop dst=@b] } }\n'),
    ).toBe('released');
    await write(WORK.replace('work', 'home'));
    expect(policiesOf(publisher)).toEqual(['lab', 'home']);
    expect([...(publisher.head?.ruleSet.lists.keys() ?? [])]).toEqual(['b']);
    expect(await pushed(publisher, 'lists: { b: { entries: [192.0.2.5] } }\n')).toBe('released');
  });

  it('says all of a list: what another content said of its names does not hold', async () => {
    const names = (more: string): string => `lists: { n: { names: [a.example]${more} } }\n${WORK}`;
    const { publisher, write } = await house(names(', resolve: firewall'));
    await write(names(''));
    expect(publisher.head?.ruleSet.lists.get('n')).toMatchObject({ resolve: false });
  });

  it('waits for a list of a source that has no content yet, and is taken when it has', async () => {
    const { publisher, rules } = await house(OPEN.replace('dst4=192.0.2.1', 'dst=@feed'));
    expect(rules.trouble).toBe('rules.yaml waits for list feed, which has no content yet: rulectl lists');
    await publisher.updateLists(new Map([['feed', prefixListOf(prefixes('192.0.2.1'))]]));
    await rules.look();
    expect([versionOf(publisher), rules.trouble]).toEqual([2, undefined]);
  });

  it('that uses a list of nobody is refused with the place', async () => {
    const { publisher, rules } = await house(OPEN.replace('dst4=192.0.2.1', 'dst=@fed'));
    expect(rules.trouble).toMatch(/refused .*: line 1, column 28: .*fed/);
    expect(versionOf(publisher)).toBe(0);
  });

  it('brings the files that it names, which are watched, and no others than those beside it', async () => {
    const { publisher, watched, write, path, rules } = await house(undefined);
    expect(rules.trouble).toMatch(/^rules.yaml stays as it was read: there is no /);
    place(join(path, '..', 'a.txt'), '192.0.2.1\n');
    await write(`lists: { a: { file: a.txt } }\n${WORK}`);
    await rules.look();
    expect([versionOf(publisher), watched()]).toEqual([1, [path, join(path, '..', 'a.txt')]]);
    await write('192.0.2.1\n192.0.2.3\n', 'a.txt');
    expect(versionOf(publisher)).toBe(2);
    await write(`lists: { a: { file: /etc/passwd } }\n${WORK}`);
    expect(rules.trouble).toMatch(/leads out of/);
    await write(`lists: { a: { file: missing.txt } }\n${WORK}`);
    expect(rules.trouble).toMatch(/line 1, column 21: .*missing.txt" is not there/);
    expect(versionOf(publisher)).toBe(2);
  });

  it.each([
    ['vanishes', (path: string) => rmSync(path), /there is no/],
    ['is a directory', (path: string) => inPlaceOf(path, () => mkdirSync(path)), /it is no file/],
    ['is empty', (path: string) => place(path, ''), /it is empty/],
    ['is a list', (path: string) => place(path, '192.0.2.1\n'), /it is no rule set document/],
    [
      'is a configuration',
      (path: string) => place(path, 'lists: { a: { url: "https://a.example" } }\n'),
      /url/,
    ],
    ['is a link into a circle', (path: string) => inPlaceOf(path, () => symlinkSync(path, path)), /ELOOP/],
    ['is too large', (path: string) => place(path, ' '.repeat(2 ** 24 + 1)), /has 16777217 bytes/],
  ])('that %s leaves what it said before, and says so', async (_, damage, expected) => {
    const { publisher, path, rules } = await house(WORK);
    damage(path);
    await rules.look();
    expect(rules.trouble).toMatch(expected);
    expect([versionOf(publisher), policiesOf(publisher)]).toEqual([1, ['work']]);
  });

  it('is not read before it has rested', async () => {
    const { publisher, path, rules } = await house(WORK);
    writeFileSync(path, OPEN);
    await rules.look();
    expect([versionOf(publisher), rules.trouble]).toEqual([1, undefined]);
  });
});
