/**
 * Roots: the keys that may sign for a lineage, by role. A subscriber is given the hash of one, and follows it
 * to the next, which the keys of both have signed. WIRE.md "Roots".
 *
 *   RCR1 | lineage 16 | number u64 | epoch floor u64 | epoch ceiling u64
 *        | key count u8 | key 32 ...                          ascending
 *        | role (root) | role (release) | role (freshness)
 *   RCR2   the same, with refresh by u64 before the key count
 *   role   threshold u8 | count u8 | index of a key u8 ...    ascending
 */

import { createHash } from 'node:crypto';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import {
  EXPIRE_MAX_SECONDS,
  LINEAGE_BYTES,
  PUBLIC_KEY_BYTES,
  ROOT_KEYS_MAX,
  ROOTS_MAX,
  VERSION_MAX,
} from '../limits.ts';
import type { Signed } from './signature-block.ts';
import { keyIdOf, signersAmong } from './signatures.ts';

const TAG = 'RCR1';
/** The tag of a root with a date by which it must be renewed. */
const DATED_TAG = 'RCR2';

/**
 * `root` signs roots, `release` manifests, `freshness` says of a release that it is the newest. In the order
 * of their bytes.
 */
export const ROLES = ['root', 'release', 'freshness'] as const;
export type RoleName = (typeof ROLES)[number];

export interface Role {
  /** How many of its keys must sign: from 1 to all of them. */
  readonly threshold: number;
  /** Public keys of 32 bytes, each once, ascending. */
  readonly keys: readonly Uint8Array[];
}

export interface Root {
  readonly lineage: Uint8Array;
  /** 1 or more; the next has one more. */
  readonly number: number;
  /** Releases have an epoch from here … */
  readonly epochFloor: number;
  /** … to here. */
  readonly epochCeiling: number;
  /** The next root must exist by then: seconds since 1970, 1 to EXPIRE_MAX_SECONDS; absent: no date. */
  readonly refreshBy?: number | undefined;
  readonly roles: Readonly<Record<RoleName, Role>>;
}

/** A signed root, with its decoded content. */
export interface SignedRoot extends Signed {
  readonly root: Root;
  /** SHA-256 of its bytes, its name. */
  readonly hash: Uint8Array;
}

/** Throws RangeError if it could not be decoded again. */
export function encodeRoot(root: Root): Uint8Array {
  const fault = rootFault(root);
  if (fault !== undefined) throw new RangeError(fault);
  const keys = keysOf(root);
  const { refreshBy } = root;
  const writer = new ByteWriter(64 + keys.length * PUBLIC_KEY_BYTES);
  writer.ascii(refreshBy === undefined ? TAG : DATED_TAG);
  writer.bytes(root.lineage);
  for (const number of [root.number, root.epochFloor, root.epochCeiling]) writer.u64(number);
  if (refreshBy !== undefined) writer.u64(refreshBy);
  writer.u8(keys.length);
  for (const key of keys) writer.bytes(key);
  for (const name of ROLES) {
    const { threshold, keys: own } = root.roles[name];
    writer.u8(threshold);
    writer.u8(own.length);
    for (const key of own) writer.u8(keys.findIndex((other) => Buffer.compare(other, key) === 0));
  }
  return writer.take();
}

/** Decodes a root; verifying it is the caller's task. Throws ProtocolError `bad-root`. */
export function readRoot({ signatures, content }: Signed): SignedRoot {
  const reader = new ByteReader(content, ErrorCode.badRoot);
  const tag = reader.text(4);
  if (tag !== TAG && tag !== DATED_TAG) throw reader.error(`the tag is neither ${TAG} nor ${DATED_TAG}`);
  const lineage = reader.bytes(LINEAGE_BYTES).slice();
  const [number, epochFloor, epochCeiling] = [reader.u64(), reader.u64(), reader.u64()];
  const refreshBy = tag === DATED_TAG ? reader.u64() : undefined;
  const keys = Array.from({ length: atMost(reader.u8()) }, () => reader.bytes(PUBLIC_KEY_BYTES).slice());
  if (!isAscending(keys)) throw reader.error('keys that do not ascend');
  const role = (): Role => {
    const threshold = reader.u8();
    const at = Array.from({ length: atMost(reader.u8()) }, () => reader.u8());
    const own = at.map((index) => keys[index] ?? new Uint8Array());
    return { threshold, keys: own };
  };
  const root = {
    lineage,
    number,
    epochFloor,
    epochCeiling,
    refreshBy,
    roles: { root: role(), release: role(), freshness: role() },
  };
  reader.end();
  const fault = rootFault(root) ?? (keysOf(root).length === keys.length ? undefined : 'a key without a role');
  if (fault !== undefined) throw reader.error(fault);
  return { signatures, content, root, hash: rootHash(content) };
}

export function rootHash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** Whether enough keys of a role signed. */
export function isSignedBy({ roles }: Root, name: RoleName, signed: Signed): boolean {
  const { keys, threshold } = roles[name];
  return signersAmong(keys, signed) >= threshold;
}

/** Whether enough keys of a role signed, as one of these roots has them. */
export function wasSignedBy(roots: Roots, name: RoleName, signed: Signed): boolean {
  return roots.some(({ root }) => isSignedBy(root, name, signed));
}

/** Every key that has a role, each once, ascending. */
export function keysOf({ roles }: Pick<Root, 'roles'>): readonly Uint8Array[] {
  const all = ROLES.flatMap((name) => roles[name].keys).sort(Buffer.compare);
  return all.filter((key, i) => i === 0 || Buffer.compare(all[i - 1] ?? key, key) !== 0);
}

// ── Chains ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Roots of one lineage, each followed by the next; the last is the one in force. */
export type Roots = readonly SignedRoot[];

/** The chain that begins with a root which is known by its hash. Throws ProtocolError `bad-root`. */
export function rootsFrom(hash: Uint8Array, lineage: Uint8Array, first: SignedRoot): Roots {
  if (Buffer.compare(first.hash, hash) !== 0) throw badRoot('it is not the one that the trust line names');
  if (Buffer.compare(first.root.lineage, lineage) !== 0) throw badRoot('it is of another lineage');
  if (!isSignedBy(first.root, 'root', first)) throw badRoot('its own root keys have not signed it');
  return [first];
}

/** The chain with one root more. Throws ProtocolError `bad-root` for one that may not follow. */
export function withRoot(roots: Roots, next: SignedRoot): Roots {
  const last = roots.at(-1);
  if (last === undefined) throw new TypeError('a chain has a first root');
  const { root } = next;
  const { number } = last.root;
  if (roots.length >= ROOTS_MAX) throw badRoot(`${ROOTS_MAX} roots came before it`);
  if (Buffer.compare(root.lineage, last.root.lineage) !== 0) throw badRoot('it is of another lineage');
  if (root.number !== number + 1) throw badRoot(`root ${root.number} after root ${number}`);
  if (root.epochFloor < last.root.epochFloor) throw badRoot('its floor of epochs is below the one before');
  if (!isSignedBy(last.root, 'root', next))
    throw badRoot(`the root keys of root ${number} have not signed it`);
  if (!isSignedBy(root, 'root', next)) throw badRoot('its own root keys have not signed it');
  return [...roots, next];
}

/**
 * The roots that a peer lacks which has that one; undefined if it is unknown. A peer without the number has
 * not seen the root itself.
 */
export function rootsAfter(
  roots: Roots,
  { hash, number }: { readonly hash: Uint8Array; readonly number?: number | undefined },
): Roots | undefined {
  const at = roots.findIndex((root) => Buffer.compare(root.hash, hash) === 0);
  return at < 0 ? undefined : roots.slice(number === undefined ? at : at + 1);
}

function badRoot(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.badRoot, text);
}

// ── Faults ─────────────────────────────────────────────────────────────────────────────────────────────────

function rootFault(root: Root): string | undefined {
  const { lineage, number, epochFloor, epochCeiling, refreshBy, roles } = root;
  if (lineage.length !== LINEAGE_BYTES) return `a lineage of ${lineage.length} bytes`;
  const numbers = [number, epochFloor, epochCeiling];
  if (!numbers.every((value) => Number.isInteger(value) && value >= 0 && value <= VERSION_MAX))
    return 'a number beyond 2^53 - 1';
  if (number === 0) return 'root 0';
  if (epochFloor > epochCeiling) return `epochs from ${epochFloor} to ${epochCeiling}`;
  if (refreshBy !== undefined && !isDate(refreshBy)) return `to be renewed by ${refreshBy}`;
  for (const name of ROLES) {
    const { threshold, keys } = roles[name];
    if (keys.some(({ length }) => length !== PUBLIC_KEY_BYTES)) return `${name}: no such key`;
    if (!isAscending(keys)) return `${name}: keys that do not ascend`;
    if (!Number.isInteger(threshold) || threshold < 1 || threshold > keys.length)
      return `${name}: ${threshold} of ${keys.length} keys`;
  }
  const keys = keysOf(root);
  if (keys.length > ROOT_KEYS_MAX) return `${keys.length} keys; the most is ${ROOT_KEYS_MAX}`;
  const ids = new Set(keys.map((key) => Buffer.from(keyIdOf(key)).toString('hex')));
  return ids.size === keys.length ? undefined : 'two keys of one id';
}

/** Whether it is a date that a calendar has, so that it can be shown to people. */
function isDate(seconds: number): boolean {
  return Number.isInteger(seconds) && seconds >= 1 && seconds <= EXPIRE_MAX_SECONDS;
}

/** Checks a number of keys against the limit. */
function atMost(count: number): number {
  if (count <= ROOT_KEYS_MAX) return count;
  throw badRoot(`${count} keys; the most is ${ROOT_KEYS_MAX}`);
}

function isAscending(keys: readonly Uint8Array[]): boolean {
  return keys.every((key, i) => i === 0 || Buffer.compare(keys[i - 1] ?? key, key) < 0);
}
