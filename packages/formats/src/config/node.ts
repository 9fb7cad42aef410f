/**
 * Reads values out of the tree of a configuration and notes what is wrong with them, each at its place. What the schema has refused is
 * passed over here, so that one fault is told once.
 */

import type { PrefixSet } from '@rulecast/rules';
import { type ItemSinks, namesOfItems, prefixesOfItems } from '../document/items.ts';
import type { MappingEntry, MappingNode, PlaceOf, TextNode, TreeNode } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import type { DocumentReject, RejectLog } from '../text/reject.ts';
import type { ValueResult } from './value.ts';

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

export class ConfigNodeReader {
  private readonly fileName: string;
  private readonly place: PlaceOf;
  private readonly rejects: RejectLog<DocumentReject>;
  private readonly items: ItemSinks = {
    onFault: (node, index, { code, reason }) =>
      this.fault(node.exact ? node.offset + index : node.offset, code, reason),
  };

  constructor(fileName: string, place: PlaceOf, rejects: RejectLog<DocumentReject>) {
    this.fileName = fileName;
    this.place = place;
    this.rejects = rejects;
  }

  fault(offset: number, code: string, reason: string): void {
    this.rejects.add({ file: this.fileName, ...this.place(offset), code, reason });
  }

  placeOf(offset: number): { readonly line: number; readonly column: number } {
    return this.place(offset);
  }

  text(mapping: MappingNode | undefined, key: string): TextNode | undefined {
    const node = mapping?.entries.get(key)?.value;
    if (node?.kind !== 'text') return undefined;
    if (node.value !== '') return node;
    this.fault(
      mapping?.entries.get(key)?.keyOffset ?? node.offset,
      ConfigFault.value,
      `${key}: has no value`,
    );
    return undefined;
  }

  mapping(mapping: MappingNode | undefined, key: string): MappingNode | undefined {
    const node = mapping?.entries.get(key)?.value;
    return node?.kind === 'mapping' ? node : undefined;
  }

  entries(mapping: MappingNode | undefined): Iterable<[string, MappingEntry]> {
    return mapping?.entries ?? [];
  }

  /** The texts of a key that takes one text or a sequence of them; undefined without the key. */
  texts(mapping: MappingNode | undefined, key: string): readonly TextNode[] | undefined {
    const node: TreeNode | undefined = mapping?.entries.get(key)?.value;
    if (node?.kind === 'text') {
      const one = this.text(mapping, key);
      return one === undefined ? undefined : [one];
    }
    return node?.kind === 'sequence' ? node.items.filter((item) => item.kind === 'text') : undefined;
  }

  flag(mapping: MappingNode | undefined, key: string): boolean | undefined {
    const text = mapping?.entries.get(key)?.value;
    return text?.kind === 'text' && text.value !== '' ? text.value === 'true' : undefined;
  }

  /** The value of a key as `read` understands its text; undefined without the key, or with a fault, which is noted. */
  value<T>(
    mapping: MappingNode | undefined,
    key: string,
    read: (text: string) => ValueResult<T>,
  ): T | undefined {
    const node = this.text(mapping, key);
    return node === undefined ? undefined : this.valueOf(node, key, read);
  }

  valueOf<T>(node: TextNode, what: string, read: (text: string) => ValueResult<T>): T | undefined {
    const result = read(node.value);
    if (result.kind === 'value') return result.value;
    this.fault(node.offset, ConfigFault.value, `${what}: ${quote(node.value)}: ${result.reason}`);
    return undefined;
  }

  /** Addresses, CIDRs and ranges, canonical. */
  prefixes(nodes: readonly TextNode[]): PrefixSet {
    return prefixesOfItems(nodes, this.items);
  }

  /** Host names in normal form. */
  names(nodes: readonly TextNode[]): readonly string[] {
    return namesOfItems(nodes, this.items);
  }

  textOf(node: TextNode): ConfigText {
    return { value: node.value, ...this.place(node.offset) };
  }
}
