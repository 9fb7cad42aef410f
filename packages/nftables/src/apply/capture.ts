/**
 * The capture of DNS: maintains its table for the resolvers that qubes ask, those of the sink and those that
 * Qubes translates them to, and checks that marked questions are still routed to `rulecast-dns`. If they are
 * not, the table lets no question pass (kernel/capture-script.ts), and this file reports why.
 */

import { captureCommands } from '../kernel/capture-script.ts';
import { qubesResolvers } from '../kernel/dnat.ts';
import { lookAtTable } from '../kernel/listing.ts';
import type { LogPlace } from '../kernel/log-script.ts';
import { NativeError } from '../kernel/native.ts';
import type { Netlink } from '../kernel/netlink.ts';
import type { Routes } from '../kernel/routes.ts';
import { CAPTURE_LINK, CAPTURE_MARK, CAPTURE_TABLE, CAPTURED_MAX } from '../limits.ts';
import type { Tables } from './tables.ts';

export interface CaptureWorld {
  readonly netlink: Netlink;
  readonly tables: Pick<Tables, 'put' | 'drop'>;
  /** Opened once something is captured. */
  readonly routes: () => Pick<Routes, 'link' | 'wayOf'>;
  readonly place: LogPlace;
  readonly turn: () => Promise<void>;
  /** Why questions do not come to `rulecast-dns`; empty: they do. */
  readonly tell: (text: string) => void;
}

export class Capture {
  readonly #world: CaptureWorld;
  #routes: Pick<Routes, 'link' | 'wayOf'> | undefined;
  /** The resolvers that the sink named; undefined: none, or no request yet. */
  #asked: readonly string[] | undefined;
  /** The resolvers in our table, and the table's fingerprint after we made it. */
  #made: { readonly resolvers: readonly string[]; readonly fingerprint: string | undefined } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isFollowing = false;
  #told = '';

  constructor(world: CaptureWorld) {
    this.#world = world;
  }

  /** Captures the questions to these resolvers; undefined: to none. Rejects with NativeError. */
  want(resolvers: readonly string[] | undefined): Promise<void> {
    return this.#inTurn(async () => {
      this.#asked = resolvers;
      if (resolvers === undefined) {
        this.#made = undefined;
        this.#world.tables.drop(CAPTURE_TABLE);
        this.#tell('');
      } else await this.#make();
      this.look();
    });
  }

  /**
   * Reacts to a change by another program, of Qubes' resolvers or of our table. One run at a time; a change
   * meanwhile leads to one more.
   */
  async follow(): Promise<void> {
    if (this.#isFollowing || this.#asked === undefined) return;
    this.#isFollowing = true;
    await this.#inTurn(async () => {
      this.#isFollowing = false;
      if (this.#asked === undefined) return;
      await this.#make();
      this.look();
    }).catch((error: unknown) => {
      if (!(error instanceof NativeError)) throw error;
      this.#tell(`cannot read the resolvers of qubes: ${error.message}`);
    });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #make(): Promise<void> {
    const { netlink, tables, place, turn } = this.#world;
    const translated = await qubesResolvers(netlink, turn);
    const resolvers = [...new Set([...(this.#asked ?? []), ...translated])].sort();
    if (resolvers.length > CAPTURED_MAX)
      throw new NativeError(
        `${resolvers.length} resolvers are too many: DNS queries to at most ${CAPTURED_MAX} are captured`,
      );
    const isSame = this.#made?.resolvers.join() === resolvers.join();
    const found = isSame ? await this.#fingerprint() : undefined;
    if (found !== undefined && found === this.#made?.fingerprint) return;
    tables.put(CAPTURE_TABLE, (isOwned) => captureCommands(resolvers, place, isOwned));
    this.#made = { resolvers, fingerprint: await this.#fingerprint() };
  }

  /** Fingerprint of the table; undefined: it does not exist. */
  async #fingerprint(): Promise<string | undefined> {
    const { netlink, turn } = this.#world;
    if (!netlink.tables().some(({ name }) => name === CAPTURE_TABLE)) return undefined;
    return (await lookAtTable(netlink, CAPTURE_TABLE, [], [], turn)).state.fingerprint;
  }

  /** Checks whether questions reach `rulecast-dns`, and reports changes. */
  look(): void {
    if (this.#made === undefined) return;
    try {
      this.#tell(this.#trouble(this.#made.resolvers) ?? '');
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      this.#tell(`cannot check whether DNS queries of qubes reach rulecast-dns: ${error.message}`);
    }
  }

  #trouble(resolvers: readonly string[]): string | undefined {
    this.#routes ??= this.#world.routes();
    const link = this.#routes.link(CAPTURE_LINK);
    if (link === undefined)
      return `no DNS of qubes is answered: there is no link ${CAPTURE_LINK}: start rulecast-dns-net`;
    if (!link.isConnected)
      return `no DNS of qubes is answered: the link ${CAPTURE_LINK} leads nowhere: restart rulecast-dns-net`;
    for (const resolver of resolvers) {
      const address = Buffer.from(resolver, 'hex');
      const family = address.length === 4 ? 4 : 6;
      const way = this.#routes.wayOf(family, address, CAPTURE_MARK);
      if (way.kind === 'here')
        return `DNS queries of qubes to an address of this firewall are not answered (IPv${family}): use --names router, or give the resolver another address`;
      if (way.kind !== 'link' || way.index !== link.index)
        return `no DNS of qubes is answered by IPv${family}: marked packets do not leave by ${CAPTURE_LINK}, as an ip rule or route was changed: restart rulecast-dns-net`;
    }
    return undefined;
  }

  #tell(text: string): void {
    if (text === this.#told) return;
    this.#told = text;
    this.#world.tell(text);
  }
}
