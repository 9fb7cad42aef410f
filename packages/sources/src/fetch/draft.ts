/**
 * A file that is being written beside its place: up to a megabyte in memory, a larger one on disk. It is
 * either kept under its name, whole and flushed, or removed.
 */

import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { CacheError } from './error.ts';
import { SMALL_BODY_BYTES } from './room.ts';

export class Draft {
  readonly #path: string;
  #pieces: Uint8Array[] = [];
  #size = 0;
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isOver = false;

  /** The path must belong to this draft alone. */
  constructor(path: string) {
    this.#path = path;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends a piece; one call at a time. Throws CacheError. */
  async add(piece: Uint8Array): Promise<void> {
    if (this.#isOver) throw new CacheError(`${this.#path} was discarded`);
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#file === undefined && this.#size <= SMALL_BODY_BYTES) return;
    this.#writing = this.#write();
    await this.#writing;
  }

  /** Moves it to its name. Throws CacheError; then the draft is gone, and the old file stays. */
  async keepAs(path: string): Promise<void> {
    try {
      await this.#write();
      await this.#file?.sync();
      await this.#file?.close();
      await rename(this.#path, path);
      this.#isOver = true;
    } catch (cause) {
      await this.discard();
      throw new CacheError(`cannot keep ${path}`, { cause });
    }
  }

  /** Removes the draft, even while a piece is being added. */
  async discard(): Promise<void> {
    this.#isOver = true;
    this.#pieces = [];
    await this.#writing.catch(() => undefined); // the caller that added the piece handles the error
    if (this.#file === undefined) return;
    await this.#file.close().catch(() => undefined);
    await unlink(this.#path).catch(() => undefined); // the next start does it
  }

  async #write(): Promise<void> {
    const pieces = this.#pieces;
    this.#pieces = [];
    try {
      this.#file ??= await open(this.#path, 'wx', 0o600);
      for (const piece of pieces) await this.#file.appendFile(piece);
    } catch (cause) {
      throw new CacheError(`cannot write ${this.#path}`, { cause });
    }
  }
}
