/**
 * The addresses at which hosts of a link group ask this host: port 53 of the interfaces in the group,
 * followed, and of no other interface. An edge; the sockets are the server's.
 */

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { formatAddress, parseAddress } from '@rulecast/rules';
import type { DnsServer } from '../proxy/server.ts';
import type { DnsEndpoint } from '../proxy/upstream.ts';
import { ownerOfPort } from './port-owner.ts';

export const DNS_PORT = 53;
/** How often interfaces are looked at, and a port that was taken is tried again. Our choice. */
const LOOK_MS = 2000;
/** Needs the zone of its link, which is not kept. */
export const LINK_LOCAL = /^fe[89ab]/;

export class HostListeners {
  readonly #server: Pick<DnsServer, 'listenAt'>;
  readonly #onChange: () => void;
  readonly #open = new Map<string, () => void>();
  #group: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Why an address is not asked; empty: all are. */
  #fault = '';

  /** `onChange` is called when it is asked at other addresses than before. */
  constructor(server: Pick<DnsServer, 'listenAt'>, onChange: () => void) {
    this.#server = server;
    this.#onChange = onChange;
  }

  get fault(): string {
    return this.#fault;
  }

  /** Those that are open. */
  get endpoints(): readonly DnsEndpoint[] {
    return [...this.#open.keys()].map((address) => ({ address, port: DNS_PORT }));
  }

  /** Listens for a link group from now on; undefined: nowhere. Resolves once that was tried. */
  want(group: number | undefined): Promise<void> {
    this.#group = group;
    return this.#lookInTurn();
  }

  #lookInTurn(): Promise<void> {
    clearTimeout(this.#timer);
    this.#turn = this.#turn.then(() => this.#look());
    return this.#turn;
  }

  /** Does not reject. */
  async #look(): Promise<void> {
    const before = [...this.#open.keys()].join();
    try {
      this.#fault = await this.#follow(this.#group);
    } catch (error) {
      this.#fault = `it cannot see or take the addresses of this host: ${textOf(error)}`;
    }
    if ([...this.#open.keys()].join() !== before) this.#onChange();
    clearTimeout(this.#timer);
    if (this.#group !== undefined) this.#timer = setTimeout(() => void this.#lookInTurn(), LOOK_MS).unref();
  }

  /** Why an address is not asked; empty: all are. */
  async #follow(group: number | undefined): Promise<string> {
    const wanted = group === undefined ? [] : addressesOf(group);
    for (const [address, close] of this.#open) {
      if (wanted.includes(address)) continue;
      close();
      this.#open.delete(address);
    }
    if (group !== undefined && wanted.length === 0)
      return `no interface with an address is in link group ${group} (ip link set dev NAME group ${group})`;
    let fault = '';
    for (const address of wanted) fault = (await this.#listen(address)) ?? fault;
    return fault;
  }

  /** Why it cannot; undefined: it does. */
  async #listen(address: string): Promise<string | undefined> {
    if (this.#open.has(address)) return undefined;
    const endpoint: DnsEndpoint = { address, port: DNS_PORT };
    try {
      this.#open.set(address, await this.#server.listenAt(endpoint));
      return undefined;
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!isTaken) return `it cannot listen at ${address}: ${textOf(error)}`;
      return `port ${DNS_PORT} of ${address} is taken${ownerOfPort(endpoint)}: stop that, or use --names auto`;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#group = undefined;
  }
}

/** The addresses of interfaces, by their names. */
export function hostAddresses(isMeant: (name: string) => boolean): readonly string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, all]) =>
    isMeant(name) ? (all ?? []).flatMap((each) => parseAddress(each.address) ?? []).map(formatAddress) : [],
  );
}

function addressesOf(group: number): readonly string[] {
  return hostAddresses((name) => groupOf(name) === group).filter((address) => !LINK_LOCAL.test(address));
}

function groupOf(name: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/netdev_group`, 'latin1'));
  } catch {
    return undefined; // it has gone
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
