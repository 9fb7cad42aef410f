/**
 * The keys of a simulated house, all of one seed, for what they sign is part of the trace: one for each role,
 * and with each rotation another in the place of one or two. Only the newest root is known here; each
 * publisher has the roots that are in its identity file.
 */

import type { KeyObject } from 'node:crypto';
import { replaceIdentity } from '@rulecast/program/identity';
import { idOf, nextRoot } from '@rulecast/program/next-root';
import {
  EXPIRE_MAX_SECONDS,
  isSignedBy,
  publicBytes,
  type RoleName,
  type Root,
  type Roots,
  type Signed,
  type SignedRoot,
  type Trust,
  withRoot,
} from '@rulecast/protocol';
import type { Random } from '../kit/random.mjs';
import { keyOfSeed, rootOf, signedRoot } from '../kit/roots.mjs';

/** Rotations of one house at most. */
export const ROTATIONS_MAX = 3;
/** The roles whose keys a rotation replaces; those of releases come twice as often as each other. */
const ROTATED: readonly (readonly RoleName[])[] = [
  ['release'],
  ['release', 'freshness'],
  ['freshness'],
  ['root'],
];

export class HouseKeys {
  readonly trust: Trust;
  #keys: Readonly<Record<RoleName, KeyObject>>;
  #roots: Roots;
  #made = 0;

  constructor() {
    const lineage = new Uint8Array(16).fill(5);
    this.#keys = { root: this.#make(), release: this.#make(), freshness: this.#make() };
    const { root: key, release, freshness } = this.#keys;
    const roles = { root: aloneOf(key), release: aloneOf(release), freshness: aloneOf(freshness) };
    const first = signedRoot(rootOf(lineage, key, { roles }), key);
    this.trust = { lineage, rootHash: first.hash };
    this.#roots = [first];
  }

  get rotations(): number {
    return this.#roots.length - 1;
  }

  /** Puts the newest roots and their keys into an identity file. */
  writeTo(identityFile: string): void {
    const { root: _, ...keys } = this.#keys;
    replaceIdentity(identityFile, {
      lineage: this.trust.lineage,
      keys: Object.values(keys),
      roots: this.#roots,
    });
  }

  /** Takes the keys of some role away; each second root has a date. Returns what is said of it. */
  rotate(random: Random): string {
    const names = random.pick(ROTATED);
    const before = this.#newest.root;
    const keys = { ...this.#keys };
    for (const name of names) keys[name] = this.#make();
    const add = Object.fromEntries(names.map((name) => [name, [publicBytes(keys[name])]]));
    const remove = names.flatMap((name) => before.roles[name].keys.map(idOf));
    const refreshBy = before.refreshBy === undefined ? EXPIRE_MAX_SECONDS : 'never';
    const next = nextRoot(before, { add, remove, thresholds: {}, epochCeiling: undefined, refreshBy });
    this.#roots = withRoot(this.#roots, signedRoot(next, ...new Set([this.#keys.root, keys.root])));
    this.#keys = keys;
    return `root ${next.number}, with other keys for ${names.join(' and ')}`;
  }

  /** Whether who signed it may still release. */
  mayRelease(signed: Signed): boolean {
    return isSignedBy(this.#newest.root, 'release', signed);
  }

  get #newest(): SignedRoot {
    const newest = this.#roots.at(-1);
    if (newest === undefined) throw new TypeError('there is a first root');
    return newest;
  }

  #make(): KeyObject {
    this.#made += 1;
    return keyOfSeed(new Uint8Array(32).fill(this.#made));
  }
}

function aloneOf(key: KeyObject): Root['roles']['root'] {
  return { threshold: 1, keys: [publicBytes(key)] };
}
