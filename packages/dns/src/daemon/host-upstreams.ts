/**
 * The upstreams of this host: those in its resolv.conf, without addresses at which `rulecast-dns` would ask
 * itself. A resolver on this host at another address, such as 127.0.0.53, is used.
 */

import { type Address, formatAddress } from '@rulecast/rules';
import { FAR, NEAR } from '../net/steps.ts';
import { DNS_PORT, type DnsEndpoint } from '../proxy/upstream.ts';
import { hostAddresses, LINK_LOCAL } from './host-addresses.ts';

/** Both ends of the link to the namespace in which it is asked. */
const LINK_ADDRESSES: ReadonlySet<string> = new Set([NEAR, FAR].flatMap((ends) => Object.values(ends)));
const LOOPBACK = /^(?:127\.|::1$)/;

export interface FoundUpstreams {
  readonly upstreams: readonly DnsEndpoint[];
  /** Addresses in the file that are not used. */
  readonly skipped: readonly string[];
}

/** `listen`: the present endpoints of `rulecast-dns`. */
export function upstreamsAmong(servers: readonly Address[], listen: readonly DnsEndpoint[]): FoundUpstreams {
  const all = [...new Set(servers.map(formatAddress))];
  const isAsked = (address: string): boolean => !LINK_LOCAL.test(address) && !isOwn(address, listen);
  return {
    upstreams: all.filter(isAsked).map((address) => ({ address, port: DNS_PORT })),
    skipped: all.filter((address) => !isAsked(address)),
  };
}

function isOwn(address: string, listen: readonly DnsEndpoint[]): boolean {
  if (LINK_ADDRESSES.has(address)) return true;
  const taken = listen.filter(({ port }) => port === DNS_PORT).map((endpoint) => endpoint.address);
  if (taken.includes(address)) return true;
  const isEvery = taken.includes('0.0.0.0') || taken.includes('::');
  return isEvery && (LOOPBACK.test(address) || hostAddresses().includes(address));
}
