/** Selects one part of a rule set, or all; extracts it, or restores it into another. Pure. */

import { type PartId, PartKind } from '@rulecast/protocol';
import { EMPTY_RULE_SET, type List, type Policy, type RuleSet } from '@rulecast/rules';
import { baseOf } from '../blocks/compile.ts';

/** One part, or with neither name everything. Not both. */
export interface PartFilter {
  readonly list?: string | undefined;
  readonly policy?: string | undefined;
  /** Without the rules made from rows. */
  readonly pushed?: boolean | undefined;
}

/** The selected parts of a rule set; resolutions only come with the whole. */
export function filtered(all: RuleSet, { list, policy, pushed }: PartFilter): RuleSet {
  const ruleSet = pushed === true ? baseOf(all) : all;
  if (list === undefined && policy === undefined) return ruleSet;
  return {
    ...EMPTY_RULE_SET,
    lists: picked<List>(ruleSet.lists, list),
    policies: picked<Policy>(ruleSet.policies, policy),
  };
}

/** Whether a filter selects a part. */
export function isOf({ kind, name }: PartId, { list, policy }: PartFilter): boolean {
  if (list === undefined && policy === undefined) return true;
  const isList = kind === PartKind.prefixList || kind === PartKind.nameList;
  return isList ? name === list : kind === PartKind.policy && name === policy;
}

function picked<T>(parts: ReadonlyMap<string, T>, name: string | undefined): ReadonlyMap<string, T> {
  const part = name === undefined ? undefined : parts.get(name);
  return name === undefined || part === undefined ? new Map() : new Map([[name, part]]);
}

/**
 * The rule set `now` with the selected parts as in `past`; a part that `past` lacks is removed. Undefined if
 * neither has the part. Resolutions are those of `past`, overridden by the present ones, until names are
 * resolved again.
 */
export function restored(now: RuleSet, past: RuleSet, { list, policy }: PartFilter): RuleSet | undefined {
  const resolutions = new Map([...past.resolutions, ...now.resolutions]);
  if (list === undefined && policy === undefined) {
    return { ...past, resolutions };
  }
  const lists = replaced<List>(now.lists, past.lists, list);
  const policies = replaced<Policy>(now.policies, past.policies, policy);
  return lists === undefined || policies === undefined ? undefined : { ...now, lists, policies, resolutions };
}

function replaced<T>(
  now: ReadonlyMap<string, T>,
  past: ReadonlyMap<string, T>,
  name: string | undefined,
): ReadonlyMap<string, T> | undefined {
  if (name === undefined) return now;
  const part = past.get(name);
  if (part === undefined && !now.has(name)) return undefined;
  const parts = new Map(now);
  if (part === undefined) parts.delete(name);
  else parts.set(name, part);
  return parts;
}
