/**
 * Rows by class in the words of programs: one after another, or, where programs with shapes are many, in
 * pages that they share.
 *
 *   rows[class & mask]                                     one after another
 *   rows[(class & mask) / 32] ─▶ page[class & mask & 31]   in pages
 *
 * Most rows of many programs are equal, and a cache miss costs a lookup more than one further load. Pages
 * whose classes all existed at the compile are shared; from the first page with room for further classes on,
 * each part has its own, so that a row of a new class is written where no reader looks.
 */

import { PROGRAM_HEADER_WORDS, PROGRAM_WORDS, ProgramField, ProgramHeader, ROW_PAGE } from './program.ts';
import { StretchIndex, type WordBuffer } from './words.ts';

/** The number of pages for so many rows. */
function pagesOf(rows: number): number {
  return Math.ceil(rows / ROW_PAGE);
}

/** How many pages of each part may be shared if `count` classes are compiled. */
export function sharedPages(count: number): number {
  return Math.floor(count / ROW_PAGE);
}

export class ClassRows {
  readonly #words: WordBuffer;
  readonly #known: StretchIndex;
  readonly #shared: number; // number of shared pages; negative: rows lie one after another
  #users: Uint8Array | undefined; // by offset of a page: how many have it, at most 2

  /** `shared`: as the header of programs has it. */
  constructor(words: WordBuffer, shared: number) {
    this.#words = words;
    this.#known = new StretchIndex(words);
    this.#shared = shared;
  }

  /** Whether rows lie in pages. */
  get isPaged(): boolean {
    return this.#shared >= 0;
  }

  /** Appends rows; returns their place. */
  append(rows: Int32Array): number {
    const words = this.#words;
    if (!this.isPaged) return words.append(rows);
    const pages = new Int32Array(pagesOf(rows.length));
    for (let p = 0; p < pages.length; p++) {
      const page = words.append(rows.subarray(p * ROW_PAGE, (p + 1) * ROW_PAGE));
      pages[p] = p < this.#shared ? this.#known.intern(page) : page;
    }
    return words.append(pages);
  }

  get(rows: number, classId: number): number {
    return this.#words.at(this.#placeOf(rows, classId));
  }

  /** Appends a copy of the first `count` rows and `added` more; pages that may be shared are. */
  copy(rows: number, count: number, added: Int32Array): number {
    const words = this.#words;
    const copied = this.isPaged ? Math.min(this.#shared * ROW_PAGE, count) : 0;
    const own = new Int32Array(count - copied + added.length);
    for (let i = copied; i < count; i++) own[i - copied] = this.get(rows, i);
    own.set(added, count - copied);
    if (!this.isPaged) return words.append(own);
    const shared = pagesOf(copied);
    const pages = new Int32Array(shared + pagesOf(own.length));
    for (let p = 0; p < shared; p++) pages[p] = words.at(rows + p);
    for (let p = shared; p < pages.length; p++)
      pages[p] = words.append(own.subarray((p - shared) * ROW_PAGE, (p - shared + 1) * ROW_PAGE));
    return words.append(pages);
  }

  /** Sets a row; if its page is shared, on a copy for these rows. */
  set(rows: number, classId: number, row: number): void {
    const page = Math.floor(classId / ROW_PAGE);
    if (page < this.#shared) this.#own(rows + page);
    this.#words.set(this.#placeOf(rows, classId), row);
  }

  #placeOf(rows: number, classId: number): number {
    if (!this.isPaged) return rows + classId;
    return this.#words.at(rows + Math.floor(classId / ROW_PAGE)) + (classId % ROW_PAGE);
  }

  /** Gives the entry at `at` a page of its own. */
  #own(at: number): void {
    const words = this.#words;
    this.#users ??= this.#countUsers();
    const page = words.at(at);
    if ((this.#users[page] ?? 1) < 2) return; // a page added later has one user
    const copy = words.take(ROW_PAGE, 0);
    for (let i = 0; i < ROW_PAGE; i++) words.set(copy + i, words.at(page + i));
    words.set(at, copy);
  }

  #countUsers(): Uint8Array {
    const words = this.#words;
    const users = new Uint8Array(words.count);
    const known = new Set<number>();
    for (let record = 0; record < words.at(ProgramHeader.recordCount); record++) {
      const at = PROGRAM_HEADER_WORDS + record * PROGRAM_WORDS;
      const rows = words.at(at + ProgramField.rows);
      if (known.has(rows)) continue;
      known.add(rows);
      const pages = words.at(at + ProgramField.classMask) === 0 ? 0 : this.#shared;
      for (let p = 0; p < pages; p++) {
        const page = words.at(rows + p);
        if (users[page]! < 2) users[page]! += 1; // a page lies within the words
      }
    }
    return users;
  }
}
