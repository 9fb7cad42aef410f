/** The sink: the interface to an enforcer outside this process, such as nftables. */

import type { Address, Environment, RuleSet } from '@rulecast/rules';

/** A release for the sink to enforce. */
export interface SinkRelease {
  /** Manifest hash, 32 bytes; the sink keeps it with what it enforces, so that a restart can reconcile. */
  readonly hash: Uint8Array;
  readonly environment: Environment;
  /**
   * A copy of the release's, or of the boot mode where that decides nothing; for as long as this is being
   * prepared or committed.
   */
  ruleSet(): Promise<RuleSet>;
}

/** A list of names by which an address is open to a qube. */
export interface ToldName {
  readonly list: string;
  /** The name that DNS resolved, and how many seconds ago. */
  readonly name: string;
  readonly agoS: number;
}

/**
 * At most one sink is embedded, since it may refuse: prepare and commit may throw, and then what was enforced
 * before stays enforced. The calls come one after the other: prepare, then commit or discard.
 */
export interface Sink {
  /** It judges flows, and drops packets that cannot begin one (`beginsFlow` of @rulecast/rules). */
  readonly judgesFlows?: boolean;
  /** It has a socket on which DNS requests openings of addresses that rules accept by name. */
  readonly opensNames?: boolean;
  /** Has the owner of rule sets plan for it, with these options: plain data, for @rulecast/nftables. */
  readonly plans?: unknown;
  /** Makes everything ready; enforces nothing yet. */
  prepare(release: SinkRelease): Promise<void>;
  /** Enforces the prepared release, all at once. */
  commit(): Promise<void>;
  /** Discards the prepared release. Does not throw. */
  discard(): Promise<void>;
  /**
   * Enforces the boot rule set before the first release; a sink that still enforces a release of an earlier
   * process may keep that. If it rejects, the subscriber does not start.
   */
  boot?(release: SinkRelease): Promise<void>;
  /** Names are judged by what was committed, by a program that may have started for it. Does not throw. */
  namesFollow?(): Promise<void>;
  /** Why, and for how long, the last commit is not enforced, or not known to be; undefined: it is. */
  trouble?(): { readonly text: string; readonly forMs: number } | undefined;
  /** The lists of names by which an address is open to a qube now. May reject. */
  toldTo?(qube: Address, address: Address): Promise<readonly ToldName[]>;
  /**
   * Counters for `rulectl status --counters`, shown in place of the table's lookups: at most 61, named by 1
   * to 32 of `A-Z a-z 0-9 . _ -`, the first a letter.
   */
  counters?(): Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;
}
