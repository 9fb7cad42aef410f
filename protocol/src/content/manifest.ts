/**
 * The manifest: what a release is, in one signed byte string that fits one frame. It names every part with
 * its count and digest, so that whoever holds the manifest can tell whether a rule set is the release.
 * PROTOCOL.md "Manifest".
 *
 *   RCM1 | lineage 16 | epoch u64 | version u64 | previous version u64 | created u64 ms | part count u16 | parts
 *   part: kind u8 | name length u8 | name | count u32 | digest 32 | changed version u64        all little-endian
 */

import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { isPartName, type RuleSet } from '@rulecast/rules';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import {
  HASH_BYTES,
  LINEAGE_BYTES,
  MANIFEST_MAX_BYTES,
  PARTS_MAX,
  SIGNATURE_BYTES,
  VERSION_MAX,
} from '../limits.ts';
import { digestOf } from './canonical.ts';
import {
  comparePartIds,
  isNameless,
  isPartKind,
  type Part,
  type PartId,
  PartKind,
  partCount,
  partsOf,
  partText,
} from './part.ts';

const TAG = 'RCM1';
const COUNT_MAX = 0xffff_ffff;

/** What identifies a release, besides its content. */
export interface ReleaseIdentity {
  /** 16 bytes. */
  readonly lineage: Uint8Array;
  readonly epoch: number;
  /** 1 or more; grows with each release of an epoch. */
  readonly version: number;
  /** The version of the release before it in the same epoch; 0 if it is the epoch's first. */
  readonly previousVersion: number;
  /** Milliseconds since 1970, by the publisher's clock. For people: nothing is decided by it. */
  readonly createdAtMs: number;
}

export interface ManifestPart extends PartId {
  /** As `partCount` counts. */
  readonly count: number;
  /** 32 bytes: SHA-256 of the canonical bytes. */
  readonly digest: Uint8Array;
  /** The version of this epoch that gave the part its present content. */
  readonly changedVersion: number;
}

export interface Manifest extends ReleaseIdentity {
  /** By kind, then name. */
  readonly parts: readonly ManifestPart[];
}

/**
 * The manifest's bytes. Throws RangeError if it could not be decoded again: a number, a name or the whole is
 * too large.
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const fault = manifestFault(manifest);
  if (fault !== undefined) throw new RangeError(fault);
  const writer = new ByteWriter(64 * (manifest.parts.length + 1));
  writer.ascii(TAG);
  writer.bytes(manifest.lineage);
  writer.u64(manifest.epoch);
  writer.u64(manifest.version);
  writer.u64(manifest.previousVersion);
  writer.u64(manifest.createdAtMs);
  writer.u16(manifest.parts.length);
  for (const part of manifest.parts) {
    writer.u8(part.kind);
    writer.shortText(part.name);
    writer.u32(part.count);
    writer.bytes(part.digest);
    writer.u64(part.changedVersion);
  }
  if (writer.length > MANIFEST_MAX_BYTES) {
    throw new RangeError(
      `a manifest of ${writer.length} bytes; the most is ${MANIFEST_MAX_BYTES}: use fewer parts or shorter names`,
    );
  }
  return writer.take();
}

/** The manifest that bytes say; it shares no memory with them. Throws ProtocolError `bad-manifest`. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const reader = new ByteReader(bytes, ErrorCode.badManifest);
  if (bytes.length > MANIFEST_MAX_BYTES)
    throw reader.error(`${bytes.length} bytes are too long for a manifest`);
  if (reader.text(4) !== TAG) throw reader.error(`the tag is not ${TAG}`);
  const lineage = reader.bytes(LINEAGE_BYTES).slice();
  const epoch = reader.u64();
  const version = reader.u64();
  const previousVersion = reader.u64();
  const createdAtMs = reader.u64();
  const partTotal = reader.u16();
  if (partTotal > PARTS_MAX) throw reader.error(`${partTotal} parts; the most is ${PARTS_MAX}`);
  const parts: ManifestPart[] = [];
  for (let i = 0; i < partTotal; i++) parts.push(readManifestPart(reader));
  reader.end();
  const manifest = { lineage, epoch, version, previousVersion, createdAtMs, parts };
  const fault = manifestFault(manifest);
  if (fault !== undefined) throw reader.error(fault);
  return manifest;
}

function readManifestPart(reader: ByteReader): ManifestPart {
  const kind = reader.u8();
  if (!isPartKind(kind)) throw reader.error(`unknown part kind ${kind}`);
  const name = reader.shortText();
  const count = reader.u32();
  const digest = reader.bytes(HASH_BYTES).slice();
  return { kind, name, count, digest, changedVersion: reader.u64() };
}

/** What no manifest may say, whoever wrote it. */
function manifestFault(manifest: Manifest): string | undefined {
  const { lineage, epoch, version, previousVersion, createdAtMs, parts } = manifest;
  if (lineage.length !== LINEAGE_BYTES) return `a lineage of ${lineage.length} bytes`;
  if (![epoch, version, previousVersion, createdAtMs].every(isWireNumber)) return 'a number beyond 2^53 - 1';
  if (version === 0) return 'version 0';
  if (previousVersion >= version) return `version ${version} after version ${previousVersion}`;
  if (parts.length > PARTS_MAX) return `${parts.length} parts; the most is ${PARTS_MAX}`;
  const listNames = new Set<string>();
  let last: ManifestPart | undefined;
  for (const part of parts) {
    const fault = partFault(part, version);
    if (fault !== undefined) return `${fault}, of part ${partText(part)}`;
    if (last !== undefined && comparePartIds(last, part) >= 0) return 'parts that are not sorted and unique';
    last = part;
    if (part.kind !== PartKind.prefixList && part.kind !== PartKind.nameList) continue;
    if (listNames.has(part.name)) return `two lists of the name ${part.name}`;
    listNames.add(part.name);
  }
  return undefined;
}

function partFault(part: ManifestPart, version: number): string | undefined {
  if (!isNamedRight(part)) return 'a wrong name';
  if (!isWireNumber(part.count) || part.count > COUNT_MAX) return 'a wrong count';
  if (part.digest.length !== HASH_BYTES) return `a digest of ${part.digest.length} bytes`;
  if (!isWireNumber(part.changedVersion) || part.changedVersion < 1 || part.changedVersion > version) {
    return `a last change in version ${part.changedVersion}`;
  }
  return undefined;
}

/** Whether a part's name suits its kind. */
export function isNamedRight(part: PartId): boolean {
  return isNameless(part.kind) ? part.name === '' : isPartName(part.name);
}

function isWireNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= VERSION_MAX;
}

/** The name of a release: SHA-256 of its manifest's bytes, 32 bytes. */
export function manifestHash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/**
 * The ed25519 signature (RFC 8032, 64 bytes) of a manifest's bytes; their tag keeps it from meaning anything
 * else.
 */
export function signManifest(bytes: Uint8Array, privateKey: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, bytes, privateKey));
}

/** Whether a signature over a manifest's bytes is the key's. Checked before the manifest is decoded. */
export function verifySignature(bytes: Uint8Array, signature: Uint8Array, publicKey: KeyObject): boolean {
  if (publicKey.asymmetricKeyType !== 'ed25519' || signature.length !== SIGNATURE_BYTES) return false;
  return verify(null, bytes, publicKey, signature);
}

/**
 * Our choice: so many hex digits of two hashes are shown to people who compare them by eye, where two
 * releases have one number.
 */
export const FORK_HASH_CHARS = 12;

/** Orders releases of one lineage by epoch, then version. */
export function compareRelease(
  a: Pick<ReleaseIdentity, 'epoch' | 'version'>,
  b: Pick<ReleaseIdentity, 'epoch' | 'version'>,
): number {
  return a.epoch !== b.epoch ? a.epoch - b.epoch : a.version - b.version;
}

/**
 * The manifest of a rule set. Parts that `previous` has with the same digest, in the same epoch, keep the
 * version of their last change; all others changed now.
 */
export function manifestFor(ruleSet: RuleSet, identity: ReleaseIdentity, previous?: Manifest): Manifest {
  const before = new Map<string, ManifestPart>();
  if (previous?.epoch === identity.epoch) for (const part of previous.parts) before.set(partText(part), part);
  const parts = partsOf(ruleSet).map((part): ManifestPart => {
    const digest = digestOf(part);
    const old = before.get(partText(part));
    const changedVersion =
      old !== undefined && sameBytes(old.digest, digest) ? old.changedVersion : identity.version;
    return { kind: part.kind, name: part.name, count: partCount(part), digest, changedVersion };
  });
  const { lineage, epoch, version, previousVersion, createdAtMs } = identity;
  return { lineage, epoch, version, previousVersion, createdAtMs, parts };
}

/**
 * Checks that a rule set is what a manifest says: the same parts, counts and digests. Throws ProtocolError
 * with the part: `bad-rule-set` if it is missing or too many, `bad-count`, `bad-digest`.
 */
export function verifyRuleSet(manifest: Manifest, ruleSet: RuleSet): void {
  const parts = partsOf(ruleSet);
  const least = Math.min(parts.length, manifest.parts.length);
  for (let i = 0; i < least; i++) verifyPart(manifest.parts[i]!, parts[i]!); // i is below both lengths
  const missing = manifest.parts[least];
  if (missing !== undefined) throw partError(ErrorCode.badRuleSet, missing, 'is missing');
  const extra = parts[least];
  if (extra !== undefined) throw partError(ErrorCode.badRuleSet, extra, 'is not in the manifest');
}

function verifyPart(expected: ManifestPart, part: Part): void {
  const order = comparePartIds(expected, part);
  if (order < 0) throw partError(ErrorCode.badRuleSet, expected, 'is missing');
  if (order > 0) throw partError(ErrorCode.badRuleSet, part, 'is not in the manifest');
  const count = partCount(part);
  if (count !== expected.count) {
    throw partError(
      ErrorCode.badCount,
      part,
      `has ${count} entries where the manifest says ${expected.count}`,
    );
  }
  if (!sameBytes(digestOf(part), expected.digest)) {
    throw partError(ErrorCode.badDigest, part, 'is not what the manifest says');
  }
}

function partError(code: ErrorCode, part: PartId, what: string): ProtocolError {
  return new ProtocolError(code, `part ${partText(part)} ${what}`, { part: partText(part) });
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
