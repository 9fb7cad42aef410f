/**
 * The log of refused packets and questions, in memory only. Those that differ only in time share one entry;
 * the latest changed is last. It is bounded for each direction of a qube and in total. The oldest entries go
 * first, in total those of the interface with most: a qube can forge addresses, but not its interface.
 */

import {
  CONTROL_BODY_MAX_BYTES,
  REFUSALS_MAX,
  type WireRefused,
  type WireRefusedQuery,
} from '@rulecast/protocol';

/** The key of an entry. */
export type Refused = Pick<
  WireRefused,
  | 'what'
  | 'qube'
  | 'interface'
  | 'direction'
  | 'remote'
  | 'proto'
  | 'port'
  | 'icmpType'
  | 'name'
  | 'reason'
  | 'verdict'
>;

/** The verdict of the release in force on a refused packet. */
export type Judgement = Pick<WireRefused, 'judgedBy' | 'verdict' | 'name'>;

/** As many as an answer has room for. */
export interface RefusedPage {
  readonly refused: readonly WireRefused[];
  /** Refused packets without an entry, since the log began. */
  readonly lost: number;
  /** After which the next page begins. */
  readonly next: number | undefined;
}

/** An entry: its parts are replaced, never changed. */
export interface Kept {
  readonly key: string;
  readonly of: Refused;
  /** As the kernel names the release that refused last. */
  readonly release: string;
  readonly judgement: Judgement | undefined;
  readonly id: number;
  readonly count: number;
  readonly firstS: number;
  readonly lastS: number;
}

// Our choice: what a person reads of a qube, and some megabytes.
export const OF_A_QUBE_MAX = 500; // for each direction
export const KEPT_MAX = 10_000;
/** Bytes of a page, and of a record without its texts; the rest of the answer takes 150 bytes. */
const PAGE_BYTES = CONTROL_BODY_MAX_BYTES - 256;
const RECORD_BYTES = 380;

export class KeptRefusals {
  /** By key, in the order of their ids. */
  readonly #all = new Map<string, Kept>();
  readonly #byWay = new Map<string, Map<string, Kept>>();
  readonly #byLink = new Map<string, Map<string, Kept>>();
  #lastId: number;

  /** Ids go on after `firstId`. */
  constructor(firstId: number) {
    this.#lastId = firstId;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Counts `count` more occurrences. */
  add(of: Refused, release: string, count: number, nowS: number): Kept {
    const key = keyOf(of);
    const known = this.#all.get(key);
    if (known === undefined) this.#makeRoom(of);
    const isSame = known?.release === release;
    return this.#put({
      key,
      of,
      release,
      judgement: isSame ? known.judgement : undefined,
      count: (known?.count ?? 0) + count,
      firstS: known?.firstS ?? nowS,
      lastS: nowS,
    });
  }

  /** Sets its verdict, unless it is gone or another release refused it meanwhile. */
  judge({ key, release }: Kept, judgement: Judgement): void {
    const now = this.#all.get(key);
    if (now?.release === release) this.#put({ ...now, judgement });
  }

  get(key: string): Kept | undefined {
    return this.#all.get(key);
  }

  #put(entry: Omit<Kept, 'id'>): Kept {
    const kept = { ...entry, id: ++this.#lastId };
    for (const map of this.#mapsOf(kept.of)) {
      map.delete(kept.key);
      map.set(kept.key, kept);
    }
    return kept;
  }

  /** The maps it belongs to: all, its direction's, and its interface's. */
  #mapsOf(of: Refused): readonly Map<string, Kept>[] {
    const group = (groups: Map<string, Map<string, Kept>>, name: string): Map<string, Kept> => {
      const found = groups.get(name) ?? new Map<string, Kept>();
      groups.set(name, found);
      return found;
    };
    return [this.#all, group(this.#byWay, wayOf(of)), group(this.#byLink, linkOf(of))];
  }

  /** For one more. */
  #makeRoom(of: Refused): void {
    const ofWay = this.#byWay.get(wayOf(of));
    if (ofWay !== undefined && ofWay.size >= OF_A_QUBE_MAX) this.#forgetOldest(ofWay);
    else if (this.#all.size >= KEPT_MAX)
      this.#forgetOldest([...this.#byLink.values()].reduce((one, two) => (two.size > one.size ? two : one)));
  }

  #forgetOldest(from: ReadonlyMap<string, Kept>): void {
    const [oldest] = from.values();
    if (oldest === undefined) return;
    for (const map of this.#mapsOf(oldest.of)) map.delete(oldest.key);
    if (this.#byWay.get(wayOf(oldest.of))?.size === 0) this.#byWay.delete(wayOf(oldest.of));
    if (this.#byLink.get(linkOf(oldest.of))?.size === 0) this.#byLink.delete(linkOf(oldest.of));
  }

  /**
   * The requested entries, as many as fit; `versionOf` maps a release's name to its version, 0 if unknown.
   */
  page(
    { after, qube, sinceS = 0 }: WireRefusedQuery,
    lost: number,
    versionOf: (release: string) => number,
  ): RefusedPage {
    const from = after > this.#lastId ? 0 : after;
    const begins = qube === undefined ? '' : `${hexOf(qube)},`; // as a key does
    const refused: WireRefused[] = [];
    let left = PAGE_BYTES;
    for (const kept of this.#all.values()) {
      if (kept.id <= from || kept.lastS < sinceS || !kept.key.startsWith(begins)) continue;
      const record = recordOf(kept, versionOf);
      left -= bytesOf(record);
      if (refused.length === REFUSALS_MAX || (left < 0 && refused.length > 0))
        return { refused, lost, next: refused.at(-1)?.id };
      refused.push(record);
    }
    return { refused, lost, next: undefined };
  }
}

function recordOf(
  { id, of, release, judgement, count, firstS, lastS }: Kept,
  versionOf: (release: string) => number,
): WireRefused {
  return { ...of, ...judgement, id, count, firstS, lastS, version: versionOf(release) };
}

/** At most. */
function bytesOf({ name, verdict, interface: link }: WireRefused): number {
  const { policy, rulePolicy, rule, list, prefix } = verdict ?? {};
  const texts = [name, link, policy, rulePolicy, rule, list, prefix];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), RECORD_BYTES);
}

function keyOf({
  what,
  qube,
  interface: link,
  direction,
  remote,
  proto,
  port,
  icmpType,
  name,
  reason,
}: Refused): string {
  const ends = [hexOf(qube), link, direction, remote && hexOf(remote)];
  return [...ends, proto, port, icmpType, reason, what === 'name' ? name : ''].join();
}

function wayOf({ qube, direction }: Refused): string {
  return `${hexOf(qube)} ${direction}`;
}

function linkOf({ interface: link = '' }: Refused): string {
  return link;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
