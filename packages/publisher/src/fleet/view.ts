/**
 * The names that report the release they have in force, as requests of `rulectl` see them. DEPOT.md
 * "Reports", CONTROL.md "record fleet".
 */

import type { FleetState } from '@rulecast/protocol';

/** A name, as its last report has it. */
export interface FleetRow {
  readonly name: string;
  readonly state: FleetState;
  /** The relay that passed on its last report. */
  readonly via: string | undefined;
  /** The release that it reported in force; `hash` in hex. */
  readonly held: { readonly epoch: number; readonly version: number; readonly hash: string } | undefined;
  /** How long applying took, in milliseconds; undefined with `held`. */
  readonly applyMs: number | undefined;
  readonly isPersisted: boolean;
  /** The release that it refuses, `hash` in hex, and why. */
  readonly refused: { readonly hash: string; readonly code: string } | undefined;
  /** Milliseconds since 1970 of its last report; undefined: none yet. */
  readonly heardAtMs: number | undefined;
}

export interface FleetCounts extends Readonly<Record<FleetState, number>> {
  /** Of `refused`, by code, the most frequent first. */
  readonly refusedBy: ReadonlyMap<string, number>;
}

export interface FleetView {
  /** A sentence, if reports cannot be stored or counted. */
  readonly trouble: string | undefined;
  /** The interval of a firewall's reports, in milliseconds. */
  readonly everyMs: number;
  /**
   * With `sinceMs` only names heard since then (milliseconds since 1970), and `unknown` is 0. It scans all
   * names: call it at most once a second.
   */
  counts(sinceMs?: number): FleetCounts;
  /** Names that are not synced, at most so many: refused first, then unknown, silent, behind. */
  odd(most: number): readonly FleetRow[];
  /** Live: may be iterated over many turns, while reports come in. */
  inState(state: FleetState): AsyncIterable<FleetRow>;
  find(name: string): FleetRow | undefined;
  /** False: the name was unknown. */
  forget(name: string): boolean;
  /**
   * Calls `listener` after reports changed `counts`, at most every 200 ms. Returns a function that stops it.
   */
  onChange(listener: () => void): () => void;
}
