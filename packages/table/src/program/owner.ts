/**
 * Owners: the policies that judge a qube, by its address. The longest prefix that holds the address wins, in
 * each direction among the policies with a program for it.
 *
 * The space is cut like that of destinations, by one predicate per policy and prefix length, so that the
 * class of an address determines a pair of programs.
 */

import {
  columnFor,
  DEFAULT_POLICY,
  type Direction,
  type Family,
  isForAllQubes,
  type Policy,
  PrefixBuilder,
  type Prefixes,
} from '@rulecast/rules';
import { ClassSets, type Cut, cutSpace } from '../classes/classes.ts';
import { PredicateColumns } from '../classes/predicate-columns.ts';
import type { TableLimits } from '../limits.ts';
import type { ProgramOutlines } from './outline.ts';

/** The words of a class's record: a program, or -1 where no policy judges. */
export const OwnerField = { egress: 0, ingress: 1 } as const;
export const OWNER_WORDS = 2;

/** A key in place of a policy's name, which none has. */
const UNMATCHED = '';

export interface Owners {
  readonly v4: Cut;
  readonly v6: Cut;
  /** By class, OWNER_WORDS each. */
  readonly records: Int32Array;
  readonly classCount: number;
}

/** The prefixes of one length in one policy. */
interface Claim {
  readonly policy: Policy;
  readonly length: number;
  readonly column: Prefixes;
}

export function compileOwners(outlines: ProgramOutlines, limits: TableLimits): Owners {
  const policies = outlines.policies.filter(({ name }) => name !== DEFAULT_POLICY && !isForAllQubes(name));
  const claims: Claim[] = [];
  for (const policy of policies) {
    for (const family of [4, 6] as const) claims.push(...claimsOf(policy, family));
  }
  const sets = new ClassSets(claims.length, limits);
  const cutOf = (family: Family): Cut => {
    const columns = new PredicateColumns(family);
    for (const { column } of claims) columns.push(column.family === family ? column : undefined);
    return cutSpace(columns, sets);
  };
  const v4 = cutOf(4);
  const v6 = cutOf(6);
  return { v4, v6, records: ownerRecords(outlines, claims, sets), classCount: sets.count };
}

function claimsOf(policy: Policy, family: Family): readonly Claim[] {
  const { words, lengths } = columnFor(policy.prefixes, family);
  const byLength = new Map<number, PrefixBuilder>();
  for (const [i, length] of lengths.entries()) {
    const builder = byLength.get(length) ?? new PrefixBuilder(family, 1);
    byLength.set(length, builder);
    builder.push(words, i, length);
  }
  return [...byLength].map(([length, builder]) => ({ policy, length, column: builder.build() }));
}

function ownerRecords(outlines: ProgramOutlines, claims: readonly Claim[], sets: ClassSets): Int32Array {
  const programs = new Map(
    outlines.all.map(({ policy, direction }, i) => [`${direction} ${policy?.name ?? UNMATCHED}`, i]),
  );
  const programOf = (direction: Direction, policy: string): number =>
    programs.get(`${direction} ${policy}`) ?? -1;
  // at most one of them exists
  const byDefault = Math.max(programOf('egress', DEFAULT_POLICY), programOf('egress', UNMATCHED));
  const records = new Int32Array(sets.count * OWNER_WORDS);
  for (let classId = 0; classId < sets.count; classId++) {
    // Claims are in the order of policies, and the first policy keeps a prefix that two have.
    const held = [...sets.membersOf(classId)].sort((a, b) => a - b);
    for (const direction of ['egress', 'ingress'] as const) {
      let program = -1;
      let longest = -1;
      for (const claim of held) {
        const { policy, length } = claims[claim]!; // a predicate is a claim
        const candidate = programOf(direction, policy.name);
        if (candidate < 0 || length <= longest) continue;
        longest = length;
        program = candidate;
      }
      if (program < 0 && direction === 'egress') program = byDefault;
      records[classId * OWNER_WORDS + OwnerField[direction]] = program;
    }
  }
  return records;
}
