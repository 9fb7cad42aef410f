/**
 * Lists whose entries all stand under the same keys, read by a tree of keys, drawn as the JSON:
 *
 *     { regions: [{ region: 'region', cidrs: [{ cidr: 'entry', tags: ['tag'] }] }] }
 *
 * An object in an array is a record: its words, and those of objects in it, say what may be picked by, and
 * hold for every entry of it, wherever among its keys they stand. Other keys are passed over.
 */

import { WORD_FILTERS, type WordFilter } from '../collect/filter.ts';
import type { SkipCode } from '../collect/options.ts';
import type { JsonText } from './cursor.ts';
import {
  eachObject,
  eachString,
  type JsonImport,
  rejectRecord,
  stringOrSkip,
  useAddress,
  wordOrSkip,
  wordsOrSkip,
} from './values.ts';

/** What stands under a key: an entry, or a word that a filter compares. */
type Role = 'entry' | WordFilter;
export interface KeyTree {
  readonly [key: string]: Role | KeyTree | readonly [Role | KeyTree];
}

/** The reader of a tree of keys. */
export function keyed(tree: KeyTree): (source: JsonImport) => void {
  return (source) => objectReader(tree, source, undefined)();
}

/** Reads or passes over the value that is next. */
type Read = () => void;

/** What reads an object whose words and entries are those of a record, if it is in one. */
function objectReader(tree: KeyTree, source: JsonImport, record: RecordReader | undefined): Read {
  const { json } = source;
  const reads = new Map<string, Read>();
  for (const [key, field] of Object.entries(tree)) {
    const read = isArray(field) ? arrayReader(field[0], source, record) : fieldReader(field, source, record);
    if (read !== undefined) reads.set(key, read);
  }
  const keys = [...reads.keys()];
  const visit = (key: string): void => reads.get(key)?.();
  return () => json.object(visit, keys);
}

function isArray(field: KeyTree[string]): field is readonly [Role | KeyTree] {
  return Array.isArray(field);
}

function fieldReader(
  field: Role | KeyTree,
  source: JsonImport,
  record: RecordReader | undefined,
): Read | undefined {
  const { json } = source;
  if (field === 'entry') return record?.entryReader();
  if (typeof field === 'string') return record?.wordReader(field, () => [wordOrSkip(json)], ['']);
  const read = objectReader(field, source, record);
  return () => {
    if (json.peek() === 'object') read();
  };
}

function arrayReader(
  item: Role | KeyTree,
  source: JsonImport,
  record: RecordReader | undefined,
): Read | undefined {
  const { json, collector } = source;
  if (item === 'entry') {
    const use = (entry: JsonText): void => {
      if (record === undefined) useAddress(collector, entry);
      else record.hold(entry, undefined);
    };
    return () => eachString(source, use);
  }
  if (typeof item === 'string') return record?.wordReader(item, () => wordsOrSkip(json), []);
  const inner = new RecordReader(source, item, record);
  const read = (): void => inner.read();
  return () => eachObject(source, read);
}

/** What a record says under one key, and what it says without the key. */
interface Word {
  readonly filter: WordFilter;
  readonly none: readonly string[];
  said: readonly string[];
}

/** Reads one record after the other. */
class RecordReader {
  readonly #source: JsonImport;
  readonly #outer: RecordReader | undefined;
  readonly #hasEntry: boolean;
  readonly #readKeys: Read;
  readonly #words: Word[] = [];
  /** Filters that are asked for, with the words that they compare. */
  readonly #picks: readonly { readonly name: WordFilter; readonly words: readonly Word[] }[];
  /** Entries that wait for the words, with what inner records say against them. */
  readonly #held: { readonly entry: JsonText; readonly other: SkipCode | undefined }[] = [];
  #entry: JsonText | undefined;

  constructor(source: JsonImport, tree: KeyTree, outer: RecordReader | undefined) {
    this.#source = source;
    this.#outer = outer;
    this.#hasEntry = Object.values(tree).includes('entry');
    this.#readKeys = objectReader(tree, source, this);
    this.#picks = WORD_FILTERS.filter((name) => source.filter.wants(name))
      .map((name) => ({ name, words: this.#words.filter(({ filter }) => filter === name) }))
      .filter(({ words }) => words.length > 0);
  }

  /** What reads the entry that a record holds itself. */
  entryReader(): Read {
    return () => {
      this.#entry = stringOrSkip(this.#source.json);
    };
  }

  /**
   * What reads a word, or several; of a key that comes twice, the last one counts. Where each entry has words
   * of its own, those that nobody asks for are passed over.
   */
  wordReader(filter: WordFilter, read: () => readonly string[], none: readonly string[]): Read | undefined {
    if (this.#hasEntry && !this.#source.filter.wants(filter)) return undefined;
    const word = { filter, none, said: none };
    this.#words.push(word);
    return () => {
      word.said = read();
    };
  }

  hold(entry: JsonText, other: SkipCode | undefined): void {
    this.#held.push({ entry, other });
  }

  read(): void {
    this.#entry = undefined;
    for (const word of this.#words) word.said = word.none;
    this.#readKeys();
    const other = this.#otherOf();
    if (this.#entry !== undefined) this.#use(this.#entry, other);
    else if (this.#hasEntry) {
      const { json, collector } = this.#source;
      rejectRecord(collector, json, 'an object without the prefix that it should hold');
    }
    for (const { entry, other: inner } of this.#held) this.#use(entry, other ?? inner);
    this.#held.length = 0;
  }

  #use(entry: JsonText, other: SkipCode | undefined): void {
    if (this.#outer === undefined) useAddress(this.#source.collector, entry, other);
    else this.#outer.hold(entry, other);
  }

  /** Why the entries of a record are skipped; undefined if its words are those that are asked for. */
  #otherOf(): SkipCode | undefined {
    const { filter } = this.#source;
    for (const { name, words } of this.#picks) {
      if (!words.some(({ said }) => filter.takes(name, said))) return `other-${name}`;
    }
    return undefined;
  }
}
