/** What guards look at, and what they say. */

import type { OperatorRole } from '@rulecast/formats';
import type { RuleSet } from '@rulecast/rules';
import { isPermitCode, type Permits } from './permits.ts';
import type { Way } from './table.ts';

/** What a guard has against a push. */
export interface GuardRefusal {
  /** Stable: of PermitCode, or `unmatched-not-said`, which no permit opens. */
  readonly guard: string;
  readonly part: string;
  /**
   * Entries or rules; of coverage, millionths of the addresses that are reachable over the Internet; of
   * policies, how many.
   */
  readonly before: number;
  readonly after: number;
  /** For people: what would happen. */
  readonly reason: string;
}

/** A subscriber, as it was when it last connected. */
export interface Firewall {
  readonly name: string;
  readonly capabilities: readonly string[];
  /** A release has to reach it: its name is bound, or whoever asks for the release named it. */
  readonly isRequired: boolean;
}

/** A push, or another way to a release, as far as guards ask. */
export interface GuardedPush {
  readonly before: RuleSet;
  readonly after: RuleSet;
  readonly way: Way;
  /** Of who asks for it. */
  readonly role: OperatorRole;
  /** Lists that a source keeps, whose own guards hold. */
  readonly isOfSource: (list: string) => boolean;
  /** All subscribers whose capabilities are known. */
  readonly firewalls: readonly Firewall[];
  /** Seconds since 1970. */
  readonly now: number;
}

/** Only the very code of a refusal opens it. */
export function isPermitted({ guard }: GuardRefusal, permits: Permits): boolean {
  return isPermitCode(guard) && permits.has(guard);
}
