/** What guards look at, what opens them, and what they say. */

import type { OperatorRole } from '@rulecast/formats';
import type { RuleSet } from '@rulecast/rules';
import type { Way } from './table.ts';

/** What somebody permitted for one push. Each opens one guard. */
export interface PushPermits {
  /** A list of which nothing is left. */
  readonly allowEmpty: boolean;
  readonly allowShrink: boolean;
  readonly allowGrowth: boolean;
  /** Any part of the address space, but not all of it. */
  readonly allowCoverage: boolean;
  readonly allowAll: boolean;
  /** Addresses that became names, or names addresses. */
  readonly allowKind: boolean;
  /** Entries that stand for more names than before, in a list that rules accept. */
  readonly allowWider: boolean;
  /** Half of a family that comes to be accepted. */
  readonly allowAcceptAll: boolean;
  /** Policies that accept nothing any more. */
  readonly allowDropAll: boolean;
  /** No policies any more, where the rule set says what happens to qubes then. */
  readonly allowNoPolicy: boolean;
  /** Packets dropped that must get through. */
  readonly allowUnreachable: boolean;
  /** Drop rules that are left without any address, for their names do not resolve. */
  readonly allowUnresolved: boolean;
  /** Firewalls that cannot take it, and stay as they are. */
  readonly allowUnsupported: boolean;
}

/** The permit that each name opens, as follows `--allow-`; `drop-all` is what `--yes` says. */
const PERMIT_FIELDS = {
  empty: 'allowEmpty',
  shrink: 'allowShrink',
  growth: 'allowGrowth',
  coverage: 'allowCoverage',
  all: 'allowAll',
  kind: 'allowKind',
  wider: 'allowWider',
  'accept-all': 'allowAcceptAll',
  'drop-all': 'allowDropAll',
  'no-policy': 'allowNoPolicy',
  unreachable: 'allowUnreachable',
  unresolved: 'allowUnresolved',
  unsupported: 'allowUnsupported',
} as const satisfies Readonly<Record<string, keyof PushPermits>>;
export type PermitName = keyof typeof PERMIT_FIELDS;

/** What a guard has against a push. */
export interface GuardRefusal {
  /** Stable: of FindingCode, PushGuardCode, UnmatchedGuardCode, `needs-…`, or `unreachable`. */
  readonly guard: string;
  readonly part: string;
  /** What opens it. Undefined: other content. */
  readonly permit: PermitName | undefined;
  /**
   * Entries or rules; of coverage, millionths of the addresses that are reachable over the Internet; of
   * policies, how many.
   */
  readonly before: number;
  readonly after: number;
  /** For people: what would happen and what to do. */
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

/** Only the very permit of a refusal opens it. */
export function isPermitted({ permit }: GuardRefusal, permits: Partial<PushPermits>): boolean {
  return permit !== undefined && permits[PERMIT_FIELDS[permit]] === true;
}
