/**
 * Reads values out of the tree of a configuration and notes what is wrong with them, each at its place. What the schema has refused is
 * passed over here, so that one fault is told once.
 */

import { canonicalPrefixes, PrefixBuilder, type PrefixSet, parseHostName } from '@rulecast/rules';
import type { MappingEntry, MappingNode, PlaceOf, TextNode, TreeNode } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import { bareTokenEnd, EntryFaultCode, EntryReader } from '../text/entry.ts';
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
  private readonly entryReader = new EntryReader();
  private readonly encoder = new TextEncoder();

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
    const v4 = new PrefixBuilder(4);
    const v6 = new PrefixBuilder(6);
    for (const node of nodes) {
      const bytes = this.encoder.encode(node.value);
      const fault = this.entryReader.read(bytes, 0, bytes.length, bareTokenEnd, (family, words, length) => {
        (family === 4 ? v4 : v6).push(words, 0, length);
      });
      if (fault !== undefined) this.fault(node.offset, fault.code, fault.reason);
      else if (this.entryReader.end !== bytes.length) {
        const reason = `${quote(node.value)}: write one address, CIDR or range an item`;
        this.fault(node.offset, EntryFaultCode.trailing, reason);
      }
    }
    return { v4: canonicalPrefixes(v4.build()), v6: canonicalPrefixes(v6.build()) };
  }

  /** Host names in normal form. */
  names(nodes: readonly TextNode[]): readonly string[] {
    const names: string[] = [];
    for (const node of nodes) {
      const result = parseHostName(node.value);
      if (result.kind === 'name') names.push(result.name);
      else {
        const advice = node.value.includes('*') ? ': a wildcard cannot be resolved, so write each name' : '';
        this.fault(node.offset, result.fault, `${quote(node.value)} is no host name${advice}`);
      }
    }
    return names;
  }

  textOf(node: TextNode): ConfigText {
    return { value: node.value, ...this.place(node.offset) };
  }
}
