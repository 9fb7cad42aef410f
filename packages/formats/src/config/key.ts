/**
 * Keys of the configuration: each says once what may stand there, how that is read, what holds without it,
 * and what it is. The schema, the values and their types, and the tables of docs/sources.md all come from
 * that, so that they cannot drift apart.
 */

import type { PrefixSet } from '@rulecast/rules';
import type { MappingEntry, MappingNode, TextNode } from '../document/node.ts';
import { quote } from '../text/bytes.ts';
import { ConfigFault, type ConfigReader, type ConfigText, textsOf } from './reader.ts';
import type { ValueResult } from './value.ts';

/** JSON Schema; every scalar is text in it. */
export type Schema = { readonly [keyword: string]: unknown };

export interface Key<T> {
  readonly schema: Schema;
  /** What it is, as docs/sources.md has it. */
  readonly sentence: string;
  /** What holds without it, as one would write it. */
  readonly standard?: string | undefined;
  /** Of lists: the keys of the sources that it goes with; without, all of them. */
  readonly sources?: readonly string[] | undefined;
  /** The keys of the mapping that it takes, if those are fixed. */
  readonly keys?: Keys | undefined;
  /** Its value; undefined with a fault, which is told here or by the schema. */
  readonly read: (entry: MappingEntry, key: string, reader: ConfigReader) => T | undefined;
}

export type Keys = { readonly [key: string]: Key<unknown> };

/** The values of some keys; undefined where a key is not there, or has a fault. */
export type Values<K extends Keys> = {
  readonly [N in keyof K]: K[N] extends Key<infer T> ? T | undefined : never;
};

/** Understands a text. */
export type Parse<T> = (text: string) => ValueResult<T>;

/** A key with one text, and so with a standard value. */
export interface Scalar<T> extends Key<T> {
  readonly parse: Parse<T>;
}

export const TEXT = { type: 'string' } as const;
export const TEXTS = { type: 'array', items: TEXT } as const;
export const TEXT_OR_TEXTS = { type: ['string', 'array'], items: TEXT } as const;

/** A text as it stands. */
export function text(sentence: string): Key<TextNode> {
  return { schema: TEXT, sentence, read: givenText };
}

/** A text with its place, which is checked by who uses it, or here. */
export function place(sentence: string, parse: Parse<string> = same): Key<ConfigText> {
  const read: Key<ConfigText>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    const value = node === undefined ? undefined : understood(node, key, parse, reader);
    return node === undefined || value === undefined ? undefined : { ...reader.textOf(node), value };
  };
  return { schema: TEXT, sentence, read };
}

/** The path of a file or directory. */
export function path(sentence: string): Key<string> {
  const read: Key<string>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    return node === undefined ? undefined : reader.pathOf(node.value);
  };
  return { schema: TEXT, sentence, read };
}

/** A text that `parse` understands. */
export function scalar<T>(parse: Parse<T>, sentence: string, standard?: string): Scalar<T> {
  const read: Key<T>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    return node === undefined ? undefined : understood(node, key, parse, reader);
  };
  return { schema: TEXT, sentence, standard, parse, read };
}

/** One of some words. */
export function word<const W extends string>(choices: readonly W[], sentence: string, standard?: W): Key<W> {
  const read: Key<W>['read'] = ({ value }) =>
    value.kind === 'text' ? choices.find((one) => one === value.value) : undefined;
  return { schema: { enum: choices }, sentence, standard, read };
}

export function flag(sentence: string, standard?: boolean): Key<boolean> {
  const choice = word(['true', 'false'], sentence, standard === undefined ? undefined : `${standard}`);
  const read: Key<boolean>['read'] = (entry, key, reader) => {
    const said = choice.read(entry, key, reader);
    return said === undefined ? undefined : said === 'true';
  };
  return { ...choice, read };
}

/** Texts that `read` makes something of; `only` in a sequence, or one alone as well. */
export function texts<T>(
  make: (nodes: readonly TextNode[], key: string, reader: ConfigReader) => T,
  sentence: string,
  only?: 'sequence',
): Key<T> {
  const read: Key<T>['read'] = (entry, key, reader) => {
    const { value } = entry;
    if (value.kind === 'text' && givenText(entry, key, reader) === undefined) return undefined;
    return value.kind === 'mapping' ? undefined : make(textsOf(value), key, reader);
  };
  return { schema: only === undefined ? TEXT_OR_TEXTS : TEXTS, sentence, read };
}

/** Texts as they stand. */
export function words(sentence: string): Key<readonly string[]> {
  return texts((nodes) => nodes.map(({ value }) => value), sentence);
}

/** Texts, each of which `parse` understands; those with a fault are told and left out. */
export function each<T>(parse: Parse<T>, sentence: string): Key<readonly T[]> {
  return texts(
    (nodes, key, reader) => nodes.flatMap((node) => understood(node, key, parse, reader) ?? []),
    sentence,
  );
}

/** Addresses, CIDRs and ranges, in a sequence. */
export function prefixes(sentence: string): Key<PrefixSet> {
  return texts((nodes, _, reader) => reader.prefixes(nodes), sentence, 'sequence');
}

/** A mapping with keys of its own. */
export function mapping<K extends Keys>(keys: K, sentence: string, more: Schema = {}): Key<Values<K>> {
  return {
    schema: { ...schemaOf(keys), ...more },
    sentence,
    keys,
    read: ({ value }, _, reader) => (value.kind === 'mapping' ? readKeys(keys, value, reader) : undefined),
  };
}

/** A mapping by names that the configuration gives, each of which takes what `schema` says. */
export function named<T>(
  schema: Schema,
  make: (node: MappingNode, reader: ConfigReader) => T,
  sentence: string,
  more: Schema = {},
): Key<T> {
  return {
    schema: { type: 'object', additionalProperties: schema, ...more },
    sentence,
    read: ({ value }, _, reader) => (value.kind === 'mapping' ? make(value, reader) : undefined),
  };
}

/** A key of lists that goes with some sources only, named by their keys. */
export function withSources<K extends Key<unknown>>(sources: readonly string[], key: K): K {
  return { ...key, sources };
}

/** The schema of a mapping with these keys and no others. */
export function schemaOf(keys: Keys): Schema {
  const properties = Object.fromEntries(Object.entries(keys).map(([key, { schema }]) => [key, schema]));
  return { type: 'object', additionalProperties: false, properties };
}

/** Reads what a mapping says of some keys. */
export function readKeys<K extends Keys>(
  keys: K,
  node: MappingNode | undefined,
  reader: ConfigReader,
): Values<K> {
  const values = [...(node?.entries ?? [])].flatMap(([key, entry]) =>
    Object.hasOwn(keys, key) ? [[key, keys[key]?.read(entry, key, reader)]] : [],
  );
  return Object.fromEntries(values);
}

/** The value that holds without a key, which has one. */
export function standardOf<T>({ parse, standard = '' }: Scalar<T>): T {
  const result = parse(standard);
  if (result.kind === 'value') return result.value;
  throw new TypeError(`a standard value that nobody may write: ${standard}: ${result.reason}`);
}

/** The text of an entry, which is told to be missing where it is empty. */
function givenText(
  { value, keyOffset }: MappingEntry,
  key: string,
  reader: ConfigReader,
): TextNode | undefined {
  if (value.kind !== 'text') return undefined;
  if (value.value !== '') return value;
  reader.fault(keyOffset, ConfigFault.value, `${key}: has no value`);
  return undefined;
}

function understood<T>(node: TextNode, key: string, parse: Parse<T>, reader: ConfigReader): T | undefined {
  const result = parse(node.value);
  if (result.kind === 'value') return result.value;
  reader.fault(node.offset, ConfigFault.value, `${key}: ${quote(node.value)}: ${result.reason}`);
  return undefined;
}

function same(value: string): ValueResult<string> {
  return { kind: 'value', value };
}

/** Tells the keys that do not go with a source. */
export function checkPlaces(keys: Keys, source: string, node: MappingNode, reader: ConfigReader): void {
  for (const [key, { keyOffset }] of node.entries) {
    const sources = Object.hasOwn(keys, key) ? keys[key]?.sources : undefined;
    if (sources === undefined || sources.includes(source)) continue;
    const reason = `${key}: goes with ${sources.join(' or ')}, not with ${source}`;
    reader.fault(keyOffset, ConfigFault.misplaced, reason);
  }
}
