/**
 * Reads a configuration: the base of relative paths, and a listener for faults, each with its place. Readers
 * skip values that the schema refused, so that each fault is reported once.
 */

import { posix } from 'node:path';
import type { PrefixSet } from '@rulecast/rules';
import { type ItemSinks, namesOfItems, prefixesOfItems } from '../document/items.ts';
import type { MappingNode, TextNode, TreeNode } from '../document/node.ts';
import type { PlaceOf } from '../document/tree.ts';
import type { NameReading } from '../text/entry.ts';
import type { DocumentReject, RejectLog } from '../text/reject.ts';

/** A text of the configuration with its place, for who checks it further. */
export interface ConfigText {
  readonly value: string;
  readonly line: number;
  readonly column: number;
}

export const ConfigFault = {
  value: 'bad-value',
  name: 'bad-name',
  source: 'list-without-source',
  sources: 'list-with-two-sources',
  misplaced: 'misplaced-key',
  missing: 'missing-key',
  unknownList: 'unknown-list',
  unknownTable: 'unknown-table',
  cycle: 'circular-lists',
  shared: 'bound-twice',
  limit: 'over-limit',
} as const;

export class ConfigReader {
  readonly placeOf: PlaceOf;
  readonly #fileName: string;
  readonly #directory: string;
  readonly #rejects: RejectLog<DocumentReject>;
  readonly #items: ItemSinks = {
    onFault: (node, index, { code, reason }) =>
      this.fault(node.exact ? node.offset + index : node.offset, code, reason),
  };

  constructor(fileName: string, placeOf: PlaceOf, rejects: RejectLog<DocumentReject>) {
    this.placeOf = placeOf;
    this.#fileName = fileName;
    this.#directory = posix.dirname(posix.resolve(fileName));
    this.#rejects = rejects;
  }

  fault(offset: number, code: string, reason: string): void {
    this.#rejects.add({ file: this.#fileName, ...this.placeOf(offset), code, reason });
  }

  /** A path as an absolute one: relative paths start at the folder of the file. */
  pathOf(path: string): string {
    return posix.resolve(this.#directory, path);
  }

  /** Addresses, CIDRs and ranges, canonical. */
  prefixes(nodes: readonly TextNode[]): PrefixSet {
    return prefixesOfItems(nodes, this.#items);
  }

  /** Names in normal form, of a list that may have entries for names below, or not. */
  names(nodes: readonly TextNode[], reading: NameReading, takesSuffixes: boolean): readonly string[] {
    return namesOfItems(nodes, this.#items, reading, takesSuffixes);
  }

  textOf(node: TextNode): ConfigText {
    return { value: node.value, ...this.placeOf(node.offset) };
  }
}

/** The texts of a node that is one text or a sequence of them; an empty one is none. */
export function textsOf(node: TreeNode): readonly TextNode[] {
  if (node.kind === 'text') return node.value === '' ? [] : [node];
  return node.kind === 'sequence' ? node.items.filter((item) => item.kind === 'text') : [];
}

/** The offset of a key in a mapping, or of the mapping if it lacks the key. */
export function keyOffsetOf(node: MappingNode, key: string): number {
  return node.entries.get(key)?.keyOffset ?? node.offset;
}
