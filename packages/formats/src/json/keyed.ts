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
import type { JsonTape } from './tape.ts';
import { eachOf, type JsonImport, type JsonReader, rejectRecord, useAddress, useEntry } from './values.ts';

/** What stands under a key: an address, a name, or a word that a filter compares. */
type Role = 'entry' | 'name' | WordFilter;
type Field = Role | KeyTree | readonly [Role | KeyTree];
export interface KeyTree {
  readonly [key: string]: Field;
}

/** The reader of a tree of keys, or of an array of such. */
export function keyed(tree: KeyTree | readonly [KeyTree]): JsonReader {
  return (source, root) => {
    if (isArray(tree)) readArray(source, tree[0], root, undefined);
    else readObject(source, tree, root, undefined);
  };
}

/**
 * Reads an object, and returns whether an entry stands under a key of its own; `other` is why the entries of
 * the record that it is in are skipped, if they are.
 */
function readObject(source: JsonImport, tree: KeyTree, object: number, other: SkipCode | undefined): boolean {
  const { tape } = source;
  let hasEntry = false;
  tape.members(object, (key, value) => {
    const field = fieldOf(tree, key);
    if (field === 'entry') {
      if (tape.kind(value) !== 'string') return;
      hasEntry = true;
      useAddress(source, value, other);
    } else if (isArray(field)) readArray(source, field[0], value, other);
    else if (typeof field === 'object') readObject(source, field, value, other);
  });
  return hasEntry;
}

function readArray(
  source: JsonImport,
  item: Role | KeyTree,
  array: number,
  other: SkipCode | undefined,
): void {
  if (item === 'entry') eachOf('string', source, array, (value) => useAddress(source, value, other));
  if (item === 'name') eachOf('string', source, array, (value) => useName(source, value, other));
  if (typeof item !== 'object') return;
  const needsEntry = Object.values(item).includes('entry');
  eachOf('object', source, array, (record) => {
    const hasEntry = readObject(source, item, record, other ?? otherOf(source, item, record));
    if (needsEntry && !hasEntry)
      rejectRecord(source, record, 'an object without the prefix that it should hold');
  });
}

/** Uses a name; a star within it stands for a part of one, which no list says. */
function useName(source: JsonImport, value: number, other: SkipCode | undefined): void {
  const isPattern = source.tape.string(value).replace(/^\*\./, '').includes('*');
  useEntry(source, value, other ?? (isPattern ? 'pattern' : undefined));
}

/** Why the entries of a record are skipped; undefined if its words are those that are asked for. */
function otherOf({ tape, filter }: JsonImport, tree: KeyTree, record: number): SkipCode | undefined {
  for (const name of WORD_FILTERS) {
    if (!filter.wants(name) || !hasRole(tree, name)) continue;
    const words: string[] = [];
    gatherWords(tape, tree, record, name, words);
    if (!filter.takes(name, words)) return `other-${name}`;
  }
  return undefined;
}

/** Whether records have words of a kind. */
function hasRole(tree: KeyTree, name: WordFilter): boolean {
  return Object.values(tree).some(
    (field) =>
      field === name ||
      (isArray(field) ? field[0] === name : typeof field === 'object' && hasRole(field, name)),
  );
}

function gatherWords(tape: JsonTape, tree: KeyTree, object: number, name: WordFilter, into: string[]): void {
  const gather = (value: number): void => {
    const kind = tape.kind(value);
    if (kind === 'string' || kind === 'word') into.push(tape.string(value));
  };
  tape.members(object, (key, value) => {
    const field = fieldOf(tree, key);
    if (field === name) gather(value);
    else if (isArray(field)) {
      if (field[0] === name) tape.items(value, gather);
    } else if (typeof field === 'object') gatherWords(tape, field, value, name, into);
  });
}

function fieldOf(tree: KeyTree, key: string): Field | undefined {
  return Object.hasOwn(tree, key) ? tree[key] : undefined;
}

function isArray(field: Field | readonly [KeyTree] | undefined): field is readonly [Role | KeyTree] {
  return Array.isArray(field);
}
