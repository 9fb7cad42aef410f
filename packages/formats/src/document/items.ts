/** Entries in a document or a configuration, one an item, read like those of a list. */

import { isWildcard, type PrefixSet, RuleFault } from '@rulecast/rules';
import { columnAt, quote } from '../text/bytes.ts';
import { EntryReader } from '../text/entries.ts';
import {
  bareTokenEnd,
  type EntryFault,
  EntryFaultCode,
  type HostBits,
  type NameReading,
  readNameEntry,
} from '../text/entry.ts';
import type { TextNode } from './node.ts';

/** Listeners for the items. */
export interface ItemSinks {
  /** A fault of an item, and the character of it, from 0. */
  readonly onFault: (node: TextNode, index: number, fault: EntryFault) => void;
  readonly onEntry?: ((node: TextNode, canonical: () => string) => void) | undefined;
}

const encoder = new TextEncoder();

/** The addresses, CIDRs and ranges of some items, canonical. */
export function prefixesOfItems(
  items: readonly TextNode[],
  { onFault, onEntry }: ItemSinks,
  hostBits?: HostBits,
): PrefixSet {
  const reader = new EntryReader({ hostBits, keepsPieces: onEntry !== undefined });
  for (const item of items) {
    const bytes = encoder.encode(item.value);
    const fault = reader.read(bytes, 0, bytes.length, bareTokenEnd) ?? trailingFault(reader.end, bytes);
    if (fault === undefined) onEntry?.(item, () => reader.canonical());
    else onFault(item, columnAt(bytes, 0, fault.at) - 1, fault);
  }
  return reader.prefixes();
}

/** The names of some items, in normal form, of a list that may have entries for names below, or not. */
export function namesOfItems(
  items: readonly TextNode[],
  { onFault, onEntry }: ItemSinks,
  reading: NameReading,
  takesSuffixes: boolean,
): readonly string[] {
  return items.flatMap((item) => {
    const bytes = encoder.encode(item.value);
    const read = readNameEntry(bytes, 0, bytes.length, reading);
    const isRefused = typeof read === 'string' && isWildcard(read) && !takesSuffixes;
    const name = isRefused ? suffixFault(read) : read;
    if (typeof name === 'string') onEntry?.(item, () => name);
    else onFault(item, columnAt(bytes, 0, name.at) - 1, name);
    return typeof name === 'string' ? [name] : [];
  });
}

function suffixFault(entry: string): EntryFault {
  const reason = `${quote(entry)} is a wildcard, which only the firewall's DNS knows: say resolve: firewall for this list, or suffixes: as-names for the name alone`;
  return { code: RuleFault.unsupported, at: 0, reason };
}

function trailingFault(end: number, bytes: Uint8Array): EntryFault | undefined {
  if (end === bytes.length) return undefined;
  const reason = 'text after the entry: write one entry an item, and comments after #';
  return { code: EntryFaultCode.trailing, at: end, reason };
}
