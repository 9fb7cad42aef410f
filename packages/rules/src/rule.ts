/**
 * The rule language, one line at a time: the grammar of the Qubes firewall, extended by `dst=@LIST`; the parser, which is strict
 * where upstream guesses, and the printer, whose output parses back to the same rule.
 */

import type { Prefix } from './prefix.ts';

export type Action = 'accept' | 'drop';
export type Proto = 'tcp' | 'udp' | 'icmp';
export type Direction = 'egress' | 'ingress';

/** Both ends inclusive, 0..65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What a rule says besides its remote side. Rules of one run share it. */
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
