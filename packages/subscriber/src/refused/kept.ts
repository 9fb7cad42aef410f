/**
 * What was refused, in memory alone: one entry for packets, or questions, that differ in nothing but their
 * time, the one that changed last at the end. Bounded for each qube and in all; the oldest go first.
 */

import {
  CONTROL_BODY_MAX_BYTES,
  REFUSALS_MAX,
  type WireRefused,
  type WireRefusedQuery,
} from '@rulecast/protocol';

/** What one of them is about. */
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

/** What the release in force says of a packet that was refused. */
export type Judgement = Pick<WireRefused, 'judgedBy' | 'verdict' | 'name'>;

/** As many as an answer has room for. */
export interface RefusedPage {
  readonly refused: readonly WireRefused[];
  /** What was refused and is not told, since the log began. */
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
export const OF_A_QUBE_MAX = 500;
export const KEPT_MAX = 10_000;
/** Of a page, and of a record without its texts; the rest of the answer has 150 bytes. */
const PAGE_BYTES = CONTROL_BODY_MAX_BYTES - 256;
const RECORD_BYTES = 380;

export class KeptRefusals {
  /** By key, in the order of their ids. */
  readonly #all = new Map<string, Kept>();
  readonly #byQube = new Map<string, Map<string, Kept>>();
  #lastId: number;

  /** Ids go on after `firstId`. */
  constructor(firstId: number) {
    this.#lastId = firstId;
  }

  get size(): number {
    return this.#all.size;
  }

  /** It happened so many times more. */
  add(of: Refused, release: string, count: number, nowS: number): Kept {
    const key = keyOf(of);
    const known = this.#all.get(key);
    if (known === undefined) this.#makeRoom(qubeOf(of));
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

  /** It is judged, unless it is gone or was refused by another release meanwhile. */
  judge({ key, release }: Kept, judgement: Judgement): void {
    const now = this.#all.get(key);
    if (now?.release === release) this.#put({ ...now, judgement });
  }

  get(key: string): Kept | undefined {
    return this.#all.get(key);
  }

  #put(entry: Omit<Kept, 'id'>): Kept {
    const kept = { ...entry, id: ++this.#lastId };
    const qube = qubeOf(kept.of);
    const ofQube = this.#byQube.get(qube) ?? new Map<string, Kept>();
    this.#byQube.set(qube, ofQube);
    for (const map of [this.#all, ofQube]) {
      map.delete(kept.key);
      map.set(kept.key, kept);
    }
    return kept;
  }

  /** For one more of a qube. */
  #makeRoom(qube: string): void {
    const ofQube = this.#byQube.get(qube);
    const from =
      (ofQube?.size ?? 0) >= OF_A_QUBE_MAX ? ofQube : this.#all.size >= KEPT_MAX ? this.#all : undefined;
    const [oldest] = from?.values() ?? [];
    if (oldest === undefined) return;
    const owner = qubeOf(oldest.of);
    this.#all.delete(oldest.key);
    this.#byQube.get(owner)?.delete(oldest.key);
    if (this.#byQube.get(owner)?.size === 0) this.#byQube.delete(owner);
  }

  /** What is asked for, as much as has room; `versionOf` a release by its name, 0 of none. */
  page(
    { after, qube, sinceS = 0 }: WireRefusedQuery,
    lost: number,
    versionOf: (release: string) => number,
  ): RefusedPage {
    const from = after > this.#lastId ? 0 : after;
    const asked = qube === undefined ? this.#all : this.#byQube.get(hexOf(qube));
    const refused: WireRefused[] = [];
    let left = PAGE_BYTES;
    for (const kept of asked?.values() ?? []) {
      if (kept.id <= from || kept.lastS < sinceS) continue;
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

function qubeOf({ qube }: Refused): string {
  return hexOf(qube);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
