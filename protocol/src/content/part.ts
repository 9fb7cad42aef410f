/**
 * Parts: the lists, the policies, the resolutions of a rule set, and its action for unmatched qubes, each
 * with the kind and name used in manifest and delta. CONTENT.md "Canonical bytes".
 */

import {
  type Action,
  entryCount,
  exceptionCount,
  isPartName,
  type List,
  type Policy,
  type PrefixSet,
  policyRuleCount,
  type RuleSet,
} from '@rulecast/rules';

/** Wire codes of the kinds. */
export const PartKind = { prefixList: 1, nameList: 2, policy: 3, resolutions: 4, unmatched: 5 } as const;
export type PartKind = (typeof PartKind)[keyof typeof PartKind];

/** The addresses of names, as one part; a rule set without resolutions has no such part. */
export type Resolutions = ReadonlyMap<string, PrefixSet>;

export type Part =
  | {
      readonly kind: typeof PartKind.prefixList | typeof PartKind.nameList;
      readonly name: string;
      readonly list: List;
    }
  | { readonly kind: typeof PartKind.policy; readonly name: string; readonly policy: Policy }
  | { readonly kind: typeof PartKind.resolutions; readonly name: ''; readonly resolutions: Resolutions }
  /** The action for qubes outside all policies; a rule set without one has no such part. */
  | { readonly kind: typeof PartKind.unmatched; readonly name: ''; readonly unmatched: Action };

/** The identity of a part within a release. */
export interface PartId {
  readonly kind: PartKind;
  /** Empty for the resolutions and for unmatched qubes. */
  readonly name: string;
}

const KIND_WORDS = {
  [PartKind.prefixList]: 'list',
  [PartKind.nameList]: 'names',
  [PartKind.policy]: 'policy',
  [PartKind.resolutions]: 'resolutions',
  [PartKind.unmatched]: 'unmatched',
} as const satisfies Record<PartKind, string>;

/** The word for a kind of part: `list`, `names`, `policy`, `resolutions` or `unmatched`. */
export function partWord(kind: PartKind): string {
  return KIND_WORDS[kind];
}

/**
 * The name of a part for errors and people: `list NAME`, `names NAME`, `policy NAME`, `resolutions`,
 * `unmatched`.
 */
export function partText(part: PartId): string {
  return isNameless(part.kind) ? KIND_WORDS[part.kind] : `${KIND_WORDS[part.kind]} ${part.name}`;
}

/** Whether a rule set has at most one part of a kind, which has an empty name. */
export function isNameless(kind: PartKind): boolean {
  return kind === PartKind.resolutions || kind === PartKind.unmatched;
}

/** Whether a part's name suits its kind. */
export function isNamedRight(part: PartId): boolean {
  return isNameless(part.kind) ? part.name === '' : isPartName(part.name);
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
  if (ruleSet.unmatched !== undefined) {
    parts.push({ kind: PartKind.unmatched, name: '', unmatched: ruleSet.unmatched });
  }
  return parts.sort(comparePartIds);
}

/**
 * The count of a part in a manifest: entries of a list with its exceptions, all rules of a policy, names of
 * the resolutions, 1 for unmatched qubes.
 */
export function partCount(part: Part): number {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList:
      return entryCount(part.list) + exceptionCount(part.list);
    case PartKind.policy:
      return policyRuleCount(part.policy);
    case PartKind.resolutions:
      return part.resolutions.size;
    case PartKind.unmatched:
      return 1;
  }
}
