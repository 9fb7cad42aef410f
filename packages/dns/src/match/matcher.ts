/**
 * The matcher: finds the lists, and the names in rules, that contain a name. It is built from columns of
 * names, and moves from one release to the next in place: first each name that changes is given a transition,
 * then all turn at once, then each gets its new class. Between the steps it answers questions, each
 * completely by one release.
 */

import { diffNames, type NameSet, type Names, namesAt } from '@rulecast/rules';
import { NameClasses, TooManyClasses } from './classes.ts';
import { NameTable, type Successor, TableStop } from './table.ts';

/** A list or a name of rules, by a number of the caller's. */
export interface Subject {
  readonly subject: number;
  readonly set: NameSet;
}

/** Entries that leave a column, and entries that join it; one whose scope changes does both. */
export interface NamesEdit {
  readonly removed: Names;
  readonly added: Names;
}

/** The difference between two sets. */
export interface SetEdit {
  readonly names: NamesEdit;
  readonly exceptions: NamesEdit;
}

/** The change of a subject by a release. */
export interface SubjectChange extends SetEdit {
  readonly subject: number;
}

/** The difference between two sets. Linear. */
export function setEditOf(before: NameSet, after: NameSet): SetEdit {
  const edit = (old: Names, next: Names): NamesEdit => {
    const { removed, added } = diffNames(old, next);
    return { removed: namesAt(old, removed), added };
  };
  return { names: edit(before.names, after.names), exceptions: edit(before.exceptions, after.exceptions) };
}

/**
 * The outcome of building or changing. `full` and `classes` need a new matcher; so does `flooded`, with
 * another key: more names collided than by chance.
 */
export type MatcherOutcome = 'done' | 'full' | 'flooded' | 'classes';

const STOPS = { [TableStop.full]: 'full', [TableStop.flooded]: 'flooded' } as const;

export class NameMatcher {
  readonly #table: NameTable;
  readonly #classes = new NameClasses();

  /**
   * An empty matcher, with room for the names of some subjects and a few more. `key`: 16 random bytes, kept
   * secret.
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

  /** The size of the names, in bytes. */
  get tableBytes(): number {
    return this.#table.byteLength;
  }

  /** Adds subjects. Yields about each millisecond; unless it ends with `done`, the matcher is unusable. */
  *fill(subjects: Iterable<Subject>): Generator<undefined, MatcherOutcome> {
    for (const { subject, set } of subjects) {
      for (const [names, number] of [
        [set.names, subject],
        [set.exceptions, ~subject],
      ] as const) {
        const outcome = yield* this.#pass(names, (scope, before) =>
          this.#classes.withSubject(before, number, scope),
        );
        if (outcome !== 'done') return outcome;
      }
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
    const columns = changes.flatMap(({ subject, names, exceptions }) => [
      { subject, ...names },
      { subject: ~subject, ...exceptions },
    ]);
    for (const { subject, removed, added } of columns) {
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
    for (const { removed, added } of columns) {
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
   * Visits the subjects that have the whole name which starts at `at`, in any case; one that has it by
   * several entries more than once. Goes from the name upwards: an exception hides what stands above it.
   */
  visit(name: Uint8Array, at: number, visitor: (subject: number) => void): void {
    const excepted: number[] = [];
    for (let i = this.#table.look(name, at) - 1; i >= 0; i--) {
      for (const number of this.#saidBy(i)) {
        if (number < 0) excepted.push(~number);
        else if (!excepted.includes(number)) visitor(number);
      }
    }
  }

  /** The subjects by the `index`th class found for a name. */
  #saidBy(index: number): readonly number[] {
    return this.#classes.subjectsOf(this.#table.classAt(index), this.#table.isSelfAt(index));
  }
}
