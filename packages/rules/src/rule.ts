/**
 * Rules: the meaning of one line of the Qubes firewall grammar, extended by `dst=@LIST`; and the printer,
 * whose lines parse back to the same rule. docs/explain/design.md "Meaning of a rule set"; the parser is
 * rule-line.ts.
 */

import { formatPrefix, type Prefix } from './prefix.ts';

export type Action = 'accept' | 'drop';
export type Proto = 'tcp' | 'udp' | 'icmp';
export type Direction = 'egress' | 'ingress';

/** Both ends inclusive, 0..65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Everything in a rule except its remote side. Rules of one run share it. */
export interface RuleMatch {
  readonly action: Action;
  readonly proto: Proto | undefined;
  /** `specialtarget=dns`: tcp or udp to port 53 of the environment's DNS addresses. */
  readonly dns: boolean;
  readonly ports: PortRange | undefined;
  /** 0..255; for ICMP and ICMPv6 alike. */
  readonly icmpType: number | undefined;
  /** Seconds since 1970; the rule is in force while the clock is below it. */
  readonly expire: number | undefined;
  readonly comment: string | undefined;
  /** `private=true`, beside a host name alone: it may stand for private addresses. Absent: it may not. */
  readonly isPrivate?: true;
}

/** The remote side of one rule: the destination of egress, the source of ingress. */
export type Remote =
  | { readonly kind: 'any' }
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly list: string };

export interface Rule extends RuleMatch {
  readonly remote: Remote;
}

/** A rule for every packet, to be narrowed. */
export function plainRule<A extends Action>(
  action: A,
): RuleMatch & { readonly action: A; readonly remote: { readonly kind: 'any' } } {
  return {
    action,
    remote: { kind: 'any' },
    proto: undefined,
    dns: false,
    ports: undefined,
    icmpType: undefined,
    expire: undefined,
    comment: undefined,
  };
}

/** Whether a rule is about some packets to its remote side only. */
export function isNarrowed({ proto, dns, ports, icmpType }: RuleMatch): boolean {
  return proto !== undefined || dns || ports !== undefined || icmpType !== undefined;
}

/** The first letters of the options that name the remote side. */
export const REMOTE_STEM: Readonly<Record<Direction, 'dst' | 'src'>> = { egress: 'dst', ingress: 'src' };

/** The canonical line of a rule: the options in the order of dom0's API, each in its normal form. */
export function formatRule(rule: Rule, direction: Direction): string {
  let line = `action=${rule.action}`;
  if (rule.expire !== undefined) line += ` expire=${rule.expire}`;
  line += formatRemote(rule.remote, REMOTE_STEM[direction]);
  if (rule.proto !== undefined) line += ` proto=${rule.proto}`;
  if (rule.dns) line += ' specialtarget=dns';
  if (rule.ports !== undefined) line += ` dstports=${rule.ports.first}-${rule.ports.last}`;
  if (rule.icmpType !== undefined) line += ` icmptype=${rule.icmpType}`;
  if (rule.isPrivate === true) line += ' private=true';
  if (rule.comment !== undefined) line += ` comment=${rule.comment}`;
  return line;
}

function formatRemote(remote: Remote, stem: string): string {
  switch (remote.kind) {
    case 'any':
      return '';
    case 'prefix':
      return ` ${stem}${remote.prefix.family}=${formatPrefix(remote.prefix)}`;
    case 'name':
      return ` ${stem}host=${remote.name}`;
    case 'list':
      return ` ${stem}=@${remote.list}`;
  }
}
