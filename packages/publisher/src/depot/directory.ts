/**
 * A depot in a directory for a web server: folders of mode 0755, files of 0644, each written beside its
 * place, flushed and renamed. One publisher at a time.
 */

import { constants, existsSync, type Stats } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DirectoryLock, lockDirectory } from '@rulecast/program/lock';
import { TRANSFER_MAX_BYTES } from '@rulecast/protocol';
import { DepotError, type DepotFiles } from './files.ts';

const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
const OBJECTS = 'o';
/** Suffix of a file that is being written; leftovers of a killed publisher are removed at the next start. */
const UNFINISHED = '.new';
const FOLDER = /^[0-9a-f]{2}$/;
/** Names of our objects; other files there are left alone. */
const OBJECT = /^[0-9a-f]{64}$/;

export class DepotDirectory implements DepotFiles {
  readonly #directory: string;
  readonly #lock: DirectoryLock;

  private constructor(directory: string, lock: DirectoryLock) {
    this.#directory = directory;
    this.#lock = lock;
  }

  /**
   * Opens the directory, and makes it if needed. An existing one keeps its mode, as every user who can fetch
   * can read the rules. Throws LockedError if another publisher has it, and DirectoryError.
   */
  static async open(directory: string): Promise<DepotDirectory> {
    const isNew = !existsSync(directory);
    const lock = lockDirectory(directory);
    const depot = new DepotDirectory(directory, lock);
    if (isNew) await attempt(directory, () => chmod(directory, FOLDER_MODE));
    await depot.#sweep();
    return depot;
  }

  async #sweep(): Promise<void> {
    await this.remove(`head${UNFINISHED}`);
    for (const folder of (await this.#folders()).map((name) => join(OBJECTS, name))) {
      const names = (await this.#names(folder)).filter((name) => name.endsWith(UNFINISHED));
      for (const name of names.filter((one) => OBJECT.test(one.slice(0, -UNFINISHED.length))))
        await this.remove(join(folder, name));
    }
  }

  read(path: string): Promise<Uint8Array | undefined> {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK; // a pipe would hang
    const read = async (): Promise<Uint8Array> => {
      const file = await open(join(this.#directory, path), flags);
      try {
        const stat = await file.stat();
        if (stat.isFile() && stat.size <= TRANSFER_MAX_BYTES) return await file.readFile();
        throw new Error('this is no file that a publisher wrote');
      } finally {
        await file.close();
      }
    };
    return attempt(path, read, undefined);
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    const place = join(this.#directory, path);
    return attempt(path, async () => {
      await this.#makeFolder(dirname(place));
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
      const file = await open(place + UNFINISHED, flags, FILE_MODE);
      try {
        await file.chmod(FILE_MODE); // whatever the umask is
        await file.writeFile(bytes);
        await this.#date(file, place);
        await file.sync();
      } catch (error) {
        await rm(place + UNFINISHED); // on a full disk it would take the room of others
        throw error;
      } finally {
        await file.close();
      }
      await rename(place + UNFINISHED, place);
      await flushFolder(dirname(place));
    });
  }

  /**
   * Gives a file that replaces another one a later second. Web servers and rsync tell files apart by second
   * and length, so a head of the same second, which has the same length, would never leave this host.
   */
  async #date(file: FileHandle, place: string): Promise<void> {
    const before = await attempt<Stats | undefined>(place, () => stat(place), undefined);
    if (before === undefined) return;
    const { atimeMs, mtimeMs } = await file.stat();
    const seconds = Math.floor(before.mtimeMs / 1000) + 1;
    if (mtimeMs / 1000 < seconds) await file.utimes(atimeMs / 1000, seconds);
  }

  /** Two levels at most, below the depot, which is there. */
  async #makeFolder(folder: string): Promise<void> {
    if (folder === this.#directory) return;
    const made = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    if (made === undefined) return;
    for (const each of [dirname(folder), folder]) await chmod(each, FOLDER_MODE);
    await flushFolder(dirname(folder));
  }

  async objects(): Promise<readonly string[]> {
    const paths: string[] = [];
    for (const folder of await this.#folders())
      for (const name of await this.#names(join(OBJECTS, folder)))
        if (OBJECT.test(name)) paths.push(`${OBJECTS}/${folder}/${name}`);
    return paths;
  }

  async #folders(): Promise<readonly string[]> {
    return (await this.#names(OBJECTS)).filter((name) => FOLDER.test(name));
  }

  async #names(folder: string): Promise<readonly string[]> {
    return (await attempt(folder, () => readdir(join(this.#directory, folder)), [])) ?? [];
  }

  remove(path: string): Promise<void> {
    return attempt(path, () => rm(join(this.#directory, path), { force: true }));
  }

  close(): void {
    this.#lock.release();
  }
}

async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The result of `work`; with a third argument, that one if the file does not exist. Throws DepotError. */
async function attempt<T>(
  path: string,
  work: () => Promise<T>,
  ...missing: readonly T[] | readonly [undefined]
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (missing.length > 0 && code === 'ENOENT') return missing[0] as T;
    const why = code === 'ENOSPC' ? 'no space is left on the disk' : String((cause as Error).message);
    throw new DepotError(`${path || 'the depot'}: ${why}`, { cause });
  }
}
