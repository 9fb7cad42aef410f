/**
 * The log of refused packets: reads the kernel's messages by a timer, without blocking, stores them, and has
 * new ones judged by the release in force, one at a time. Its failure does not affect releases.
 */

import type { BlockedName } from '@rulecast/dns/feed';
import type { RefusedPacket } from '@rulecast/nftables';
import {
  addressBytes,
  addressFromBytes,
  boundText,
  INTERFACE_MAX_BYTES,
  type SteadyClock,
  type WireRefusedQuery,
} from '@rulecast/protocol';
import { HOST_NAME_MAX_BYTES, type Packet } from '@rulecast/rules';
import { type Judgement, KEPT_MAX, type Kept, KeptRefusals, type Refused, type RefusedPage } from './kept.ts';

/** The kernel's log, as returned by openDropLog. */
export interface PacketLog {
  /** Reads waiting messages, a bounded number. Throws if the log has ended. */
  read(take: (packet: RefusedPacket) => void): void;
  readonly lost: number;
  close(): void;
}

/** Judges packets by the release in force. */
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
/** Releases whose version is remembered by hash. */
const RELEASES_KNOWN_MAX = 64;
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
  readonly #unjudged = new Set<string>();
  #isJudging = false;
  #stop = (): void => undefined;

  /** `fault`: why there is no log of packets. */
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

  /** `rulecast-dns` blocked names; `lost` more could not be told. */
  takeNames(names: readonly BlockedName[], lost: number): void {
    if (this.#fault !== '') return; // already reported
    this.#namesLost += lost;
    const release = this.#activeRelease();
    const direction = 'egress';
    for (const { qube, name, policy, rule, count } of names) {
      const by = rule && { rulePolicy: rule.policy, block: rule.block, list: rule.list };
      const of: Refused = {
        what: 'name',
        qube: addressBytes(qube),
        direction,
        name: boundText(name, HOST_NAME_MAX_BYTES),
        reason: 'name',
        verdict: { action: 'drop', direction, policy, ...by },
      };
      this.#kept.add(of, release, count, this.#nowS());
    }
  }

  /** Throws Error if the log has ended. */
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

  #take({ release, interface: name, ...packet }: RefusedPacket): void {
    const shown = name && boundText(name, INTERFACE_MAX_BYTES); // names may be invalid text
    const of: Refused = { ...packet, what: 'packet', interface: shown };
    const by = packet.reason === 'dns' ? this.#activeRelease() : release;
    const kept = this.#kept.add(of, by, 1, this.#nowS());
    const { judgedBy, verdict } = kept.judgement ?? {};
    const isOpen = verdict?.action !== 'drop' && judgedBy === this.#versions.get(by); // and yet refused again
    const isToJudge = packet.reason === 'rule' && (kept.judgement === undefined || isOpen);
    if (isToJudge && this.#unjudged.size < KEPT_MAX) this.#unjudged.add(kept.key);
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
      const kept = this.#kept.get(key); // unless it was dropped for others
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
