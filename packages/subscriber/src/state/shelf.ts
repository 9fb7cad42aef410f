/**
 * One directory of release files and small notes, each with a checksum. A damaged file is renamed, a few at
 * most, so that somebody can examine it; otherwise it counts as missing.
 *
 *   <hash>.release   see release-file.ts
 *   NAME             text lines | SHA-256 of all before, hex
 *   *.part           what a write that was cut off leaves
 *   *.damaged        what was put aside
 */

import { dirname, join } from 'node:path';
import type { Disk } from './disk.ts';
import { decodeRelease, fileName, isOfProtocol1, type StoredRelease, sha256 } from './release-file.ts';

/** The state directory cannot be read, written or trusted. The release in force stays. */
export class StateError extends Error {
  readonly code = 'storage-failed';
}

const RELEASE_FILE = /^[0-9a-f]{64}\.release$/;
const DRAFT_FILE = /^(active|[0-9a-f]{64}\.release)\.part$/;
const DAMAGED_FILE = /^(active|clock|roots|[0-9a-f]{64}\.release)\.damaged$/;
/** Damaged files that are kept, the newest: they are of no use but to look at. */
const DAMAGED_MAX = 4;

export class Shelf {
  readonly #directory: string;
  /** Called with a sentence about what is damaged. */
  readonly #onDamage: (text: string) => void;
  readonly #disk: Disk;
  #isRooted = false;

  constructor(directory: string, onDamage: (text: string) => void, disk: Disk) {
    this.#directory = directory;
    this.#onDamage = onDamage;
    this.#disk = disk;
  }

  /** The text of a note; undefined if there is no intact one. Throws StateError if it may not be read. */
  readNote(name: string): string | undefined {
    const bytes = this.#read(name);
    if (bytes === undefined) return undefined;
    const body = unsealed(bytes.toString('latin1'));
    if (body === undefined) this.#putAside(name);
    return body;
  }

  /** On disk when it resolves. Rejects with the error of the file system. */
  async writeNote(name: string, body: string): Promise<void> {
    await this.draft([[name, noteChunks(body)]]);
    await this.place(name);
  }

  /** The file names of all releases, intact or not; none without a directory. Throws StateError. */
  releaseFiles(): readonly string[] {
    return this.#names().filter((name) => RELEASE_FILE.test(name));
  }

  /** A release; undefined if there is no intact one. Throws StateError if it may not be read. */
  readRelease(file: string): StoredRelease | undefined {
    const bytes = this.#read(file);
    if (bytes === undefined || isOfProtocol1(bytes)) return undefined;
    const release = decodeRelease(bytes);
    if (release !== undefined && fileName(release.hash) === file) return release;
    this.#putAside(file);
    return undefined;
  }

  /** On disk when it resolves. Rejects with the error of the file system. */
  async writeRelease(file: string, chunks: readonly Uint8Array[]): Promise<void> {
    await this.draft([[file, chunks]]);
    await this.place(file);
  }

  remove(file: string): void {
    this.removeDraft(file);
    this.#disk.removeNow(join(this.#directory, file));
  }

  removeDraft(file: string): void {
    this.#disk.removeNow(join(this.#directory, draftName(file)));
  }

  /** Removes all releases but these, and drafts. */
  keepOnly(files: readonly string[]): void {
    for (const name of this.#names()) {
      const left = RELEASE_FILE.test(name) ? !files.includes(name) : DRAFT_FILE.test(name);
      if (left) this.#disk.removeNow(join(this.#directory, name));
    }
  }

  #names(): readonly string[] {
    try {
      return this.#disk.list(this.#directory);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new StateError(`cannot read the state directory ${this.#directory}${hintOf(cause)}`, { cause });
    }
  }

  #read(name: string): Buffer | undefined {
    const path = join(this.#directory, name);
    try {
      return this.#disk.read(path);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      if (code === 'EACCES' || code === 'EPERM')
        throw new StateError(`cannot read ${path}${hintOf(cause)}`, { cause });
      this.#putAside(name); // a bad block, or no file at all
      return undefined;
    }
  }

  #putAside(name: string): void {
    const path = join(this.#directory, name);
    this.#onDamage(`${path} is damaged: it is put aside as ${name}.damaged`);
    try {
      this.#disk.removeTree(`${path}.damaged`);
      this.#disk.renameNow(path, `${path}.damaged`);
      const damaged = this.#names()
        .filter((other) => DAMAGED_FILE.test(other))
        .map((other) => ({
          path: join(this.#directory, other),
          changedMs: this.#disk.changedMs(join(this.#directory, other)),
        }))
        .sort((a, b) => b.changedMs - a.changedMs);
      for (const old of damaged.slice(DAMAGED_MAX)) this.#disk.removeTree(old.path);
    } catch {
      // It stays where it is, and is not believed: a disk that cannot be written is told of by the next
      // write.
    }
  }

  /** Flushes the name of the directory, and those above it, to disk: once for each process. */
  async #root(): Promise<void> {
    for (let at = this.#directory; !this.#isRooted && at !== dirname(at); at = dirname(at)) {
      try {
        await this.#disk.syncDirectory(dirname(at));
      } catch (cause) {
        // A directory that may not be opened, or cannot be flushed, existed before this program.
        if ((cause as NodeJS.ErrnoException).code === 'EIO') throw cause;
      }
    }
    this.#isRooted = true;
  }

  /**
   * Writes files beside their places, and flushes them, each beside the others: with `place` they are there,
   * old or new, never half. Rejects with the error of the file system once none is being written any more.
   */
  async draft(files: readonly (readonly [name: string, chunks: readonly Uint8Array[]])[]): Promise<void> {
    await this.#disk.remakeDirectory(this.#directory);
    await this.#root();
    const all = await Promise.allSettled(files.map(([name, chunks]) => this.#draftOne(name, chunks)));
    for (const one of all) if (one.status === 'rejected') throw one.reason;
  }

  async #draftOne(name: string, chunks: readonly Uint8Array[]): Promise<void> {
    const draft = join(this.#directory, draftName(name));
    try {
      const file = await this.#disk.create(draft);
      try {
        const { bytesWritten } = await file.writev(chunks);
        if (bytesWritten !== chunks.reduce((sum, { length }) => sum + length, 0))
          throw new Error('cut short');
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      await this.#disk.remove(draft).catch(() => undefined); // the draft may be what fills the disk
      throw error;
    }
  }

  /** A draft takes its place; on disk when it resolves. Rejects with the error of the file system. */
  async place(name: string): Promise<void> {
    const draft = join(this.#directory, draftName(name));
    try {
      await this.#disk.rename(draft, join(this.#directory, name));
    } catch (error) {
      await this.#disk.remove(draft).catch(() => undefined);
      throw error;
    }
    await this.#disk.syncDirectory(this.#directory);
  }
}

function draftName(name: string): string {
  return `${name}.part`;
}

/** The chunks of a note. */
export function noteChunks(body: string): readonly Uint8Array[] {
  return [Buffer.from(`${body}${sha256(Buffer.from(body)).toString('hex')}\n`)];
}

/** A hint on a failure to read; empty if there is none. */
function hintOf(cause: unknown): string {
  const isDenied = (cause as NodeJS.ErrnoException).code === 'EACCES';
  return isDenied ? ': its files must belong to the user that this runs as (chown -R)' : '';
}

/** The text without its last line, if that is its SHA-256. */
function unsealed(text: string): string | undefined {
  const match = /^([\s\S]*\n)([0-9a-f]{64})\n$/.exec(text);
  const body = match?.[1] ?? '';
  return match !== null && sha256(Buffer.from(body, 'latin1')).toString('hex') === match[2]
    ? body
    : undefined;
}
