/** Rule sets that change as they do in life, the same for the same seed. */

import {
  canonicalPrefixes,
  EMPTY_PREFIX_SET,
  EMPTY_RULE_SET,
  emptyPolicy,
  type List,
  nameListOf,
  type Policy,
  PrefixBuilder,
  type PrefixSet,
  prefixListOf,
  type RuleSet,
  type Runs,
} from '@rulecast/rules';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { runsFrom } from '../../../test/kit/rules.ts';

/** What made the releases of tests that do not care. */
export const PUSHED = { cause: 'push', detail: 'a test' } as const;

/** Gives a number in [0, below). */
export type Draw = (below: number) => number;

/** Random IPv4 hosts as a canonical set. */
export function randomHosts(draw: Draw, count: number): PrefixSet {
  const builder = new PrefixBuilder(4, count);
  for (let i = 0; i < count; i++) builder.push(Uint32Array.of(draw(2 ** 32)), 0, 32);
  return { v4: canonicalPrefixes(builder.build()), v6: EMPTY_PREFIX_SET.v6 };
}

export function runsOfLines(...lines: readonly string[]): Runs {
  return runsFrom('egress', lines);
}

export function policyOf(name: string, ...lines: readonly string[]): Policy {
  return { ...emptyPolicy(name), egress: runsOfLines(...lines) };
}

/** A rule set of lists of prefixes and policies. */
export function ruleSetOf(lists: Readonly<Record<string, List>>, ...policies: readonly Policy[]): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    lists: new Map(Object.entries(lists)),
    policies: new Map(policies.map((policy) => [policy.name, policy])),
  };
}

/**
 * A list that loses and gains some hosts each turn, a list of names and a policy that change now and then.
 */
export class Churn {
  private readonly draw: Draw;
  private hosts: number[];
  private names: string[] = ['a.example', 'b.example'];
  private lines: string[] = ['action=drop dst=@blocked'];

  constructor(seed: number, entries: number) {
    this.draw = seededNumbers(seed);
    this.hosts = Array.from({ length: entries }, () => this.draw(2 ** 32));
  }

  /** The next rule set; never the same as the one before. */
  next(): RuleSet {
    const { draw } = this;
    this.hosts.splice(draw(this.hosts.length - 40), draw(40));
    const added = 1 + draw(40);
    for (let i = 0; i < added; i++) this.hosts.push(draw(2 ** 32));
    if (draw(4) === 0) this.names.push(`host-${draw(2 ** 32)}.example`);
    if (draw(8) === 0 && this.names.length > 2) this.names.shift();
    if (draw(4) === 0) this.lines.push(`action=accept dst4=10.${draw(256)}.${draw(256)}.0/24 proto=tcp`);
    if (draw(8) === 0 && this.lines.length > 1) this.lines.splice(1 + draw(this.lines.length - 1), 1);
    return this.ruleSet();
  }

  private ruleSet(): RuleSet {
    const builder = new PrefixBuilder(4, this.hosts.length);
    for (const host of this.hosts) builder.push(Uint32Array.of(host), 0, 32);
    const set = { v4: canonicalPrefixes(builder.build()), v6: EMPTY_PREFIX_SET.v6 };
    const lists: Record<string, List> = { blocked: prefixListOf(set), names: nameListOf(this.names, false) };
    const policies = [policyOf('default', ...this.lines)];
    if (this.lines.length % 3 === 0) policies.push(policyOf('common', 'drop dst4=192.0.2.0/24'));
    return ruleSetOf(lists, ...policies);
  }
}
