/**
 * Which address comes by which interface, and which two addresses belong to one qube: those of one interface
 * that has one of each family and no others. No other source is as good: QubesDB lists the addresses of each
 * family, but not which of them belong together (ADR 30).
 */

import type { Source } from '../kernel/sources.ts';
import { SOURCES_MAX } from '../limits.ts';

/** By address, its interface and address, for addresses that come by one interface only. */
export function pairsOf(all: readonly Source[]): ReadonlyMap<string, Source> {
  const pairs = new Map<string, Source>();
  const unsure = new Set<string>(['']);
  for (const one of all.length > SOURCES_MAX ? [] : all) {
    const known = pairs.get(one.address)?.interface ?? one.interface;
    if (one.interface === '' || known !== one.interface) unsure.add(one.address);
    pairs.set(one.address, one);
  }
  return new Map([...pairs].filter(([address]) => !unsure.has(address)));
}

/**
 * By address: the qube's other address; empty: it has none. An address is left out if two interfaces differ
 * about it, or its interface has more addresses than a qube has.
 */
export function othersOf(allowed: readonly Source[]): ReadonlyMap<string, string> {
  const of = new Map<string, Set<string>>();
  for (const one of allowed) {
    if (one.interface === '' || allowed.length > SOURCES_MAX) return new Map();
    of.set(one.interface, (of.get(one.interface) ?? new Set()).add(one.address));
  }
  const others = new Map<string, string>();
  const unsure = new Set<string>();
  for (const addresses of of.values()) {
    const [first = '', second = '', third] = addresses;
    const isOne = third === undefined && !addresses.has('') && first.length !== second.length;
    for (const address of addresses) {
      const other = address === first ? second : first;
      if (!isOne || (others.get(address) ?? other) !== other) unsure.add(address);
      others.set(address, other);
    }
  }
  unsure.delete('');
  return new Map([...others].filter((pair) => !pair.some((address) => unsure.has(address))));
}
