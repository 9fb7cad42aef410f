/**
 * The declared keys of the configuration, beside what the references below docs/ and examples/publisher.yaml
 * say of them.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMPANIES, type Company } from '../src/config/company.ts';
import { CONFIG_KEYS } from '../src/config/config.ts';
import { type Key, type Keys, keyOf } from '../src/config/key.ts';
import { LIST_KEYS, SHARED_KEYS } from '../src/config/list-keys.ts';
import { ROLE_KEYS } from '../src/config/operators.ts';
import { SUBSCRIBER_KEYS } from '../src/config/subscribers.ts';
import { TABLE_KEYS } from '../src/config/table.ts';

const reference = (page: string): string =>
  readFileSync(new URL(`../../../docs/reference/${page}.md`, import.meta.url), 'utf8');
const docs = reference('publisher-yaml');
const example = readFileSync(new URL('../../../examples/publisher.yaml', import.meta.url), 'utf8');

const LIST_HEAD = '| key | is | without it | goes with |\n| --- | --- | --- | --- |';
const HEAD = '| key | is | without it |\n| --- | --- | --- |';

function rowOf(
  [field, { sentence, standard, sources = [] }]: [string, Key<unknown, unknown>],
  isOfLists: boolean,
): string {
  const inCode = (word: string): string => `\`${word}\``;
  const without = standard === undefined ? '' : inCode(standard);
  const row = `| ${inCode(keyOf(field))} | ${sentence} | ${without} |`;
  return isOfLists ? `${row} ${sources.map(inCode).join(', ')} |` : row;
}

function tableOf(keys: Keys, isOfLists: boolean): string {
  const rows = Object.entries(keys).map((entry) => rowOf(entry, isOfLists));
  return `\n\n${[isOfLists ? LIST_HEAD : HEAD, ...rows].join('\n')}\n`;
}

const OWN_LIST_KEYS = Object.fromEntries(
  Object.entries(LIST_KEYS).filter(([key]) => !Object.hasOwn(SHARED_KEYS, key)),
);

describe('every key of the configuration', () => {
  it.each<[string, Keys | undefined, boolean]>([
    ['itself', CONFIG_KEYS, false],
    ['curve', CONFIG_KEYS.curve.keys, false],
    ['a subscriber', SUBSCRIBER_KEYS, false],
    ['an operator', ROLE_KEYS, false],
    ['its socket', SUBSCRIBER_KEYS.socket.keys, false],
    ['depot', CONFIG_KEYS.depot.keys, false],
    ['fleet', CONFIG_KEYS.fleet.keys, false],
    ['dns', CONFIG_KEYS.dns.keys, false],
    ['never-block', CONFIG_KEYS.neverBlock.keys, false],
    ['limits', CONFIG_KEYS.limits.keys, false],
    ['defaults', SHARED_KEYS, true],
    ['a list', OWN_LIST_KEYS, true],
    ['a table', TABLE_KEYS, false],
  ])(
    'of %s has its row in docs/reference/publisher-yaml.md, as it is declared',
    (_, keys = {}, isOfLists) => {
      expect(docs).toContain(tableOf(keys, isOfLists));
    },
  );

  it.each([
    ['defaults', SHARED_KEYS],
    ['limits', CONFIG_KEYS.limits.keys ?? {}],
    ['depot', CONFIG_KEYS.depot.keys ?? {}],
    ['fleet', CONFIG_KEYS.fleet.keys ?? {}],
  ])('below %s has its standard value in examples/publisher.yaml', (_, keys: Keys) => {
    for (const [field, { standard }] of Object.entries(keys)) {
      if (standard !== undefined)
        expect(example).toMatch(new RegExp(`^  ${keyOf(field)}: ${standard}(?: |$)`, 'm'));
    }
  });

  it('that takes effect at the next start is marked in examples/publisher.yaml, and no other', () => {
    const marked = Array.from(example.matchAll(/^(?: *|# )([a-z-]+):.*# \(start\)/gm), ([, key]) => key);
    const atStart = [CONFIG_KEYS, CONFIG_KEYS.limits.keys ?? {}].flatMap((keys) =>
      Object.entries<Key<unknown, unknown>>(keys).filter(([, key]) => key.atStart === true),
    );
    const subscribers = ['sys-firewall', 'sys-vpn-firewall', 'lab-firewall'];
    expect(marked.toSorted()).toEqual([...atStart.map(([field]) => keyOf(field)), ...subscribers].toSorted());
  });

  it('that is a guard has its standard value in the table of guards', () => {
    const guards = /\| guard \| key \| default \|.*?\n\n/s.exec(reference('guards'))?.[0] ?? '';
    const told = Object.entries({ ...SHARED_KEYS, ...CONFIG_KEYS.limits.keys }).filter(
      ([field, { standard }]) => {
        const row = guards
          .split('\n')
          .find((line) => line.split('|')[2]?.match(new RegExp(`\`(?:limits: )?${keyOf(field)}\``)));
        if (row === undefined || standard === undefined) return false;
        expect(row.split('|')[3]).toContain(standard);
        return true;
      },
    );
    expect(told.map(([field]) => keyOf(field))).toEqual([
      'rejects',
      'shrink',
      'growth',
      'max-coverage',
      'coverage-change',
      'entries',
      'bytes',
      'archive-members',
    ]);
  });
});

describe('companies', () => {
  it('are told in docs/reference/publisher-yaml.md as they are built in, and at most 20', () => {
    const rows = Object.entries<Company>(COMPANIES).map(([name, { urls, service, asn = [] }]) => {
      if (urls === undefined) return `| ${name} | ${asn.map((number) => `AS${number}`).join(', ')} |`;
      const some = service === undefined ? '' : ` (${service.join(', ')})`;
      return `| ${name} | ${urls.join(', ')}${some} |`;
    });
    expect(docs).toContain(`| company | is |\n| --- | --- |\n${rows.join('\n')}\n\n`);
    expect(rows.length).toBeLessThanOrEqual(20);
  });
});
