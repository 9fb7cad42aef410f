/**
 * What a subscriber keeps on disk, so that a restart enforces what was enforced before.
 *
 *   active                one small text file: which release is in force; replaced by rename
 *   <hash>.release        one file a release, written before the release is in force
 *   clock                 one small text file: what clock.ts keeps of this boot
 *
 * A release file holds the signed manifest and the stream it came in: a snapshot, or the deltas from another release
 * whose file is kept too. So a delta costs its own bytes on disk. When the deltas of a chain weigh twice the snapshot at its
 * foot, the file of the release in force is replaced by a snapshot. Everything read back is verified like something received.
 *
 *   "RCS1" | base hash 32 (zero: none) | manifest length u32 | stream length u32 | signature 64 | manifest | stream | SHA-256 of all before
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DirectoryError, makeDirectory } from '@rulecast/program/directory';
import { HASH_BYTES, hexOf, MANIFEST_MAX_BYTES, SIGNATURE_BYTES } from '@rulecast/protocol';
import type { KeptClock } from './clock.ts';

/** One release as it was received. */
export interface StoredRelease {
  readonly hash: Uint8Array;
  /** The release that `stream` starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
  /** A chain of deltas (PROTOCOL.md "Delta and snapshot"). */
  readonly stream: Uint8Array;
}

/** The release in force, and the newest one that ever was: nothing older is taken again, even if its file is lost. */
export interface ActiveMark {
  readonly hash: Uint8Array;
  readonly epoch: number;
  readonly version: number;
}

/** The state directory cannot be read, written or believed. What is in force stays in force. */
export class StateError extends Error {
  readonly code = 'storage-failed';
}

const TAG = Buffer.from('RCS1', 'latin1');
const HEADER_BYTES = TAG.length + HASH_BYTES + 4 + 4 + SIGNATURE_BYTES;
/** Most files of one chain: a start replays so many deltas at most. */
const CHAIN_MAX_FILES = 256;
/** How many times the snapshot at its foot the deltas of a chain may weigh: encoding another takes longer than a write. */
const CHAIN_MAX_WEIGHT = 2;
/** Deltas of so little weight are left alone, however small the snapshot: files take whole blocks of a disk. */
const CHAIN_LIGHT_BYTES = 64 * 1024;
/** What a snapshot weighs by entry at least, but for lists of neighbours: 0.8 to 1.7 bytes were measured. */
const SNAPSHOT_ENTRY_BYTES = 1;
const RELEASE_FILE = /^[0-9a-f]{64}\.release$/;
/** What a write that was cut off leaves. */
const DRAFT_FILE = /^(active|[0-9a-f]{64}\.release)\.part$/;
const CLOCK_NOTE = /^rulecast-clock 1\n(\S{1,64}) (\d{1,16}) (\d{1,16}) (\d{1,16})\n$/;

export class StateDirectory {
  private readonly directory: string;
  /** Of the active release: what its chain weighs on disk, to tell when a snapshot is due. */
  private chain: {
    readonly snapshotBytes: number;
    readonly deltaBytes: number;
    readonly files: readonly string[];
  } = { snapshotBytes: 0, deltaBytes: 0, files: [] };

  /** Makes the directory (mode 0700) where there is none. Throws StateError. */
  constructor(directory: string) {
    this.directory = directory;
    try {
      makeDirectory(directory);
    } catch (cause) {
      if (!(cause instanceof DirectoryError)) throw cause;
      throw new StateError(`the state directory ${cause.message}`, { cause });
    }
  }

  /** The active mark, or undefined in a new directory. Throws StateError if it is there and damaged. */
  readActive(): ActiveMark | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.directory, 'active'), 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new StateError(`cannot read the active mark${hintOf(cause)}`, { cause });
    }
    const match = /^rulecast-active 1\n([0-9a-f]{64}) (\d{1,16}) (\d{1,16})\n$/.exec(unsealed(text) ?? '');
    if (match === null) throw new StateError(`the active mark in ${this.directory} is damaged`);
    return { hash: Buffer.from(match[1] ?? '', 'hex'), epoch: Number(match[2]), version: Number(match[3]) };
  }

  /** What was kept of the clock; undefined where that is nothing, or damaged. */
  readClock(): KeptClock | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.directory, 'clock'), 'utf8');
    } catch {
      return undefined; // as if this boot were met for the first time
    }
    const match = CLOCK_NOTE.exec(unsealed(text) ?? '');
    if (match === null) return undefined;
    const [wallMs = 0, bootMs = 0, ended = 0] = match.slice(2).map(Number);
    return { bootId: match[1] ?? '', wallMs, bootMs, ended };
  }

  /** Keeps what the clock needs after a restart. Throws StateError. */
  async writeClock({ bootId, wallMs, bootMs, ended }: KeptClock): Promise<void> {
    const numbers = [wallMs, bootMs, ended].map((number) => Math.max(0, Math.floor(number)));
    try {
      await this.replaceFile('clock', sealed(`rulecast-clock 1\n${bootId} ${numbers.join(' ')}\n`));
    } catch (cause) {
      throw new StateError(`cannot keep the clock in ${this.directory}; is the disk full?`, { cause });
    }
  }

  /** The files that make the release with that hash, snapshot first. Throws StateError where one is missing or damaged. */
  readChain(hash: Uint8Array): readonly StoredRelease[] {
    const chain: StoredRelease[] = [];
    let next: Uint8Array | undefined = hash;
    while (next !== undefined) {
      if (chain.length === CHAIN_MAX_FILES) throw new StateError('the chain of release files has no end');
      const release: StoredRelease = this.readRelease(next);
      chain.push(release);
      next = release.base;
    }
    this.noteChain(chain);
    return chain.reverse();
  }

  /** Every intact release file, in no order, in force or not. Throws StateError if the directory cannot be read. */
  readAll(): readonly StoredRelease[] {
    try {
      return readdirSync(this.directory)
        .filter((file) => RELEASE_FILE.test(file))
        .flatMap((file) => decodeRelease(readFileSync(join(this.directory, file))) ?? []);
    } catch (cause) {
      throw new StateError(`cannot read the state directory ${this.directory}${hintOf(cause)}`, { cause });
    }
  }

  private noteChain(newestFirst: readonly StoredRelease[]): void {
    const snapshotBytes = newestFirst.at(-1)?.stream.length ?? 0;
    let deltaBytes = -snapshotBytes;
    for (const release of newestFirst) deltaBytes += release.stream.length;
    this.chain = { snapshotBytes, deltaBytes, files: newestFirst.map((release) => fileName(release.hash)) };
  }

  private readRelease(hash: Uint8Array): StoredRelease {
    const path = join(this.directory, fileName(hash));
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch (cause) {
      throw new StateError(`cannot read ${path}${hintOf(cause)}`, { cause });
    }
    const release = decodeRelease(bytes);
    if (release === undefined || !Buffer.from(release.hash).equals(hash))
      throw new StateError(`${path} is damaged`);
    return release;
  }

  /** Whether no further delta may be put on the chain of the active release. */
  get isChainFull(): boolean {
    return this.chain.files.length >= CHAIN_MAX_FILES - 1;
  }

  /**
   * Whether the chain of the active release, which has so many entries and rules, had better be one snapshot: it takes three
   * times the room of one, or a start would have to read half of the most files. A list that came whole upon a small
   * snapshot is no reason: another would weigh as much.
   */
  isChainHeavy(entries: number): boolean {
    const { deltaBytes, snapshotBytes, files } = this.chain;
    const wholeBytes = Math.max(snapshotBytes, entries * SNAPSHOT_ENTRY_BYTES);
    const lightBytes = Math.max(CHAIN_LIGHT_BYTES, CHAIN_MAX_WEIGHT * wholeBytes);
    return deltaBytes > lightBytes || files.length > CHAIN_MAX_FILES / 2;
  }

  /** Replaces the file of the active release by one that starts from nothing, then drops the others. Throws StateError. */
  async compact(release: StoredRelease): Promise<void> {
    await this.writeCandidate(release);
    const file = fileName(release.hash);
    this.chain = { snapshotBytes: release.stream.length, deltaBytes: 0, files: [file] };
    this.removeOthers();
  }

  /** Writes a release that may come into force next; on disk when it resolves. Throws StateError. */
  async writeCandidate(release: StoredRelease): Promise<void> {
    try {
      makeDirectory(this.directory);
      await this.replaceFile(fileName(release.hash), encodeRelease(release));
    } catch (cause) {
      throw new StateError(`cannot write to the state directory ${this.directory}; is the disk full?`, {
        cause,
      });
    }
  }

  /** Marks a release, whose candidate was written, as the one in force; then drops files nobody needs. Throws StateError. */
  async markActive(release: StoredRelease, mark: ActiveMark): Promise<void> {
    const body = `rulecast-active 1\n${hexOf(mark.hash)} ${mark.epoch} ${mark.version}\n`;
    try {
      await this.replaceFile('active', sealed(body));
    } catch (cause) {
      throw new StateError(`cannot mark the release active in ${this.directory}; is the disk full?`, {
        cause,
      });
    }
    const file = fileName(release.hash);
    const bytes = release.stream.length;
    if (release.base === undefined) this.chain = { snapshotBytes: bytes, deltaBytes: 0, files: [file] };
    else {
      const { snapshotBytes, deltaBytes, files } = this.chain;
      this.chain = { snapshotBytes, deltaBytes: deltaBytes + bytes, files: [file, ...files] };
    }
    this.removeOthers();
  }

  /** Removes a candidate that did not come into force, if it can; a later release clears what is left. Does not throw. */
  dropCandidate(hash: Uint8Array): void {
    const file = fileName(hash);
    try {
      rmSync(join(this.directory, `${file}.part`), { force: true });
      if (!this.chain.files.includes(file)) rmSync(join(this.directory, file), { force: true });
    } catch {
      // The directory itself is in trouble, which the failed write has told already.
    }
  }

  private removeOthers(): void {
    for (const file of readdirSync(this.directory)) {
      const left = RELEASE_FILE.test(file) ? !this.chain.files.includes(file) : DRAFT_FILE.test(file);
      if (left) rmSync(join(this.directory, file), { force: true });
    }
  }

  /** Writes beside the place, flushes, renames, flushes the directory: old or new, never half. */
  private async replaceFile(name: string, chunks: readonly Uint8Array[]): Promise<void> {
    const path = join(this.directory, name);
    const draft = `${path}.part`;
    const file = await open(draft, 'w', 0o600);
    try {
      const { bytesWritten } = await file.writev(chunks);
      if (bytesWritten !== chunks.reduce((sum, { length }) => sum + length, 0)) throw new Error('cut short');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    const directory = await open(this.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** What may be done about a failure to read; empty where that is not known. */
function hintOf(cause: unknown): string {
  const isDenied = (cause as NodeJS.ErrnoException).code === 'EACCES';
  return isDenied ? ': its files must belong to the user that this runs as (chown -R)' : '';
}

function fileName(hash: Uint8Array): string {
  return `${hexOf(hash)}.release`;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** A small text with its SHA-256 as the last line. */
function sealed(body: string): readonly Uint8Array[] {
  return [Buffer.from(`${body}${sha256(Buffer.from(body)).toString('hex')}\n`)];
}

/** The text without its last line, if that is its SHA-256. */
function unsealed(text: string): string | undefined {
  const match = /^([\s\S]*\n)([0-9a-f]{64})\n$/.exec(text);
  const body = match?.[1] ?? '';
  return match !== null && sha256(Buffer.from(body)).toString('hex') === match[2] ? body : undefined;
}

/** The chunks of a release file. */
function encodeRelease(release: StoredRelease): readonly Uint8Array[] {
  const header = Buffer.alloc(HEADER_BYTES);
  TAG.copy(header);
  if (release.base !== undefined) header.set(release.base, 4);
  header.writeUInt32LE(release.manifestBytes.length, 36);
  header.writeUInt32LE(release.stream.length, 40);
  header.set(release.signature, 44);
  const hash = createHash('sha256')
    .update(header)
    .update(release.manifestBytes)
    .update(release.stream)
    .digest();
  return [header, release.manifestBytes, release.stream, hash];
}

/** Undefined for bytes that are not exactly one intact release file. */
function decodeRelease(bytes: Buffer): StoredRelease | undefined {
  if (bytes.length < HEADER_BYTES + HASH_BYTES || !bytes.subarray(0, 4).equals(TAG)) return undefined;
  const manifestLength = bytes.readUInt32LE(36);
  const streamLength = bytes.readUInt32LE(40);
  const streamAt = HEADER_BYTES + manifestLength;
  const end = streamAt + streamLength;
  if (manifestLength > MANIFEST_MAX_BYTES || bytes.length !== end + HASH_BYTES) return undefined;
  if (!sha256(bytes.subarray(0, end)).equals(bytes.subarray(end))) return undefined;
  const base = bytes.subarray(4, 4 + HASH_BYTES);
  const manifestBytes = bytes.subarray(HEADER_BYTES, streamAt);
  return {
    hash: sha256(manifestBytes),
    base: base.every((byte) => byte === 0) ? undefined : base,
    manifestBytes,
    signature: bytes.subarray(44, 44 + SIGNATURE_BYTES),
    stream: bytes.subarray(streamAt, end),
  };
}
