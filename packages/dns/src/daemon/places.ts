/**
 * The addresses that `rulecast-dns` listens on, and its upstreams. Options name them; without, both are
 * looked up on this host every few seconds: port 53 of the interfaces in a link group, and of no other, and
 * the name servers of a resolv.conf. An edge; the sockets are the server's.
 */

import { isDeepStrictEqual } from 'node:util';
import type { Address } from '@rulecast/rules';
import type { Logger } from 'pino';
import type { DnsServer } from '../proxy/server.ts';
import { DNS_PORT, type DnsEndpoint, type DnsUpstream } from '../proxy/upstream.ts';
import { groupAddresses } from './host-addresses.ts';
import { type FoundUpstreams, upstreamsAmong } from './host-upstreams.ts';
import { ownerOfPort } from './port-owner.ts';
import { nextNameServers } from './resolv-conf.ts';

export interface PlacesOptions {
  /** Endpoints given as options: then it listens nowhere else. */
  readonly listen: readonly DnsEndpoint[];
  /** Whether the service manager has bound sockets in the namespace. */
  readonly isInNamespace: boolean;
  readonly upstreams: readonly DnsUpstream[];
  /** The file that names the upstreams in place of options. */
  readonly file: string | undefined;
  readonly logger: Logger;
}

/** The interval of looks at this host, and of retries for a port that was taken. Our choice. */
const LOOK_MS = 2000;
/** The most addresses of a kind with a counter of their own, and the form of a counter's name. */
const SHOWN = 4;
const COUNTER_NAME = /^[A-Za-z0-9._-]{1,32}$/;

export class Places {
  readonly #server: Pick<DnsServer, 'listenAt' | 'replaceUpstreams'>;
  readonly #options: PlacesOptions;
  readonly #timer: NodeJS.Timeout;
  /** The name servers in the file; an absent or empty one leaves the last ones. */
  #servers: readonly Address[] = [];
  /** The upstreams found on this host; undefined: options name them. */
  #found: FoundUpstreams | undefined;
  /** The link group of hosts that ask this one; undefined: none do. */
  #group: number | undefined;
  /** Addresses of the group at which it listens, and what ends that. */
  readonly #open = new Map<string, () => void>();
  /** Why it does not listen at an address of the group; empty: it does. */
  #groupFault = '';
  #turn: Promise<void> = Promise.resolve();

  constructor(server: Pick<DnsServer, 'listenAt' | 'replaceUpstreams'>, options: PlacesOptions) {
    this.#server = server;
    this.#options = options;
    this.#followServers();
    this.#timer = setInterval(() => void this.#lookInTurn(), LOOK_MS).unref();
  }

  get upstreams(): readonly DnsUpstream[] {
    return this.#found?.upstreams ?? this.#options.upstreams;
  }

  /** Hosts of a link group ask this one; undefined: none do. Resolves once it listens, or cannot. */
  listenFor(group: number | undefined): Promise<void> {
    this.#group = group;
    return this.#lookInTurn();
  }

  /** Why clients cannot ask this program; empty: they can. */
  get fault(): string {
    const { listen, isInNamespace } = this.#options;
    if (this.#group !== undefined || listen.length > 0 || isInNamespace) return this.#groupFault;
    return 'rulecast-dns.socket is not started: systemctl status rulecast-dns.socket rulecast-dns-net';
  }

  /** `dnsAt.namespace` or `dnsAt.ADDRESS`, and `dnsAsks.ADDRESS`: by their place, from 1. */
  get counters(): Readonly<Record<string, number>> {
    const at = this.#endpoints.map(({ address }) => address);
    const isInNamespace = at.length === 0 && this.#options.isInNamespace;
    const asked = this.upstreams.map(({ address }) => address);
    return { ...placesOf('dnsAt', isInNamespace ? ['namespace'] : at), ...placesOf('dnsAsks', asked) };
  }

  get #endpoints(): readonly DnsEndpoint[] {
    return [...this.#options.listen, ...[...this.#open.keys()].map(endpointAt)];
  }

  #lookInTurn(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#look());
    return this.#turn;
  }

  /** Does not reject. */
  async #look(): Promise<void> {
    try {
      this.#groupFault = await this.#followGroup();
    } catch (error) {
      this.#groupFault = `it cannot see or take the addresses of this host: ${textOf(error)}`;
    }
    this.#followServers(); // which may be addresses at which it listens now
  }

  /** Listens at the addresses of the group; returns the reason if it cannot. */
  async #followGroup(): Promise<string> {
    const group = this.#options.listen.length > 0 ? undefined : this.#group;
    const wanted = group === undefined ? [] : groupAddresses(group);
    for (const [address, close] of this.#open) {
      if (wanted.includes(address)) continue;
      close();
      this.#open.delete(address);
    }
    if (group !== undefined && wanted.length === 0)
      return `no interface with an address is in link group ${group} (ip link set dev NAME group ${group})`;
    let fault = '';
    for (const address of wanted)
      if (!this.#open.has(address)) fault = (await this.#listenAt(address)) ?? fault;
    return fault;
  }

  /** Why it cannot; undefined: it does. */
  async #listenAt(address: string): Promise<string | undefined> {
    const endpoint = endpointAt(address);
    try {
      this.#open.set(address, await this.#server.listenAt(endpoint));
      return undefined;
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!isTaken) return `it cannot listen at ${address}: ${textOf(error)}`;
      return `port ${DNS_PORT} of ${address} is taken${ownerOfPort(endpoint)}: stop that, or use --names auto`;
    }
  }

  #followServers(): void {
    const { file, logger } = this.#options;
    if (file === undefined) return;
    this.#servers = nextNameServers(file) ?? this.#servers;
    const found = upstreamsAmong(this.#servers, this.#endpoints);
    if (isDeepStrictEqual(found, this.#found)) return;
    this.#found = found;
    const { upstreams, skipped } = found;
    const upstream = upstreams.map(({ address }) => address);
    const fields = { file, upstream, ...(skipped.length > 0 && { skipped }) };
    if (upstreams.length > 0) logger.info(fields, 'asks the name servers of this host');
    else logger.error(fields, `${file} names no server that can be asked: names are answered SERVFAIL`);
    this.#server.replaceUpstreams(upstreams);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function endpointAt(address: string): DnsEndpoint {
  return { address, port: DNS_PORT };
}

/** The first items as counters, and the number of the others. */
function placesOf(what: string, all: readonly string[]): Readonly<Record<string, number>> {
  const named = all
    .map((text, index) => [`${what}.${text.replaceAll(':', '-')}`, index + 1] as const)
    .filter(([name]) => COUNTER_NAME.test(name))
    .slice(0, SHOWN);
  const others = all.length - named.length;
  return { ...Object.fromEntries(named), ...(others > 0 && { [`${what}.others`]: others }) };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
