/**
 * Which guard asks whom, by the way to a release: whoever makes another way says it here. A guard that asks
 * refuses until its code is permitted (permits.ts), which takes the role `admin` (operators.ts).
 */

import type { OperatorRole } from '@rulecast/formats';

/** Of whom a guard asks: nobody, those who may not permit it themselves, everybody. */
export type Asked = 'nobody' | 'push' | 'everybody';

/** What each guard is about. */
export const GUARDS = [
  /**
   * Lists that nobody keeps but who pushes them: emptied, shrunk, grown, covering too much, of another kind.
   */
  'lists',
  /** Likewise, those of sources. */
  'sourceLists',
  /** Lists of names that rules accept, of which entries come to stand for more. */
  'wider',
  /** Policies that lose most of their drop rules. */
  'drops',
  /** What is said of qubes that no policy names, and whether any policy is left. */
  'unmatched',
  /** Qubes of which half of a family is accepted that was not. */
  'opened',
  /** Likewise by a policy that is new, and for certain qubes. */
  'newPolicies',
  /** Likewise where nothing was said of any qube. */
  'firstPolicies',
  /** Nothing is accepted any more. */
  'dropAll',
  /** Drop rules of names without any address. */
  'unresolved',
  /** Firewalls that cannot take it. */
  'unsupported',
  /** Packets that must get through. */
  'mustReach',
] as const;
export type Guard = (typeof GUARDS)[number];

const NOTHING = Object.fromEntries(GUARDS.map((guard) => [guard, 'nobody'])) as Readonly<
  Record<Guard, 'nobody'> // each of them has an entry
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

/** A push replaces, merges or withdraws, with or without all else, in a new epoch or not. */
export const GUARD_TABLE = {
  push: BY_A_PERSON,
  rollback: { ...BY_A_PERSON, sourceLists: 'everybody' },
  /**
   * The rules file, whose guards are those of the role `push`. The configuration names it, which takes the
   * rights of an administrator, who is not asked either for the first policies of all. After `startOver` and
   * `setAside` it goes by the way `push`: firewalls may have policies.
   */
  rules: { ...BY_A_PERSON, firstPolicies: 'nobody' },
  /** The content of the head once more, whatever its names stand for now. */
  epoch: BY_ITSELF,
  /** Its other guards ask before it is delivered, and what waits for names is held back list by list. */
  source: BY_ITSELF,
  names: BY_ITSELF,
  renew: BY_ITSELF,
  /**
   * `rulectl block`, `allow`, `cut` and `blocks --remove`. Only `allow` opens, and for one qube. A cut is for
   * an emergency: nothing stands in its way. What is under the rows was judged when it was pushed, so that
   * `admin` is not asked again when they go.
   */
  block: { ...BY_ITSELF, dropAll: 'everybody', unresolved: 'everybody' },
  allow: { ...BY_ITSELF, opened: 'everybody' },
  cut: NOTHING,
  unblock: { ...BY_ITSELF, opened: 'push', newPolicies: 'push', dropAll: 'everybody' },
  /** What ends by itself was to end. */
  ended: NOTHING,
} as const satisfies Readonly<Record<string, Readonly<Record<Guard, Asked>>>>;
export type Way = keyof typeof GUARD_TABLE;

/** Whether a guard asks who has a role, on the way to a release. */
export function asks(guard: Guard, way: Way, role: OperatorRole): boolean {
  const asked: Asked = GUARD_TABLE[way][guard];
  return asked === 'everybody' || (asked === 'push' && role !== 'admin');
}
