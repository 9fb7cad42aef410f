/** Entries that come to stand for more names than before: what waits, what is told, and what takes it. */

import type { PushInput } from '@rulecast/formats';
import { nameListOf } from '@rulecast/rules';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { permitCodes } from '../src/guards/permits.ts';
import { WIDER } from '../src/guards/wider.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { freshPublisher, pushOf, release } from './fresh-publisher.ts';

const document = (names: string, resolve = 'firewall'): string => `
lists:
  updates: { names: [${names}], resolve: ${resolve} }
  ads: { names: [${names}], resolve: firewall }
policies: { default: { egress: [accept dst=@updates proto=tcp, drop dst=@ads] } }
`;

const named = (...texts: readonly string[]) => nameListOf(texts, 'firewall');
const entriesOf = (publisher: Publisher, list: string): string =>
  JSON.stringify(publisher.head?.ruleSet.lists.get(list) ?? 'none');

async function withRules(
  names: string,
  options: Parameters<typeof freshPublisher>[0] = {},
): Promise<Publisher> {
  const publisher = freshPublisher(options);
  await release(publisher, { 'rules.yaml': document(names) });
  return publisher;
}

describe('a list of a source', () => {
  it('that rules accept waits; one that they drop is released at once, and told of by list', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const publisher = await withRules('a.example, b.example', { logger });
    const before = entriesOf(publisher, 'updates');
    const wide = named('.a.example', 'b.example', '*.c.example');
    const { refused, widened } = await publisher.updateLists(
      new Map([
        ['updates', wide],
        ['ads', wide],
      ]),
    );
    expect([...refused]).toEqual([
      [
        'updates',
        {
          code: WIDER,
          reason:
            'say suffixes: below, or rulectl lists refresh updates --permit wider, if it is meant: 2 of its entries stand for more names than before, first .a.example, and rules accept it (suffixes: as-names keeps to the names)',
        },
      ],
    ]);
    expect(widened?.size).toBe(0);
    expect(entriesOf(publisher, 'updates')).toBe(before);
    expect(publisher.head?.ruleSet.lists.get('ads')).toEqual(wide);
    const [past] = publisher.store.pastReleases();
    expect(past?.notes).toMatchObject({ cause: 'source', detail: 'ads (2 entries wider)' });
    expect(lines.filter((line) => line.includes('list ads: 2 of its entries'))).toHaveLength(1);
  });

  it('that may widen is released, and what was against it is named', async () => {
    const publisher = await withRules('a.example');
    const wide = named('.a.example');
    const batch = new Map([
      ['updates', wide],
      ['ads', wide],
    ]);
    const { refused, widened } = await publisher.updateLists(batch, new Set(['updates']));
    expect(refused.size).toBe(0);
    expect([...(widened ?? [])]).toMatchObject([['updates', { code: WIDER }]]);
    expect(publisher.head?.ruleSet.lists.get('updates')).toEqual(wide);
  });

  it.each([
    ['other names', ['a.example', 'c.example']],
    ['what is narrower', ['b.example']],
    ['further suffixes, where it has some', ['a.example', '.b.example', '.c.example']],
  ])('is released with %s, though rules accept it', async (_, after) => {
    const publisher = await withRules('a.example, .b.example');
    const { refused } = await publisher.updateLists(new Map([['updates', named(...after)]]));
    expect([...refused]).toEqual([]);
  });

  it('that was empty, or is new, is released', async () => {
    const publisher = await withRules('a.example');
    await publisher.updateLists(new Map([['updates', named()]]));
    const { refused } = await publisher.updateLists(
      new Map([
        ['updates', named('.a.example')],
        ['other', named('.a.example')],
      ]),
    );
    expect([...refused]).toEqual([]);
  });
});

describe('a push', () => {
  it('by which entries of a list that rules accept are wider is refused, and taken by its permit alone', async () => {
    const audit: ReleaseAudit[] = [];
    const publisher = await withRules('a.example', { audit: (entry) => void audit.push(entry) });
    const wide = pushOf({ 'rules.yaml': document('.a.example') });
    const others = new Set(permitCodes('push').filter((code) => code !== WIDER));
    expect(await publisher.push(wide, { permits: others })).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: WIDER, part: 'list updates', after: 1 }],
    });
    const reason = (list: string): string =>
      `list ${list}: 1 of its entries stands for more names than before, first .a.example`;
    expect(await publisher.push(wide, { permits: new Set(['wider']) })).toMatchObject({
      kind: 'released',
      notes: [
        { code: WIDER, part: 'updates', reason: reason('updates') },
        { code: WIDER, part: 'ads', reason: reason('ads') },
      ],
    });
    expect(audit.filter(({ code }) => code !== 'released')).toMatchObject([
      { part: 'list updates', code: WIDER },
    ]);
  });

  it('with further entries is not', async () => {
    const publisher = await withRules('a.example');
    const more = pushOf({ 'rules.yaml': document('a.example, .b.example') });
    expect(await publisher.push(more)).toMatchObject({ kind: 'released' });
  });

  it('that withdraws a part of a suffix makes an exception, and one that takes that back is wider', async () => {
    const publisher = await withRules('.a.example');
    const part = pushOf({ 'updates.txt': 'www.a.example\n' }, { action: 'withdraw' });
    expect(await publisher.push(part)).toMatchObject({ kind: 'released' });
    expect(publisher.head?.ruleSet.lists.get('updates')).toEqual(
      nameListOf(['.a.example'], 'firewall', ['www.a.example']),
    );
    const back = pushOf({ 'rules.yaml': document('.a.example') });
    expect(await publisher.push(back)).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: WIDER, part: 'list updates', after: 1 }],
    });
  });

  it('of suffixes that the publisher resolves says how many, and the line that takes their names', async () => {
    const publisher = freshPublisher();
    const text = 'lists: { updates: { file: names.txt, resolve: publisher } }\n';
    const pushed = (document: string): PushInput => {
      const { files, ...input } = pushOf({ 'rules.yaml': document });
      const bytes = Buffer.from('||a.example^\n||b.example^\n');
      return { ...input, files: [...files, { name: 'names.txt', role: 'referenced', bytes }] };
    };
    await expect(publisher.push(pushed(text))).rejects.toThrow(
      /\(2\).*say resolve: firewall for it, or suffixes: as-names to take their names alone/,
    );
    const asNames = text.replace('publisher', 'publisher, suffixes: as-names');
    expect(await publisher.push(pushed(asNames))).toMatchObject({ kind: 'released' });
    expect(publisher.head?.ruleSet.lists.get('updates')).toEqual(
      nameListOf(['a.example', 'b.example'], true),
    );
    const ofAddresses = pushOf({
      'rules.yaml': 'lists: { a: { entries: [192.0.2.1], suffixes: as-names } }\n',
    });
    expect(await publisher.push(ofAddresses)).toMatchObject({ rejects: [{ code: 'resolve-without-names' }] });
  });
});
