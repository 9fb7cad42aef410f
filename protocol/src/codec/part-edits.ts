/**
 * Edits: the differences between two contents of one part, by value. A delta encodes them; people read their
 * counts.
 */

import {
  compareHostNames,
  type DirectedRuns,
  diffNames,
  diffPrefixes,
  type NameList,
  type NamesDelta,
  type Policy,
  type PrefixesDelta,
  type PrefixList,
  type PrefixSet,
  policyRuleCount,
  ruleCount,
  samePrefixSet,
} from '@rulecast/rules';
import { sortedResolutions } from '../content/canonical.ts';
import { contentOf } from '../content/digest.ts';
import { type Part, PartKind, partCount, type Resolutions } from '../content/part.ts';
import { diffRuns, type RuleSplice } from './rule-splice.ts';

/**
 * The number of entries, rules or names that a change adds, removes and keeps. A resolution that differs is
 * both added and removed.
 */
export interface EditCounts {
  readonly addedCount: number;
  readonly removedCount: number;
  readonly unchangedCount: number;
}

export type PartEdits =
  | { readonly kind: 'prefixes'; readonly v4: PrefixesDelta; readonly v6: PrefixesDelta }
  | { readonly kind: 'names'; readonly names: NamesDelta; readonly exceptions: NamesDelta }
  | {
      readonly kind: 'policy';
      readonly exceptions: DirectedSplices;
      readonly egress: readonly RuleSplice[];
      readonly ingress: readonly RuleSplice[];
    }
  /** By name, sorted; undefined: the name is resolved no more. */
  | { readonly kind: 'resolutions'; readonly changes: readonly (readonly [string, PrefixSet | undefined])[] }
  /** The action differs; it is put whole. */
  | { readonly kind: 'unmatched' };

export interface DirectedSplices {
  readonly egress: readonly RuleSplice[];
  readonly ingress: readonly RuleSplice[];
}

/** The change from one part to another of the same kind. Undefined if they are equal. */
export function diffParts(before: Part, after: Part): (PartEdits & EditCounts) | undefined {
  if (contentOf(before) === contentOf(after)) return undefined;
  if (before.kind === PartKind.policy && after.kind === PartKind.policy) {
    return diffPolicies(before.policy, after.policy);
  }
  if (before.kind === PartKind.resolutions && after.kind === PartKind.resolutions) {
    return diffResolutions(before.resolutions, after.resolutions);
  }
  if (before.kind === PartKind.unmatched && after.kind === PartKind.unmatched) {
    // equal actions are the same object
    return { kind: 'unmatched', addedCount: 1, removedCount: 1, unchangedCount: 0 };
  }
  if ('list' in before && 'list' in after) {
    const { list: old } = before;
    const { list: next } = after;
    if (old.kind === 'prefixes' && next.kind === 'prefixes') return diffPrefixLists(old, next);
    if (old.kind === 'names' && next.kind === 'names') return diffNameLists(old, next);
  }
  throw new TypeError('two parts of different kinds have no edits');
}

/** The counts of a part that is added or removed whole. */
export function wholeCounts(part: Part, op: 'put' | 'remove'): EditCounts {
  const count = partCount(part);
  return { addedCount: op === 'put' ? count : 0, removedCount: op === 'put' ? 0 : count, unchangedCount: 0 };
}

function diffPrefixLists(before: PrefixList, after: PrefixList): (PartEdits & EditCounts) | undefined {
  const v4 = diffPrefixes(before.v4, after.v4);
  const v6 = diffPrefixes(before.v6, after.v6);
  const addedCount = v4.added.lengths.length + v6.added.lengths.length;
  const removedCount = v4.removed.length + v6.removed.length;
  if (addedCount + removedCount === 0) return undefined;
  const unchangedCount = after.v4.lengths.length + after.v6.lengths.length - addedCount;
  return { kind: 'prefixes', v4, v6, addedCount, removedCount, unchangedCount };
}

function diffNameLists(before: NameList, after: NameList): (PartEdits & EditCounts) | undefined {
  const names = diffNames(before.names, after.names);
  const exceptions = diffNames(before.exceptions, after.exceptions);
  const addedCount = names.added.count + exceptions.added.count;
  const removedCount = names.removed.length + exceptions.removed.length;
  if (addedCount + removedCount === 0 && before.resolve === after.resolve) return undefined;
  const unchangedCount = after.names.count + after.exceptions.count - addedCount;
  return { kind: 'names', names, exceptions, addedCount, removedCount, unchangedCount };
}

function diffPolicies(before: Policy, after: Policy): (PartEdits & EditCounts) | undefined {
  const exceptions = diffDirected(before.exceptions, after.exceptions);
  const { egress, ingress } = diffDirected(before, after);
  const splices = [exceptions.egress, exceptions.ingress, egress, ingress].flat();
  if (splices.length === 0 && sameHeader(before, after)) return undefined;
  const addedCount = splices.reduce((sum, splice) => sum + ruleCount(splice.insert), 0);
  const removedCount = splices.reduce((sum, splice) => sum + splice.drop, 0);
  const unchangedCount = policyRuleCount(after) - addedCount;
  return { kind: 'policy', exceptions, egress, ingress, addedCount, removedCount, unchangedCount };
}

function diffDirected(before: DirectedRuns, after: DirectedRuns): DirectedSplices {
  return {
    egress: diffRuns(before.egress, after.egress),
    ingress: diffRuns(before.ingress, after.ingress),
  };
}

/** Whether all but the rules is the same. */
export function sameHeader(a: Policy, b: Policy): boolean {
  const isSaid = a.defaultAction === b.defaultAction && a.blocked === b.blocked && a.unlisted === b.unlisted;
  return isSaid && samePrefixSet(a.prefixes, b.prefixes);
}

function diffResolutions(before: Resolutions, after: Resolutions): (PartEdits & EditCounts) | undefined {
  const changes: (readonly [string, PrefixSet | undefined])[] = [];
  let removedCount = 0;
  for (const name of before.keys()) {
    if (after.has(name)) continue;
    changes.push([name, undefined]);
    removedCount++;
  }
  let addedCount = 0;
  for (const [name, set] of sortedResolutions(after)) {
    const old = before.get(name);
    if (old !== undefined && samePrefixSet(old, set)) continue;
    changes.push([name, set]);
    addedCount++;
    if (old !== undefined) removedCount++;
  }
  if (changes.length === 0) return undefined;
  changes.sort(([a], [b]) => compareHostNames(a, b));
  return { kind: 'resolutions', changes, addedCount, removedCount, unchangedCount: after.size - addedCount };
}
