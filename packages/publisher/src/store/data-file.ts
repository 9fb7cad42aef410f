/**
 * The look at LMDB's file before LMDB maps it. LMDB trusts its file: one that is foreign, or shorter than its
 * pages say, ends the process by SIGSEGV or SIGBUS, where the operator needs a message. The store verifies
 * the content of the pages after loading.
 *
 *   page 0, page 1: header 24 | magic u32 | version u32 | 8 | map size u64 | page size u32 | … | last page u64 @144 | transaction u64 @152
 *
 * The layout is that of `MDB_meta` in LMDB's mdb.c, data version 2, on a 64-bit little-endian machine.
 */

import { appendFileSync, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

// Fixed by LMDB.
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const META_BYTES = 160;
const PAGE_MIN_BYTES = 256;
const PAGE_MAX_BYTES = 65_536;

/**
 * Our choice: LMDB leaves a few last pages unwritten if the transaction that took them freed them. More is a
 * torn file.
 */
const UNWRITTEN_MAX_PAGES = 64;

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/**
 * Why LMDB must not open that file, for people; undefined if it may, or if there is none yet. A file that
 * lacks unwritten last pages is filled up with zeros, so that no access lies beyond its end; nothing that is
 * in it changes.
 */
export function dataFileFault(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(file);
    if (size === 0) return undefined; // LMDB made it and was killed before its first write
    const first = readMeta(file, 0);
    const second = first === undefined ? undefined : readMeta(file, first.pageBytes);
    if (first === undefined || second?.pageBytes !== first.pageBytes) return 'it is no store, or damaged';
    const { lastPage, pageBytes } = first.transaction > second.transaction ? first : second;
    const pages = Math.floor(size / pageBytes);
    if (pages + UNWRITTEN_MAX_PAGES < lastPage + 1) {
      return `it is cut off: it has ${pages} of ${lastPage + 1} pages`;
    }
    // Appended, not truncated to a size: a publisher that runs may be writing its next pages.
    if (pages < lastPage + 1) appendFileSync(path, Buffer.alloc((lastPage + 1) * pageBytes - size));
    return undefined;
  } finally {
    closeSync(file);
  }
}

function readMeta(file: number, position: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES);
  if (readSync(file, bytes, 0, META_BYTES, position) < META_BYTES) return undefined;
  const pageBytes = bytes.readUInt32LE(48);
  const isMeta = bytes.readUInt32LE(24) === MAGIC && bytes.readUInt32LE(28) === DATA_VERSION;
  const isPage =
    pageBytes >= PAGE_MIN_BYTES && pageBytes <= PAGE_MAX_BYTES && (pageBytes & (pageBytes - 1)) === 0;
  if (!isMeta || !isPage) return undefined;
  return {
    pageBytes,
    lastPage: Number(bytes.readBigUInt64LE(144)),
    transaction: bytes.readBigUInt64LE(152),
  };
}
