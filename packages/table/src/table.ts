/**
 * The table: the writer's side. Compiles a rule set beside the one in force, and swaps it in at once.
 *
 * One thread writes a table. It looks up through the table's own reader; each other thread opens one
 * (lookup/reader.ts). A change of some lists, or of some rules, is made in place, in a time that depends on
 * its size (edit/edit.ts); any other is compiled in full. If that would stall an event loop, a thread of its
 * own writes the table, and another one flips it.
 */

import {
  EMPTY_RULE_SET,
  type Environment,
  evaluate,
  type ListChanges,
  type Packet,
  type RuleSet,
  type Told,
} from '@rulecast/rules';
import { type Edit, editBetween, type Situation } from './edit/edit.ts';
import { runsMore } from './edit/programs.ts';
import { EditState } from './edit/state.ts';
import type { Image, NamesSection } from './image/header.ts';
import { compileImage, type EditBase, type ImageSizes, NO_SIZES, writeImage } from './image/image.ts';
import { bytesOf } from './image/pieces.ts';
import { type EditResult, TableSpace } from './image/space.ts';
import { DEFAULT_TABLE_LIMITS, TableLimitCode, TableLimitError, type TableLimits } from './limits.ts';
import { engineModule } from './lookup/engine.ts';
import { type Explanation, explainTold, explainVerdict } from './lookup/explain.ts';
import { listsOf, programHits, type TableHits } from './lookup/hits.ts';
import { type FormerCounters, formerCounters, PastHits } from './lookup/past-hits.ts';
import { TableReader } from './lookup/reader.ts';
import type { Contents } from './lookup/succession.ts';
import { readNames } from './lookup/verdict.ts';
import { flipTable, type TableFlip, type TableHandle } from './memory/double-buffer.ts';
import type { WasmModule } from './memory/memory.ts';

export interface TableOptions {
  /**
   * Most bytes of all generations that are in memory at once: the one in force, the next, and those that
   * readers still look at. Address space for them is reserved, memory follows use. At most a 64th of them
   * goes, for each generation that is compiled, to hit counters that readers have to themselves
   * (lookup/hits.ts). Default 1 GiB.
   */
  readonly maxBytes?: number;
  readonly limits?: Partial<TableLimits>;
  /**
   * How long `prepare` may block its thread while readers hold the memory that it needs. Default 1,000 ms.
   */
  readonly pinWaitMs?: number;
  /**
   * A table's handle, to go on writing it where its writer is gone, with its thread or by the caller's will:
   * readers notice nothing. Its `maxBytes` are to be the same. Until the first flip it knows no rules to
   * explain verdicts by.
   */
  readonly handle?: TableHandle;
}

/** A generation beside the one in force, ready to flip. The next `prepare` takes its place. */
export interface Prepared extends TableFlip {
  readonly generation: number;
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  readonly sizes: ImageSizes;
  /** Whether only the changes were compiled. */
  readonly isEdit: boolean;
}

export interface TableStats extends ImageSizes {
  readonly generation: number;
  /** Bytes that memory has taken for generations; they never shrink. */
  readonly reservedBytes: number;
  /** Bytes in use: of the generation in force, the next one, and those that readers still look at. */
  readonly liveBytes: number;
  /** Lookups over all generations. */
  readonly hits: number;
}

const DEFAULT_MAX_BYTES = 2 ** 30;
/**
 * Our choice: a turn is short, but a thread that lost its core within one holds its generation until it runs
 * again; on two busy cores that took up to 170 ms.
 */
const DEFAULT_PIN_WAIT_MS = 1000;

const NOTHING: Situation = { ruleSet: EMPTY_RULE_SET, environment: { now: 0, dns: [] } };

/** The parts of a generation. */
interface Generation {
  readonly image: Image;
  readonly names: NamesSection;
  readonly prepared: Prepared;
  /** The counters that it replaces when it comes into force; undefined: it goes on with them. */
  readonly replaced: FormerCounters | undefined;
  /** The state for edits of it; undefined: another writer made it. */
  readonly state: EditState | undefined;
}

export class Table {
  readonly #reader: TableReader;
  readonly #code: WasmModule;
  readonly #space: TableSpace;
  readonly #limits: TableLimits;
  readonly #pinWaitMs: number;
  #current: Generation;
  #next: Generation | undefined;
  readonly #past = new PastHits();

  /**
   * A table of generation 0, which holds the empty rule set: every verdict is `none`; or one that goes on
   * from what is in force in another's memory. Throws TableEngineError.
   */
  constructor(options: TableOptions = {}) {
    const { handle } = options;
    this.#code = handle?.module ?? engineModule();
    this.#space = new TableSpace(
      this.#code,
      options.maxBytes ?? DEFAULT_MAX_BYTES,
      (floor, safe) => this.#past.keep((since) => since > floor && since <= safe),
      handle?.memory,
    );
    this.#reader = new TableReader(this.#space.memory, this.#code, undefined);
    this.#limits = { ...DEFAULT_TABLE_LIMITS, ...options.limits };
    this.#pinWaitMs = options.pinWaitMs ?? DEFAULT_PIN_WAIT_MS;
    if (handle === undefined) {
      this.#current = this.#compile(NOTHING, 0);
      flipTable(this.handle(), this.#current.prepared);
      this.#space.settle();
    } else this.#current = generationOfAnother(this.#space.image);
    this.#reader.see(this.#current.image);
  }

  /**
   * Lookups in the thread that writes the table: it takes no slot, sees each flip at once, and is never
   * closed. All other threads use `openReader`.
   */
  get reader(): Omit<TableReader, 'close' | 'see' | 'slot'> {
    return this.#reader;
  }

  /**
   * Puts a sound rule set (`checkRuleSet`) beside the one in force, on the caller's thread: an edit takes
   * microseconds and up, a full compile of a million prefixes a tenth of a second. What is in force is
   * untouched. `changes` are the changes of lists, if the caller knows them, to save comparing them. Throws
   * TableLimitError if it does not fit, TablePinnedError if readers hold the memory it needs for longer than
   * `pinWaitMs`.
   */
  prepare(ruleSet: RuleSet, environment: Environment, changes?: ListChanges): Prepared {
    this.#discard();
    const after = { ruleSet, environment };
    const make = (): Generation =>
      this.#edit(after, changes) ?? this.#succeeding(this.#compile(after, this.#nextNumber));
    try {
      this.#next = make();
    } catch (error) {
      if (!this.#space.isHeld(error)) throw error;
      this.#space.awaitReaders(this.#pinWaitMs);
      this.#next = make();
    }
    return this.#next.prepared;
  }

  /**
   * Puts what was prepared last in force; returns its generation. Cannot fail for that one; throws TypeError
   * for any other.
   */
  flip(prepared: Prepared): number {
    if (this.#next?.prepared !== prepared) {
      throw new TypeError(`generation ${prepared.generation} is not what the table prepared last`);
    }
    flipTable(this.handle(), prepared);
    this.settle(prepared.generation);
    return prepared.generation;
  }

  /**
   * For a table that another thread flips: reports that the generation prepared last is in force, by
   * `flipTable`. Call it before preparing another; throws TypeError if it is not in force.
   */
  settle(generation: number): void {
    const next = this.#next;
    if (next?.prepared.generation !== generation) {
      throw new TypeError(`generation ${generation} is not what the table prepared last`);
    }
    this.#space.settle();
    if (next.replaced !== undefined) this.#past.replace(next.replaced);
    this.#current = next;
    this.#reader.see(next.image);
    this.#next = undefined;
    next.state?.settle();
    this.#space.reclaim();
  }

  /**
   * The exact verdict, down to the rule and the prefix. Not counted as a hit. `told`: lists by which DNS gave
   * the qube the address, which the table does not know; then the reference evaluator decides.
   */
  explain(packet: Packet, told?: Told): Explanation {
    const { prepared } = this.#current;
    if (told !== undefined)
      return explainTold(
        prepared.ruleSet,
        evaluate(prepared.ruleSet, prepared.environment, packet, told),
        prepared.generation,
      );
    return explainVerdict(this.#current.prepared.ruleSet, packet, this.#reader.judge(packet));
  }

  stats(): TableStats {
    const { image, prepared } = this.#current;
    const { hits, gone } = this.#past.upTo(image);
    return {
      ...prepared.sizes,
      generation: prepared.generation,
      reservedBytes: this.#space.reservedBytes,
      liveBytes: this.#space.liveBytes,
      hits: hits.reduce((sum, count) => sum + count, gone),
    };
  }

  /**
   * Hit counts of all threads together, exact. If rules of a block change, those before the first changed one
   * and after the last keep their hits; those between start at 0.
   */
  hits(): TableHits {
    const { image, names, prepared } = this.#current;
    const { hits, lists } = this.#past.upTo(image);
    for (const [outcome, list] of listsOf({ image, names }))
      lists.set(list, (lists.get(list) ?? 0) + (hits[outcome] ?? 0));
    const programs = programHits(image, names, hits);
    return { generation: prepared.generation, none: hits[0] ?? 0, programs, lists };
  }

  /** For `openReader` in any thread. */
  handle(): TableHandle {
    return { memory: this.#space.memory.handle, module: this.#code };
  }

  /** Frees the slot of a reader whose thread ended without closing it. */
  evictReader(slot: number): void {
    this.#space.evict(slot);
  }

  get #nextNumber(): number {
    return this.#current.prepared.generation + 1;
  }

  /** A generation with counters of its own, and the succession from those in force. */
  #succeeding(next: Generation): Generation {
    return { ...next, replaced: formerCounters(contentsOf(this.#current), contentsOf(next)) };
  }

  /**
   * The next generation as an edit of the one in force; undefined if it is none, or a full compile is better.
   */
  #edit(after: Situation, changes: ListChanges | undefined): Generation | undefined {
    const { prepared, names, state } = this.#current;
    if (state === undefined || state.isWorn() || this.#space.isCrowded()) return undefined;
    const { sets } = state;
    const change = editBetween(prepared, after, state.predicates, state.base.nextExpiry, changes);
    if (change === undefined) return undefined;
    const made = this.#applied(after, state, change);
    if (made === undefined) return undefined;
    const { sizes } = prepared;
    const newSizes: ImageSizes = {
      ...sizes,
      bytes: sizes.bytes + made.bytes,
      classes: sets.count,
      entries: sizes.entries + change.entries,
      boundaries4: sizes.boundaries4 + made.bounds4,
      boundaries6: sizes.boundaries6 + made.bounds6,
      predicates: sets.predicateCount,
      runs: change.blocks.reduce((runs, block) => runs + runsMore(made.image.programs, block), sizes.runs),
      programWords: state.programWords,
    };
    const successor = preparedOf(made.image, after, newSizes, true);
    const next = { image: made.image, names, state, prepared: successor, replaced: undefined };
    return change.blocks.length === 0 ? next : this.#succeeding(next); // otherwise the counters in force stay
  }

  /** An edit made; undefined if a full compile is better. Throws TableLimitError where memory is short. */
  #applied(after: Situation, state: EditState, { toggles4, toggles6, blocks }: Edit): EditResult | undefined {
    const { sets } = state;
    const copiesPrograms = blocks.length > 0;
    const order = { generation: this.#nextNumber, toggles4, toggles6, sets, copiesPrograms };
    try {
      return this.#space.applyEdit(order, (words) => state.editPrograms(words, after.ruleSet, blocks));
    } catch (error) {
      // A full compile may fit, as it drops unused classes.
      if (error instanceof TableLimitError && error.code !== TableLimitCode.bytes) return undefined;
      throw error;
    }
  }

  #compile(after: Situation, generation: number): Generation {
    const compiled = compileImage(after.ruleSet, after.environment, this.#limits);
    const places = this.#space.take(compiled.pieces);
    writeImage(compiled, generation, this.#space.memory.views, places);
    const image = this.#space.open(compiled.pieces, places);
    const sizes = { ...compiled.sizes, bytes: bytesOf(compiled.pieces, places) };
    return generationOf(image, after, sizes, compiled.edit, this.#limits);
  }

  /** Forgets what is prepared and was not flipped. */
  #discard(): void {
    this.#space.discard();
    this.#next?.state?.abandon();
    this.#next = undefined;
  }
}

function contentsOf({ image, names, prepared: { ruleSet } }: Generation): Contents {
  return { image, names, ruleSet };
}

function preparedOf(
  { at: header, generation, views }: Image,
  { ruleSet, environment }: Situation,
  sizes: ImageSizes,
  isEdit: boolean,
): Prepared {
  return { header, memoryBytes: views.bytes.length, generation, ruleSet, environment, sizes, isEdit };
}

/** The generation that another writer put in force. */
function generationOfAnother(image: Image): Generation {
  const prepared = preparedOf(image, NOTHING, NO_SIZES, false);
  return { image, names: readNames(image), prepared, replaced: undefined, state: undefined };
}

function generationOf(
  image: Image,
  after: Situation,
  sizes: ImageSizes,
  base: EditBase,
  limits: TableLimits,
): Generation {
  const names = readNames(image);
  const state = new EditState(base, names.lists, limits, sizes.programWords);
  return { image, names, prepared: preparedOf(image, after, sizes, false), replaced: undefined, state };
}
