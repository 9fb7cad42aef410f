/**
 * Downloads on disk, kept for good: a start without a network uses the last download. One URL is two files,
 * named by the SHA-256 of the URL:
 *
 *   <url digest>.json            what is known about the body, and the validators for the next request
 *   <url digest>.<body digest>   the body
 *
 * The body is written first, as it comes, then the file that names it; each is written aside, flushed and
 * renamed, so that a crash leaves the old pair or the new one, and at most leftovers, which the next start
 * sweeps. A body with another digest than in its name counts as missing.
 */

import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Draft } from './draft.ts';
import { CacheError } from './error.ts';

/**
 * The proof that a body is complete: `proven` by its length, its last chunk, the end of its compression, or a
 * digest; `connection` if only the connection ended, as it also does when it breaks.
 */
export type BodyEnd = 'proven' | 'connection';

/** The record of a downloaded body. */
export interface DownloadInfo {
  /** As requested, without credentials; for people who look into the directory. */
  readonly url: string;
  /** After redirects, without credentials. */
  readonly finalUrl: string;
  readonly fileName: string;
  /** Digest of the body, hex. */
  readonly sha256: string;
  readonly end: BodyEnd;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** When the server last said that this is its current body; milliseconds since 1970. */
  readonly fetchedAtMs: number;
}

export interface Download extends DownloadInfo {
  /** Size of the body, in bytes. */
  readonly size: number;
}

const SHA256_HEX = /^[0-9a-f]{64}$/;
/** Our files: records, bodies, and half-written ones. Other files are left alone. */
const INFO_FILE = /^([0-9a-f]{64})\.json$/;
const BODY_FILE = /^([0-9a-f]{64})\.([0-9a-f]{64})$/;
const HALF_FILE = /^[0-9a-f]{64}\..*\.half$/;

export class DownloadCache {
  readonly #directory: string;
  #swept: Promise<void> | undefined;

  /**
   * The directory is made at first use, for its owner only: what is fetched may need credentials. One process
   * uses it at a time.
   */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The download of a URL; undefined if there is none, or it is damaged. Throws CacheError. */
  async find(url: string): Promise<Download | undefined> {
    await this.#ready();
    const key = keyOf(url);
    const info = await this.#readInfo(key);
    if (info === undefined) return undefined;
    const path = join(this.#directory, `${key}.${info.sha256}`);
    const size = (await stat(path).catch(ifMissing))?.size ?? 0;
    return (await isWhole(path, info.sha256, size)) ? { ...info, size } : undefined;
  }

  /** A body that was found; the caller's. Throws CacheError where it is not there any more. */
  async read(
    url: string,
    { sha256, size }: Pick<Download, 'sha256' | 'size'>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(size);
    if (await isWhole(join(this.#directory, `${keyOf(url)}.${sha256}`), sha256, size, bytes)) return bytes;
    throw new CacheError(`the download is no longer in ${this.#directory}: a newer one replaced it`);
  }

  /** A draft for the next body of a URL. Throws CacheError. */
  async draft(url: string): Promise<Draft> {
    await this.#ready();
    return this.#draftOf(keyOf(url));
  }

  #draftOf(name: string): Draft {
    return new Draft(join(this.#directory, `${name}.${randomBytes(6).toString('hex')}.half`));
  }

  /** Keeps a body in place of the one before. Throws CacheError; then the one before is kept. */
  async write(url: string, info: DownloadInfo, body: Draft): Promise<void> {
    const key = keyOf(url);
    const before = await this.#readInfo(key);
    try {
      await this.#keep(`${key}.${info.sha256}`, body);
      await this.#keepInfo(key, info);
      if (before !== undefined && before.sha256 !== info.sha256) {
        await unlinkIfThere(join(this.#directory, `${key}.${before.sha256}`));
      }
    } catch (cause) {
      throw new CacheError(`cannot keep a download in ${this.#directory}`, { cause });
    }
  }

  /** Updates the record of a body that is kept already. Throws CacheError. */
  async update(url: string, info: DownloadInfo): Promise<void> {
    await this.#ready();
    try {
      await this.#keepInfo(keyOf(url), info);
    } catch (cause) {
      throw new CacheError(`cannot update a download in ${this.#directory}`, { cause });
    }
  }

  async #readInfo(key: string): Promise<DownloadInfo | undefined> {
    const flag = constants.O_RDONLY | constants.O_NOFOLLOW; // files of ours are no links
    const path = join(this.#directory, `${key}.json`);
    const text = await readFile(path, { encoding: 'utf8', flag }).catch(ifMissing);
    return text === undefined ? undefined : parseInfo(text);
  }

  async #keepInfo(key: string, info: DownloadInfo): Promise<void> {
    const draft = this.#draftOf(key);
    await draft.add(Buffer.from(`${JSON.stringify(info)}\n`));
    await this.#keep(`${key}.json`, draft);
  }

  async #keep(name: string, draft: Draft): Promise<void> {
    await draft.keepAs(join(this.#directory, name));
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync(); // the rename too is to survive a power cut
    } finally {
      await directory.close();
    }
  }

  async #ready(): Promise<void> {
    this.#swept ??= this.#sweep();
    try {
      await this.#swept;
    } catch (cause) {
      this.#swept = undefined; // an administrator may mend it
      throw new CacheError(`cannot use ${this.#directory} to keep downloads`, { cause });
    }
  }

  /**
   * Makes the directory, and removes what a crash left: half-written files, and bodies that no file names.
   */
  async #sweep(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const names = await readdir(this.#directory);
    const wanted = new Set<string>();
    for (const name of names) {
      const key = INFO_FILE.exec(name)?.[1];
      const info = key === undefined ? undefined : await this.#readInfo(key);
      if (info !== undefined) wanted.add(`${key}.${info.sha256}`);
    }
    for (const name of names) {
      const left = HALF_FILE.test(name) || (BODY_FILE.test(name) && !wanted.has(name));
      if (left) await unlinkIfThere(join(this.#directory, name));
    }
  }
}

function keyOf(url: string): string {
  return createHash('sha256').update(url).digest('hex');
}

/**
 * Whether a file is a body of that size and digest; hashed as it is read, so that nothing waits for a large
 * one, and put into `bytes` if they are given.
 */
async function isWhole(path: string, sha256: string, size: number, bytes?: Uint8Array): Promise<boolean> {
  const digest = createHash('sha256');
  let at = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      const piece: Buffer = chunk;
      if (at + piece.length > size) return false;
      bytes?.set(piece, at);
      at += piece.length;
      digest.update(piece);
    }
  } catch {
    return false; // a file that cannot be read is fetched again
  }
  return at === size && digest.digest('hex') === sha256;
}

function parseInfo(text: string): DownloadInfo | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { url, finalUrl, fileName, sha256, end, etag, lastModified, fetchedAtMs } = value as Record<
    string,
    unknown
  >;
  if (typeof url !== 'string' || typeof finalUrl !== 'string' || typeof fileName !== 'string')
    return undefined;
  if (typeof sha256 !== 'string' || !SHA256_HEX.test(sha256) || typeof fetchedAtMs !== 'number')
    return undefined;
  return {
    url,
    finalUrl,
    fileName,
    sha256,
    end: end === 'proven' ? 'proven' : 'connection',
    etag: stringOrNone(etag),
    lastModified: stringOrNone(lastModified),
    fetchedAtMs,
  };
}

function stringOrNone(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** A link is none of ours. */
function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ELOOP') throw error;
  return undefined;
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch(ifMissing);
}
