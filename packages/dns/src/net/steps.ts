/**
 * Redirects questions of qubes to other resolvers to `rulecast-dns`: a network namespace behind a link of its
 * own, and the route there for packets that the applier marks. As commands; net-main.ts runs them.
 *
 *   question, marked ─ip rule─▶ our table ─▶ rulecast-dns ═veth═ eth0 ─redirect─▶ port 53, whatever address was asked
 *                                  └ unreachable, where that route is gone
 */

import { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_MARK_BITS } from '@rulecast/nftables/capture';

export type Command = readonly [string, ...string[]];

/** A command, its standard input, and what undoes all that it does. */
export interface Step {
  readonly command: Command;
  readonly input?: string;
  readonly undo?: Command;
}

export interface NetOptions {
  readonly namespace: string;
  /** Whether this machine has IPv6. */
  readonly hasIpv6: boolean;
}

/** Before the rules that VPNs make; after that for local addresses. */
export const RULE_PRIORITY = 53;
export const ROUTING_TABLE = 5353;
/** The marks of our objects: a table within the namespace, and the address of the link to it. */
export const NAMESPACE_TABLE = 'rulecast_dns_net';
export const NEAR_MAC = '02:53:72:75:6c:65';
/** The addresses of both ends of the link, used for nothing else. */
export const NEAR = { 4: '169.254.53.1', 6: 'fd5a:5e53:5300::1' } as const;
export const FAR = { 4: '169.254.53.2', 6: 'fd5a:5e53:5300::2' } as const;
const LENGTH = { 4: 30, 6: 126 } as const;
const FAR_LINK = 'eth0';
const LAST_METRIC = 4_294_967_295;
/** Flows of DNS are short: a flood of questions is not remembered for long. */
const FLOW_SECONDS = 20;

/** Only DNS, whatever address was asked, and nothing from here. */
const RULES = `table inet ${NAMESPACE_TABLE} {
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

/** The steps that make all of it. From the first one on, marked packets go there or nowhere. */
export function stepsToMake({ namespace, hasIpv6 }: NetOptions): readonly Step[] {
  const families = hasIpv6 ? ([4, 6] as const) : ([4] as const);
  const batch = (lines: readonly string[], prefix: readonly string[] = []): Step => ({
    command: ['ip', ...prefix, '-batch', '-'],
    input: `${lines.join('\n')}\n`,
  });
  const undone = (object: 'route' | 'rule', family: 4 | 6, what: string): Step => {
    const command = (verb: 'add' | 'del'): Command => ['ip', `-${family}`, object, verb, ...what.split(' ')];
    return { command: command('add'), undo: command('del') };
  };
  const within = (...command: readonly string[]): Command => ['ip', 'netns', 'exec', namespace, ...command];
  const peer = ['peer', 'name', FAR_LINK, 'netns', namespace];
  return [
    ...families.flatMap((family) => [undone('route', family, LAST_ROUTE), undone('rule', family, RULE)]),
    { command: ['ip', 'netns', 'add', namespace], undo: ['ip', 'netns', 'del', namespace] },
    { command: within('nft', '-f', '-'), input: RULES },
    {
      command: ['ip', ...`link add ${CAPTURE_LINK} address ${NEAR_MAC} type veth`.split(' '), ...peer],
      undo: ['ip', 'link', 'del', CAPTURE_LINK],
    },
    batch([
      `link set ${CAPTURE_LINK} group 0 up`,
      ...families.map((family) => addressLine(NEAR, family, CAPTURE_LINK)),
    ]),
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

/** The route that remains if the one by our link is gone. */
const LAST_ROUTE = `unreachable default metric ${LAST_METRIC} table ${ROUTING_TABLE}`;
const RULE = `pref ${RULE_PRIORITY} fwmark 0x${CAPTURE_MARK.toString(16)}/0x${CAPTURE_MARK_BITS.toString(16)} lookup ${ROUTING_TABLE}`;

function addressLine(of: typeof NEAR | typeof FAR, family: 4 | 6, link: string): string {
  return `addr add ${of[family]}/${LENGTH[family]} dev ${link}${family === 6 ? ' nodad' : ''}`;
}

/** The commands that undo steps, the last one first. Each fails if its object does not exist. */
export function undoing(steps: readonly Step[]): readonly Command[] {
  return steps.flatMap(({ undo }) => (undo === undefined ? [] : [undo])).reverse();
}
