/**
 * Predicates: the sets of addresses that the rules of a rule set ask about, each once.
 *
 * A list, a name, a run's own prefixes and the environment's DNS addresses are one predicate each. Runs with the same
 * prefixes share one, so that alternating rules on one network do not multiply it.
 */

import {
  type Address,
  bitsOf,
  canonicalPrefixes,
  columnFor,
  EMPTY_PREFIX_SET,
  emptyPrefixes,
  type Family,
  type Prefixes,
  type PrefixSet,
  prefixCount,
  prefixOf,
  prefixSetOf,
} from '@rulecast/rules';
import type { RuleColumns } from './rule-columns.ts';

/** Instead of a predicate's number: every address, even an absent one. */
export const ANY_ADDRESS = -1;
/** Instead of a predicate's number: no address. */
export const NO_ADDRESS = -2;

/** Numbers the predicates of one rule set, in the order of first use. */
export class Predicates {
  /** By number. */
  readonly sets: PrefixSet[] = [];
  private readonly rules: Pick<RuleColumns, 'lists' | 'resolutions'>;
  private readonly byName = new Map<string, number>(); // `list NAME`, `name NAME` and `dns`
  private readonly byContent = new Map<number, number[]>(); // hash of a run's prefixes -> predicates
  private readonly contents = new Map<number, Prefixes>(); // the prefixes as the run has them, for comparison

  constructor(rules: Pick<RuleColumns, 'lists' | 'resolutions'>) {
    this.rules = rules;
  }

  /** The predicate of a host name, or NO_ADDRESS. */
  ofName(name: string): number {
    return this.named(`name ${name}`, () => this.resolutionOf(name));
  }

  /** The predicate of a list, or NO_ADDRESS. */
  ofList(name: string): number {
    return this.named(`list ${name}`, () => this.listSet(name));
  }

  /** The predicate of a run's own prefixes, or NO_ADDRESS. Keeps them. */
  ofPrefixes(prefixes: Prefixes): number {
    const hash = contentHash(prefixes);
    const known = this.byContent.get(hash) ?? [];
    for (const predicate of known) {
      const other = this.contents.get(predicate);
      if (other !== undefined && sameContent(other, prefixes)) return predicate;
    }
    const column = canonicalPrefixes(prefixes);
    const predicate = this.add(
      prefixes.family === 4 ? { v4: column, v6: NO_IP6 } : { v4: NO_IP4, v6: column },
    );
    known.push(predicate);
    this.byContent.set(hash, known);
    this.contents.set(predicate, prefixes);
    return predicate;
  }

  /** The predicate of the addresses that `specialtarget=dns` means. */
  ofDns(addresses: readonly Address[]): number {
    return this.named('dns', () =>
      prefixSetOf(addresses.map(({ family, words }) => prefixOf(family, words, bitsOf(family)))),
    );
  }

  /** What the predicates say about one family, by number. */
  columns(family: Family): readonly Prefixes[] {
    return this.sets.map((set) => columnFor(set, family));
  }

  /** How many prefixes all predicates have. */
  entryCount(): number {
    return this.sets.reduce((sum, set) => sum + prefixCount(set), 0);
  }

  private named(key: string, make: () => PrefixSet): number {
    let predicate = this.byName.get(key);
    if (predicate === undefined) {
      predicate = this.add(make());
      this.byName.set(key, predicate);
    }
    return predicate;
  }

  private add(set: PrefixSet): number {
    return prefixCount(set) === 0 ? NO_ADDRESS : this.sets.push(set) - 1;
  }

  private resolutionOf(name: string): PrefixSet {
    return this.rules.resolutions.get(name) ?? EMPTY_PREFIX_SET;
  }

  /** What a list stands for: its members, or all that its names resolve to. */
  private listSet(name: string): PrefixSet {
    const list = this.rules.lists.get(name);
    if (list === undefined || (list.kind === 'names' && !list.resolve)) return { v4: NO_IP4, v6: NO_IP6 };
    if (list.kind === 'prefixes') return list;
    const sets = list.names.map((host) => this.resolutionOf(host));
    return {
      v4: union(
        sets.map((set) => set.v4),
        NO_IP4,
      ),
      v6: union(
        sets.map((set) => set.v6),
        NO_IP6,
      ),
    };
  }
}

const NO_IP4 = emptyPrefixes(4);
const NO_IP6 = emptyPrefixes(6);

function union(columns: readonly Prefixes[], empty: Prefixes): Prefixes {
  const count = columns.reduce((sum, column) => sum + column.lengths.length, 0);
  const words = new Uint32Array(columns.reduce((sum, column) => sum + column.words.length, 0));
  const lengths = new Uint8Array(count);
  let at = 0;
  let wordAt = 0;
  for (const column of columns) {
    words.set(column.words, wordAt);
    lengths.set(column.lengths, at);
    at += column.lengths.length;
    wordAt += column.words.length;
  }
  return canonicalPrefixes({ family: empty.family, words, lengths });
}

function contentHash({ family, words, lengths }: Prefixes): number {
  let hash: number = family;
  for (let i = 0; i < words.length; i++) hash = mix(hash, words[i]!); // i < length
  for (let i = 0; i < lengths.length; i++) hash = mix(hash, lengths[i]!); // i < length
  return hash;
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

function sameContent(a: Prefixes, b: Prefixes): boolean {
  return (
    a.family === b.family &&
    a.lengths.length === b.lengths.length &&
    a.words.every((word, i) => word === b.words[i]) &&
    a.lengths.every((length, i) => length === b.lengths[i])
  );
}
