/**
 * What is said of names beside the lists and rules: how the firewall's own DNS answers, which no release
 * holds yet (PROTOCOL.md "Forms to come"); and which rules about names it cannot follow.
 */

import { type List, namesOfFirewall } from './list.ts';
import type { Policy, Run } from './policy.ts';
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
