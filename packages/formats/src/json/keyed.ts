/**
 * Lists whose entries have fixed keys, read by a tree of keys in the form of the JSON:
 *
 *     { regions: [{ region: 'region', cidrs: [{ cidr: 'entry', tags: ['tag'] }] }] }
 *
 * An object in an array is a record: its words, and those of objects in it, are what filters compare, for
 * every entry of the record, in any order of keys. Other keys are ignored.
 */

import { WORD_FILTERS, type WordFilter } from '../collect/filter.ts';
import type { SkipCode } from '../collect/options.ts';
import type { JsonTape } from './tape.ts';
import { eachOf, type JsonImport, type JsonReader, rejectRecord, useAddress, useEntry } from './values.ts';

/** The role of a value: an address, a name, or a word for a filter. */
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

/** Uses a name; a star inside it stands for a part of a name, which lists cannot express. */
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
