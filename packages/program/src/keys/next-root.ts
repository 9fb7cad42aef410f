/** The next root: changes to the present one, as a value that its keys have still to sign. */

import { keyIdOf, ROLES, type Role, type RoleName, type Root } from '@rulecast/protocol';

/** The changes of the next root. */
export interface RootChange {
  /** Public keys that get a role. */
  readonly add: Partial<Record<RoleName, readonly Uint8Array[]>>;
  /** Ids of keys that lose every role, in hex. */
  readonly remove: readonly string[];
  /** How many keys of a role must sign; default: as many as before, or all if fewer are left. */
  readonly thresholds: Partial<Record<RoleName, number>>;
  /** The last epoch that there may be; default: as before. */
  readonly epochCeiling: number | undefined;
  /** By when it has to be renewed, in seconds since 1970, or `never`; default: as before. */
  readonly refreshBy?: number | 'never' | undefined;
}

/** Throws RangeError, with a sentence, for a change that makes no root. */
export function nextRoot(root: Root, change: RootChange): Root {
  const unknown = change.remove.find(
    (id) => !ROLES.some((name) => root.roles[name].keys.some((key) => idOf(key) === id)),
  );
  if (unknown !== undefined) throw new RangeError(`root ${root.number} has no key ${unknown}`);
  const roleOf = (name: RoleName): Role => {
    const kept = root.roles[name].keys.filter((key) => !change.remove.includes(idOf(key)));
    const keys = [...kept, ...(change.add[name] ?? [])].sort(Buffer.compare);
    if (keys.length === 0) throw new RangeError(`no key would be left to sign as ${name}: add one first`);
    const threshold = change.thresholds[name] ?? Math.min(root.roles[name].threshold, keys.length);
    if (threshold < 1 || threshold > keys.length)
      throw new RangeError(`${threshold} of ${keys.length} keys cannot sign as ${name}`);
    return { threshold, keys };
  };
  const epochCeiling = change.epochCeiling ?? root.epochCeiling;
  if (epochCeiling < root.epochFloor)
    throw new RangeError(`epoch ${epochCeiling} is below ${root.epochFloor}, the first that is granted`);
  const refreshBy = change.refreshBy ?? root.refreshBy;
  return {
    ...root,
    number: root.number + 1,
    epochCeiling,
    refreshBy: refreshBy === 'never' ? undefined : refreshBy,
    roles: { root: roleOf('root'), release: roleOf('release'), freshness: roleOf('freshness') },
  };
}

/** The id of a key, for people. */
export function idOf(key: Uint8Array): string {
  return Buffer.from(keyIdOf(key)).toString('hex');
}
