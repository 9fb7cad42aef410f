/**
 * The upstreams that this host asks itself: those of its resolv.conf, followed, without addresses at which
 * `rulecast-dns` would ask itself. A resolver of this host at another address, such as 127.0.0.53, is asked.
 */

import { networkInterfaces } from 'node:os';
import { type Address, formatAddress, parseAddress } from '@rulecast/rules';
import { FAR, NEAR } from '../net/steps.ts';
import type { DnsEndpoint } from '../proxy/upstream.ts';
import { nextNameServers, watchNameServers } from './resolv-conf.ts';

const DNS_PORT = 53;
/** Both ends of the link to the namespace in which it is asked. */
const LINK_ADDRESSES: ReadonlySet<string> = new Set([NEAR, FAR].flatMap((ends) => Object.values(ends)));
const LOOPBACK = /^(?:127\.|::1$)/;
/** Needs the zone of its link, which is not kept. */
const LINK_LOCAL = /^fe[89ab]/;

export interface FoundUpstreams {
  readonly upstreams: readonly DnsEndpoint[];
  /** Addresses that the file names and that are not asked. */
  readonly skipped: readonly string[];
}

export class HostUpstreams {
  readonly #listen: () => readonly DnsEndpoint[];
  readonly #onChange: (found: FoundUpstreams) => void;
  readonly #unwatch: () => void;
  #servers: readonly Address[];
  #found: FoundUpstreams;

  /**
   * `listen`: where `rulecast-dns` is asked now. A file that is absent or names no server leaves the last
   * ones; at first, none.
   */
  constructor(file: string, listen: () => readonly DnsEndpoint[], onChange: (found: FoundUpstreams) => void) {
    this.#listen = listen;
    this.#onChange = onChange;
    this.#unwatch = watchNameServers(file, (servers) => {
      this.#servers = servers;
      this.look();
    });
    this.#servers = nextNameServers(file) ?? [];
    this.#found = sorted(this.#servers, listen());
  }

  get found(): FoundUpstreams {
    return this.#found;
  }

  /** Where it is asked may have changed, too. */
  look(): void {
    const found = sorted(this.#servers, this.#listen());
    if (textOf(found) === textOf(this.#found)) return;
    this.#found = found;
    this.#onChange(found);
  }

  close(): void {
    this.#unwatch();
  }
}

function textOf({ upstreams, skipped }: FoundUpstreams): string {
  return JSON.stringify([upstreams, skipped]);
}

function sorted(servers: readonly Address[], listen: readonly DnsEndpoint[]): FoundUpstreams {
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

function hostAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap((each) => parseAddress(each.address) ?? []).map(formatAddress),
  );
}
