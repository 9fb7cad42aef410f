/**
 * Readers in threads while the writer flips: edits one after the other, now and then a full compile, and a
 * reader that stalls within a look for many flips. Or another thread writes, dies now and then, and this one
 * does the flips (owner-thread.ts). Which release a generation holds is known from its number, so that a torn
 * or stale answer shows (reader-worker.mjs).
 */

import { setTimeout } from 'node:timers/promises';
import {
  type PrefixSet,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  unionPrefixes,
} from '@rulecast/rules';
import { Random } from '../../../test/kit/random.mjs';
import type { Table, TableHandle } from '../src/index.ts';
import { LongLook } from './long-look.ts';
import { ReaderThread } from './reader-thread.ts';
import { ENVIRONMENT, FIRST, shuttlePolicies } from './release.ts';

export interface InterleavingOptions {
  /** At least; and until each reader has seen some of it. */
  readonly flips: number;
  readonly workers: number;
  /** Hosts asked about. */
  readonly hosts: number;
  readonly seed: number;
  /** False: looks that stall hold nothing, so that they must go wrong. */
  readonly isHeld?: boolean;
}

export interface InterleavingReport {
  /** What a reader saw that it should not have. */
  readonly faults: readonly string[];
  readonly flips: number;
  readonly edits: number;
  /** Looks that stalled over at least two flips. */
  readonly stalls: number;
  /** By worker. */
  readonly lookups: readonly number[];
  readonly generations: readonly number[];
}

/** What each reader sees at least. */
const LOOKUPS_MIN = 10_000;
const GENERATIONS_MIN = 10;
/** A look stalls for one round of so many: counted, not drawn, so that some always do. */
const STALL_EVERY_ROUNDS = 25;
/** An odd number: what takes the place of a look that stalls says the opposite. */
const FLIPS_A_ROUND = 21;

/** A table that somebody writes. */
interface WrittenTable {
  readonly handle: TableHandle;
  /** Puts the next generation in force; resolves with whether it was an edit. */
  put(ruleSet: RuleSet): Promise<boolean>;
}

/** Writes a table in this thread. */
export function writtenHere(table: Table): WrittenTable {
  return {
    handle: table.handle(),
    put: async (ruleSet) => {
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      table.flip(prepared);
      return prepared.isEdit;
    },
  };
}

/** Flips a table under readers; the writer pauses a millisecond after each flip. */
export async function interleave(
  table: WrittenTable,
  options: InterleavingOptions,
): Promise<InterleavingReport> {
  const { handle } = table;
  const writer = new ShuttleWriter(table, options);
  await writer.flip();
  const readers = await Promise.all(
    Array.from({ length: options.workers }, () => ReaderThread.start(handle, options.hosts)),
  );
  const haveSeenIt = (): boolean => readers.every((reader) => reader.hasSeen(LOOKUPS_MIN, GENERATIONS_MIN));
  const faults: string[] = [];
  let stalls = 0;
  for (let round = 0; writer.flips < options.flips || !haveSeenIt(); round++) {
    const stalled = round % STALL_EVERY_ROUNDS === 1 ? new LongLook(handle, options.isHeld) : undefined;
    const before = stalled?.answers(options.hosts);
    for (let flips = 0; flips < FLIPS_A_ROUND; flips++) {
      await writer.flip();
      await setTimeout(1);
    }
    if (stalled === undefined) continue;
    stalls++;
    const changed = stalled.answers(options.hosts).findIndex((code, i) => code !== before?.[i]);
    if (changed >= 0) faults.push(`address ${changed} of a stalled look changed its answer`);
    stalled.end();
  }
  const reports = await Promise.all(readers.map((reader) => reader.stop()));
  for (const { fault } of reports) if (fault !== undefined) faults.push(fault);
  return {
    faults,
    flips: writer.flips,
    edits: writer.edits,
    stalls,
    lookups: reports.map(({ lookups }) => lookups),
    generations: reports.map(({ generations }) => generations),
  };
}

/** Sends hosts to and fro between an accepting and a dropping list, with some more that nobody asks about. */
class ShuttleWriter {
  readonly random: Random;
  flips = 0;
  edits = 0;
  readonly #table: WrittenTable;
  readonly #sides: readonly [PrefixSet, PrefixSet];
  #policies = shuttlePolicies('first');
  #unmatched: RuleSet['unmatched'];

  constructor(table: WrittenTable, { hosts, seed }: InterleavingOptions) {
    this.#table = table;
    this.random = new Random(seed);
    const side = (offset: number): PrefixSet =>
      prefixSetOf(Array.from({ length: hosts }, (_, i) => prefixOf(4, [FIRST + i * 1024 + offset], 32)));
    this.#sides = [side(0), side(1)];
  }

  /**
   * The next generation: an odd one accepts the hosts and drops their neighbours, an even one the other way
   * round.
   */
  async flip(): Promise<void> {
    const { random } = this;
    const isFull = random.chance(0.02);
    if (isFull) this.#unmatched = this.#unmatched === undefined ? 'drop' : undefined; // which no packet meets
    if (random.chance(0.1)) this.#policies = shuttlePolicies(`from ${this.flips}`); // other rules, all alike
    const isOdd = (this.flips + 1) % 2 === 1;
    const lists: RuleSet['lists'] = new Map(
      [0, 1].map((list) => {
        const side = this.#sides[isOdd === (list === 1) ? 0 : 1];
        return [`release-${list}`, prefixListOf({ v4: unionPrefixes(side.v4, this.#others()), v6: side.v6 })];
      }),
    );
    const ruleSet = {
      lists,
      policies: this.#policies,
      resolutions: NO_RESOLUTIONS,
      unmatched: this.#unmatched,
    };
    const isEdit = await this.#table.put(ruleSet);
    this.flips++;
    if (isEdit) this.edits++;
  }

  /** Prefixes away from all hosts, more or fewer, so that memory comes and goes. */
  #others(): PrefixSet['v4'] {
    const { random } = this;
    const count = random.chance(0.1) ? 600 : 20;
    const prefixes = Array.from({ length: count }, () =>
      prefixOf(4, [0x80000000 + (random.word() >>> 1)], 16 + random.below(17)),
    );
    return prefixSetOf(prefixes).v4;
  }
}

const NO_RESOLUTIONS: RuleSet['resolutions'] = new Map();
