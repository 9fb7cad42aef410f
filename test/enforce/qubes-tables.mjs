/**
 * The tables that a net qube of Qubes has beside ours, in our own words: what setup and anti-spoofing do
 * (`qubes`), and what `qubes-firewall` makes of the rules of a qube. In 4.3 qubes hang on a chain of their
 * own, and the addresses of DNS are a set.
 */

/**
 * @typedef {object} Qube Downstream.
 * @property {string} interface
 * @property {string} address IPv4.
 * @property {string} [address6] In addition.
 */

/** @param {'4.2' | '4.3'} version @param {readonly Qube[]} qubes each may send whatever `qubes-firewall` lets it */
export function qubesTables(version, qubes) {
  const addresses = qubes.map(({ address }) => address).join(', ');
  const allowed = qubes.map((qube) => `"${qube.interface}" . ${qube.address}`).join(', ');
  const jumps = qubes.map(({ address }) => `ip saddr ${address} jump ${chainOf(address)}`).join('\n    ');
  const dispatch =
    version === '4.2'
      ? { chains: '', rules: jumps }
      : {
          chains: `set dns-addr { type ipv4_addr; elements = { 10.139.1.1, 10.139.1.2 } }
  chain qubes-forward {
    ${jumps}
  }`,
          rules: 'jump qubes-forward',
        };
  return `table ip qubes {
  set downstream { type ipv4_addr; elements = { ${addresses} } }
  set allowed { type ifname . ipv4_addr; elements = { ${allowed} } }
  chain antispoof {
    iifname . ip saddr @allowed accept
    counter drop
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifgroup 2 goto antispoof
    ip saddr @downstream counter drop
  }
  chain custom-input {
  }
  chain custom-forward {
  }
  chain input {
    type filter hook input priority filter; policy drop;
    jump custom-input
    ct state established,related accept
    iifgroup 2 meta l4proto icmp accept
    iifname "lo" accept
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    jump custom-forward
    ct state invalid counter drop
    ct state established,related accept
    oifgroup 2 counter drop
  }
}
table ip qubes-firewall {
  ${qubes.map(({ address }) => `chain ${chainOf(address)} {\n  }`).join('\n  ')}
  ${dispatch.chains}
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    meta iifname != "vif*" accept
    ${dispatch.rules}
  }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname != "vif*" ip saddr { ${addresses} } drop
  }
  chain postrouting {
    type filter hook postrouting priority -300; policy accept;
    oifname != "vif*" ip daddr { ${addresses} } drop
  }
}
${qubes.map(({ address }) => qubesRules(address, [])).join('')}${antispoof6(qubes)}`;
}

/** What checks sources of IPv6: a qube without an address there sends nothing. @param {readonly Qube[]} qubes */
function antispoof6(qubes) {
  const own = qubes.flatMap((qube) => (qube.address6 === undefined ? [] : [[qube.interface, qube.address6]]));
  if (own.length === 0) return '';
  return `table ip6 qubes {
  set downstream { type ipv6_addr; elements = { ${own.map(([, address]) => address).join(', ')} } }
  set allowed { type ifname . ipv6_addr; elements = { ${own.map(([name, address]) => `"${name}" . ${address}`).join(', ')} } }
  chain antispoof {
    iifname . ip6 saddr @allowed accept
    counter drop
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifgroup 2 goto antispoof
    ip6 saddr @downstream counter drop
  }
}
`;
}

/**
 * New rules for one qube, as after a change in dom0, or after a name resolved to other addresses.
 * @param {string} address @param {readonly string[]} dropped
 */
export function qubesRules(address, dropped) {
  const chain = chainOf(address);
  const drops = dropped.map((target) => `ip daddr ${target} reject with icmp type admin-prohibited`);
  return `flush chain ip qubes-firewall ${chain}
table ip qubes-firewall {
  chain ${chain} {
    ${[...drops, 'accept'].join('\n    ')}
  }
}
`;
}

/**
 * DNAT of DNS anew, as whenever the resolvers of the firewall change: what is asked of one address is
 * asked of another, by turns.
 * @param {4 | 6} family @param {readonly string[]} asked @param {readonly string[]} resolvers
 */
export function qubesDnat(family, asked, resolvers) {
  const ip = family === 4 ? 'ip' : 'ip6';
  const rules = asked.flatMap((address, index) =>
    ['udp', 'tcp'].map(
      (proto) =>
        `${ip} daddr ${address} ${proto} dport 53 dnat to ${resolvers[index % resolvers.length] ?? ''}`,
    ),
  );
  return `add table ${ip} qubes
add chain ${ip} qubes dnat-dns
delete chain ${ip} qubes dnat-dns
table ${ip} qubes {
  chain dnat-dns {
    type nat hook prerouting priority dstnat; policy accept;
    ${rules.join('\n    ')}
  }
}
`;
}

/** What goes elsewhere than to a qube gets the address of this one. @param {4 | 6} family */
export function qubesMasquerade(family) {
  return `table ${family === 4 ? 'ip' : 'ip6'} qubes {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifgroup 2 accept
    oif lo accept
    masquerade
  }
}
`;
}

/** @param {string} address */
function chainOf(address) {
  return `qbs-${address.replaceAll('.', '-')}`;
}
