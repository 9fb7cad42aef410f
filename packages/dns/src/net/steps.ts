/**
 * Where `rulecast-dns` is asked by qubes that ask somebody else: a network namespace behind a link of its
 * own, and the route there of what the applier marks. As commands; net-main.ts runs them.
 *
 *   question, marked ─ip rule─▶ our table ─▶ rulecast-dns ═veth═ eth0 ─redirect─▶ port 53, whatever address was asked
 *                                  └ unreachable, where that route is gone
 */

import { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_MARK_BITS } from '@rulecast/nftables/capture';

/** A command, and its standard input. */
export interface Step {
  readonly command: readonly [string, ...string[]];
  readonly input?: string;
  /** What it takes away may not be there. */
  readonly mayFail?: boolean;
}

export interface NetOptions {
  readonly namespace: string;
  /** Whether this machine has IPv6. */
  readonly hasIpv6: boolean;
}

/** Before those that VPNs make; after what is local. */
const RULE_PRIORITY = 53;
const ROUTING_TABLE = 5353;
/** Of both ends of the link. Nobody else is asked there. */
const NEAR = { 4: '169.254.53.1', 6: 'fd5a:5e53:5300::1' } as const;
const FAR = { 4: '169.254.53.2', 6: 'fd5a:5e53:5300::2' } as const;
const LENGTH = { 4: 30, 6: 126 } as const;
const FAR_LINK = 'eth0';
const LAST_METRIC = 4_294_967_295;
/** Flows of DNS are short: a flood of questions is not remembered for long. */
const FLOW_SECONDS = 20;

/** Only DNS, whatever address was asked, and nothing from here. */
const RULES = `table inet rulecast_dns {
  chain questions {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${FAR_LINK}" meta l4proto { tcp, udp } redirect to :53
  }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established accept
    meta l4proto { tcp, udp } th dport 53 accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
  chain output {
    type filter hook output priority filter; policy drop;
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
`;

/** Makes all of it. From the first step on, what is marked goes there or nowhere. */
export function stepsToMake({ namespace, hasIpv6 }: NetOptions): readonly Step[] {
  const families = hasIpv6 ? ([4, 6] as const) : ([4] as const);
  const batch = (lines: readonly string[], prefix: readonly string[] = []): Step => ({
    command: ['ip', ...prefix, '-batch', '-'],
    input: `${lines.join('\n')}\n`,
  });
  const within = (...command: readonly string[]): Step['command'] => [
    'ip',
    'netns',
    'exec',
    namespace,
    ...command,
  ];
  return [
    ...families.map((family) => batch([`route add ${LAST_ROUTE}`, `rule add ${RULE}`], [`-${family}`])),
    { command: ['ip', 'netns', 'add', namespace] },
    batch([
      `link add ${CAPTURE_LINK} type veth peer name ${FAR_LINK} netns ${namespace}`,
      `link set ${CAPTURE_LINK} group 0 up`,
      ...families.map((family) => addressLine(NEAR, family, CAPTURE_LINK)),
    ]),
    { command: within('nft', '-f', '-'), input: RULES },
    ...['nf_conntrack_udp_timeout', 'nf_conntrack_udp_timeout_stream'].map(
      (setting): Step => ({
        command: within('sh', '-c', `echo ${FLOW_SECONDS} > /proc/sys/net/netfilter/${setting}`),
      }),
    ),
    batch(
      [
        'link set lo up',
        `link set ${FAR_LINK} up`,
        ...families.map((family) => addressLine(FAR, family, FAR_LINK)),
        ...families.map((family) => `route add default via ${NEAR[family]} dev ${FAR_LINK}`),
      ],
      ['-n', namespace],
    ),
    // The resolvers that answer are elsewhere by all other routes.
    { command: ['sh', '-c', `echo 0 > /proc/sys/net/ipv4/conf/${CAPTURE_LINK}/rp_filter`] },
    ...families.map((family) =>
      batch(
        [`route add default via ${FAR[family]} dev ${CAPTURE_LINK} metric 1 table ${ROUTING_TABLE}`],
        [`-${family}`],
      ),
    ),
  ];
}

/** Where the one by our link is gone. */
const LAST_ROUTE = `unreachable default metric ${LAST_METRIC} table ${ROUTING_TABLE}`;
const RULE = `pref ${RULE_PRIORITY} fwmark 0x${CAPTURE_MARK.toString(16)}/0x${CAPTURE_MARK_BITS.toString(16)} lookup ${ROUTING_TABLE}`;

function addressLine(of: typeof NEAR | typeof FAR, family: 4 | 6, link: string): string {
  return `addr add ${of[family]}/${LENGTH[family]} dev ${link}${family === 6 ? ' nodad' : ''}`;
}

/** Takes all of it away, as far as it is there. */
export function stepsToRemove({ namespace, hasIpv6 }: NetOptions): readonly Step[] {
  const gone = (...command: Step['command']): Step => ({ command, mayFail: true });
  return [
    gone('ip', 'link', 'del', CAPTURE_LINK),
    gone('ip', 'netns', 'del', namespace),
    ...(hasIpv6 ? ['-4', '-6'] : ['-4']).flatMap((family) => [
      gone('ip', family, 'rule', 'del', ...RULE.split(' ')),
      gone('ip', family, 'route', 'del', ...LAST_ROUTE.split(' ')),
    ]),
  ];
}
