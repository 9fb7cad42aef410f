/**
 * Capabilities: features that not every peer has, and those that a release needs. WIRE.md "Growth". A
 * subscriber that lacks one is told, and keeps its release.
 */

import {
  asksNames,
  FIRST_POLICY,
  needsFirewallDns,
  opensByName,
  opensResolved,
  privateNames,
  type RuleSet,
} from '@rulecast/rules';

export const Capability = {
  /** Lists of names, names in rules, and their resolutions. */
  names: 'names',
  exceptions: 'exceptions',
  unmatched: 'unmatched',
  /** Lists of names that the firewall's own DNS knows. */
  firewallNames: 'firewall-names',
  /** Rules that accept by such lists: the firewall opens the addresses in DNS answers. */
  openedNames: 'opened-names',
  /** Rules that accept all that its DNS answers. */
  resolved: 'resolved',
  /** Rules that allow their host name to resolve to private addresses. */
  privateRules: 'private-rules',
  /** The policy `first`, which drops before all else. */
  first: 'first',
  /** It answers in pages. */
  pages: 'pages',
  /** It sends its log of refused packets. */
  firewallLog: 'firewall-log',
  /** It inflates nothing: bodies and blocks come as they are. */
  noDeflate: 'no-deflate',
  /** It keeps no release, and drops all until it has one: a restart opens nothing. */
  startsClosed: 'starts-closed',
  /** For a `rulectl`: it knows the fields and words that CONTROL.md assigns to this. */
  requests: 'requests',
  /** For a `rulectl`: it knows the records `fleet` and `member`. */
  fleet: 'fleet',
} as const;
export type Capability = (typeof Capability)[keyof typeof Capability];

/** Those of a side that lists none: WIRE.md "Growth". */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  Capability.names,
  Capability.exceptions,
  Capability.unmatched,
];

/** The capabilities that a subscriber needs for a rule set. */
export function capabilitiesFor(ruleSet: RuleSet): readonly Capability[] {
  const { lists, policies, resolutions, unmatched } = ruleSet;
  const all = [...policies.values()];
  const needed: Capability[] = [];
  const hasNames =
    resolutions.size > 0 || [...lists.values()].some(({ kind }) => kind === 'names') || all.some(asksNames);
  if (hasNames) needed.push(Capability.names);
  if (all.some(({ exceptions }) => exceptions.egress.count + exceptions.ingress.count > 0)) {
    needed.push(Capability.exceptions);
  }
  if (unmatched !== undefined) needed.push(Capability.unmatched);
  if (needsFirewallDns(ruleSet)) needed.push(Capability.firewallNames);
  if (opensByName(ruleSet)) needed.push(Capability.openedNames);
  if (opensResolved(ruleSet)) needed.push(Capability.resolved);
  if (privateNames(all).size > 0) needed.push(Capability.privateRules);
  if (policies.has(FIRST_POLICY)) needed.push(Capability.first);
  return needed;
}
