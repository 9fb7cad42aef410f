/** The rules file: taken when it changes, within the guards of the role push, and nobody else's to change. */

import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PushInput, parseConfig } from '@rulecast/formats';
import { EMPTY_PREFIX_SET, type PrefixSet, prefixListOf } from '@rulecast/rules';
import { SYSTEM_CLOCK } from '@rulecast/sources';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { SourcesLink } from '../src/daemon/sources-link.ts';
import { WatchedRules } from '../src/daemon/watched-rules.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { contentOf } from '../src/release/rules-file.ts';
import { AuditLog } from '../src/store/audit-log.ts';
import { type Databases, openDatabases } from '../src/store/databases.ts';
import { type FaultyDatabases, faultyDatabases } from './faulty-databases.ts';
import { freshPublisher, place, prefixes, pushOf } from './fresh-publisher.ts';

const OPEN = 'first: { egress: [drop dst4=192.0.2.1] }\nunmatched: accept\n';
const WORK =
  'policies:\n  work: { prefixes: [10.137.0.5], egress: [accept dst4=203.0.113.0/24] }\nunmatched: drop\n';
const HOME = 'policies: { home: { prefixes: [10.137.0.8] } }\n';

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
    watch: async (paths) => {
      watched = paths;
      return () => Promise.resolve();
    },
  });
  onTestFinished(() => rules.close());
  publisher.on('release', () => {
    rules.listsChanged((list) => publisher.head?.ruleSet.lists.has(list) === true);
  });
  publisher.rules.name(path);
  await rules.start();
  await rules.look();
  const write = async (text: string, name = 'rules.yaml'): Promise<void> => {
    place(join(path, '..', name), text);
    await rules.look();
  };
  return { rules, watched: () => watched, write };
}

const versionOf = ({ head }: Publisher): number => head?.manifest.version ?? 0;
const policiesOf = ({ head }: Publisher): readonly string[] =>
  [...(head?.ruleSet.policies.keys() ?? [])].sort();

async function pushed(
  publisher: Publisher,
  text: string,
  options: PushOptions = {},
  input: Partial<PushInput> = {},
): Promise<string> {
  const outcome = await publisher.push(pushOf({ 'x.yaml': text }, input), options);
  if (outcome.kind !== 'rejects') return outcome.kind;
  return outcome.rejects.map(({ file, code }) => `${code} ${file}`).join(', ');
}

function inPlaceOf(path: string, make: () => void): void {
  rmSync(path);
  make();
}

describe('the rules file', () => {
  it('waits to be released before it was read', async () => {
    const publisher = freshPublisher();
    const watch = () => Promise.resolve(() => Promise.resolve());
    const rules = new WatchedRules({ publisher, path: '/rules.yaml', watch });
    expect(rules.trouble).toBe('rules.yaml waits to be released: rulectl status --watch');
    await rules.close();
  });

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
    expect(rules.trouble).toMatch(/^rules.yaml is refused: line 2, column \d+: /);
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
    expect(policiesOf(publisher)).toEqual(['home', 'lab']);
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
    expect(rules.trouble).toMatch(/refused: line 1, column 28: .*fed/);
    expect(versionOf(publisher)).toBe(0);
  });

  it('brings the files that it names, which are watched, and no others than those beside it', async () => {
    const { publisher, watched, write, path, rules } = await house(undefined);
    expect(rules.trouble).toMatch(/^rules.yaml cannot be read: there is no /);
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

  it('that is long is read in a thread, with what it names and where it uses what is not there', async () => {
    const comments = '# a comment\n'.repeat(10_000);
    const { publisher, write, path, rules } = await house(WORK);
    place(join(path, '..', 'a.txt'), '192.0.2.1\n');
    await write(`${comments}lists: { a: { file: a.txt } }\n${WORK}`);
    await rules.look();
    expect([versionOf(publisher), rules.trouble]).toEqual([2, undefined]);
    await write(`${comments}${WORK.replace('accept dst4=203.0.113.0/24', 'drop dst=@gone')}`);
    expect(rules.trouble).toMatch(/refused: line 10002, column \d+: .*gone/);
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
    expect(versionOf(publisher)).toBe(1);
    expect(rules.trouble).toMatch(
      /^rules.yaml waits to be read, as it was written to just now: rulectl status --watch$/,
    );
  });
});

describe('parts of the rules file', () => {
  const LAB = 'policies: { lab: { prefixes: [10.137.0.9], egress: [drop dst4=192.0.2.7] } }\n';

  it('are changed by no push, in whatever way', async () => {
    const { publisher } = await house(`lists: { a: { entries: [192.0.2.1] } }\n${WORK}`);
    const changed = WORK.replace('203.0.113.0', '198.51.100.0');
    expect(await pushed(publisher, changed)).toBe('rules-of-a-file work');
    expect(await pushed(publisher, 'unmatched: accept\n')).toBe('rules-of-a-file unmatched:');
    const list = 'lists: { a: { entries: [192.0.2.3] } }\n';
    expect(await pushed(publisher, list, {}, { action: 'merge' })).toBe('rules-of-a-file a');
    expect(await pushed(publisher, WORK, {}, { action: 'withdraw' })).toBe(
      'rules-of-a-file work, rules-of-a-file unmatched:',
    );
    const rules = pushOf({ 'x.rules': 'drop\n' }, { policy: 'work' });
    expect(await publisher.push(rules)).toMatchObject({ kind: 'rejects' });
    expect(versionOf(publisher)).toBe(1);
  });

  it('say which file to change', async () => {
    const { publisher, path } = await house(WORK);
    const outcome = await publisher.push(pushOf({ 'x.yaml': 'unmatched: accept\n' }));
    expect(outcome).toMatchObject({
      rejects: [
        { reason: `unmatched: is what ${path} says (rules: of the configuration): change that file` },
      ],
    });
  });

  it('can be pushed as they are, and stay where others are replaced or withdrawn', async () => {
    const { publisher } = await house(WORK);
    expect(await pushed(publisher, LAB)).toBe('released');
    expect(await pushed(publisher, `${WORK}`)).toBe('unchanged');
    const other = LAB.replace('lab', 'other');
    expect(await pushed(publisher, other, {}, { replaceAll: true })).toBe('released');
    expect(policiesOf(publisher)).toEqual(['other', 'work']);
    expect(publisher.head?.ruleSet.unmatched).toBe('drop');
  });

  it('are as somebody went back to until the file says something else, over restarts, too', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, write, path, rules } = await house(OPEN, { stateDirectory });
    await write(WORK);
    const back = await publisher.rollback(1, {}, { permits: ALL_PERMITS });
    expect([back.kind, policiesOf(publisher)]).toEqual(['released', ['first']]);
    await write(WORK);
    const left = 'rules.yaml is out of force since a rollback: change it, or push it';
    expect([versionOf(publisher), rules.trouble]).toEqual([3, left]);
    expect(await pushed(publisher, LAB)).toBe('released');
    expect(rules.trouble).toBe(left);
    await publisher.rollback(2, {}, { permits: ALL_PERMITS });
    expect(rules.trouble).toBeUndefined();
    await publisher.rollback(1, {}, { permits: ALL_PERMITS });
    await rules.close();
    await publisher.close();
    const again = freshPublisher({ stateDirectory });
    const watched = await watching(again, path);
    expect([versionOf(again), watched.rules.trouble]).toEqual([6, left]);
    expect(await pushed(again, 'policies: { work: { prefixes: [10.137.0.6] } }\n')).toBe(
      'rules-of-a-file work',
    );
    await watched.write(WORK.replace('203.0.113.0', '198.51.100.0'));
    expect([versionOf(again), policiesOf(again), watched.rules.trouble]).toEqual([7, ['work'], undefined]);
  });

  it('are the file’s again when its bytes are pushed after a rollback', async () => {
    const { publisher, write, rules } = await house(OPEN);
    await write(WORK);
    await publisher.rollback(1, {}, { permits: ALL_PERMITS });
    expect(await publisher.push(pushOf({ 'rules.yaml': WORK }))).toMatchObject({ kind: 'released' });
    expect([policiesOf(publisher), rules.trouble]).toEqual([['work'], undefined]);
  });

  it.each([true, false])('win over a push that comes with them (the push first: %s)', async (isPushFirst) => {
    const { publisher, path, rules } = await house('unmatched: drop\n');
    place(path, WORK);
    const other = WORK.replace('203.0.113.0', '198.51.100.0');
    const acts = [() => pushed(publisher, other), () => rules.look()];
    await Promise.all((isPushFirst ? acts : acts.reverse()).map((act) => act()));
    await rules.look();
    expect([policiesOf(publisher), rules.trouble]).toEqual([['work'], undefined]);
    expect(await pushed(publisher, WORK)).toBe('unchanged');
    expect(await pushed(publisher, other)).toBe('rules-of-a-file work');
  });

  it('win over a push of what the file said before, if that comes later', async () => {
    let answer = (_: PrefixSet): void => undefined;
    const answered = new Promise<PrefixSet>((resolve) => {
      answer = resolve;
    });
    const { publisher, write } = await house(WORK, { resolve: () => answered });
    const before = pushOf({ 'x.yaml': WORK.replace('[accept', '[drop dsthost=a.example, accept') });
    publisher.rules.read(contentOf(before.files));
    const late = publisher.push(before);
    await write(WORK.replace('203.0.113.0', '198.51.100.0'));
    answer(prefixes('192.0.2.7'));
    expect(await late).toMatchObject({ rejects: [{ code: 'rules-of-a-file' }] });
    expect(versionOf(publisher)).toBe(2);
  });

  it('can be gone back to within the guards alone', async () => {
    const { publisher, write } = await house(OPEN);
    await write(WORK);
    expect(await publisher.rollback(1, {}, { role: 'push' })).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: 'no-policy' }, { guard: 'accept-all' }],
    });
  });

  it('are anybody’s once the configuration names no file, and the file’s again when it does', async () => {
    const { publisher, path, rules } = await house(WORK);
    await rules.close();
    publisher.rules.name(undefined);
    expect(policiesOf(publisher)).toEqual(['work']);
    const changed = WORK.replace('203.0.113.0', '198.51.100.0');
    expect(await pushed(publisher, changed)).toBe('released');
    await watching(publisher, path);
    expect(versionOf(publisher)).toBe(3);
    expect(await pushed(publisher, changed)).toBe('rules-of-a-file work');
  });
});

describe('parts of the rules file that a configuration names', () => {
  const changed = WORK.replace('203.0.113.0', '198.51.100.0');

  /** Its sources, which are not started, and what writes another configuration and reads it. */
  function linked(publisher: Publisher, path: string, lists: string) {
    const directory = join(path, '..');
    const configFile = join(directory, 'publisher.yaml');
    const write = (text: string): void => place(configFile, `rules: rules.yaml\nlists: ${text}\n`);
    write(lists);
    const { config } = parseConfig(configFile, readFileSync(configFile));
    if (config === undefined) throw new Error('the configuration of the test is wrong');
    const { logger, nowMs } = publisher;
    const audit = new AuditLog({ stateDirectory: directory, logger, nowMs });
    const link = new SourcesLink({ publisher, config, configFile, stateDirectory: directory, audit });
    onTestFinished(() => link.close());
    const reload = (text: string): Promise<void> => {
      write(text);
      return link.reload(configFile);
    };
    return { link, reload };
  }

  it('are changed by no push while a publisher starts', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, path, rules } = await house(WORK, { stateDirectory });
    await rules.close();
    await publisher.close();
    const again = freshPublisher({ stateDirectory });
    const starting = linked(again, path, '{}').link.start();
    expect(again.rules.parts.policies).toEqual(new Set(['work']));
    await starting;
  });

  it('are not those of a source at once: the file is refused, and taken when the source is gone', async () => {
    const text = `lists: { a: { entries: [192.0.2.1] } }\n${WORK.replace('accept', 'accept dst=@a, accept')}`;
    const { publisher, path, rules } = await house(text);
    await rules.close();
    const { link, reload } = linked(publisher, path, '{}');
    await link.start();
    const contentOfA = () => publisher.head?.ruleSet.lists.get('a');
    const before = contentOfA();
    place(join(path, '..', 'a.txt'), '192.0.2.7\n');
    await reload('{ a: { file: a.txt } }');
    await expect.poll(contentOfA, { timeout: 5000 }).not.toEqual(before);
    await expect
      .poll(() => Object.values(link.degraded).join(''), { timeout: 5000 })
      .toMatch(/^rules.yaml is refused: .*list a is kept fresh by a source/);
    expect(await pushed(publisher, changed)).toBe('rules-of-a-file work');
    await reload('{}');
    await expect.poll(contentOfA, { timeout: 5000 }).toEqual(before);
    await expect.poll(() => Object.values(link.degraded).flat(), { timeout: 5000 }).toEqual([]);
  });

  it('are those that a source leaves, once its list is withdrawn: as are those of a push', async () => {
    const { publisher, path, rules } = await house(WORK);
    await rules.close();
    const { link, reload } = linked(publisher, path, '{ a: { file: a.txt }, b: { file: a.txt } }');
    place(join(path, '..', 'a.txt'), '192.0.2.7\n');
    await link.start();
    const inForce = () => [versionOf(publisher), ...(publisher.head?.ruleSet.lists.keys() ?? [])];
    await expect.poll(inForce, { timeout: 5000 }).toEqual([2, 'a', 'b']);
    place(path, `lists: { a: { entries: [192.0.2.7] } }\n${WORK}`);
    await reload('{}');
    const list = 'lists: { b: { entries: [192.0.2.7] } }\n';
    const isEarly = (await pushed(publisher, list)) !== 'list-of-a-source b';
    await expect.poll(inForce, { timeout: 5000 }).toEqual([4, 'a']);
    expect([isEarly, ...Object.values(link.degraded).flat()]).toEqual([false]);
    expect(await pushed(publisher, list)).toBe('released');
  });
});

describe('parts that were of the rules file', () => {
  it('go when it says something else, if a rollback brought them back', async () => {
    const { publisher, write } = await house(
      WORK.replace('unmatched', '  home: { prefixes: [10.137.0.8] }\nunmatched'),
    );
    await write(WORK);
    await publisher.rollback(1, {}, { permits: ALL_PERMITS });
    expect(policiesOf(publisher)).toEqual(['home', 'work']);
    await write(`# another\n${WORK}`);
    expect(policiesOf(publisher)).toEqual(['work']);
  });

  it('stay if somebody pushed them since', async () => {
    const { publisher, write } = await house(
      WORK.replace('unmatched', '  home: { prefixes: [10.137.0.8] }\nunmatched'),
    );
    await write(WORK);
    expect(await pushed(publisher, HOME, { dryRun: true })).toBe('planned');
    expect(await pushed(publisher, HOME)).toBe('released');
    await write(`# another\n${WORK}`);
    expect(policiesOf(publisher)).toEqual(['home', 'work']);
  });
});

describe('what guards refuse of the rules file', () => {
  const SHUT = WORK.replace('accept dst4=203.0.113.0/24', 'drop');
  const bytesPushed = (publisher: Publisher, text: string, options: PushOptions = {}) =>
    publisher.push(pushOf({ '/etc/rulecast/rules.yaml': text }), options);

  it('is told with the line that permits it, and a push of these bytes with it is the file', async () => {
    const { publisher, write, rules } = await house(WORK);
    await write(SHUT);
    expect(rules.trouble).toMatch(
      /refused \(rulectl push --permit drop-all takes it\): policy work: nothing .* accepted any more$/,
    );
    expect(await bytesPushed(publisher, SHUT)).toMatchObject({ kind: 'guarded' });
    const permits = new Set(['drop-all']);
    expect(await bytesPushed(publisher, `${SHUT}# other bytes\n`, { permits })).toMatchObject({
      kind: 'rejects',
    });
    expect(await bytesPushed(publisher, SHUT, { permits, dryRun: true })).toMatchObject({ kind: 'planned' });
    await rules.look();
    expect(rules.trouble).toBeDefined();
    expect(await bytesPushed(publisher, SHUT, { permits, by: 'admin' })).toMatchObject({ kind: 'released' });
    expect([versionOf(publisher), rules.trouble]).toEqual([2, undefined]);
  });

  it('is what they refuse the role push, but where nothing was said of any qube', async () => {
    const { publisher, write, rules } = await house(OPEN);
    expect(versionOf(publisher)).toBe(1);
    await write(WORK);
    await write(
      `${WORK.replace('unmatched', '  q: { prefixes: [10.137.0.7], default: accept }\nunmatched')}`,
    );
    expect(versionOf(publisher)).toBe(2);
    expect(rules.trouble).toMatch(/--permit accept-all takes it\): policy q: it would accept /);
  });

  it('is tried again by itself where a name did not resolve', async () => {
    const waiting: [number, () => void][] = [];
    const after = (ms: number, work: () => void) => {
      waiting.push([ms, work]);
      return () => undefined;
    };
    let answer: PrefixSet = EMPTY_PREFIX_SET;
    const clock = { ...SYSTEM_CLOCK, after };
    const text = WORK.replace(
      'accept dst4=203.0.113.0/24',
      'drop dsthost=a.example, accept dst4=203.0.113.0/24',
    );
    const { publisher, rules } = await house(text, { clock, resolve: async () => answer });
    expect(rules.trouble).toMatch(
      /refused \(rulectl push --permit unresolved takes it\): policy work: drop /,
    );
    expect(waiting.map(([ms]) => ms)).toContain(10_000);
    answer = prefixes('192.0.2.7');
    await publisher.refreshNames();
    for (const [ms, work] of waiting.splice(0)) if (ms === 10_000) work();
    await rules.look();
    expect(rules.trouble).toBeUndefined();
  });

  it('leaves a file that says nothing of any qube refused, as nothing permits it', async () => {
    const { publisher, write, rules } = await house(WORK);
    await write('lists: {}\n');
    expect(rules.trouble).toMatch(/unmatched: nothing would be said of any qube/);
    expect(rules.trouble).not.toMatch(/--permit/);
    expect(versionOf(publisher)).toBe(1);
  });
});

describe('after a store that is lost', () => {
  async function startedOver() {
    const stateDirectory = temporaryDirectory();
    const { publisher, rules, path } = await house(WORK, { stateDirectory });
    await rules.close();
    await publisher.close();
    rmSync(join(stateDirectory, 'store'), { recursive: true });
    return { again: freshPublisher({ stateDirectory, startOver: true }), path };
  }

  it('a rules file with policies is the push that is waited for, with the lists of sources that wait', async () => {
    const { again, path } = await startedOver();
    again.setListOwner({ owns: (list) => list === 'feed', isOperand: () => false });
    place(path, WORK.replace('accept dst4=203.0.113.0/24', 'accept dst=@feed'));
    const watched = await watching(again, path);
    expect(watched.rules.trouble).toMatch(/waits for list feed/);
    const batch = new Map([['feed', prefixListOf(prefixes('192.0.2.1'))]]);
    await again.updateLists(batch);
    expect(versionOf(again)).toBe(0);
    watched.rules.listsChanged((list) => batch.has(list));
    await watched.rules.look();
    expect([versionOf(again), policiesOf(again), again.isStartedOver]).toEqual([1, ['work'], false]);
  });

  it.each([
    ['without policies is not', 'unmatched: drop\n', /has to have policies/],
    // Firewalls may have policies in force: what was refused as it opens them waited for a new store.
    ['that opens half of a family is not', `${OPEN}${HOME}`, /--permit accept-all takes it\): unmatched: /],
  ])('a rules file %s', async (_, text, trouble) => {
    const { again, path } = await startedOver();
    place(path, text);
    const watched = await watching(again, path);
    expect(watched.rules.trouble).toMatch(trouble);
    expect(versionOf(again)).toBe(0);
  });
});

describe('the rules file and a store that fails', () => {
  const CONTENTS = [WORK, WORK.replace('work', 'home')];

  it.each(['ENOSPC', 'doubtful', 'before', 'after'] as const)(
    'agree at every write, and after it: each content is released once (%s)',
    async (fault) => {
      for (let at = 1; ; at++) {
        const [stateDirectory, directory] = [temporaryDirectory(), temporaryDirectory()];
        const path = join(directory, 'rules.yaml');
        let faulty: FaultyDatabases | undefined;
        const databases = (folder: string): Databases => {
          faulty = faultyDatabases(openDatabases(folder), at, fault);
          return faulty;
        };
        place(path, CONTENTS[0] ?? '');
        try {
          const publisher = freshPublisher({ stateDirectory, databases });
          const { rules, write } = await watching(publisher, path);
          await write(CONTENTS[1] ?? '');
          await rules.close();
          await publisher.close().catch(() => undefined);
        } catch {
          // it ended as it began
        }
        place(path, CONTENTS[1] ?? '');
        const again = freshPublisher({ stateDirectory });
        const { rules } = await watching(again, path);
        expect([policiesOf(again), rules.trouble], `at ${at}`).toEqual([['home'], undefined]);
        const made = [...again.store.pastReleases()].map(({ notes }) => notes.changedParts.join());
        expect(made.length, `at ${at}`).toBe(new Set(made).size);
        expect(again.rules.parts.policies, `at ${at}`).toEqual(new Set(['home']));
        if (faulty?.isHit !== true) return expect(at).toBeGreaterThan(3);
      }
    },
  );
});
