/**
 * Settings for names beside the rules: how the firewall's own DNS answers, and which rules about names it
 * cannot follow.
 */

import { type List, namesOpenedBy } from './list.ts';
import { RESOLVED_LIST } from './name.ts';
import {
  type BlockedAnswer,
  COMMON_POLICY,
  DEFAULT_POLICY,
  FIRST_POLICY,
  type Policy,
  type UnlistedAnswer,
} from './policy.ts';
import { bitsOf, PrefixBuilder, type Prefixes, strideOf } from './prefix.ts';
import { canonicalPrefixes, columnFor, type PrefixSet } from './prefix-set.ts';
import { isNarrowed, type RuleMatch } from './rule.ts';
import { NO_RULES, type Runs } from './runs.ts';

/**
 * A policy's settings for names. `common` supplies those it lacks, and the defaults are to answer unlisted
 * names and NXDOMAIN for blocked ones.
 */
export function nameTermsOf(
  policies: ReadonlyMap<string, Policy>,
  policy: Policy | undefined,
): { readonly blocked: BlockedAnswer; readonly unlisted: UnlistedAnswer } {
  const common = policies.get(COMMON_POLICY);
  return {
    blocked: policy?.blocked ?? common?.blocked ?? 'nxdomain',
    unlisted: policy?.unlisted ?? common?.unlisted ?? 'answer',
  };
}

/**
 * The lists that rules use and the firewall's own DNS knows, `resolved` among them, each with the match of
 * its rule.
 */
function listed(
  blocks: readonly Runs[],
  lists: ReadonlyMap<string, List>,
): readonly { readonly match: RuleMatch; readonly list: string }[] {
  return blocks.flatMap(({ forms }) =>
    forms.flatMap(({ match, remote }) =>
      remote.kind === 'list' && namesOpenedBy(lists, remote.list) !== undefined
        ? [{ match, list: remote.list }]
        : [],
    ),
  );
}

/** Qubes that may have addresses opened by a list. */
export interface OpenedFor extends PrefixSet {
  /** For each policy that is for one qube alone, by one address of each family: these two addresses. */
  readonly pairs: readonly PrefixSet[];
}

/** The lists of names that rules open addresses by: the qubes of the policies that have these rules. */
export function openedLists({
  policies,
  lists,
}: {
  readonly policies: ReadonlyMap<string, Policy>;
  readonly lists: ReadonlyMap<string, List>;
}): ReadonlyMap<string, OpenedFor> {
  const opened = new Map<
    string,
    { readonly v4: PrefixBuilder; readonly v6: PrefixBuilder; readonly pairs: PrefixSet[] }
  >();
  for (const { name, prefixes, exceptions, egress } of policies.values()) {
    const accepted = listed([exceptions.egress, egress], lists).filter(
      ({ match }) => match.action === 'accept',
    );
    for (const list of new Set(accepted.map((each) => each.list))) {
      const columns = opened.get(list) ?? {
        v4: new PrefixBuilder(4),
        v6: new PrefixBuilder(6),
        pairs: [],
      };
      opened.set(list, columns);
      if (isOneHost(prefixes.v4) && isOneHost(prefixes.v6)) columns.pairs.push(prefixes);
      for (const family of [4, 6] as const) {
        const column = columns[`v${family}`];
        if (name === DEFAULT_POLICY || name === COMMON_POLICY)
          column.push(new Uint32Array(strideOf(family)), 0, 0); // every qube
        const own = columnFor(prefixes, family);
        for (let i = 0; i < own.lengths.length; i++) column.push(own.words, i, own.lengths[i]!); // i < length
      }
    }
  }
  return new Map(
    [...opened].map(([list, { v4, v6, pairs }]) => [
      list,
      { v4: canonicalPrefixes(v4.build()), v6: canonicalPrefixes(v6.build()), pairs },
    ]),
  );
}

function isOneHost({ family, lengths }: Prefixes): boolean {
  return lengths.length === 1 && lengths[0] === bitsOf(family);
}

/** A hint on what else to do about a rule that cannot be followed by name. */
function otherwise(list: string): string {
  return list === RESOLVED_LIST ? '' : ', or say resolve: publisher for the list';
}

/** The faults of a policy's rules that would open addresses by name, and cannot. */
export function reasonsNotOpened(
  { name, exceptions, egress }: Policy,
  lists: ReadonlyMap<string, List>,
): readonly string[] {
  return listed([exceptions.egress, egress], lists)
    .filter(({ match }) => match.action === 'accept' && match.dns)
    .map(
      ({ list }) =>
        `policy ${name} accepts @${list} with specialtarget=dns, and no name opens a resolver: leave either out${otherwise(list)}`,
    );
}

/** The faults of a policy's rules that the firewall's DNS could not follow. */
export function reasonsNotOfDns(
  { name, exceptions, egress, ingress }: Policy,
  lists: ReadonlyMap<string, List>,
): readonly string[] {
  const drops = listed([exceptions.egress, egress], lists).filter(({ match }) => match.action === 'drop');
  const narrowed = drops.flatMap(({ match, list }) => {
    if (list === RESOLVED_LIST)
      return [
        `policy ${name} drops @${RESOLVED_LIST}, which opens alone: accept it, and drop what is not to be answered by its names`,
      ];
    return isNarrowed(match)
      ? [
          `policy ${name} drops ${list} for some packets only, and DNS has no ports: drop it whole${otherwise(list)}`,
        ]
      : [];
  });
  const sources = listed([exceptions.ingress, ingress], lists).map(
    ({ list }) =>
      `policy ${name} has src=@${list}: names that the firewall resolves are where traffic goes${otherwise(list)}`,
  );
  return [...narrowed, ...sources];
}

/** The ports of DNS, in the clear and by TLS or QUIC. */
const DNS_PORTS = [
  ['udp', 53],
  ['tcp', 53],
  ['tcp', 853],
  ['udp', 853],
] as const;

/**
 * A warning if a policy blocks names but lets qubes reach other resolvers, which block none. A resolver that
 * a rule names is intended.
 */
export function reasonLeftOpen(
  policies: ReadonlyMap<string, Policy>,
  policy: Policy,
  lists: ReadonlyMap<string, List>,
): string | undefined {
  const [first, common] = [FIRST_POLICY, COMMON_POLICY].map((name) => policies.get(name)?.egress ?? NO_RULES);
  const blocks = [first ?? NO_RULES, policy.exceptions.egress, common ?? NO_RULES, policy.egress];
  const isBlocking =
    listed(blocks, lists).some(({ match }) => match.action === 'drop') ||
    nameTermsOf(policies, policy).unlisted === 'nxdomain';
  if (!isBlocking) return undefined;
  const forms = blocks.flatMap((runs) => runs.forms); // of the rules for any address, the first one decides
  const open = DNS_PORTS.filter(([proto, port]) => {
    const decides = forms.find(({ match, remote }) => remote.kind === 'any' && holds(match, proto, port));
    return (decides?.match.action ?? policy.defaultAction) === 'accept';
  });
  if (open.length === 0) return undefined;
  const shown = open.map(([proto, port]) => `${proto}/${port}`).join(', ');
  return `policy ${policy.name} blocks names, and lets its qubes ask any other resolver (${shown}), which does not: drop these ports, behind an accept of the resolver that is meant`;
}

function holds({ proto, dns, ports, icmpType }: RuleMatch, of: 'udp' | 'tcp', port: number): boolean {
  if (dns || icmpType !== undefined || (proto !== undefined && proto !== of)) return false;
  return ports === undefined || (ports.first <= port && port <= ports.last);
}
