/**
 * The matcher: which lists, and names of rules, stand for a name. It is built of columns of names, and
 * follows a release to the next in place: first each name that changes is given a transition, then all turn
 * at once, then each gets its new class. Between the steps questions are answered, by one release whole.
 */

import type { Names } from '@rulecast/rules';
import { NameClasses, TooManyClasses } from './classes.ts';
import { NameTable, type Successor, TableStop } from './table.ts';

/** A list or a name of rules, by a number of the caller's. */
export interface Subject {
  readonly subject: number;
  readonly names: Names;
}

/** What a release changes in a subject. An entry that stands for something else than before is in both. */
export interface SubjectChange {
  readonly subject: number;
  readonly removed: Names;
  readonly added: Names;
}

/**
 * How building or changing ended: `full` and `classes` ask for a matcher that is built anew; `flooded` too,
 * with another key: more names met in one place than chance explains.
 */
export type MatcherOutcome = 'done' | 'full' | 'flooded' | 'classes';

const STOPS = { [TableStop.full]: 'full', [TableStop.flooded]: 'flooded' } as const;

export class NameMatcher {
  readonly #table: NameTable;
  readonly #classes = new NameClasses();

  /**
   * Of nothing, with room for the names of some subjects and a few more. `key`: 16 bytes of chance, that
   * nobody else knows.
   */
  constructor(nameCount: number, key: Uint8Array) {
    this.#table = new NameTable(nameCount, key);
  }

  /** Names that it holds, each once. */
  get size(): number {
    return this.#table.size;
  }

  /** Combinations of subjects that names have. */
  get classCount(): number {
    return this.#classes.limit;
  }

  /** What the names take, in bytes. */
  get tableBytes(): number {
    return this.#table.byteLength;
  }

  /** Takes in subjects. Yields about each millisecond; unless it ends with `done`, the matcher is no use. */
  *fill(subjects: Iterable<Subject>): Generator<undefined, MatcherOutcome> {
    for (const { subject, names } of subjects) {
      const outcome = yield* this.#pass(names, (scope, before) =>
        this.#classes.withSubject(before, subject, scope),
      );
      if (outcome !== 'done') return outcome;
    }
    return 'done';
  }

  /**
   * Goes from one release to the next. Until `onTurn` is called questions are answered by the first, from
   * then on by the second. Yields about each millisecond; unless it ends with `done`, what was in force
   * before still is, and nothing can be changed any more.
   */
  *change(changes: readonly SubjectChange[], onTurn: () => void): Generator<undefined, MatcherOutcome> {
    const classes = this.#classes;
    for (const { subject, removed, added } of changes) {
      const passes: readonly [Names, Successor][] = [
        [removed, (_, after) => classes.withoutSubject(after, subject)],
        [added, (scope, after) => classes.withSubject(after, subject, scope)],
      ];
      for (const [names, follow] of passes) {
        const outcome = yield* this.#pass(names, (scope, number) => {
          const { before, after } = classes.endsOf(number);
          return classes.transition(before, follow(scope, after));
        });
        if (outcome !== 'done') return outcome;
      }
    }
    classes.turn();
    onTurn();
    for (const { removed, added } of changes) {
      for (const names of [removed, added]) {
        yield* this.#pass(names, (_, number) => classes.endsOf(number).after);
      }
    }
    classes.settle();
    return 'done';
  }

  *#pass(names: Names, successor: Successor): Generator<undefined, MatcherOutcome> {
    try {
      const stop = yield* this.#table.apply(names, successor, () => this.#classes.limit);
      return stop === undefined ? 'done' : STOPS[stop];
    } catch (error) {
      if (error instanceof TooManyClasses) return 'classes';
      throw error;
    }
  }

  /**
   * Looks up the whole name that starts at `at`, in any case. How many classes have something to say; 0: no
   * subject stands for it.
   */
  look(name: Uint8Array, at = 0): number {
    return this.#table.look(name, at);
  }

  /** Subjects that stand for the name looked up last, as the `index`th of its classes says. */
  subjectsAt(index: number): readonly number[] {
    return this.#classes.subjectsOf(this.#table.classAt(index), this.#table.isSelfAt(index));
  }
}
