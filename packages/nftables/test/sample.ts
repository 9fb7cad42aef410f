/** Rule sets from lines, for the tests of this package. */

import {
  type Action,
  type Direction,
  type Environment,
  type List,
  type Policy,
  type PrefixSet,
  parseAddress,
  type RuleSet,
} from '@rulecast/rules';
import { commandText, elementsText } from '../../../test/enforce/nft-text.mjs';
import { prefixFrom, prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import { keyPieces, mapPieces, type Piece } from '../src/kernel/elements.ts';
import { scriptOf } from '../src/kernel/script.ts';
import type { Change } from '../src/plan/change.ts';
import type { Plan, PlanSource } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';

export const NOW = 1000;
export const ENVIRONMENT: Environment = {
  now: NOW,
  dns: ['10.139.1.1', '10.139.1.2'].map((text) => parseAddress(text) ?? fail(text)),
};

export const prefix = prefixFrom;

export function prefixSet(...texts: readonly string[]): PrefixSet {
  return prefixSetFrom(texts);
}

export function list(...texts: readonly string[]): List {
  return { kind: 'prefixes', ...prefixSet(...texts) };
}

export interface SamplePolicy {
  readonly name: string;
  readonly prefixes: readonly string[];
  readonly egress?: readonly string[];
  readonly ingress?: readonly string[];
  readonly exceptions?: { readonly egress?: readonly string[]; readonly ingress?: readonly string[] };
  readonly defaultAction?: 'accept' | 'drop';
}

export function ruleSet(
  policies: readonly SamplePolicy[],
  lists: Readonly<Record<string, List>> = {},
  unmatched?: Action,
): RuleSet {
  return {
    lists: new Map(Object.entries(lists)),
    policies: new Map(policies.map((each) => [each.name, policyOf(each)])),
    resolutions: new Map(),
    unmatched,
  };
}

/** A rule set under the usual environment. */
export function sourceOf(rules: RuleSet): PlanSource {
  return { ruleSet: rules, environment: ENVIRONMENT };
}

/** Planned as if nothing was in the kernel. */
export function planned(rules: RuleSet, environment = ENVIRONMENT): Plan {
  return planOf({ ruleSet: rules, environment }, () => undefined).plan;
}

/** Planned with what is there kept where it fits. */
export function plannedAfter(rules: RuleSet, before: Plan, environment = ENVIRONMENT): Plan {
  return planOf({ ruleSet: rules, environment }, (key) => before.sets.get(key)).plan;
}

/** Where the changes of tests are made. */
export const TABLE = 'rulecast_a';

/** Everything that a change does, as nft would read it. */
export function scriptText(change: Change, body: Uint8Array): string {
  const { objects, chains, release } = scriptOf(change, TABLE);
  const lines: string[] = change.base === 'fresh' ? [`add table inet ${TABLE}`] : [];
  const put = (verb: 'add' | 'delete', pieces: Iterable<Piece>): void => {
    for (const piece of pieces) lines.push(elementsText(verb, TABLE, piece)); // they share memory
  };
  lines.push(...[...objects].map(commandText));
  for (const each of change.removed) put('delete', keyPieces(each, body));
  for (const each of change.added) put('add', keyPieces(each, body));
  lines.push(...[...chains].map(commandText));
  put('add', mapPieces(change.keys));
  lines.push(...[...release].map(commandText));
  return lines.map((line) => `${line}\n`).join('');
}

function policyOf({
  name,
  prefixes,
  egress = [],
  ingress = [],
  exceptions = {},
  defaultAction = 'drop',
}: SamplePolicy): Policy {
  const runs = (lines: readonly string[], direction: Direction) => runsFrom(direction, lines, NOW);
  return {
    name,
    prefixes: prefixSet(...prefixes),
    defaultAction,
    exceptions: {
      egress: runs(exceptions.egress ?? [], 'egress'),
      ingress: runs(exceptions.ingress ?? [], 'ingress'),
    },
    egress: runs(egress, 'egress'),
    ingress: runs(ingress, 'ingress'),
  };
}

function fail(text: string): never {
  throw new TypeError(text);
}
