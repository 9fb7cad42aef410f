/** The input of guards, and their refusals. */

import type { OperatorRole } from '@rulecast/formats';
import type { RuleSet } from '@rulecast/rules';
import type { Firewall } from '@rulecast/sessions';
import { isPermitCode, type Permits } from './permits.ts';
import type { Way } from './table.ts';

/** Why a guard refuses a push. */
export interface GuardRefusal {
  /** Stable: a PermitCode, or `unmatched-not-said`, which nothing permits. */
  readonly guard: string;
  readonly part: string;
  /**
   * Entries or rules; of coverage, millionths of the addresses that are reachable over the Internet; of
   * policies, how many.
   */
  readonly before: number;
  readonly after: number;
  /** For people: the consequence. */
  readonly reason: string;
}

/** The input of guards: a push, or another way to a release. */
export interface GuardedPush {
  readonly before: RuleSet;
  readonly after: RuleSet;
  readonly way: Way;
  /** The caller's role. */
  readonly role: OperatorRole;
  /** Whether a source owns a list, and guards it. */
  readonly isOfSource: (list: string) => boolean;
  /** All subscribers with known capabilities. */
  readonly firewalls: readonly Firewall[];
  /** Seconds since 1970. */
  readonly now: number;
}

/** Whether a refusal is permitted by its own code. */
export function isPermitted({ guard }: GuardRefusal, permits: Permits): boolean {
  return isPermitCode(guard) && permits.has(guard);
}
