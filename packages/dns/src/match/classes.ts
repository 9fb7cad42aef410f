/**
 * Classes of names: the subjects, lists or names in rules, that contain a name itself, those that contain the
 * names below it, and those with an exception for it. Millions of names have few classes, so that a name is
 * one number.
 *
 * While one release replaces another, a name that changes has a transition: a class with one meaning before
 * the turn, and another from then on.
 */

import { KeyByte } from '@rulecast/rules';
import { CLASSES_MAX, NO_CLASS } from './table.ts';

/**
 * Subjects are numbers, ascending; `~subject` stands for a subject's exceptions, and sorts before all others.
 */
interface NameClass {
  readonly kind: 'class';
  readonly self: readonly number[];
  readonly below: readonly number[];
}
interface Transition {
  readonly kind: 'transition';
  readonly before: number;
  readonly after: number;
}

const NOTHING: NameClass = { kind: 'class', self: [], below: [] };

/** There are more classes than a table has numbers for. */
export class TooManyClasses extends Error {}

export class NameClasses {
  readonly #classes: (NameClass | Transition)[] = [NOTHING];
  readonly #numbers = new Map<string, number>([[keyOf(NOTHING), NO_CLASS]]);
  readonly #transitions = new Map<string, number>();
  /** Numbers of transitions that were. */
  readonly #free: number[] = [];
  #hasTurned = false;

  /** The number of the first unused class. */
  get limit(): number {
    return this.#classes.length;
  }

  /** The subjects that contain a name of this class, or the names below it. */
  subjectsOf(number: number, isSelf: boolean): readonly number[] {
    let found = this.#at(number);
    if (found.kind === 'transition') found = this.#plain(this.#hasTurned ? found.after : found.before);
    return isSelf ? found.self : found.below;
  }

  /** The class of a name after one more subject contains it with that scope. */
  withSubject(number: number, subject: number, scope: number): number {
    const { self, below } = this.#plain(number);
    return this.#numberOf({
      kind: 'class',
      self: scope === KeyByte.below ? self : withNumber(self, subject),
      below: scope === KeyByte.self ? below : withNumber(below, subject),
    });
  }

  /** The class of a name that a subject stands for no more. */
  withoutSubject(number: number, subject: number): number {
    const { self, below } = this.#plain(number);
    const isOther = (other: number): boolean => other !== subject;
    return this.#numberOf({ kind: 'class', self: self.filter(isOther), below: below.filter(isOther) });
  }

  /** The class before the turn, and the one from then on. */
  endsOf(number: number): { readonly before: number; readonly after: number } {
    const found = this.#at(number);
    return found.kind === 'transition' ? found : { before: number, after: number };
  }

  /** The class for the change from one class to another. */
  transition(before: number, after: number): number {
    if (before === after) return before;
    const key = `${before}>${after}`;
    const known = this.#transitions.get(key);
    if (known !== undefined) return known;
    const number = this.#add({ kind: 'transition', before, after });
    this.#transitions.set(key, number);
    return number;
  }

  /** From here on, each transition has the meaning of its later class. */
  turn(): void {
    this.#hasTurned = true;
  }

  /** No name has a transition any more: their numbers are free. */
  settle(): void {
    this.#hasTurned = false;
    for (const number of this.#transitions.values()) this.#free.push(number);
    this.#transitions.clear();
  }

  #at(number: number): NameClass | Transition {
    const found = this.#classes[number];
    if (found === undefined) throw new RangeError(`there is no class ${number}`);
    return found;
  }

  #plain(number: number): NameClass {
    const found = this.#at(number);
    if (found.kind === 'transition') throw new RangeError(`class ${number} is a transition`);
    return found;
  }

  #numberOf(wanted: NameClass): number {
    const key = keyOf(wanted);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#add(wanted);
    this.#numbers.set(key, number);
    return number;
  }

  #add(wanted: NameClass | Transition): number {
    const free = this.#free.pop();
    if (free !== undefined) {
      this.#classes[free] = wanted;
      return free;
    }
    if (this.#classes.length >= CLASSES_MAX) throw new TooManyClasses(`more than ${CLASSES_MAX} classes`);
    return this.#classes.push(wanted) - 1;
  }
}

function keyOf({ self, below }: NameClass): string {
  return `${self.join()};${below.join()}`;
}

/** Ascending numbers with one more. */
function withNumber(numbers: readonly number[], number: number): readonly number[] {
  if (numbers.includes(number)) return numbers;
  return [...numbers, number].sort((a, b) => a - b);
}
