/**
 * What the writer's thread keeps of a full compile, so that edits can follow: which predicate is which, the
 * classes, and, once an edit brings new classes, the programs. The prefixes themselves are the rule set's,
 * and the map's.
 */

import {
  allRuns,
  EMPTY_PREFIX_SET,
  type Environment,
  type PrefixSet,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
} from '@rulecast/rules';
import { ClassSets } from '../classes/classes.ts';
import { Predicates } from '../classes/predicate.ts';
import { ruleColumns } from '../classes/rule-columns.ts';
import type { Image } from '../image/header.ts';
import type { EditBase } from '../image/image.ts';
import type { TableLimits } from '../limits.ts';
import { compilePrograms, type Programs } from '../program/compiler.ts';
import { ProgramOutlines } from '../program/outline.ts';
import { type EditPredicates, PredicateSources } from './edit.ts';
import { RunPredicates } from './policy.ts';

/**
 * Runs whose programs may be compiled in place, when new classes do not fit the ones in force. Our choice: a
 * few milliseconds.
 */
const PLACED_RUNS = 4096;
/**
 * Classes after which a table is compiled in full, in proportion to what it had: most of them will be of no
 * address any more.
 */
const WORN_FACTOR = 4;
const WORN_CLASSES = 4096;

export class EditState {
  readonly base: EditBase;
  /** All classes since the full compile; undefined where there can be no edit. */
  readonly sets: ClassSets | undefined;
  /** Where the predicates that an edit may change come from. */
  readonly predicates: EditPredicates;
  readonly #limits: TableLimits;
  readonly #firstClasses: number;
  /** How many classes the programs in force know. */
  #knownClasses: number;
  #programs: Programs | undefined; // those in force, once they are at hand
  #nextPrograms: Programs | undefined; // those of what is prepared

  constructor(base: EditBase, limits: TableLimits) {
    this.base = base;
    this.#limits = limits;
    const runs = new RunPredicates(base.runs, base.sets?.predicateCount ?? 0);
    this.predicates = { sources: new PredicateSources(base.named), runs };
    this.sets = base.sets === undefined ? undefined : ClassSets.unpack(base.sets);
    this.#firstClasses = this.sets?.count ?? 0;
    this.#knownClasses = this.#firstClasses;
  }

  /** Whether so many classes have come since that a full compile pays. */
  isWorn(): boolean {
    return this.sets !== undefined && this.sets.count > this.#firstClasses * WORN_FACTOR + WORN_CLASSES;
  }

  /** Words of the programs, where an edit changed them. */
  get programWords(): number | undefined {
    return (this.#nextPrograms ?? this.#programs)?.usedWords;
  }

  /** By class, 1 where a predicate holds. */
  classesOf(key: string): Uint8Array | undefined {
    const { sets } = this;
    const predicate = this.base.named.find(([name]) => name === key)?.[1];
    if (sets === undefined || predicate === undefined) return undefined;
    return Uint8Array.from({ length: sets.count }, (_, classId) =>
      sets.membersOf(classId).includes(predicate) ? 1 : 0,
    );
  }

  /**
   * Makes the programs know all classes: in place where they have room, which no reader notices; else returns
   * new ones. Undefined if there is nothing to do, 'full' if a full compile is better. Throws
   * TableLimitError.
   */
  programsFor(image: Image, ruleSet: RuleSet, environment: Environment): Programs | undefined | 'full' {
    const { sets } = this;
    if (sets === undefined || sets.count === this.#knownClasses) return undefined;
    if (this.#programs?.extend(image.programs) === true) {
      this.#knownClasses = sets.count;
      return undefined;
    }
    const made = this.#compiled(sets, ruleSet, environment);
    if (made === undefined || made.outcomeCount !== image.places.outcomeCount) return 'full';
    this.#nextPrograms = made;
    return made;
  }

  /** What was prepared is in force. */
  settle(): void {
    if (this.#nextPrograms === undefined) return;
    this.#programs = this.#nextPrograms;
    this.#nextPrograms = undefined;
    this.#knownClasses = this.sets?.count ?? 0;
  }

  /** What was prepared is forgotten. */
  abandon(): void {
    this.#nextPrograms = undefined;
  }

  /**
   * The programs over the classes of today; undefined if that would take long, or predicates are not as they
   * were.
   */
  #compiled(sets: ClassSets, ruleSet: RuleSet, environment: Environment): Programs | undefined {
    let runs = 0;
    for (const policy of ruleSet.policies.values()) runs += allRuns(policy).length;
    if (runs > PLACED_RUNS) return undefined;
    // Which number a predicate has depends on which had addresses at all when they were numbered, not on
    // which addresses.
    const { lists, resolutions, dns } = standIns(this.base.named);
    const rules = ruleColumns({ ...ruleSet, lists, resolutions });
    const predicates = new Predicates(rules);
    const outlines = new ProgramOutlines(rules, { ...environment, dns }, predicates);
    const isSame =
      predicates.count === sets.predicateCount &&
      predicates.byName.size === this.base.named.length &&
      this.base.named.every(([key, predicate]) => predicates.byName.get(key) === predicate);
    return isSame ? compilePrograms(outlines, outlines.grouped(1), [sets], this.#limits) : undefined;
  }
}

/** Lists, names and DNS addresses that are numbered like those that a full compile met. */
function standIns(
  named: EditBase['named'],
): Pick<RuleSet, 'lists' | 'resolutions'> & Pick<Environment, 'dns'> {
  const address = prefixOf(4, [0], 32);
  const some = prefixSetOf([address]);
  const lists = new Map<string, ReturnType<typeof prefixListOf>>();
  const resolutions = new Map<string, PrefixSet>();
  let dns: Environment['dns'] = [];
  for (const [key, predicate] of named) {
    const name = key.slice(key.indexOf(' ') + 1);
    const set = predicate < 0 ? EMPTY_PREFIX_SET : some;
    if (key === 'dns') dns = predicate < 0 ? [] : [{ family: 4, words: address.words }];
    else if (key.startsWith('list ')) lists.set(name, prefixListOf(set));
    else resolutions.set(name, set);
  }
  return { lists, resolutions, dns };
}
