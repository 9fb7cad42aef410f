/** `rulectl names`: what `nft` lists of name sets, as it lists it, and where there is nothing to list. */

import { describe, expect, it } from 'vitest';
import type { CommandResult, Machine } from '../src/doctor/finding.ts';
import { isDigest, openNames } from '../src/doctor/opened.ts';
import { ndjson, rulectl } from './cli.ts';

const [SET4, SET6] = ['n0123456789abcdef_4_64_0000000000000000', 'n0123456789abcdef_6_64_0000000000000000'];
const DIGEST = 'ab'.repeat(32);

/** What the words after `nft -j` list; undefined: it ends with 1. */
type Listings = Readonly<Record<string, readonly object[] | undefined>>;

function machine(listings: Listings): Machine {
  const run = (_: string, ...words: readonly string[]): CommandResult => {
    const nftables = listings[words.slice(1).join(' ')];
    return nftables === undefined
      ? { status: 1, stdout: '' }
      : { status: 0, stdout: JSON.stringify({ nftables: [{ metainfo: {} }, ...nftables] }) };
  };
  const none = (): undefined => undefined;
  return {
    run,
    text: none,
    state: none,
    target: none,
    freeBytes: none,
    nowMs: 0,
    kernel: '6.12',
    node: '20',
  };
}

const chain = (table: string, name: string): object => ({ chain: { family: 'inet', table, name } });
const set = (table: string, name: string, more: object = {}): object => ({ set: { table, name, ...more } });
const element = (concat: readonly string[], expires: number, comment: string): object => ({
  elem: { val: { concat }, timeout: 90, expires, comment },
});

const THERE: Listings = {
  'list chains inet': [chain('rulecast_b', 'egress4'), chain('rulecast_a', 'forward'), chain('x', 'forward')],
  '-t list sets inet': [
    set('rulecast_a', SET4, { comment: 'updates' }),
    set('rulecast_a', 's0123456789abcdef_4_i_00000000'),
    set('rulecast_b', SET4),
    set('rulecast_a', SET6),
  ],
  [`list set inet rulecast_a ${SET4}`]: [
    set('rulecast_a', SET4, {
      comment: 'updates',
      elem: [
        element(['10.137.0.6', '192.0.2.7'], 20, 'api.example'),
        element(['10.137.0.5', '192.0.2.8'], 89, 'api.example'),
        element(['10.137.0.5', '192.0.2.7'], 49, 'api.example'),
        element(['10.137.0.5', '192.0.2.7'], 1, DIGEST),
      ],
    }),
  ],
  [`list set inet rulecast_a ${SET6}`]: [set('rulecast_a', SET6)],
};

describe('what is open by name', () => {
  it('is what the name sets of the table in force hold, by list, qube and name', () => {
    expect(openNames(machine(THERE))).toEqual([
      {
        qube: '10.137.0.5',
        name: DIGEST,
        list: 'updates',
        addresses: [{ address: '192.0.2.7', leftS: 1, agoS: 89 }],
      },
      {
        qube: '10.137.0.5',
        name: 'api.example',
        list: 'updates',
        addresses: [
          { address: '192.0.2.7', leftS: 49, agoS: 41 },
          { address: '192.0.2.8', leftS: 89, agoS: 1 },
        ],
      },
      {
        qube: '10.137.0.6',
        name: 'api.example',
        list: 'updates',
        addresses: [{ address: '192.0.2.7', leftS: 20, agoS: 70 }],
      },
    ]);
    expect([isDigest(DIGEST), isDigest('api.example')]).toEqual([true, false]);
  });

  it.each<[string, Listings, string]>([
    ['who may not look', {}, 'not-allowed'],
    ['no table of ours', { 'list chains inet': [chain('x', 'forward')] }, 'no-firewall'],
    ['a table that nobody gets to', { 'list chains inet': [chain('rulecast_a', 'deny')] }, 'no-firewall'],
    [
      'a table that goes again and again',
      { ...THERE, [`list set inet rulecast_a ${SET4}`]: undefined },
      'not-allowed',
    ],
  ])('is not known to %s', (_, listings, code) => {
    expect(openNames(machine(listings))).toMatchObject({ code });
  });

  it('is asked of a qube by its address, and of a firewall alone', async () => {
    const wrong = await rulectl(['names', 'work']);
    expect([wrong.exit, wrong.stderr]).toEqual([64, expect.stringContaining('write the address of a qube')]);
    const { exit, stdout, stderr } = await rulectl(['names', '--json'], { env: { PATH: '/nonexistent' } });
    expect([exit, ndjson(stdout)[0]?.['code']]).toEqual([3, 'not-allowed']);
    expect(stderr).toContain('run it on the firewall, as root');
  });
});
