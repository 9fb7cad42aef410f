/**
 * The state that the writer's thread keeps of a full compile for later edits: the numbers of predicates, the
 * classes, and how far the programs cover them. The prefixes themselves are the rule set's, and the map's.
 */

import type { RuleSet } from '@rulecast/rules';
import type { ClassSets } from '../classes/classes.ts';
import type { EditBase } from '../image/image.ts';
import type { TableLimits } from '../limits.ts';
import { roomFor } from '../program/class.ts';
import { PortClasses } from '../program/ports.ts';
import { type EditPredicates, PredicateSources, usesIn } from './edit.ts';
import { BlockNumbers } from './policy.ts';
import { type BlockEdit, editPrograms, type ProgramBase, type ProgramState } from './programs.ts';

/**
 * Classes and predicates after which a table is compiled in full, in proportion to what it had: most of them
 * will be of no address any more.
 */
const WORN_FACTOR = 4;
const WORN_CLASSES = 4096;

export class EditState {
  readonly base: EditBase;
  /** All classes since the full compile. */
  readonly sets: ClassSets;
  readonly #sources: PredicateSources;
  readonly #numbers: BlockNumbers;
  readonly #programs: ProgramBase;
  readonly #first: { readonly classes: number; readonly predicates: number };
  #known: ProgramState; // of the generation in force
  #next: ProgramState | undefined; // of the prepared generation
  // cached for the last blocks
  #uses: { readonly of: ProgramState['blocks']; readonly uses: Uint8Array } | undefined;

  /** `listNames` and `usedWords` of the programs are those of the full compile. */
  constructor(base: EditBase, listNames: readonly string[], limits: TableLimits, usedWords: number) {
    this.base = base;
    this.#sources = new PredicateSources(base.named);
    this.#numbers = new BlockNumbers(base.blocks);
    const { sets } = base;
    this.sets = sets;
    const classes = sets.count;
    this.#first = { classes, predicates: sets.predicateCount };
    this.#known = { blocks: base.blocks, usedWords, classes, room: roomFor(classes) };
    const dnsPredicate = this.#sources.dns?.predicate ?? -1;
    const ports = new PortClasses(base.asks);
    this.#programs = { sets, dnsPredicate, ports, listNames, limits };
  }

  /** The sources of the predicates that an edit may change. */
  get predicates(): EditPredicates {
    const { sets } = this;
    return {
      sources: this.#sources,
      numbers: this.#numbers,
      blocks: this.#known.blocks,
      uses: () => this.#usesIn(this.#known.blocks),
      add: () => sets.addPredicate(),
    };
  }

  #usesIn(blocks: ProgramState['blocks']): Uint8Array {
    if (this.#uses?.of !== blocks) this.#uses = { of: blocks, uses: usesIn(blocks) };
    return this.#uses.uses;
  }

  /** Whether so much was added that a full compile pays. */
  isWorn(): boolean {
    const { sets } = this;
    const { classes, predicates } = this.#first;
    const isMuch = (count: number, first: number): boolean => count > first * WORN_FACTOR + WORN_CLASSES;
    return isMuch(sets.count, classes) || isMuch(sets.predicateCount, predicates);
  }

  /** Words of the programs, with what edits added. */
  get programWords(): number {
    return (this.#next ?? this.#known).usedWords;
  }

  /**
   * Extends the programs to all classes, and applies changed runs, on a copy of those in force; if only
   * classes are new, in place, which no reader notices. False if a full compile is better.
   */
  editPrograms(blob: Int32Array, ruleSet: RuleSet, blocks: readonly BlockEdit[]): boolean {
    const base = this.#programs;
    if (blocks.length === 0 && base.sets.count === this.#known.classes) return true;
    const state = editPrograms(blob, this.#known, base, ruleSet, blocks);
    if (blocks.length === 0) this.#known = state ?? this.#known;
    else this.#next = state;
    return state !== undefined;
  }

  /** The prepared generation is in force. */
  settle(): void {
    this.#known = this.#next ?? this.#known;
    this.#next = undefined;
  }

  /** Forgets the prepared generation. */
  abandon(): void {
    this.#next = undefined;
  }
}
