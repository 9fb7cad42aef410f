/** Judges names by the release in force, beside a sink or alone: `rulecast-dns`, through its feed. */

import type { RuleSet } from '@rulecast/rules';
import type { Sink, SinkRelease } from './sink.ts';

export interface NameEnforcer {
  /** Whether it can be had on this host. */
  isThere(): boolean;
  /** This is in force: resolves once names are judged by it, or it is no use to wait. Does not throw. */
  follow(ruleSet: RuleSet): Promise<void>;
  /**
   * Why names are not judged by the last committed rule set, and for how long; undefined: they are, or need
   * not be.
   */
  trouble(): { readonly text: string; readonly forMs: number } | undefined;
  /** Counters of names; their names begin with `dns`. */
  counters(): Readonly<Record<string, number>>;
}

/**
 * A sink that also passes the names part of its rules, from `ruleSet`, to `rulecast-dns`. Packets go first:
 * if names fail, the packet rules are in force all the same, and the trouble is reported.
 */
export function sinkWithNames(
  sink: Sink | undefined,
  names: NameEnforcer,
  ruleSet: () => Promise<RuleSet>,
): Sink {
  let prepared: RuleSet | undefined;
  return {
    ...(sink?.judgesFlows !== undefined && { judgesFlows: sink.judgesFlows }),
    ...(sink?.plans !== undefined && { plans: sink.plans }),
    ...(sink?.opensNames !== undefined && { opensNames: sink.opensNames }),
    ...(sink?.toldTo && {
      toldTo: (qube, address) => sink.toldTo?.(qube, address) ?? Promise.resolve([]),
    }),
    ...(sink?.counters && { counters: () => sink.counters?.() ?? {} }),
    ...(sink?.boot && { boot: (release: SinkRelease) => sink.boot?.(release) ?? Promise.resolve() }),
    async prepare(release) {
      await sink?.prepare(release);
      prepared = await ruleSet(); // read now, as the thread that has it may die before the commit
    },
    async commit() {
      await sink?.commit();
      if (prepared !== undefined) await names.follow(prepared);
      prepared = undefined;
      await sink?.namesFollow?.();
    },
    async discard() {
      prepared = undefined;
      await sink?.discard();
    },
    trouble: () => sink?.trouble?.() ?? names.trouble(),
  };
}
