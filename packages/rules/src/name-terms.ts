/**
 * What is said of names beside the rules: which lists the firewall's own DNS knows, and how it answers. No
 * release holds it yet: PROTOCOL.md "Forms to come".
 */

import type { Policy, Run } from './policy.ts';
import { isNarrowed, type RuleMatch } from './rule.ts';

/** What is answered to a name that is blocked: that there is none, nothing, or the null address. */
export type BlockedAnswer = 'nxdomain' | 'refused' | 'null';

export interface NameTerms {
  /** Lists of names that the firewall's own DNS knows (`resolve: firewall`). */
  readonly firewallLists: ReadonlySet<string>;
  /** By policy, `common` among them. */
  readonly blocked: ReadonlyMap<string, BlockedAnswer>;
  /** Of names that no rule matches; likewise. */
  readonly unlisted: ReadonlyMap<string, 'answer' | 'nxdomain'>;
}

export const NO_NAME_TERMS: NameTerms = {
  firewallLists: new Set(),
  blocked: new Map(),
  unlisted: new Map(),
};

/** What is wrong with the rules of a policy that the firewall's DNS could not follow. */
export function reasonsNotOfDns(
  { name, exceptions, egress, ingress }: Policy,
  { firewallLists }: NameTerms,
): readonly string[] {
  const listed = (runs: readonly Run[]): readonly { readonly match: RuleMatch; readonly list: string }[] =>
    runs.flatMap(({ match, remote }) =>
      remote.kind === 'list' && firewallLists.has(remote.list) ? [{ match, list: remote.list }] : [],
    );
  const narrowed = listed([...exceptions.egress, ...egress])
    .filter(({ match }) => match.action === 'drop' && isNarrowed(match))
    .map(
      ({ list }) =>
        `policy ${name} drops ${list} for some packets only, and DNS has no ports: drop it whole, or say resolve: publisher for the list`,
    );
  const sources = listed([...exceptions.ingress, ...ingress]).map(
    ({ list }) =>
      `policy ${name} has src=@${list}: names that the firewall resolves are where traffic goes; say resolve: publisher for the list`,
  );
  return [...narrowed, ...sources];
}
