/**
 * The addresses at which `rulecast-dns` is asked, and its upstreams. Options name them; else they follow the
 * interfaces and the resolv.conf of this host.
 */

import type { Logger } from 'pino';
import type { DnsServer } from '../proxy/server.ts';
import type { DnsEndpoint, DnsUpstream } from '../proxy/upstream.ts';
import { HostListeners } from './host-listeners.ts';
import { type FoundUpstreams, HostUpstreams } from './host-upstreams.ts';

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
  readonly #ofHost: HostUpstreams | undefined;
  #server: DnsServer | undefined;
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
    this.#ofHost = new HostUpstreams(file, () => this.#endpoints, this.#replaceUpstreams);
    this.#log(this.#ofHost.found);
  }

  get upstreams(): readonly DnsUpstream[] {
    return this.#ofHost?.found.upstreams ?? this.#options.upstreams;
  }

  /** From now on. */
  attach(server: DnsServer): void {
    this.#server = server;
    this.#listeners = new HostListeners(server, () => this.#ofHost?.look());
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

  readonly #replaceUpstreams = (found: FoundUpstreams): void => {
    this.#log(found);
    this.#server?.replaceUpstreams(found.upstreams);
  };

  #log({ upstreams, skipped }: FoundUpstreams): void {
    const { file, logger } = this.#options;
    const upstream = upstreams.map(({ address }) => address);
    const fields = { file, upstream, ...(skipped.length > 0 && { skipped }) };
    if (upstreams.length > 0) logger.info(fields, 'asks the name servers of this host');
    else logger.error(fields, `${file} names no server that can be asked: names are answered SERVFAIL`);
  }

  close(): void {
    this.#ofHost?.close();
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
