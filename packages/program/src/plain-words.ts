/**
 * Plain command lines, read without yargs, which takes longer to be loaded and to read one than most commands
 * take. Plain is what says nothing wrong and asks for no help: each option is declared and spelled out, and
 * has a value where it takes one. Whatever else there is, yargs reads, and says what it thinks of it.
 */

import type { Argv, Options, PositionalOptions } from 'yargs';

/** Values by the names of options and positionals, as yargs would give them. */
type PlainValues = Readonly<Record<string, unknown>>;

/** A declaration that says more than this is not read here. */
const KNOWN_KEYS: ReadonlySet<string> = new Set([
  'type',
  'array',
  'choices',
  'default',
  'defaultDescription',
  'demandOption',
  'describe',
  'requiresArg',
]);

/** `<file..>`, `[name]`. */
const SLOT = /^([<[])([a-z-]+)(\.\.)?[>\]]$/;
/** What yargs would take for an option, or unquote. */
const UNPLAIN = /^-|^$|['"]/;

/**
 * The values of a command line, or undefined where it is not plain.
 *
 * @param pattern the command as yargs is told it, such as `push <file..>`
 * @param declare declares options and positionals, by `option`, `positional`, `usage` and `example` alone
 * @param words those behind the name of the command
 */
export function plainValues(
  pattern: string,
  declare: (declarations: Argv<object>) => unknown,
  words: readonly string[],
): PlainValues | undefined {
  const declared = new Declarations();
  declare(declared as unknown as Argv<object>); // a part of it, and nothing else is called
  if (!declared.isPlain) return undefined;
  const values: Record<string, unknown> = {};
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (!word.startsWith('--')) {
      if (UNPLAIN.test(word)) return undefined;
      rest.push(word);
      continue;
    }
    const taken = declared.take(word, words[at + 1], values);
    if (taken === undefined) return undefined;
    at += taken;
  }
  return declared.place(rest, pattern.split(' ').slice(1), values) ? declared.filled(values) : undefined;
}

class Declarations {
  isPlain = true;
  readonly #options = new Map<string, Options>();
  readonly #positionals = new Map<string, PositionalOptions>();

  usage(): this {
    return this;
  }

  example(): this {
    return this;
  }

  /** A command may have an option of that name in its place. */
  version(): this {
    return this;
  }

  option(name: string, options: Options): this {
    return this.#declare(this.#options, name, options);
  }

  positional(name: string, options: PositionalOptions): this {
    return this.#declare(this.#positionals, name, options);
  }

  #declare<T extends object>(all: Map<string, T>, name: string, options: T): this {
    all.set(name, options);
    if (Object.keys(options).some((key) => !KNOWN_KEYS.has(key))) this.isPlain = false;
    return this;
  }

  /** Takes an option into `values`; says how many words behind it are its value, undefined: not plain. */
  take(word: string, next: string | undefined, values: Record<string, unknown>): 0 | 1 | undefined {
    const equals = word.indexOf('=');
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const option = this.#options.get(name);
    if (option === undefined) return undefined;
    if (option.type === 'boolean') {
      // yargs takes a `true` or `false` behind a switch for its value.
      if (equals >= 0 || name in values || next === 'true' || next === 'false') return undefined;
      values[name] = true;
      return 0;
    }
    const value = equals < 0 ? next : word.slice(equals + 1);
    if (value === undefined || UNPLAIN.test(value) || !isOf(option, value)) return undefined;
    if (!put(values, name, value, option.array === true)) return undefined;
    return equals < 0 ? 1 : 0;
  }

  /** Puts words into the slots of a command; false where they do not fit. */
  place(words: readonly string[], slots: readonly string[], values: Record<string, unknown>): boolean {
    let at = 0;
    for (const slot of slots) {
      const [, bracket, name = '', dots] = SLOT.exec(slot) ?? [];
      const isMany = dots !== undefined;
      const mine = words.slice(at, isMany ? words.length : at + 1);
      const positional = this.#positionals.get(name);
      if (positional === undefined || (bracket === '<' && mine.length === 0)) return false;
      if (!mine.every((word) => isOf(positional, word) && put(values, name, word, isMany))) return false;
      if (isMany) values[name] ??= []; // none of them is not the same as not asked for
      at += mine.length;
    }
    return at === words.length;
  }

  /** With the defaults of what is absent. */
  filled(values: Record<string, unknown>): PlainValues | undefined {
    for (const [name, { default: value, demandOption }] of [...this.#options, ...this.#positionals]) {
      if (name in values) continue;
      if (value !== undefined) values[name] = value;
      else if (demandOption !== undefined && demandOption !== false) return undefined;
    }
    return values;
  }
}

/** Whether text is a value; numbers, and what counts how often it is given, are not read here. */
function isOf({ type, choices }: Options | PositionalOptions, text: string): boolean {
  return choices === undefined ? type === 'string' : choices.some((choice) => choice === text);
}

/** Puts a value, or one more of an array; false where there is one already. */
function put(values: Record<string, unknown>, name: string, value: string, isMany: boolean): boolean {
  const before = values[name];
  if (!isMany && before !== undefined) return false;
  values[name] = isMany ? [...(Array.isArray(before) ? before : []), value] : value;
  return true;
}
