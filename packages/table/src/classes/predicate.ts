/**
 * Predicates: the sets of addresses that a rule set's rules test, each once.
 *
 * A list, a name, a run's own prefixes and the environment's DNS addresses are one predicate each. Runs with
 * the same prefixes share one, so that alternating rules on one network do not multiply it.
 */

import {
  type Address,
  bitsOf,
  canonicalPrefixes,
  compareWordsAt,
  containsAt,
  EMPTY_PREFIX_SET,
  type Family,
  type List,
  nameTexts,
  type Prefixes,
  type PrefixSet,
  prefixCount,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  type Runs,
  strideOf,
} from '@rulecast/rules';
import { PredicateColumns } from './predicate-columns.ts';

/** Instead of a predicate's number: every address, even an absent one. */
export const ANY_ADDRESS = -1;
/** Instead of a predicate's number: no address. */
export const NO_ADDRESS = -2;

/** A stretch of prefixes within two columns; 2^18 array views would take longer to make than to read. */
export interface PrefixSpan {
  readonly family: Family;
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
  /** The indices of its first word and its first length. */
  readonly wordAt: number;
  readonly entryAt: number;
  readonly count: number;
}

/** The prefixes of a run whose form has that family. */
export function spanOf(
  { starts, wordStarts, words, lengths }: Runs,
  run: number,
  family: Family,
): PrefixSpan {
  const [entryAt, end] = [starts[run]!, starts[run + 1]!]; // a run; there is one start more, here and below
  return { family, words, lengths, wordAt: wordStarts[run]!, entryAt, count: end - entryAt };
}

/** Numbers the predicates of one rule set, in the order of first use. */
export class Predicates {
  readonly v4 = new PredicateColumns(4);
  readonly v6 = new PredicateColumns(6);
  readonly #rules: Pick<RuleSet, 'lists' | 'resolutions'>;
  /** Those of lists, names and DNS addresses, by `list NAME`, `name NAME` and `dns`. */
  readonly byName = new Map<string, number>();
  #slots = new Int32Array(256).fill(-1); // open addressing: hash of a run's prefixes -> predicate
  #hashes: number[] = []; // by predicate in `slots`
  #used = 0; // of `slots`

  constructor(rules: Pick<RuleSet, 'lists' | 'resolutions'>) {
    this.#rules = rules;
  }

  get count(): number {
    return this.v4.count;
  }

  /** The number of prefixes of all predicates. */
  get entryCount(): number {
    return this.v4.entryCount + this.v6.entryCount;
  }

  /** The predicate of a host name, or NO_ADDRESS. */
  ofName(name: string): number {
    return this.#named(`name ${name}`, () => this.#rules.resolutions.get(name) ?? EMPTY_PREFIX_SET);
  }

  /** The predicate of a list, or NO_ADDRESS. */
  ofList(name: string): number {
    return this.#named(`list ${name}`, () => setOfList(this.#rules.lists.get(name), this.#rules.resolutions));
  }

  /** The predicate of a run's own prefixes, or NO_ADDRESS. Runs with equal prefixes share one. */
  ofPrefixes(run: PrefixSpan): number {
    if (run.count === 0) return NO_ADDRESS;
    const span = run.count === 1 ? run : canonicalSpan(run);
    const hash = contentHash(span);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let known = this.#slots[slot]!; known >= 0; known = this.#slots[slot]!) {
      if (this.#hashes[known] === hash && this.#holds(known, span)) return known;
      slot = (slot + 1) & mask;
    }
    const predicate = this.count;
    const [own, other] = span.family === 4 ? [this.v4, this.v6] : [this.v6, this.v4];
    own.pushSpan(span.words, span.wordAt, span.lengths, span.entryAt, span.count);
    other.push(undefined);
    this.#slots[slot] = predicate;
    this.#hashes[predicate] = hash;
    if (++this.#used * 2 > this.#slots.length) this.#rehash();
    return predicate;
  }

  /** The predicate of the addresses that `specialtarget=dns` means. */
  ofDns(addresses: readonly Address[]): number {
    return this.#named('dns', () => setOfAddresses(addresses));
  }

  #named(key: string, make: () => PrefixSet): number {
    let predicate = this.byName.get(key);
    if (predicate === undefined) {
      predicate = this.#add(make());
      this.byName.set(key, predicate);
    }
    return predicate;
  }

  #add(set: PrefixSet): number {
    if (prefixCount(set) === 0) return NO_ADDRESS;
    this.v4.push(set.v4);
    this.v6.push(set.v6);
    return this.count - 1;
  }

  /** Whether a predicate of some run's prefixes is of exactly these. */
  #holds(predicate: number, { family, words, lengths, wordAt, entryAt, count }: PrefixSpan): boolean {
    const columns = family === 4 ? this.v4 : this.v6;
    const start = columns.starts[predicate]!; // predicate < count, here and below
    if (columns.starts[predicate + 1]! - start !== count) return false;
    const stride = strideOf(family);
    for (let w = 0; w < count * stride; w++) {
      if (columns.words[start * stride + w] !== words[wordAt + w]) return false;
    }
    for (let i = 0; i < count; i++) if (columns.lengths[start + i] !== lengths[entryAt + i]) return false;
    return true;
  }

  #rehash(): void {
    const old = this.#slots;
    const mask = old.length * 4 - 1;
    this.#slots = new Int32Array(mask + 1).fill(-1);
    for (const predicate of old) {
      if (predicate < 0) continue;
      let slot = this.#hashes[predicate]! & mask; // it is in the slots
      while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask; // the mask keeps within the slots
      this.#slots[slot] = predicate;
    }
  }
}

/** The set of these addresses. */
export function setOfAddresses(addresses: readonly Address[]): PrefixSet {
  return prefixSetOf(addresses.map(({ family, words }) => prefixOf(family, words, bitsOf(family))));
}

/** The addresses of a list: its members, or all addresses of its names. */
export function setOfList(list: List | undefined, resolutions: RuleSet['resolutions']): PrefixSet {
  if (list?.kind === 'prefixes') return list;
  if (list === undefined || list.resolve !== true) return EMPTY_PREFIX_SET;
  const sets = Array.from(nameTexts(list.names), (host) => resolutions.get(host) ?? EMPTY_PREFIX_SET);
  return {
    v4: union(
      4,
      sets.map(({ v4 }) => v4),
    ),
    v6: union(
      6,
      sets.map(({ v6 }) => v6),
    ),
  };
}

function union(family: Family, columns: readonly Prefixes[]): Prefixes {
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
  return canonicalPrefixes({ family, words, lengths });
}

/** Our choice: prefixes up to which insertion is the quickest way to sort; most runs have a handful. */
const FEW_PREFIXES = 32;

/** The canonical form of a span, in columns of its own unless it is canonical. */
function canonicalSpan({ family, words, lengths, wordAt, entryAt, count }: PrefixSpan): PrefixSpan {
  const column = {
    family,
    words: words.subarray(wordAt, wordAt + count * strideOf(family)),
    lengths: lengths.subarray(entryAt, entryAt + count),
  };
  if (count <= FEW_PREFIXES) {
    const few = { family, words: column.words.slice(), lengths: column.lengths.slice() };
    sortFew(few);
    return { ...few, wordAt: 0, entryAt: 0, count: keepUncovered(few) };
  }
  const canonical = canonicalPrefixes(column);
  return { ...canonical, wordAt: 0, entryAt: 0, count: canonical.lengths.length };
}

/** Sorts by address, and the shorter of two that begin alike first. */
function sortFew({ family, words, lengths }: Prefixes): void {
  const stride = strideOf(family);
  for (let i = 1; i < lengths.length; i++) {
    for (let j = i; j > 0; j--) {
      const order = compareWordsAt(words, j - 1, words, j, stride) || lengths[j - 1]! - lengths[j]!; // 0 < j < length
      if (order <= 0) break;
      for (let w = 0; w < stride; w++) {
        const word = words[j * stride + w]!; // w < stride
        words[j * stride + w] = words[(j - 1) * stride + w]!; // likewise
        words[(j - 1) * stride + w] = word;
      }
      const length = lengths[j]!; // likewise
      lengths[j] = lengths[j - 1]!;
      lengths[j - 1] = length;
    }
  }
}

/** Moves what none before covers to the front of columns so sorted; returns how many that are. */
function keepUncovered(column: Prefixes): number {
  const { family, words, lengths } = column;
  const stride = strideOf(family);
  let kept = 0;
  for (let i = 0; i < lengths.length; i++) {
    if (kept > 0 && containsAt(column, kept - 1, words, i)) continue;
    for (let w = 0; w < stride; w++) words[kept * stride + w] = words[i * stride + w]!; // i < length
    lengths[kept++] = lengths[i]!; // likewise
  }
  return kept;
}

function contentHash({ family, words, lengths, wordAt, entryAt, count }: PrefixSpan): number {
  const wordEnd = wordAt + count * strideOf(family);
  let hash: number = family;
  for (let w = wordAt; w < wordEnd; w++) hash = mix(hash, words[w]!); // within the span
  for (let i = entryAt; i < entryAt + count; i++) hash = mix(hash, lengths[i]!); // likewise
  return hash;
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
