/** The storage of a depot: files written whole, each at its path. DEPOT.md "Files". */

/** A file cannot be written or read: the disk is full, or the directory was removed. */
export class DepotError extends Error {
  readonly code = 'depot';
}

export interface DepotFiles {
  /** The bytes of a file; undefined if there is none. Throws DepotError. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Resolves when the file is whole and flushed: readers never see a part. Throws DepotError. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Paths of all objects. Throws DepotError. */
  objects(): Promise<readonly string[]>;
  remove(path: string): Promise<void>;
}
