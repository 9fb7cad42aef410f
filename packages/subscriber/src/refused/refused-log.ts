/**
 * The log of what is refused: reads what the kernel tells now and then, by a timer and never waiting, keeps
 * it, and has the release in force judge what is new, one after the other. What ends it ends no release.
 */

import {
  addressFromBytes,
  boundText,
  INTERFACE_MAX_BYTES,
  type SteadyClock,
  type WireRefused,
  type WireRefusedQuery,
} from '@rulecast/protocol';
import type { Packet } from '@rulecast/rules';
import { type Judgement, KEPT_MAX, type Kept, KeptRefusals, type Refused, type RefusedPage } from './kept.ts';

/** Of the kernel, as this log needs it (the nftables sink has one). */
export interface PacketLog {
  /** Gives what waits, at most so much. Throws where it has ended. */
  read(take: (packet: LoggedPacket) => void): void;
  /** What it could not give. */
  readonly lost: number;
  interfaceName(index: number): string | undefined;
  close(): void;
}

export interface LoggedPacket {
  /** The first 16 hex digits of the release's hash; empty: of none. */
  readonly release: string;
  readonly reason: Exclude<WireRefused['reason'], 'name'>;
  readonly direction: WireRefused['direction'];
  readonly qube: Uint8Array;
  readonly remote: Uint8Array;
  readonly interfaceIndex: number;
  readonly proto: number;
  readonly port: number | undefined;
  readonly icmpType: number | undefined;
}

/** A name that was asked for and is not answered. */
export interface RefusedName {
  readonly qube: Uint8Array;
  readonly name: string;
  /** The rule that decided, as far as it is known. */
  readonly verdict: WireRefused['verdict'];
  readonly count: number;
}

/** Whoever has a release in force. */
export interface RefusedHost {
  readonly clock: SteadyClock;
  readonly nowMs: () => number;
  readonly logger: { warn(fields: object, text: string): void };
  /** The release in force: its hash in hex, and its version. */
  readonly active: () => { readonly hash: string; readonly version: number } | undefined;
  /** By the release in force; with the name by which the qube was told the address. May reject. */
  readonly judge: (packet: Packet) => Promise<Omit<Judgement, 'judgedBy'>>;
}

// Our choice.
const READ_EVERY_MS = 100;
/** Packets judged between two readings: what the thread of the rules takes a millisecond or two for. */
const JUDGED_AT_ONCE = 20;
/** So many releases are known by their hash, and names of interfaces for so many readings. */
const RELEASES_KNOWN_MAX = 64;
const INTERFACES_KNOWN_READINGS = 100;
const RELEASE_DIGITS = 16;
/** Ids go on over restarts: fewer than so many things change in a millisecond. */
const IDS_A_MS = 1024;

export class RefusedLog {
  readonly #packets: PacketLog | undefined;
  #host: RefusedHost | undefined;
  #kept: KeptRefusals;
  /** Why nothing is told any more; empty: it is. */
  #fault: string;
  #namesLost = 0;
  readonly #versions = new Map<string, number>();
  readonly #interfaces = new Map<number, string>();
  #readings = 0;
  readonly #unjudged = new Set<string>();
  #isJudging = false;
  #stop = (): void => undefined;

  /** `fault`: why packets cannot be logged, where there is no log of them. */
  constructor(packets: PacketLog | undefined, fault = '') {
    this.#packets = packets;
    this.#fault = fault;
    this.#kept = new KeptRefusals(0);
  }

  /** Reads from now on. */
  begin(host: RefusedHost): void {
    this.#host = host;
    this.#kept = new KeptRefusals(Math.floor(host.nowMs()) * IDS_A_MS);
    this.#read();
  }

  /** Names are refused; `lost` more could not be told. */
  takeNames(names: readonly RefusedName[], lost: number): void {
    if (this.#fault !== '') return; // nobody can be told
    this.#namesLost += lost;
    const release = this.#activeRelease();
    for (const { qube, name, verdict, count } of names) {
      const of: Refused = { what: 'name', qube, direction: 'egress', name, reason: 'name', verdict };
      this.#kept.add(of, release, count, this.#nowS());
    }
  }

  /** Throws Error where the log has ended. */
  page(query: WireRefusedQuery): RefusedPage {
    if (this.#fault !== '') throw new Error(this.#fault);
    const versionOf = (release: string): number => this.#versions.get(release) ?? 0;
    return this.#kept.page(query, this.#lost, versionOf);
  }

  /** For `rulectl status --counters`. */
  counters(): Readonly<Record<string, number>> {
    const off = this.#fault === '' ? {} : { logOff: 1 };
    return { ...off, refusedKept: this.#kept.size, refusedLost: this.#lost };
  }

  close(): void {
    this.#stop();
    this.#stop = () => undefined;
    this.#host = undefined;
    this.#packets?.close();
  }

  get #lost(): number {
    return this.#namesLost + (this.#packets?.lost ?? 0);
  }

  #nowS(): number {
    return Math.floor((this.#host?.nowMs() ?? 0) / 1000);
  }

  #read(): void {
    const host = this.#host;
    if (host === undefined) return;
    if (++this.#readings % INTERFACES_KNOWN_READINGS === 0) this.#interfaces.clear();
    this.#activeRelease();
    try {
      if (this.#fault === '') this.#packets?.read((packet) => this.#take(packet));
    } catch (error) {
      this.#fault = `refused packets are not logged any more: ${error instanceof Error ? error.message : error}`;
      host.logger.warn({ err: error }, 'refused packets are not logged any more; what is enforced stays so');
    }
    if (!this.#isJudging) void this.#judge(host);
    this.#stop = host.clock.after(READ_EVERY_MS, () => this.#read());
  }

  #take({ release, interfaceIndex, ...packet }: LoggedPacket): void {
    const of: Refused = { ...packet, what: 'packet', interface: this.#interfaceOf(interfaceIndex) };
    const by = packet.reason === 'dns' ? this.#activeRelease() : release;
    const kept = this.#kept.add(of, by, 1, this.#nowS());
    const { judgedBy, verdict } = kept.judgement ?? {};
    const isOpen = verdict?.action !== 'drop' && judgedBy === this.#versions.get(by); // and yet refused again
    const isToJudge = packet.reason === 'rule' && (kept.judgement === undefined || isOpen);
    if (isToJudge && this.#unjudged.size < KEPT_MAX) this.#unjudged.add(kept.key);
  }

  #interfaceOf(index: number): string | undefined {
    const known = this.#interfaces.get(index);
    if (known !== undefined) return known;
    const name = this.#packets?.interfaceName(index);
    if (name === undefined) return undefined;
    const shown = boundText(name, INTERFACE_MAX_BYTES); // whoever has rights calls it as he likes
    this.#interfaces.set(index, shown);
    return shown;
  }

  /** The name of the release in force, which is remembered with its version. */
  #activeRelease(): string {
    const active = this.#host?.active();
    if (active === undefined) return '';
    const release = active.hash.slice(0, RELEASE_DIGITS);
    this.#versions.set(release, active.version);
    const [oldest] = this.#versions.keys();
    if (this.#versions.size > RELEASES_KNOWN_MAX && oldest !== undefined) this.#versions.delete(oldest);
    return release;
  }

  async #judge({ active, judge }: RefusedHost): Promise<void> {
    this.#isJudging = true;
    let count = 0;
    for (const key of this.#unjudged) {
      if (count === JUDGED_AT_ONCE) break;
      this.#unjudged.delete(key);
      const kept = this.#kept.get(key); // unless it gave way
      const packet = kept && packetOf(kept);
      if (kept === undefined || packet === undefined) continue;
      count += 1;
      const before = active();
      try {
        const judged = await judge(packet);
        if (active()?.hash !== before?.hash)
          this.#unjudged.add(key); // by which of both?
        else this.#kept.judge(kept, { ...judged, judgedBy: before?.version ?? 0 });
      } catch {
        // The release is not to be had just now; the next packet of that kind asks again.
      }
    }
    this.#isJudging = false;
  }
}

function packetOf({ of }: Kept): Packet | undefined {
  const { qube, remote, direction, proto, port, icmpType } = of;
  if (remote === undefined || proto === undefined) return undefined;
  const [src, dst] = (direction === 'egress' ? [qube, remote] : [remote, qube]).map(addressFromBytes);
  return dst && { direction, src, dst, proto, port, icmpType };
}
