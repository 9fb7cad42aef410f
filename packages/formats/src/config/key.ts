/**
 * Keys of the configuration: each declares once its schema, its reader, its default, and its description. The
 * schema, the values and their types, and the tables of docs/reference/publisher-yaml.md all come from that,
 * so that they cannot drift apart.
 */

import { EMPTY_PREFIX_SET, type PrefixSet } from '@rulecast/rules';
import type { MappingEntry, MappingNode, TextNode, TreeNode } from '../document/node.ts';
import { quote } from '../text/bytes.ts';
import { ConfigFault, type ConfigReader, type ConfigText, textsOf } from './reader.ts';
import type { ValueResult } from './value.ts';

/** JSON Schema; every scalar is text in it. */
export type Schema = { readonly [keyword: string]: unknown };

/** A key whose value is a `T`, or an `A` if it is absent. */
export interface Key<T, A = undefined> {
  readonly schema: Schema;
  /** Its description, for docs/reference/publisher-yaml.md. */
  readonly sentence: string;
  /** Its default, as one would write it. */
  readonly standard?: string | undefined;
  readonly absent: A;
  /** For lists: the keys of the sources it applies to; without it, all. */
  readonly sources?: readonly string[] | undefined;
  /** Whether a change takes effect at the next start of the publisher only. */
  readonly atStart?: true;
  /** The keys of its mapping, if those are fixed. */
  readonly keys?: Keys | undefined;
  /** The keys of each mapping within its mapping, whose own keys are names. */
  readonly keysOfEach?: Keys | undefined;
  /** Its value; undefined with a fault, which is told here or by the schema. */
  readonly read: (entry: MappingEntry, key: string, reader: ConfigReader) => T | undefined;
}

/** By the field of the value. */
export type Keys = { readonly [field: string]: Key<unknown, unknown> };

/** The values of some keys; undefined where a key is not there, or has a fault. */
export type Values<K extends Keys> = {
  readonly [N in keyof K]?: K[N] extends Key<infer T, unknown> ? T | undefined : never;
};

/** Likewise, with the defaults of absent keys. */
export type Filled<K extends Keys> = {
  readonly [N in keyof K]: K[N] extends Key<infer T, infer A> ? T | A : never;
};

/** Understands a text. */
export type Parse<T> = (text: string) => ValueResult<T>;

export const TEXT = { type: 'string' } as const;
export const TEXTS = { type: 'array', items: TEXT } as const;
export const TEXT_OR_TEXTS = { type: ['string', 'array'], items: TEXT } as const;

/** A text, unchanged. */
export function text(sentence: string): Key<TextNode> {
  return { schema: TEXT, sentence, absent: undefined, read: givenText };
}

/** A text with its place, which is checked by who uses it, or here. */
export function place(sentence: string, parse: Parse<string> = same): Key<ConfigText> {
  const read: Key<ConfigText>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    const value = node === undefined ? undefined : understood(node, key, parse, reader);
    return node === undefined || value === undefined ? undefined : { ...reader.textOf(node), value };
  };
  return { schema: TEXT, sentence, absent: undefined, read };
}

/** The path of a file or directory. */
export function path(sentence: string): Key<string> {
  const read: Key<string>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    return node === undefined ? undefined : reader.pathOf(node.value);
  };
  return { schema: TEXT, sentence, absent: undefined, read };
}

/** A text that `parse` understands; throws TypeError for a standard value that nobody may write. */
export function scalar<T>(parse: Parse<T>, sentence: string): Key<T>;
export function scalar<T>(parse: Parse<T>, sentence: string, standard: string): Key<T, T>;
export function scalar<T>(parse: Parse<T>, sentence: string, standard?: string): Key<T, T | undefined> {
  const read: Key<T>['read'] = (entry, key, reader) => {
    const node = givenText(entry, key, reader);
    return node === undefined ? undefined : understood(node, key, parse, reader);
  };
  const result = standard === undefined ? undefined : parse(standard);
  if (result?.kind === 'fault') throw new TypeError(`the standard value ${standard}: ${result.reason}`);
  return { schema: TEXT, sentence, standard, absent: result?.value, read };
}

/** One of several words. */
export function word<const W extends string>(choices: readonly W[], sentence: string): Key<W>;
export function word<const W extends string>(choices: readonly W[], sentence: string, standard: W): Key<W, W>;
export function word<const W extends string>(
  choices: readonly W[],
  sentence: string,
  standard?: W,
): Key<W, W | undefined> {
  const read: Key<W>['read'] = ({ value }) =>
    value.kind === 'text' ? choices.find((one) => one === value.value) : undefined;
  return { schema: { enum: choices }, sentence, standard, absent: standard, read };
}

/** `false` if absent, or the default in `standard`. */
export function flag(sentence: string, standard = false): Key<boolean, boolean> {
  const choice = word(['true', 'false'], sentence, `${standard}`);
  const read: Key<boolean>['read'] = (entry, key, reader) => {
    const text = choice.read(entry, key, reader);
    return text === undefined ? undefined : text === 'true';
  };
  return { ...choice, absent: standard, read };
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
  return { schema: only === undefined ? TEXT_OR_TEXTS : TEXTS, sentence, absent: undefined, read };
}

/** Texts, unchanged. */
export function words(sentence: string): Key<readonly string[], readonly string[]> {
  return { ...texts((nodes) => nodes.map(({ value }) => value), sentence), absent: [] };
}

/** Texts, each read by `parse`; faulty ones are reported and left out. */
export function each<T>(parse: Parse<T>, sentence: string): Key<readonly T[], readonly T[]> {
  const key = texts(
    (nodes, name, reader) => nodes.flatMap((node) => understood(node, name, parse, reader) ?? []),
    sentence,
  );
  return { ...key, absent: [] };
}

/** Addresses, CIDRs and ranges, in a sequence. */
export function prefixes(sentence: string): Key<PrefixSet, PrefixSet> {
  const key = texts((nodes, _, reader) => reader.prefixes(nodes), sentence, 'sequence');
  return { ...key, absent: EMPTY_PREFIX_SET };
}

/** A mapping with fixed keys. */
export function mapping<K extends Keys>(keys: K, sentence: string, more: Schema = {}): Key<Values<K>> {
  return {
    schema: { ...schemaOf(keys), ...more },
    sentence,
    absent: undefined,
    keys,
    read: ({ value }, _, reader) => (value.kind === 'mapping' ? readKeys(keys, value, reader) : undefined),
  };
}

/** A mapping from names to values of `schema`. */
export function named<T>(
  schema: Schema,
  make: (node: MappingNode, reader: ConfigReader) => T,
  sentence: string,
  more: Schema = {},
): Key<T> {
  return {
    schema: { type: 'object', additionalProperties: schema, ...more },
    sentence,
    absent: undefined,
    read: ({ value }, _, reader) => (value.kind === 'mapping' ? make(value, reader) : undefined),
  };
}

/** A key with another default. */
export function otherwise<T, A>(absent: A, key: Key<T, unknown>): Key<T, A> {
  return { ...key, absent };
}

/** Keys whose changes take effect at the next start only. */
export function atStart<K extends Keys>(keys: K): K {
  return Object.fromEntries(
    Object.entries(keys).map(([field, key]) => [field, { ...key, atStart: true }]),
  ) as K;
}

/** A key of lists that goes with some sources only, named by their keys. */
export function withSources<K extends Key<unknown, unknown>>(sources: readonly string[], key: K): K {
  return { ...key, sources };
}

/** The key of a field: `entry-ttl` for `entryTtlMs`, as units are in the value. */
export function keyOf(field: string): string {
  return field.replace(/(?:Ms|Share)$/, '').replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The fields and declarations of keys as they are written. */
export function declaredIn(keys: Keys): ReadonlyMap<string, readonly [string, Key<unknown, unknown>]> {
  return new Map(Object.entries(keys).map(([field, key]) => [keyOf(field), [field, key]]));
}

/** The schema of a mapping with these keys and no others. */
export function schemaOf(keys: Keys): Schema {
  const properties = Object.fromEntries([...declaredIn(keys)].map(([key, [, { schema }]]) => [key, schema]));
  return { type: 'object', additionalProperties: false, properties };
}

/** Reads the values of some keys from a mapping. */
export function readKeys<K extends Keys>(
  keys: K,
  node: MappingNode | undefined,
  reader: ConfigReader,
): Values<K> {
  const declared = declaredIn(keys);
  const values = [...(node?.entries ?? [])].flatMap(([key, entry]) => {
    const [field, found] = declared.get(key) ?? [];
    return field === undefined ? [] : [[field, found?.read(entry, key, reader)]];
  });
  return Object.fromEntries(values);
}

/** The values of keys: the first given one, else the default. */
export function filled<K extends Keys>(keys: K, ...values: readonly Partial<Values<K>>[]): Filled<K> {
  const fields = Object.entries(keys).map(([field, { absent }]) => {
    return [field, values.find((some) => some[field] !== undefined)?.[field] ?? absent];
  });
  return Object.fromEntries(fields);
}

/**
 * The values of keys that take effect at the next start, as text, by the key. The same text is the same
 * value, wherever it stands in the file. A standard value that is written out counts as no key.
 */
export function startTexts(keys: Keys, node: MappingNode | undefined): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [key, [, declared]] of declaredIn(keys)) {
    const value = node?.entries.get(key)?.value;
    if (value === undefined) continue;
    const plain = plainOf(value);
    if (declared.atStart === true && plain !== declared.standard) texts.set(key, JSON.stringify(plain));
    if (value.kind !== 'mapping') continue;
    if (declared.keys !== undefined)
      for (const [below, text] of startTexts(declared.keys, value)) texts.set(`${key}: ${below}`, text);
    const ofEach = [...value.entries].flatMap(([name, { value: child }]) => {
      if (declared.keysOfEach === undefined || child.kind !== 'mapping') return [];
      const below = [...startTexts(declared.keysOfEach, child)];
      return below.length === 0 ? [] : [[name, below]];
    });
    if (ofEach.length > 0) texts.set(key, JSON.stringify(ofEach.sort()));
  }
  return texts;
}

/** A single text counts as a sequence of it. */
function plainOf(node: TreeNode): unknown {
  if (node.kind === 'text') return node.value;
  if (node.kind === 'sequence') {
    const items = node.items.map(plainOf);
    return items.length === 1 ? items[0] : items;
  }
  return [...node.entries].map(([key, { value }]) => [key, plainOf(value)]).sort();
}

/** The text of an entry; an empty one is reported as missing. */
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

/** Reports the keys that are not valid for a source. */
export function checkPlaces(keys: Keys, source: string, node: MappingNode, reader: ConfigReader): void {
  const declared = declaredIn(keys);
  for (const [key, { keyOffset }] of node.entries) {
    const sources = declared.get(key)?.[1].sources;
    if (sources === undefined || sources.includes(source)) continue;
    const reason = `${key}: goes with ${sources.join(' or ')}, not with ${source}`;
    reader.fault(keyOffset, ConfigFault.misplaced, reason);
  }
}
