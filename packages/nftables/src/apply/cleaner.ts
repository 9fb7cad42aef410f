/**
 * Removes former and unfinished tables: unhooks them at once, then empties them in pieces and deletes them
 * when idle. Their counts are added to those of the table in force.
 */

import type { Family } from '@rulecast/rules';
import { strideOf } from '@rulecast/rules/columns';
import { deleteChain, deleteTable } from '../kernel/commands.ts';
import { classPieces, keyPieces, type Piece } from '../kernel/elements.ts';
import { destroyNamed } from '../kernel/name-elements.ts';
import { NativeError } from '../kernel/native.ts';
import { BASE_CHAIN } from '../kernel/script.ts';
import { CARRIED_ELEMENTS, PIECE_ELEMENTS } from '../limits.ts';
import type { Change } from '../plan/change.ts';
import { parseNameSetName } from '../plan/name-set.ts';
import { parseClassMapName, parseMapName, parseSetName } from '../plan/plan.ts';
import type { Transactions } from './transactions.ts';

/** Packets and bytes of counters, by name. */
export type Counts = Readonly<Record<string, readonly [number, number]>>;

/** Elements that remain to be deleted with their table. */
const LEFT_MAX = 1024;

export class Cleaner {
  readonly #kernel: Transactions;
  readonly #rubbish: Rubbish[] = [];
  /**
   * The elements that we put into each table while it exists: deleting by known keys is five times as fast as
   * listing them first.
   */
  readonly #contents = new Map<string, Content[]>();
  readonly #carried = new Map<string, readonly [number, number]>();

  constructor(kernel: Transactions) {
    this.#kernel = kernel;
  }

  /** A change is put into a table. */
  note(table: string, change: Change, body: Uint8Array): void {
    this.#contents.set(table, [...(this.#contents.get(table) ?? []), { change, body }]);
  }

  /** Whether a table is still to be cleaned away. */
  has(table: string): boolean {
    return this.#rubbish.some((each) => each.table === table);
  }

  /** Unhooks a table if possible, and leaves the rest to be cleaned. */
  discard(table: string): void {
    if (!this.has(table))
      this.#rubbish.push({ table, sets: undefined, isCarried: false, known: this.#knownPieces(table) });
    try {
      if (this.#kernel.isHooked(table)) this.#kernel.run([deleteChain(table, BASE_CHAIN)]);
    } catch (error) {
      if (!(error instanceof NativeError)) throw error; // it is tried again; until then two tables judge
    }
  }

  get hasRubbish(): boolean {
    return this.#rubbish.length > 0;
  }

  /** One transaction of cleaning. Why the kernel did not take it, if so: it should be given time. */
  step(): NativeError | undefined {
    const [next] = this.#rubbish;
    try {
      if (next !== undefined && (this.#kernel.find(next.table) === undefined || this.#emptied(next))) {
        this.#rubbish.shift();
        this.#contents.delete(next.table);
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      if (next !== undefined) {
        // Another program changed it, or the kernel is older than Linux 6.3: start again from the kernel's
        // listing.
        next.sets = undefined;
        next.known = undefined;
      }
      return error;
    }
  }

  /** Removes one piece of a table; deletes the table when little is left, and then returns true. */
  #emptied(rubbish: Rubbish): boolean {
    const { table } = rubbish;
    if (this.#kernel.isHooked(table)) {
      this.#kernel.run([deleteChain(table, BASE_CHAIN)]);
      return false;
    }
    if (rubbish.sets === undefined) {
      this.#carry(rubbish);
      rubbish.sets = this.#kernel.netlink.sets(table);
    }
    const known = rubbish.known?.next();
    if (known?.done === false) {
      const { set, family, keys } = known.value;
      if (rubbish.sets.includes(set))
        this.#kernel.transact(() =>
          this.#kernel.netlink.change('destroy', table, [{ set, family, keys }].values()),
        );
      return false;
    }
    const set = rubbish.sets.at(-1);
    if (set === undefined) {
      this.#kernel.run([deleteTable(table)]);
      return true;
    }
    const named = parseNameSetName(set);
    if (named !== undefined) {
      if (this.#emptiedOfNames(table, set, named.family)) rubbish.sets.pop();
      return false;
    }
    const name = parseSetName(set);
    const family = (name ?? parseMapName(set) ?? parseClassMapName(set))?.family;
    if (family === undefined) return rubbish.sets.pop() === undefined; // of every table: small
    const { keys } = this.#kernel.netlink.elements(table, set, family, PIECE_ELEMENTS);
    const most = PIECE_ELEMENTS * (family === 4 ? 1 : 4);
    const isSmall = keys.length < LEFT_MAX || (name !== undefined && name.tier === undefined);
    if (isSmall) rubbish.sets.pop();
    for (let from = 0; !isSmall && from < keys.length; from += most) {
      const some = { set, family, keys: keys.subarray(from, from + most) };
      this.#kernel.transact(() => this.#kernel.netlink.change('delete', table, [some].values()));
    }
    return false;
  }

  /** Removes some addresses from a name set; true if there were none. */
  #emptiedOfNames(table: string, set: string, family: Family): boolean {
    const stride = strideOf(family) * 2;
    const { keys } = this.#kernel.netlink.elements(table, set, family, CARRIED_ELEMENTS);
    for (let from = 0; from < keys.length; from += CARRIED_ELEMENTS * stride) {
      const some = keys.subarray(from, from + CARRIED_ELEMENTS * stride);
      const pairs = Array.from({ length: some.length / stride }, (_, i) => ({
        key: some.subarray(i * stride, (i + 1) * stride),
      }));
      this.#kernel.run([destroyNamed(table, set, pairs)]);
    }
    return keys.length === 0;
  }

  /** The pieces of our elements that can be deleted by keys; some of them may be gone. */
  *#knownPieces(table: string): Generator<Piece> {
    for (const { change, body } of this.#contents.get(table) ?? []) {
      for (const elements of change.added) {
        if (elements.count > LEFT_MAX && parseSetName(elements.set)?.tier !== undefined)
          yield* keyPieces(elements, body);
      }
      for (const verdicts of change.verdicts)
        if (verdicts.count > LEFT_MAX) yield* classPieces(verdicts, body);
    }
  }

  /**
   * The counts of the table in force, and the counts of former tables under the same names. Throws
   * NativeError.
   */
  counts(current: string | undefined): Counts {
    const going = this.#rubbish.filter(
      ({ table, isCarried }) => !isCarried && this.#kernel.find(table) !== undefined,
    );
    const before = sumOf([
      Object.fromEntries(this.#carried),
      ...going.map(({ table }) => this.#kernel.netlink.counters(table)),
    ]);
    const now = current === undefined ? {} : this.#kernel.netlink.counters(current);
    return sumOf([now, Object.fromEntries(Object.keys(now).map((name) => [name, before[name] ?? [0, 0]]))]);
  }

  /** Adds up the counts of a former table, which gets no packets any more. */
  #carry(rubbish: Rubbish): void {
    if (rubbish.isCarried) return;
    const counts = sumOf([Object.fromEntries(this.#carried), this.#kernel.netlink.counters(rubbish.table)]);
    for (const [name, count] of Object.entries(counts)) this.#carried.set(name, count);
    rubbish.isCarried = true;
  }
}

interface Content {
  readonly change: Change;
  readonly body: Uint8Array;
}

interface Rubbish {
  readonly table: string;
  /** Sets still to be emptied; undefined: not listed yet. */
  sets: string[] | undefined;
  /** Whether its counts were added up. */
  isCarried: boolean;
  /** Pieces still to be deleted by keys; undefined: delete by the kernel's listing. */
  known: Iterator<Piece> | undefined;
}

function sumOf(all: readonly Counts[]): Counts {
  const sums: Record<string, readonly [number, number]> = {};
  for (const [name, [packets, bytes]] of all.flatMap((counts) => Object.entries(counts))) {
    const [morePackets, moreBytes] = sums[name] ?? [0, 0];
    sums[name] = [packets + morePackets, bytes + moreBytes];
  }
  return sums;
}
