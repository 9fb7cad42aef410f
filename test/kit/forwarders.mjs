/** Commands of resolvers that keep nothing and forward all to one upstream of this host. */

import { writeFileSync } from 'node:fs';

/** @typedef {{ readonly address: string, readonly port: number, readonly upstreamPort: number }} Forwarding */

/**
 * @param {Forwarding} where @param {readonly string[]} [more] options, the later ones count
 * @returns {readonly string[]}
 */
export function dnsmasqCommand({ address, port, upstreamPort }, more = []) {
  return [
    ...['dnsmasq', '-k', '--no-resolv', '--no-hosts', '--no-poll', '--user=root', '--bind-interfaces'],
    ...['--pid-file=', `--listen-address=${address}`, `--port=${port}`, `--server=127.0.0.1#${upstreamPort}`],
    ...more,
  ];
}

/**
 * @param {Forwarding} where @param {string} path of its configuration, which is written
 * @param {{ readonly server?: string, readonly zone?: string }} [more] lines of either
 * @returns {readonly string[]}
 */
export function unboundCommand({ address, port, upstreamPort }, path, { server = '', zone = '' } = {}) {
  writeFileSync(
    path,
    `server:
  interface: ${address}@${port}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
${server}forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${upstreamPort}
${zone}`,
  );
  return ['unbound', '-d', '-c', path];
}
