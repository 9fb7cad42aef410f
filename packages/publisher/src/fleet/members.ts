/**
 * The last report of each name, in memory: a row a name, counted on demand. 100,000 rows are counted in some
 * milliseconds; running sums would have to be kept right.
 */

import { type FleetState, hexOf, type Report, type SteadyClock, type Turn } from '@rulecast/protocol';
import type { FleetCounts, FleetRow } from './view.ts';

/** A limit of 0.3 GB, as a relay's token may report any name. Our choice. */
const MEMBERS_MAX = 1_000_000;
/** Rows scanned in a turn. */
const ROWS_A_TURN = 2_000;
/** Releases that rows share. */
const SHARED_MAX = 256;
/** States that need attention, the most urgent first. */
const ODD = ['refused', 'unknown', 'silent', 'behind'] as const;

export interface MembersOptions {
  readonly everyMs: number;
  readonly clock: SteadyClock;
  /** Since 1970. */
  readonly nowMs: () => number;
  readonly turn: Turn;
  readonly headHash: () => Uint8Array | undefined;
  /** Names expected to report, which may never have. */
  readonly expected: () => readonly string[];
}

interface Member extends Pick<FleetRow, 'via' | 'held' | 'applyMs' | 'isPersisted' | 'refused'> {
  /** The sequence of the last report, counted by the relay `via`, or by the name itself. */
  readonly sequence: number;
  /** The highest that the name itself reported. */
  readonly ownSequence: number;
  /** By the steady clock. */
  readonly heardMs: number;
}

interface Now {
  readonly heardFromMs: number;
  /** Hash of the newest release, in hex. */
  readonly head: string | undefined;
}

/**
 * The outcome of a report: it is a replay (not above `last`), it is taken, or another reporter speaks for the
 * name.
 */
export type Taken =
  | { readonly kind: 'replayed'; readonly last: number }
  | { readonly kind: 'taken'; readonly ownSequence: number }
  | { readonly kind: 'ignored' };

export class Members {
  readonly #options: MembersOptions;
  readonly #members = new Map<string, Member>();
  readonly #shared = new Map<string, FleetRow['held']>();

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#members.size >= MEMBERS_MAX;
  }

  /**
   * A name has sequences of its own, which no relay can use up; and no relay speaks for a name that reports
   * itself.
   */
  take({ name, via, sequence, held, refused }: Report): Taken {
    const before = this.#members.get(name);
    const isOwn = via === undefined;
    const last = isOwn ? before?.ownSequence : before?.via === via ? before.sequence : undefined;
    if (last !== undefined && sequence <= last) return { kind: 'replayed', last };
    const isOthers =
      !isOwn &&
      before?.via === undefined &&
      before !== undefined &&
      before.heardMs >= this.#now().heardFromMs;
    if (isOthers || (before === undefined && this.isFull)) return { kind: 'ignored' };
    const ownSequence = isOwn ? sequence : (before?.ownSequence ?? 0);
    this.#members.set(name, {
      via,
      held: held && this.#sharedHeld(held),
      applyMs: held?.applyMs,
      isPersisted: held?.isPersisted === true,
      refused: refused && { hash: hexOf(refused.hash), code: refused.code },
      sequence,
      ownSequence,
      heardMs: this.#options.clock.monotonicMs(),
    });
    return { kind: 'taken', ownSequence };
  }

  /** Restores a stored report, received at a time since 1970. */
  resume(report: Report, ownSequence: number, heardAtMs: number): void {
    this.take(report);
    const member = this.#members.get(report.name);
    const ageMs = Math.max(0, this.#options.nowMs() - heardAtMs); // a clock may have been set back
    if (member !== undefined)
      this.#members.set(report.name, { ...member, ownSequence, heardMs: member.heardMs - ageMs });
  }

  /** One object and one text for all who have the same release. */
  #sharedHeld({ hash: bytes, epoch, version }: NonNullable<Report['held']>): FleetRow['held'] {
    const hash = hexOf(bytes);
    const shared = this.#shared.get(hash);
    if (shared?.epoch === epoch && shared.version === version) return shared;
    if (this.#shared.size >= SHARED_MAX) this.#shared.clear();
    const held = { epoch, version, hash };
    this.#shared.set(hash, held);
    return held;
  }

  /** The limits for states: a name not heard since is silent, one with another head is behind. */
  #now(): Now {
    const { clock, everyMs, headHash } = this.#options;
    const hash = headHash();
    return { heardFromMs: clock.monotonicMs() - 2 * everyMs, head: hash && hexOf(hash) };
  }

  counts(sinceMs?: number): FleetCounts {
    const { nowMs, clock } = this.#options;
    const now = this.#now();
    const fromMs = sinceMs === undefined ? -Infinity : clock.monotonicMs() - (nowMs() - sinceMs);
    const states = { synced: 0, behind: 0, refused: 0, silent: 0, unknown: 0 };
    const codes = new Map<string, number>();
    for (const member of this.#members.values()) {
      if (member.heardMs < fromMs) continue;
      const state = stateOf(member, now);
      states[state]++;
      const code = state === 'refused' ? member.refused?.code : undefined;
      if (code !== undefined) codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    if (sinceMs === undefined) states.unknown = this.#unknown().length;
    return { ...states, refusedBy: new Map([...codes].sort(([, a], [, b]) => b - a)) };
  }

  odd(most: number): readonly FleetRow[] {
    const now = this.#now();
    const found = { refused: [], unknown: this.#unknown().slice(0, most), silent: [], behind: [] } as Record<
      (typeof ODD)[number],
      string[]
    >;
    for (const [name, member] of this.#members) {
      const state = stateOf(member, now);
      if (state !== 'synced' && found[state].length < most) found[state].push(name);
    }
    const names = ODD.flatMap((state) => found[state]).slice(0, most);
    return names.map((name) => this.find(name) ?? unknownRow(name));
  }

  async *inState(state: FleetState): AsyncGenerator<FleetRow> {
    if (state === 'unknown') for (const name of this.#unknown()) yield unknownRow(name);
    let now = this.#now();
    let left = ROWS_A_TURN;
    for (const [name, member] of this.#members) {
      if (stateOf(member, now) === state) yield this.#rowOf(name, member);
      if (--left > 0) continue;
      left = ROWS_A_TURN;
      await this.#options.turn();
      now = this.#now();
    }
  }

  find(name: string): FleetRow | undefined {
    const member = this.#members.get(name);
    return member && this.#rowOf(name, member);
  }

  forget(name: string): boolean {
    return this.#members.delete(name);
  }

  #unknown(): string[] {
    return this.#options.expected().filter((name) => !this.#members.has(name));
  }

  #rowOf(name: string, member: Member): FleetRow {
    const { via, held, applyMs, isPersisted, refused, heardMs } = member;
    const { nowMs, clock } = this.#options;
    const heardAtMs = Math.max(0, Math.round(nowMs() - (clock.monotonicMs() - heardMs)));
    const state = stateOf(member, this.#now());
    return { name, state, via, held, applyMs, isPersisted, refused, heardAtMs };
  }
}

function stateOf({ heardMs, held, refused }: Member, { heardFromMs, head }: Now): FleetState {
  if (heardMs < heardFromMs) return 'silent';
  if (head === undefined) return 'behind';
  if (held?.hash === head) return 'synced';
  return refused?.hash === head ? 'refused' : 'behind';
}

function unknownRow(name: string): FleetRow {
  const nothing = { via: undefined, held: undefined, applyMs: undefined, refused: undefined };
  return { name, state: 'unknown', ...nothing, isPersisted: false, heardAtMs: undefined };
}
