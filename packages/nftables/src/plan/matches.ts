/** The conditions of a rule on a packet, besides its remote side. */

import { type Family, IpProtocol, isUnconditional, type RuleMatch } from '@rulecast/rules';
import type { PlanRule } from './plan.ts';

const PORT_PROTOCOLS = [IpProtocol.tcp, IpProtocol.udp];

export const ANY_PACKET = {
  kind: 'rule',
  remote: { kind: 'any' },
  original: false,
  protocols: [],
  ports: undefined,
  icmpType: undefined,
} as const;

/** A rule without its remote side and counter; undefined: it matches nothing. */
export function matchRule(
  match: RuleMatch,
  family: Family,
): Omit<PlanRule, 'remote' | 'original' | 'counter'> | undefined {
  if (contradicts(match)) return undefined;
  const ports = match.dns ? dnsPorts(match.ports) : match.ports;
  if (match.dns && ports === undefined) return undefined; // a range without port 53
  return {
    kind: 'rule',
    protocols: protocolsOf(match, family),
    ports: ports === undefined ? undefined : [ports.first, ports.last],
    icmpType: match.icmpType,
    action: match.action,
  };
}

/** Whether some rules end in one without a condition. */
export function endsAlways(matches: readonly RuleMatch[]): boolean {
  const last = matches.at(-1);
  return last !== undefined && isUnconditional(last);
}

function protocolsOf(match: RuleMatch, family: Family): readonly number[] {
  const icmp = family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
  if (match.proto === 'icmp') return [icmp];
  if (match.proto !== undefined) return [IpProtocol[match.proto]];
  if (match.dns || match.ports !== undefined) return PORT_PROTOCOLS;
  return match.icmpType === undefined ? [] : [icmp];
}

/** Whether a rule tests something that its protocol lacks, and so matches nothing. */
function contradicts({ proto, dns, ports, icmpType }: RuleMatch): boolean {
  const asksPorts = dns || ports !== undefined;
  if (icmpType !== undefined && (asksPorts || (proto !== undefined && proto !== 'icmp'))) return true;
  return asksPorts && proto === 'icmp';
}

/** Port 53, if a range of ports has it. */
function dnsPorts(ports: RuleMatch['ports']): RuleMatch['ports'] {
  const dns = { first: 53, last: 53 };
  return ports === undefined || (ports.first <= 53 && ports.last >= 53) ? dns : undefined;
}
