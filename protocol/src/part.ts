/**
 * Parts: the lists, the policies and the resolutions of a rule set, each with the kind and name that manifest and delta know it
 * by. PROTOCOL.md "Canonical bytes and digests".
 */

import { entryCount, type List, type Policy, type PrefixSet, type RuleSet, ruleCount } from '@rulecast/rules';

/** Wire codes of the kinds. */
export const PartKind = { prefixList: 1, nameList: 2, policy: 3, resolutions: 4 } as const;
export type PartKind = (typeof PartKind)[keyof typeof PartKind];

/** What names stand for, as one part; a rule set without resolutions has no such part. */
export type Resolutions = ReadonlyMap<string, PrefixSet>;

export type Part =
  | {
      readonly kind: typeof PartKind.prefixList | typeof PartKind.nameList;
      readonly name: string;
      readonly list: List;
    }
  | { readonly kind: typeof PartKind.policy; readonly name: string; readonly policy: Policy }
  | { readonly kind: typeof PartKind.resolutions; readonly name: ''; readonly resolutions: Resolutions };

/** What identifies a part within a release. */
export interface PartId {
  readonly kind: PartKind;
  /** Empty for the resolutions. */
  readonly name: string;
}

const KIND_WORDS = {
  [PartKind.prefixList]: 'list',
  [PartKind.nameList]: 'names',
  [PartKind.policy]: 'policy',
  [PartKind.resolutions]: 'resolutions',
} as const satisfies Record<PartKind, string>;

/** The word for a kind of part: `list`, `names`, `policy` or `resolutions`. */
export function partWord(kind: PartKind): string {
  return KIND_WORDS[kind];
}

/** How errors and people name a part: `list NAME`, `names NAME`, `policy NAME`, `resolutions`. */
export function partText(part: PartId): string {
  return part.kind === PartKind.resolutions ? KIND_WORDS[part.kind] : `${KIND_WORDS[part.kind]} ${part.name}`;
}

export function isPartKind(value: number): value is PartKind {
  return value in KIND_WORDS;
}

/** The order of parts in manifests and deltas: by kind, then by name as ASCII. */
export function comparePartIds(a: PartId, b: PartId): number {
  if (a.kind !== b.kind) return a.kind - b.kind;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The part of a list. */
export function partOfList(name: string, list: List): Part {
  return { kind: list.kind === 'prefixes' ? PartKind.prefixList : PartKind.nameList, name, list };
}

/** All parts of a rule set, in their order. */
export function partsOf(ruleSet: RuleSet): readonly Part[] {
  const parts: Part[] = [];
  for (const [name, list] of ruleSet.lists) parts.push(partOfList(name, list));
  for (const [name, policy] of ruleSet.policies) parts.push({ kind: PartKind.policy, name, policy });
  if (ruleSet.resolutions.size > 0) {
    parts.push({ kind: PartKind.resolutions, name: '', resolutions: ruleSet.resolutions });
  }
  return parts.sort(comparePartIds);
}

/** What a manifest counts: entries of a list, rules of a policy in both directions, names of the resolutions. */
export function partCount(part: Part): number {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList:
      return entryCount(part.list);
    case PartKind.policy:
      return ruleCount(part.policy.egress) + ruleCount(part.policy.ingress);
    case PartKind.resolutions:
      return part.resolutions.size;
  }
}
