/**
 * The manifest: the identity of a release, in one signed byte string of fixed size. It is the root over the
 * catalogue of the release's parts, with their totals, so that its holder can check whether a rule set is the
 * release, and limit the cost of that. CONTENT.md "Manifest".
 *
 *   RCM2 | lineage 16 | epoch u64 | version u64 | previous version u64 | created u64 ms
 *        | parts u32 | prefixes u32 | others u32 | bytes u64 | catalogue 32                    all little-endian
 */

import { createHash } from 'node:crypto';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode } from '../error.ts';
import { HASH_BYTES, LINEAGE_BYTES, MANIFEST_BYTES, PARTS_MAX, VERSION_MAX } from '../limits.ts';

const TAG = 'RCM2';
const COUNT_MAX = 0xffff_ffff;

/** The identity of a release, besides its content. */
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

/** The totals of a release's parts. */
export interface Totals {
  readonly parts: number;
  /** Entries of lists of prefixes. */
  readonly prefixes: number;
  /** All other counts in records: rules, names, and 1 for unmatched qubes. */
  readonly others: number;
  /** Canonical bytes. */
  readonly bytes: number;
}

/** The identity, with the totals of the parts. */
export interface Manifest extends ReleaseIdentity, Totals {
  /** 32 bytes: the digest of the catalogue. */
  readonly catalogue: Uint8Array;
}

/** The manifest's bytes. Throws RangeError if it could not be decoded again: a number is too large. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const fault = manifestFault(manifest);
  if (fault !== undefined) throw new RangeError(fault);
  const writer = new ByteWriter(MANIFEST_BYTES);
  writer.ascii(TAG);
  writer.bytes(manifest.lineage);
  writer.u64(manifest.epoch);
  writer.u64(manifest.version);
  writer.u64(manifest.previousVersion);
  writer.u64(manifest.createdAtMs);
  writer.u32(manifest.parts);
  writer.u32(manifest.prefixes);
  writer.u32(manifest.others);
  writer.u64(manifest.bytes);
  writer.bytes(manifest.catalogue);
  return writer.take();
}

/** The manifest that bytes say; it shares no memory with them. Throws ProtocolError `bad-manifest`. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const reader = new ByteReader(bytes, ErrorCode.badManifest);
  if (bytes.length !== MANIFEST_BYTES) throw reader.error(`${bytes.length} bytes, and not ${MANIFEST_BYTES}`);
  if (reader.text(4) !== TAG) throw reader.error(`the tag is not ${TAG}`);
  const manifest = {
    lineage: reader.bytes(LINEAGE_BYTES).slice(),
    epoch: reader.u64(),
    version: reader.u64(),
    previousVersion: reader.u64(),
    createdAtMs: reader.u64(),
    parts: reader.u32(),
    prefixes: reader.u32(),
    others: reader.u32(),
    bytes: reader.u64(),
    catalogue: reader.bytes(HASH_BYTES).slice(),
  };
  const fault = manifestFault(manifest);
  if (fault !== undefined) throw reader.error(fault);
  return manifest;
}

/** A fault that no manifest may have, whoever wrote it. */
function manifestFault(manifest: Manifest): string | undefined {
  const { lineage, epoch, version, previousVersion, createdAtMs, parts, prefixes, others, bytes, catalogue } =
    manifest;
  if (lineage.length !== LINEAGE_BYTES) return `a lineage of ${lineage.length} bytes`;
  if (![epoch, version, previousVersion, createdAtMs, bytes].every(isWireNumber))
    return 'a number beyond 2^53 - 1';
  if (![prefixes, others].every((count) => isWireNumber(count) && count <= COUNT_MAX))
    return 'a count beyond 2^32 - 1';
  if (version === 0) return 'version 0';
  if (previousVersion >= version) return `version ${version} after version ${previousVersion}`;
  if (!isWireNumber(parts) || parts > PARTS_MAX) return `${parts} parts; the most is ${PARTS_MAX}`;
  if (catalogue.length !== HASH_BYTES) return `a digest of ${catalogue.length} bytes`;
  return undefined;
}

function isWireNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= VERSION_MAX;
}

/** The name of a release: SHA-256 of its manifest's bytes, 32 bytes. */
export function manifestHash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
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
