/**
 * What programs that send by a tunnel put beside our rules, in our own words, for a router whose tunnel is
 * `tun0` and whose other way is `uplink`. Each knows its packets by the mark of the packet, which it keeps
 * in the connection mark meanwhile.
 */

/** The device of the tunnel, and the routing table whose only route it is. */
export const TUNNEL = 'tun0';
const TABLE = 100;

export interface TunnelRules {
  readonly name: string;
  /** For nft. */
  readonly tables: string;
  /** For `ip rule add`. */
  readonly routing: readonly string[];
}

const FILTER = 'policy accept;';
const MARK = 0x6d6f6c65;

export const TUNNEL_RULES: readonly TunnelRules[] = [
  {
    // As is written a hundred times, without a mask: what a flow began with, all of its packets get.
    name: 'the usual recipe: the whole mark saved and restored, and an `ip rule` for 1',
    tables: `table inet recipe {
  chain prerouting {
    type filter hook prerouting priority mangle; ${FILTER}
    meta mark set ct mark
    meta mark 0 iifgroup 2 meta mark set 1
    ct mark set meta mark
  }
}`,
    routing: [`fwmark 1 lookup ${TABLE}`],
  },
  {
    name: 'the same, saved behind routing',
    tables: `table inet recipe {
  chain prerouting {
    type filter hook prerouting priority mangle; ${FILTER}
    ct state established,related meta mark set ct mark
    ct state new iifgroup 2 meta mark set 1
  }
  chain postrouting {
    type filter hook postrouting priority mangle; ${FILTER}
    ct mark set meta mark
  }
}`,
    routing: [`fwmark 1 lookup ${TABLE}`],
  },
  {
    // All but its own datagrams goes by the tunnel; answers to these are known by the mark of their flow.
    name: 'wg-quick',
    tables: `table ip wg-quick {
  chain preraw {
    type filter hook prerouting priority raw; ${FILTER}
    iifname != "${TUNNEL}" ip daddr 10.66.0.2 fib saddr type != local drop
  }
  chain premangle {
    type filter hook prerouting priority mangle; ${FILTER}
    meta l4proto udp meta mark set ct mark
  }
  chain postmangle {
    type filter hook postrouting priority mangle; ${FILTER}
    meta l4proto udp meta mark 0xca6c ct mark set meta mark
  }
}`,
    routing: ['table main suppress_prefixlength 0', `not fwmark 0xca6c lookup ${TABLE}`],
  },
  {
    // A flow with one value may go past the tunnel; here that is none but what goes to one address.
    name: 'Mullvad',
    tables: `table inet mullvad {
  chain prerouting {
    type filter hook prerouting priority -199; ${FILTER}
    iifgroup 2 ip daddr 203.0.113.99 ct mark set 0x00000f41
    ct mark 0x00000f41 meta mark set ${MARK}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct mark 0x00000f41 accept
    oifname "${TUNNEL}" accept
    iifname "${TUNNEL}" ct state established accept
  }
  chain nat {
    type nat hook postrouting priority srcnat; ${FILTER}
    oifname "${TUNNEL}" ct mark 0x00000f41 drop
  }
}`,
    routing: ['table main suppress_prefixlength 0', `not fwmark ${MARK} lookup ${TABLE}`],
  },
  {
    name: 'tailscale, whose marks have masks',
    tables: `table ip tailscale {
  chain prerouting {
    type filter hook prerouting priority mangle; ${FILTER}
    ct state established,related meta mark set ct mark and 0x00ff0000
  }
  chain forward {
    type filter hook forward priority filter; ${FILTER}
    iifname "${TUNNEL}" meta mark set meta mark and 0xff00ffff or 0x00040000
    meta mark and 0x00ff0000 == 0x00040000 accept
    oifname "${TUNNEL}" ip saddr 100.64.0.0/10 drop
  }
  chain postrouting {
    type filter hook postrouting priority mangle; ${FILTER}
    ct state new meta mark and 0x00ff0000 != 0 ct mark set meta mark and 0x00ff0000
  }
}`,
    routing: ['fwmark 0x80000/0xff0000 lookup main', 'table main suppress_prefixlength 0', `lookup ${TABLE}`],
  },
  {
    // No marks: routes, and a chain that lets nothing pass from qubes to the uplink.
    name: "Qubes' guide for a VPN",
    tables: `table ip qubes-vpn {
  chain custom-forward {
    type filter hook forward priority filter; ${FILTER}
    oifname "uplink" drop
    iifname "uplink" drop
    oifname "${TUNNEL}" tcp flags syn tcp option maxseg size set rt mtu
  }
}`,
    routing: [`iif vif-a lookup ${TABLE}`],
  },
];

/** For `ip -batch`: the tunnel, and when to take it. */
export function tunnelRoutes({ routing }: TunnelRules): string {
  return `link add ${TUNNEL} type vxlan id 7 dev uplink remote 198.18.0.2 dstport 4789
link set ${TUNNEL} arp off up
route add default dev ${TUNNEL} table ${TABLE}
${routing.map((rule, index) => `rule add priority ${1000 + index} ${rule}\n`).join('')}`;
}
