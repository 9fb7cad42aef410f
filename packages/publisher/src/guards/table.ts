/**
 * Which guards apply to whom, for each way to a release: a new way needs a row here. A guard that applies
 * refuses until its code is permitted (permits.ts), which takes the role `admin` (operators.ts).
 */

import type { OperatorRole } from '@rulecast/formats';

/** The callers a guard applies to: none, those with role `push` only, everybody. */
export type Asked = 'nobody' | 'push' | 'everybody';

/** The guards, each with its subject. */
export const GUARDS = [
  /** Pushed lists, which no source refreshes: emptied, shrunk, grown, covering too much, of another kind. */
  'lists',
  /** Likewise for lists of sources. */
  'sourceLists',
  /** Lists of names that rules accept, whose entries grow wider. */
  'wider',
  /** Policies that lose most of their drop rules. */
  'drops',
  /** The action for qubes outside all policies, and whether any policy remains. */
  'unmatched',
  /** Qubes of which half of a family is accepted that was not. */
  'opened',
  /** Likewise by a policy that is new, and for certain qubes. */
  'newPolicies',
  /** Likewise for the first release of policies. */
  'firstPolicies',
  /** Nothing is accepted any more. */
  'dropAll',
  /** Drop rules of names without any address. */
  'unresolved',
  /** Firewalls that cannot enforce it. */
  'unsupported',
  /** Packets that must get through. */
  'mustReach',
] as const;
export type Guard = (typeof GUARDS)[number];

const NOTHING = Object.fromEntries(GUARDS.map((guard) => [guard, 'nobody'])) as Readonly<
  Record<Guard, 'nobody'> // a row for each guard
>;
const BY_ITSELF = { ...NOTHING, unsupported: 'everybody', mustReach: 'everybody' } as const;
/** A list of a source is not theirs to change: a push of it is refused before. */
const BY_A_PERSON = {
  lists: 'everybody',
  sourceLists: 'nobody',
  wider: 'everybody',
  drops: 'everybody',
  unmatched: 'everybody',
  opened: 'everybody',
  newPolicies: 'push',
  firstPolicies: 'push',
  dropAll: 'everybody',
  unresolved: 'everybody',
  unsupported: 'everybody',
  mustReach: 'everybody',
} as const;

/** Who is asked by which guard, by the way that a release comes. */
export const GUARD_TABLE = {
  /** `rulectl push`, with any of its options. */
  push: BY_A_PERSON,
  rollback: { ...BY_A_PERSON, sourceLists: 'everybody' },
  /**
   * The rules file, whose guards are those of the role `push`. The configuration names it, which takes the
   * rights of an administrator, so the guard of first policies does not apply either. After `startOver` and
   * `setAside` it has the guards of the way `push`: firewalls may have policies.
   */
  rules: { ...BY_A_PERSON, firstPolicies: 'nobody' },
  /** The head's content once more, whatever addresses its names have now. */
  epoch: BY_ITSELF,
  /** Its other guards run before delivery, and lists that wait for names are held back one by one. */
  source: BY_ITSELF,
  names: BY_ITSELF,
  renew: BY_ITSELF,
  /**
   * `rulectl block`, `allow`, `cut` and `blocks --remove`. Only `allow` opens, and for one qube. A cut is for
   * an emergency, so no guard stops it. The pushed rules under the rows were judged at their push, so
   * removing rows needs no `admin`.
   */
  block: { ...BY_ITSELF, dropAll: 'everybody', unresolved: 'everybody' },
  allow: { ...BY_ITSELF, opened: 'everybody' },
  cut: NOTHING,
  unblock: { ...BY_ITSELF, opened: 'push', newPolicies: 'push', dropAll: 'everybody' },
  /** An expiry was intended. */
  ended: NOTHING,
} as const satisfies Readonly<Record<string, Readonly<Record<Guard, Asked>>>>;
export type Way = keyof typeof GUARD_TABLE;

/** Whether a guard applies to a role, on the way to a release. */
export function asks(guard: Guard, way: Way, role: OperatorRole): boolean {
  const asked: Asked = GUARD_TABLE[way][guard];
  return asked === 'everybody' || (asked === 'push' && role !== 'admin');
}
