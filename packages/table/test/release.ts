/** Two releases that answer the opposite of each other, so that a torn or a stale look shows. */

import {
  type Environment,
  emptyPolicy,
  type List,
  type Packet,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
  unionPrefixes,
} from '@rulecast/rules';
import { type Image, openImage } from '../src/image/header.ts';
import type { Table } from '../src/index.ts';
import { ControlField } from '../src/memory/control.ts';
import { TableMemory } from '../src/memory/memory.ts';

export const ENVIRONMENT: Environment = { now: 0, dns: [] };
export const HOSTS = 4096;
export const FIRST = 0x0a000000;

/**
 * A rule set that accepts (odd) or drops (even) HOSTS hosts by a list, and does the opposite by default. With
 * `more` hosts in the list that no test asks about, to make it large.
 */
export function release(number: number, more = 0): RuleSet {
  const rules = new RunBuilder();
  const accepts = number % 2 === 1;
  rules.push({
    ...plainRule(accepts ? 'accept' : 'drop'),
    remote: { kind: 'list', list: `release-${number % 2}` },
  });
  const hosts = Array.from({ length: HOSTS }, (_, i) => prefixOf(4, [FIRST + i * 1024], 32));
  // The releases differ in size and layout too, so that a torn read finds other bytes.
  if (accepts)
    hosts.push(...Array.from({ length: 500 }, (_, i) => prefixOf(4, [0xc0000000 + i * 65536], 24)));
  for (let i = 0; i < more; i++) hosts.push(prefixOf(4, [0x20000000 + i * 4 + (number % 2)], 32));
  const policy = {
    ...emptyPolicy('default'),
    egress: rules.build(),
    defaultAction: accepts ? ('drop' as const) : ('accept' as const),
  };
  return {
    lists: new Map([[`release-${number % 2}`, prefixListOf(prefixSetOf(hosts))]]),
    policies: new Map([['default', policy]]),
    resolutions: new Map(),
    unmatched: undefined,
  };
}

/** Rules that accept list release-1 and drop list release-0; those of another comment are other rules. */
export function shuttlePolicies(comment: string): RuleSet['policies'] {
  const rules = new RunBuilder();
  for (const list of [1, 0]) {
    rules.push({
      action: list === 1 ? 'accept' : 'drop',
      remote: { kind: 'list', list: `release-${list}` },
      proto: undefined,
      dns: false,
      ports: undefined,
      icmpType: undefined,
      expire: undefined,
      comment,
    });
  }
  return new Map([['default', { ...emptyPolicy('default'), egress: rules.build() }]]);
}

/** The rule set with one more host in its list, which no test asks about. */
export function withHost(ruleSet: RuleSet, index: number): RuleSet {
  const lists: RuleSet['lists'] = new Map(
    [...ruleSet.lists].map(([name, list]): [string, List] => {
      if (list.kind !== 'prefixes') return [name, list];
      const host = prefixSetOf([prefixOf(4, [0x0b000000 + index * 4099], 32)]);
      return [name, prefixListOf({ v4: unionPrefixes(list.v4, host.v4), v6: list.v6 })];
    }),
  );
  return { ...ruleSet, lists };
}

/** To one of the HOSTS hosts. */
export function hostPacket(index: number): Packet {
  const dst = prefixOf(4, [FIRST + index * 1024], 32);
  return { direction: 'egress', src: undefined, dst, proto: 6, port: 443, icmpType: undefined };
}

/** The generation in force, as its writer and its readers see it. */
export function imageOf(table: Table): Image {
  const { views } = new TableMemory(table.handle().memory);
  return openImage(views, views.words[ControlField.header] ?? 0, undefined);
}
