/**
 * The reference evaluator: what a packet gets from a rule set in an environment, rule by rule, slow and obvious. Every fast
 * path is tested against it.
 */

import type { Address, Prefix } from './prefix.ts';
import type { Direction } from './rule.ts';

/** Protocol numbers that rules can name (IANA). */
export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

export interface Packet {
  /** `both`: from one downstream qube to another, judged as egress of the first and ingress of the second. */
  readonly direction: Direction | 'both';
  /** Without it, egress is judged by the default policy and ingress cannot match a source. */
  readonly src: Address | undefined;
  readonly dst: Address;
  /** IP protocol number, after IPv6 extension headers. */
  readonly proto: number;
  /** Destination port; undefined where it cannot be read (later fragments) or does not exist. */
  readonly port: number | undefined;
  /** ICMP or ICMPv6 type; undefined where it cannot be read or does not exist. */
  readonly icmpType: number | undefined;
}

/** What the firewall itself adds. */
export interface Environment {
  /** Seconds since 1970. */
  readonly now: number;
  /** The addresses that `specialtarget=dns` means. */
  readonly dns: readonly Address[];
}

export interface Verdict {
  /** `none`: no policy judges this packet. */
  readonly action: 'accept' | 'drop' | 'none';
  /** Where the decision fell; undefined for `none`. */
  readonly by: VerdictOrigin | undefined;
}

export interface VerdictOrigin {
  readonly direction: Direction;
  /** The policy that judges the qube. */
  readonly policy: string;
  /** Undefined: no rule matched, the policy's default action decided. */
  readonly rule: RuleOrigin | undefined;
}

export interface RuleOrigin {
  /** The policy the rule stands in: `common`, or the judging policy itself. */
  readonly policy: string;
  /** Index of the run, and of the rule, within that policy and direction, from 0. */
  readonly run: number;
  readonly index: number;
  /** The list that holds the address, for a rule with a list. */
  readonly list: string | undefined;
  /** The most specific prefix of the rule's own, of its list or of its name that holds the address; undefined for `any`. */
  readonly prefix: Prefix | undefined;
}
