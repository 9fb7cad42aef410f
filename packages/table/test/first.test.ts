/** The policy `first` in a table: programs of its own, which are asked before all others. */

import {
  EMPTY_RULE_SET,
  emptyPolicy,
  evaluate,
  FIRST_POLICY,
  type Packet,
  type Policy,
  parseAddress,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import { Table, type TableLimits } from '../src/index.ts';
import { labelsOf, programCount, programField } from '../src/program/origin.ts';
import { PROGRAM_HEADER_WORDS, PROGRAM_WORDS } from '../src/program/program.ts';
import { checkPackets } from './check-packets.ts';
import { ENVIRONMENT, imageOf } from './release.ts';

/** A policy of some qubes, or a reserved one. */
function policy(
  name: string,
  egress: readonly string[],
  ingress: readonly string[] = [],
  ...qubes: readonly string[]
): [string, Policy] {
  const rules = { egress: runsFrom('egress', egress), ingress: runsFrom('ingress', ingress) };
  return [name, { ...emptyPolicy(name), ...rules, prefixes: prefixSetFrom(qubes) }];
}

/** What `first` says, in the middle of others, which accept. */
function ruleSetOf(egress: readonly string[], ingress: readonly string[] = []): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([
      ['bad', prefixListOf(prefixSetFrom(['198.51.100.0/24', '2001:db8:bad::/48']))],
      ['other', prefixListOf(prefixSetFrom(['198.51.0.0/16', '203.0.113.0/24']))],
    ]),
    policies: new Map([
      policy('common', ['accept dst4=198.51.100.7']),
      policy('a', ['accept'], ['accept'], '10.137.0.5', 'fd09::5'),
      policy('b', ['accept dst=@other', 'drop dst=@bad proto=udp', 'accept proto=tcp'], [], '10.137.0.6'),
      policy(FIRST_POLICY, egress, ingress),
    ]),
  };
}

function packet(direction: Packet['direction'], from: string, to: string, port = 443): Packet {
  const [src, dst] = [from, to].map(parseAddress);
  if (src === undefined || dst === undefined) throw new TypeError(`${from} or ${to} is no address`);
  return { direction, src, dst, proto: 6, port, icmpType: undefined };
}

const ADDRESSES = [
  ...[
    '10.137.0.5',
    '10.137.0.6',
    '10.137.0.9',
    '198.51.100.7',
    '198.51.100.8',
    '198.51.101.1',
    '203.0.113.9',
  ],
  ...['192.0.2.1', 'fd09::5', 'fd09::9', '2001:db8:bad::1', '2001:db8::1'],
];

/** From each address to each other, to a port or another, by one protocol or another. */
const PACKETS: readonly Packet[] = ADDRESSES.flatMap((src, i) =>
  ADDRESSES.flatMap((dst, j) =>
    (['egress', 'ingress', 'both'] as const).flatMap((direction) => {
      const one = packet(direction, src, dst, (i + j) % 2 === 0 ? 25 : 443);
      const other = [{ proto: 17 }, { port: undefined }, { src: undefined }][(i + 2 * j) % 3];
      return [one, { ...one, ...other }];
    }),
  ),
);

const EGRESS = ['drop dst=@bad', 'drop proto=tcp dstports=25 dst4=192.0.2.0/24', 'drop dst6=2001:db8::/64'];
const INGRESS = ['drop src=@other'];

/** With shapes, with nodes, and with nodes that look at the predicates of a class one by one. */
const KINDS: readonly (readonly [string, Partial<TableLimits>])[] = [
  ['shapes', {}],
  ['lists and maps', { combined: 0 }],
  ['members', { combined: 0, rows: 0 }],
];

describe('the policy first', () => {
  it.each(KINDS)('is asked before all others, for every qube, in both directions: %s', (_, limits) => {
    const table = new Table({ limits });
    for (const [egress, ingress] of [
      [EGRESS, INGRESS],
      [EGRESS, []],
      [[], INGRESS],
      [[], []],
      [['drop'], ['drop']],
    ] as const) {
      for (const unmatched of [undefined, 'drop', 'accept'] as const) {
        const ruleSet = { ...ruleSetOf(egress, ingress), unmatched };
        table.flip(table.prepare(ruleSet, ENVIRONMENT));
        checkPackets(table, ruleSet, ENVIRONMENT, PACKETS, `${egress.length} ${ingress.length} ${unmatched}`);
      }
    }
  });

  it.each<[string, Packet, string]>([
    ['an accept of common', packet('egress', '10.137.0.5', '198.51.100.7'), 'drop egress first'],
    ['a qube that nobody judges', packet('egress', '10.137.0.9', '198.51.100.8'), 'drop egress first'],
    ['but nothing else of it', packet('egress', '10.137.0.9', '192.0.2.1'), 'none undefined undefined'],
    ['what it gets', packet('ingress', '203.0.113.9', '10.137.0.9'), 'drop ingress first'],
    ['but nothing else of that', packet('ingress', '192.0.2.1', '10.137.0.9'), 'none undefined undefined'],
    ['what another gets', packet('ingress', '203.0.113.9', '10.137.0.5'), 'drop ingress first'],
    ['but nothing else', packet('ingress', '192.0.2.1', '10.137.0.5'), 'accept ingress a'],
  ])('drops before %s', (_, one, expected) => {
    const table = new Table();
    table.flip(table.prepare(ruleSetOf(EGRESS, INGRESS), ENVIRONMENT));
    const { action, direction, policy: by } = table.reader.lookup(one) ?? {};
    expect(`${action} ${direction} ${by}`).toBe(expected);
  });

  it('alone judges, counts and explains by its own rules', () => {
    const { lists, policies } = ruleSetOf(EGRESS);
    const first = new Map([...policies].filter(([name]) => name === FIRST_POLICY));
    const ruleSet: RuleSet = { ...EMPTY_RULE_SET, lists, policies: first };
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    for (const port of [25, 443]) table.reader.lookup(packet('egress', '10.137.0.9', '192.0.2.1', port));
    table.reader.lookup(packet('ingress', '192.0.2.1', '10.137.0.9'));
    const dropped = packet('egress', '10.137.0.9', '198.51.100.9');
    table.reader.lookup(dropped);
    expect(table.hits()).toEqual({
      generation: 1,
      none: 2,
      programs: [
        {
          policy: 'first',
          direction: 'egress',
          defaultAction: 0,
          exceptions: [],
          common: [],
          own: [1, 1, 0],
        },
      ],
      lists: new Map([['bad', 1]]),
    });
    expect(table.explain(dropped)).toEqual({
      verdict: evaluate(ruleSet, ENVIRONMENT, dropped),
      rule: 'action=drop dst=@bad',
      generation: 1,
    });
  });

  it.each(KINDS.slice(0, 2))('changes without a word of any other policy’s programs: %s', (_, limits) => {
    const table = new Table({ limits });
    let ruleSet = ruleSetOf(EGRESS, INGRESS);
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const { classes } = table.stats();
    const before = wordsOf(table, classes);
    expect(before.size).toBeGreaterThan(2);
    // For classes that come with its prefixes all may have more rows; those that there were stay.
    for (const egress of [
      [...EGRESS, 'drop dst=@other'],
      ['drop dst4=192.0.2.77', ...EGRESS],
      EGRESS.slice(1),
    ]) {
      ruleSet = ruleSetOf(egress, INGRESS);
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      expect(prepared.isEdit).toBe(true);
      table.flip(prepared);
      expect(wordsOf(table, classes)).toEqual(before);
      checkPackets(table, ruleSet, ENVIRONMENT, PACKETS, egress.join());
    }
  });
});

/** By policy and direction, the records, rows and labels of the programs that are not of `first`. */
function wordsOf(table: Table, classes: number): ReadonlyMap<string, readonly number[]> {
  const { programs } = imageOf(table);
  const { programs: hits } = table.hits();
  const words = new Map<string, readonly number[]>();
  for (let program = 0; program < programCount(programs); program++) {
    const { policy: name, direction } = hits[program] ?? {};
    if (name === FIRST_POLICY) continue;
    const record = PROGRAM_HEADER_WORDS + program * PROGRAM_WORDS;
    const rows = programField(programs, program, 'rows');
    const hasOne = programField(programs, program, 'classMask') === 0;
    const block = programField(programs, program, 'ownBlock');
    words.set(`${name} ${direction}`, [
      ...programs.subarray(record, record + PROGRAM_WORDS),
      ...programs.subarray(rows, rows + (hasOne ? 1 : classes)),
      ...(block < 0 ? [] : labelsOf(programs, block)),
    ]);
  }
  return words;
}
