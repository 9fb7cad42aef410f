/**
 * The addresses at which `rulecast-dns` is asked, and its upstreams. Options name them; else they follow the
 * interfaces and the resolv.conf of this host.
 */

import { isDeepStrictEqual } from 'node:util';
import type { Address } from '@rulecast/rules';
import type { Logger } from 'pino';
import type { DnsServer } from '../proxy/server.ts';
import type { DnsEndpoint, DnsUpstream } from '../proxy/upstream.ts';
import { HostListeners } from './host-listeners.ts';
import { type FoundUpstreams, upstreamsAmong } from './host-upstreams.ts';
import { nextNameServers, watchNameServers } from './resolv-conf.ts';

export interface PlacesOptions {
  /** By options: then it listens nowhere else. */
  readonly listen: readonly DnsEndpoint[];
  /** Whether the service manager has bound sockets in the namespace. */
  readonly isInNamespace: boolean;
  readonly upstreams: readonly DnsUpstream[];
  /** The file that names the upstreams in place of options. */
  readonly file: string | undefined;
  readonly logger: Logger;
}

/** Addresses of each kind that counters name, and what can be a counter's name. */
const SHOWN = 4;
const COUNTER_NAME = /^[A-Za-z0-9._-]{1,32}$/;

export class Places {
  readonly #options: PlacesOptions;
  #unwatch: (() => void) | undefined;
  /** Of the file; one that is absent or names none leaves the last ones. */
  #servers: readonly Address[] = [];
  /** Those of the servers that are asked. */
  #found: FoundUpstreams | undefined;
  #server: Pick<DnsServer, 'listenAt' | 'replaceUpstreams'> | undefined;
  #listeners: HostListeners | undefined;
  /** The link group of hosts that ask this one. */
  #group: number | undefined;
  #onAttached: () => void = () => undefined;
  readonly #attached = new Promise<void>((resolve) => {
    this.#onAttached = resolve;
  });

  constructor(options: PlacesOptions) {
    this.#options = options;
    const { file } = options;
    if (file === undefined) return;
    this.#unwatch = watchNameServers(file, (servers) => this.#look(servers));
    this.#look(nextNameServers(file) ?? []);
  }

  get upstreams(): readonly DnsUpstream[] {
    return this.#found?.upstreams ?? this.#options.upstreams;
  }

  /** From now on. The file may have changed while the server began to listen. */
  attach(server: Pick<DnsServer, 'listenAt' | 'replaceUpstreams'>): void {
    this.#server = server;
    this.#listeners = new HostListeners(server, () => this.#look(this.#servers));
    if (this.#found !== undefined) server.replaceUpstreams(this.#found.upstreams);
    this.#onAttached();
  }

  /** Hosts of a link group ask this one; undefined: none do. Resolves once it listens, or cannot. */
  readonly listenFor = async (group: number | undefined): Promise<void> => {
    await this.#attached;
    this.#group = group;
    if (this.#options.listen.length === 0) await this.#listeners?.want(group);
  };

  /** Why it is not asked; empty: it is. */
  readonly fault = (): string => {
    const { listen, isInNamespace } = this.#options;
    if (listen.length > 0) return '';
    if (this.#group !== undefined) return this.#listeners?.fault ?? '';
    return isInNamespace
      ? ''
      : 'rulecast-dns.socket is not there: systemctl status rulecast-dns.socket rulecast-dns-net';
  };

  /** `dnsAt.namespace` or `dnsAt.ADDRESS`, and `dnsAsks.ADDRESS`: by their place, from 1. */
  get counters(): Readonly<Record<string, number>> {
    const at = this.#endpoints.map(({ address }) => address);
    const isInNamespace = at.length === 0 && this.#options.isInNamespace;
    const asked = this.upstreams.map(({ address }) => address);
    return { ...placesOf('dnsAt', isInNamespace ? ['namespace'] : at), ...placesOf('dnsAsks', asked) };
  }

  get #endpoints(): readonly DnsEndpoint[] {
    return [...this.#options.listen, ...(this.#listeners?.endpoints ?? [])];
  }

  /** The servers may be others, or the addresses at which it is asked. */
  #look(servers: readonly Address[]): void {
    const { file, logger } = this.#options;
    this.#servers = servers;
    const found = upstreamsAmong(servers, this.#endpoints);
    if (file === undefined || isDeepStrictEqual(found, this.#found)) return;
    this.#found = found;
    const { upstreams, skipped } = found;
    const upstream = upstreams.map(({ address }) => address);
    const fields = { file, upstream, ...(skipped.length > 0 && { skipped }) };
    if (upstreams.length > 0) logger.info(fields, 'asks the name servers of this host');
    else logger.error(fields, `${file} names no server that can be asked: names are answered SERVFAIL`);
    this.#server?.replaceUpstreams(upstreams);
  }

  close(): void {
    this.#unwatch?.();
    this.#listeners?.close();
  }
}

/** The first ones by their names, and how many others there are. */
function placesOf(what: string, all: readonly string[]): Readonly<Record<string, number>> {
  const named = all
    .map((text, index) => [`${what}.${text.replaceAll(':', '-')}`, index + 1] as const)
    .filter(([name]) => COUNTER_NAME.test(name))
    .slice(0, SHOWN);
  const others = all.length - named.length;
  return { ...Object.fromEntries(named), ...(others > 0 && { [`${what}.others`]: others }) };
}
