/**
 * The state of sources kept over a restart, beside the downloads: their lists, the age of each, and the
 * content of those that no release contains completely (merged ones with their ages, and operands that are
 * not published). Small files, each written whole beside its place.
 *
 *     state.json        time, and of each list when it was read last and when it was good last
 *     lists/NAME.kept   a line of JSON that describes the layers, then their columns, little-endian, in its order; the SHA-256 of all that
 */

import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { atOnce, isCanonical, type List, type NameList, nameSetPieces, type Prefixes } from '@rulecast/rules';
import type { SavedTime } from '../clock.ts';
import type { ListChange } from './change.ts';
import type { Layer } from './layers.ts';

/** Files of ours are no links. */
const READING = constants.O_RDONLY | constants.O_NOFOLLOW;

/** The state of one list. Times are steady unless they say wall. */
export interface SavedList {
  readonly goodAtMs: number;
  readonly fetchedAtWallMs: number | undefined;
  /** Since when its source has the same content. */
  readonly contentAtMs: number | undefined;
  /** The last change that was put in force. */
  readonly change: ListChange | undefined;
  /** Entries of the longest list so far. */
  readonly longestEntries: number;
}

export interface SavedState {
  readonly time: SavedTime | undefined;
  readonly lists: ReadonlyMap<string, SavedList>;
}

const SHA256_BYTES = 32;
/** Written in one go. */
const PIECE_BYTES = 1024 * 1024;
/** The size of the description of 48 layers. */
const HEADER_MAX_BYTES = 64 * 1024;

interface LayerHeader {
  readonly seenAtMs: number;
  readonly v4?: number;
  readonly v6?: number;
  readonly nameBytes?: number;
  readonly exceptionBytes?: number;
  readonly resolve?: NameList['resolve'];
}

export class SavedLists {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The saved state; empty if it is missing or damaged: sources then are read again. */
  async state(): Promise<SavedState> {
    const nothing: SavedState = { time: undefined, lists: new Map() };
    let parsed: unknown;
    try {
      parsed = JSON.parse(
        await readFile(join(this.#directory, 'state.json'), { encoding: 'utf8', flag: READING }),
      );
    } catch {
      return nothing;
    }
    if (!isRecord(parsed) || !isRecord(parsed['time']) || !isRecord(parsed['lists'])) return nothing;
    const { steadyMs, wallMs } = parsed['time'];
    if (!isTime(steadyMs) || !isTime(wallMs)) return nothing;
    const lists = new Map<string, SavedList>();
    for (const [name, kept] of Object.entries(parsed['lists'])) {
      if (!isRecord(kept) || !isTime(kept['goodAtMs'])) continue;
      const { goodAtMs, fetchedAtWallMs, contentAtMs, change, longestEntries } = kept;
      lists.set(name, {
        goodAtMs,
        fetchedAtWallMs: isTime(fetchedAtWallMs) ? fetchedAtWallMs : undefined,
        contentAtMs: isTime(contentAtMs) ? contentAtMs : undefined,
        change: changeOf(change),
        longestEntries: isTime(longestEntries) ? longestEntries : 0,
      });
    }
    return { time: { steadyMs, wallMs }, lists };
  }

  async writeState(state: SavedState): Promise<void> {
    const text = JSON.stringify({ time: state.time, lists: Object.fromEntries(state.lists) });
    await this.#write('state.json', Buffer.from(text));
  }

  /** The layers of a list, or undefined where they are missing or damaged. */
  async layers(name: string): Promise<readonly Layer[] | undefined> {
    try {
      return decodeLayers(await readFile(this.#pathOf(name), { flag: READING }));
    } catch {
      return undefined;
    }
  }

  writeLayers(name: string, layers: readonly Layer[]): Promise<void> {
    return this.#write(join('lists', `${name}.kept`), encodeLayers(layers));
  }

  /** Forgets the content of all lists but some. */
  async retain(names: ReadonlySet<string>): Promise<void> {
    const files = await readdir(join(this.#directory, 'lists')).catch(() => []);
    for (const file of files) {
      if (!names.has(file.replace(/\.kept$/, '')))
        await rm(join(this.#directory, 'lists', file), { force: true });
    }
  }

  #pathOf(name: string): string {
    return join(this.#directory, 'lists', `${name}.kept`);
  }

  async #write(file: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const path = join(this.#directory, file);
    const draft = `${path}.${randomBytes(6).toString('hex')}`;
    await mkdir(join(this.#directory, 'lists'), { recursive: true, mode: 0o700 });
    try {
      await writeFile(draft, bytes, { mode: 0o600, flag: 'wx', flush: true });
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }
}

/**
 * Piece by piece, with turns of the event loop between them: digest and copy of a million entries take long.
 */
async function* encodeLayers(layers: readonly Layer[]): AsyncGenerator<Uint8Array> {
  const headers: LayerHeader[] = [];
  const pieces: Uint8Array[] = [];
  for (const { seenAtMs, list } of layers) {
    if (list.kind === 'names') {
      const { names, exceptions, resolve } = list;
      const [nameBytes, exceptionBytes] = [names.bytes.length, exceptions.bytes.length];
      headers.push({ seenAtMs, nameBytes, exceptionBytes, resolve });
      pieces.push(names.bytes, exceptions.bytes);
    } else {
      headers.push({ seenAtMs, v4: list.v4.lengths.length, v6: list.v6.lengths.length });
      for (const { words, lengths } of [list.v4, list.v6]) pieces.push(bytesOf(words), lengths);
    }
  }
  const digest = createHash('sha256');
  for (const piece of [Buffer.from(`${JSON.stringify(headers)}\n`), ...pieces]) {
    for (let at = 0; at < piece.length; at += PIECE_BYTES) {
      const part = piece.subarray(at, at + PIECE_BYTES);
      digest.update(part);
      yield part;
    }
  }
  yield digest.digest();
}

/** Throws on anything that was not written by `encodeLayers`. */
function decodeLayers(bytes: Uint8Array): readonly Layer[] {
  const body = bytes.subarray(0, Math.max(0, bytes.length - SHA256_BYTES));
  const digest = createHash('sha256').update(body).digest();
  const headerEnd = body.indexOf(0x0a);
  if (!digest.equals(bytes.subarray(body.length)) || headerEnd < 0 || headerEnd > HEADER_MAX_BYTES) {
    throw new Error('the kept list is damaged');
  }
  // The digest was ours, so the header is what encodeLayers wrote.
  const headers = JSON.parse(Buffer.from(body.subarray(0, headerEnd)).toString()) as readonly LayerHeader[];
  let at = headerEnd + 1;
  const take = (count: number): Uint8Array<ArrayBuffer> => {
    at += count;
    return Uint8Array.from(body.subarray(at - count, at)); // a copy, which is aligned
  };
  return headers.map(({ seenAtMs, v4 = 0, v6 = 0, nameBytes, exceptionBytes = 0, resolve = false }) => {
    if (nameBytes !== undefined) {
      const set = atOnce(nameSetPieces(take(nameBytes), take(exceptionBytes)));
      if ('reason' in set) throw new Error('the kept list is not canonical');
      return { seenAtMs, list: { kind: 'names', ...set, resolve } };
    }
    const column = (family: 4 | 6, count: number): Prefixes => {
      const words = new Uint32Array(take(count * (family === 4 ? 4 : 16)).buffer);
      const prefixes: Prefixes = { family, words, lengths: take(count) };
      if (!isCanonical(prefixes)) throw new Error('the kept list is not canonical');
      return prefixes;
    };
    const list: List = { kind: 'prefixes', v4: column(4, v4), v6: column(6, v6) };
    return { seenAtMs, list };
  });
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function changeOf(kept: unknown): ListChange | undefined {
  if (!isRecord(kept)) return undefined;
  const { atMs, added, removed } = kept;
  return isTime(atMs) && isTime(added) && isTime(removed) ? { atMs, added, removed } : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
