/**
 * What is said of names beside the lists and rules: how the firewall's own DNS answers, which no release
 * holds yet (PROTOCOL.md "Forms to come"); and which rules about names it cannot follow.
 */

import { canonicalPrefixes, columnFor, type List, namesOfFirewall, type PrefixSet } from './list.ts';
import { COMMON_POLICY, DEFAULT_POLICY, type Policy, type Run } from './policy.ts';
import { bitsOf, PrefixBuilder, type Prefixes, strideOf } from './prefix.ts';
import { isNarrowed, type RuleMatch } from './rule.ts';

/** What is answered to a name that is blocked: that there is none, nothing, or the null address. */
export type BlockedAnswer = 'nxdomain' | 'refused' | 'null';

export interface NameTerms {
  /** By policy, `common` among them. */
  readonly blocked: ReadonlyMap<string, BlockedAnswer>;
  /** Of names that no rule matches; likewise. */
  readonly unlisted: ReadonlyMap<string, 'answer' | 'nxdomain'>;
}

export const NO_NAME_TERMS: NameTerms = {
  blocked: new Map(),
  unlisted: new Map(),
};

/** The lists that rules use and the firewall's own DNS knows, each with what is said of it. */
function listed(
  runs: readonly Run[],
  lists: ReadonlyMap<string, List>,
): readonly { readonly match: RuleMatch; readonly list: string }[] {
  return runs.flatMap(({ match, remote }) =>
    remote.kind === 'list' && namesOfFirewall(lists.get(remote.list)) !== undefined
      ? [{ match, list: remote.list }]
      : [],
  );
}

/** Addresses that one qube may hold by one list of names. Our choice: of a thousand names that are in use. */
export const NAME_ADDRESSES_MAX = 1024;
/** Qubes that may hold any by one list, where policies have more of them. Our choice. */
export const NAME_QUBES_MAX = 64;
/** Addresses that all lists of a firewall may open together: some 160 MB of its kernel's memory. */
export const FIREWALL_NAME_ADDRESSES_MAX = 524_288;

/** The lists of names that rules open addresses by: the qubes of the policies that have these rules. */
export function openedLists({
  policies,
  lists,
}: {
  readonly policies: ReadonlyMap<string, Policy>;
  readonly lists: ReadonlyMap<string, List>;
}): ReadonlyMap<string, PrefixSet> {
  const opened = new Map<string, { readonly v4: PrefixBuilder; readonly v6: PrefixBuilder }>();
  for (const { name, prefixes, exceptions, egress } of policies.values()) {
    const accepted = listed([...exceptions.egress, ...egress], lists).filter(
      ({ match }) => match.action === 'accept',
    );
    for (const list of new Set(accepted.map((each) => each.list))) {
      const columns = opened.get(list) ?? { v4: new PrefixBuilder(4), v6: new PrefixBuilder(6) };
      opened.set(list, columns);
      for (const family of [4, 6] as const) {
        const column = columns[`v${family}`];
        if (name === DEFAULT_POLICY || name === COMMON_POLICY)
          column.push(new Uint32Array(strideOf(family)), 0, 0); // whoever asks
        const own = columnFor(prefixes, family);
        for (let i = 0; i < own.lengths.length; i++) column.push(own.words, i, own.lengths[i]!); // i < length
      }
    }
  }
  return new Map(
    [...opened].map(([list, { v4, v6 }]) => [
      list,
      { v4: canonicalPrefixes(v4.build()), v6: canonicalPrefixes(v6.build()) },
    ]),
  );
}

/** Addresses that some qubes may hold by one list in one family. */
export function nameRoomOf({ family, lengths }: Prefixes): number {
  let qubes = 0;
  for (const length of lengths) qubes += 2 ** (bitsOf(family) - length);
  return Math.min(qubes, NAME_QUBES_MAX) * NAME_ADDRESSES_MAX;
}

/** What is wrong with the rules of a policy that would open addresses by name: nothing does so yet. */
export function reasonsNotOpened(
  { name, exceptions, egress }: Policy,
  lists: ReadonlyMap<string, List>,
): readonly string[] {
  return listed([...exceptions.egress, ...egress], lists)
    .filter(({ match }) => match.action === 'accept')
    .map(
      ({ list }) =>
        `policy ${name} accepts ${list}, and nothing opens addresses by name yet: say resolve: publisher for the list`,
    );
}

/** What is wrong with the rules of a policy that the firewall's DNS could not follow. */
export function reasonsNotOfDns(
  { name, exceptions, egress, ingress }: Policy,
  lists: ReadonlyMap<string, List>,
): readonly string[] {
  const narrowed = listed([...exceptions.egress, ...egress], lists)
    .filter(({ match }) => match.action === 'drop' && isNarrowed(match))
    .map(
      ({ list }) =>
        `policy ${name} drops ${list} for some packets only, and DNS has no ports: drop it whole, or say resolve: publisher for the list`,
    );
  const sources = listed([...exceptions.ingress, ...ingress], lists).map(
    ({ list }) =>
      `policy ${name} has src=@${list}: names that the firewall resolves are where traffic goes; say resolve: publisher for the list`,
  );
  return [...narrowed, ...sources];
}
