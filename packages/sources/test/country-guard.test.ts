/** The guards of lists of countries, of which the largest holds half of the Internet; and of all others. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { columnFor, routableShare } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SourceRig } from './source-rig.ts';

let rig: SourceRig;
afterEach(() => rig.sources.close());

/** What the registries have given to the United States, as large, as long and in such pieces. */
const LARGE = ['6.0.0.0/7', '8.0.0.0/7', '16.0.0.0/6', '28.0.0.0/7', '32.0.0.0/6', '214.0.0.0/7'];
const EIGHTS = [3, 4, 11, 12, 13, 15, 20, 21, 22, 23, 26, 30, 38, 40, 44, 47, 48, 50, 52, 54, 55, 56].concat(
  Array.from({ length: 13 }, (_, i) => 63 + i),
  [96, 97, 98, 99, 104, 107, 108, 128, 129, 130, 131, 132, 134, 135, 136, 137, 138, 139, 140, 142, 143],
  [144, 146, 147, 148, 149, 152, 155, 156, 157, 158, 159, 160, 161, 162, 164, 165, 166, 167, 168],
);
const SMALL_COUNT = 29_099 - LARGE.length - EIGHTS.length - 2;
const US = [
  ...LARGE,
  ...EIGHTS.map((first) => `${first}.0.0.0/8`),
  ...Array.from(
    { length: SMALL_COUNT },
    (_, i) => `${200 + (i >> 15)}.${(i >> 7) & 255}.${(i & 127) * 2}.0/24`,
  ),
  '2608::/13',
  '2620:0:8000::/33',
];

function start(config: string, files: Readonly<Record<string, string>>): Promise<void> {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  const rest = 'defaults: { quiet: 0s }\ntables: { t: { of: country, file: table.csv, quiet: 0s } }\n';
  rig = new SourceRig(directory, `${rest}lists:\n${config}`);
  return rig.sources.start(new Map());
}

const rows = (country: string, prefixes: readonly string[]): string =>
  prefixes.map((prefix) => `${prefix},${country}\n`).join('');
const TABLE = rows('US', US) + rows('KP', ['175.45.176.0/22']);

describe('the networks of the United States', () => {
  it.each([
    ['a table', 'us: { country: us }'],
    ['a file with countries', 'us: { file: table.csv, country: us, purpose: block }'],
  ])('are taken out of %s, with nothing permitted', async (_, list) => {
    await start(`  ${list}\n`, { 'table.csv': TABLE });
    await rig.batch(1);
    expect(rig.status('us')).toMatchObject({ count: 29_099, trouble: undefined });
    const held = rig.consumer.lists.get('us');
    if (held?.kind !== 'prefixes') throw new Error('no prefixes');
    expect(columnFor(held, 4).lengths.filter((length) => length < 8).length).toBe(LARGE.length);
    expect(routableShare(held, 4)).toBeGreaterThan(0.4);
  });

  it('are taken out of what the registries publish, all five of them, as counts of addresses', async () => {
    const records = US.map((prefix) => {
      const [address = '', length = ''] = prefix.split('/');
      const isFour = !address.includes(':');
      return `arin|US|${isFour ? 'ipv4' : 'ipv6'}|${address}|${isFour ? 2 ** (32 - Number(length)) : length}|20260101|allocated|x`;
    });
    const statistics = (registry: string, rows: readonly string[]): string =>
      `2|${registry}|20260101|${rows.length}|19830101|20260101|+0000\n${rows.map((row) => `${row}\n`).join('')}`;
    rig = new SourceRig(temporaryDirectory(), 'lists: { us: { country: us } }');
    const source = rig.parse('lists: { us: { country: us } }').tables.get('country')?.source;
    const [arin, ...others] = (source?.kind === 'url' ? source.urls : []).toSorted(
      (a, b) => Number(b.includes('arin')) - Number(a.includes('arin')),
    );
    rig.network.set(arin ?? '', statistics('arin', records));
    for (const url of others.slice(1))
      rig.network.set(url, statistics('apnic', ['apnic|JP|ipv4|1.0.16.0|4096|20260101|allocated|x']));
    await rig.sources.start(new Map());
    await rig.refresh(['us']);
    // One of the five is missing, and that is told, not that the table is.
    expect(rig.status('us').trouble).toMatchObject({
      code: 'connection',
      reason: 'table country: no network',
    });
    rig.network.set(
      others[0] ?? '',
      statistics('ripencc', ['ripencc|US|ipv4|193.0.0.0|256|20260101|assigned|x']),
    );
    await rig.refresh(['us']);
    expect(rig.status('us')).toMatchObject({ count: 29_100, trouble: undefined });
  });

  it('may be part of a list that is made of others', async () => {
    await start(
      '  us: { country: us, publish: false }\n  all: { union: [us, ours] }\n  ours: { entries: [192.0.2.1] }\n',
      {
        'table.csv': TABLE,
      },
    );
    await rig.batch(1);
    expect(rig.status('all')).toMatchObject({ count: 29_100, trouble: undefined });
  });

  it('in a list that does not say that it is of a country are refused once, with all that permits them', async () => {
    await start('  us: { file: us.netset }\n', { 'table.csv': TABLE, 'us.netset': US.join('\n') });
    await rig.state('us', 'failing');
    const { code, reason = '' } = rig.status('us').trouble ?? {};
    expect(code).toBe('short-prefix');
    expect(reason).toMatch(
      /7 of its prefixes are shorter than \/8.*\(allow-short-prefixes: true permits them\)/,
    );
    expect(reason).toMatch(
      /it would cover 4\d\.\d % of the IPv4 addresses .*\(max-coverage: sets the limit\)/,
    );
    expect(reason).toMatch(/rulectl lists refresh us --permit short-prefix,covers-too-much$/);
    await rig.sources.close();
    await start('  us: { file: us.netset, allow-short-prefixes: true, max-coverage: 50% }\n', {
      'table.csv': TABLE,
      'us.netset': US.join('\n'),
    });
    await rig.batch(1);
    expect(rig.status('us')).toMatchObject({ count: 29_099, trouble: undefined });
  });
});

describe('a list of a country', () => {
  it.each([
    [
      'more of the Internet than any country has',
      rows('KP', ['1.0.0.0/8', ...US, ...Array.from({ length: 20 }, (_, i) => `${170 + i}.0.0.0/8`)]),
      'covers-too-much',
    ],
    ['a CIDR that no registry gives to one country', rows('KP', ['64.0.0.0/5']), 'short-prefix'],
    ['likewise of IPv6', rows('KP', ['2600::/11']), 'short-prefix'],
  ])('is refused that holds %s', async (_, table, code) => {
    await start('  kp: { country: kp }\n', { 'table.csv': table + rows('US', US) });
    await rig.state('kp', 'failing');
    expect(rig.status('kp').trouble?.code).toBe(code);
  });

  it('has the limit that the configuration says', async () => {
    await start('  us: { country: us, max-coverage: 25% }\n', { 'table.csv': TABLE });
    await rig.state('us', 'failing');
    expect(rig.status('us').trouble?.code).toBe('covers-too-much');
  });
});

describe('a list of an autonomous system, and any other,', () => {
  it.each([
    ['/7', '6.0.0.0/7', 'short-prefix'],
    ['/13 of IPv6', '2608::/13', 'short-prefix'],
  ])('is refused a %s as before', async (_, prefix, code) => {
    await start('  a: { file: a.txt }\n', { 'table.csv': TABLE, 'a.txt': `${prefix}\n` });
    await rig.state('a', 'failing');
    expect(rig.status('a').trouble?.code).toBe(code);
  });
});
