/**
 * Runs: the rules of a block in their order, as columns, so that 2^18 rules are a few typed arrays from the
 * file that they are read from to the table that is compiled of them.
 *
 * A run is consecutive rules alike but for the prefix of their remote side, as long as it can be. What its
 * rules have in common is its form; each form is kept once. Rule numbers and printing lose nothing.
 *
 *   forms    [ drop 4 | accept 4 tcp 443 | accept @list ]      the first that is used comes first
 *   formOf     0      1      2      0                          by run
 *   starts     0      2      3      4      9                   by run: its first rule; and how many rules
 *   lengths    24 32  28     0      24 24 32 24 32             by rule
 *   words      a  b   c             d  e  f  g  h              of the prefixes, which `wordStarts` has by run
 */

import { type Family, type Prefixes, prefixAt, strideOf } from './prefix.ts';
import type { Remote, Rule, RuleMatch } from './rule.ts';

/** The common part of the rules of a run. Only literal prefixes of one family gather in a run. */
export interface RuleForm {
  readonly match: RuleMatch;
  readonly remote:
    | { readonly kind: 'any' }
    | { readonly kind: 'prefixes'; readonly family: Family }
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'list'; readonly list: string };
}

/**
 * Equal rules make equal columns: forms are there once, in the order in which runs use them, and neighbours
 * that could be one run are one. Plain data, for other threads.
 */
export interface Runs {
  /** The number of runs. */
  readonly count: number;
  readonly forms: readonly RuleForm[];
  readonly formOf: Uint32Array;
  readonly starts: Uint32Array;
  readonly wordStarts: Uint32Array;
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
}

/** A run by itself. */
export interface Run {
  readonly match: RuleMatch;
  readonly remote: RunRemote;
}

/** The remote side of a run; a rule of any kind but prefixes is a run of its own. */
export type RunRemote =
  | { readonly kind: 'any' }
  /** One prefix per rule, in rule order: neither sorted nor unique. */
  | { readonly kind: 'prefixes'; readonly prefixes: Prefixes }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly list: string };

/** The number of rules. */
export function ruleCount({ starts, count }: Runs): number {
  return starts[count]!; // one more than runs
}

/** The form of a run: the common part of its rules. */
export function formAt({ forms, formOf }: Runs, run: number): RuleForm {
  return forms[formOf[run]!]!; // a run, and each has a form
}

/** One run; its prefixes are views of the columns. */
export function runAt(runs: Runs, run: number): Run {
  const { match, remote } = formAt(runs, run);
  if (remote.kind !== 'prefixes') return { match, remote };
  return { match, remote: { kind: 'prefixes', prefixes: prefixesIn(runs, run, remote.family) } };
}

/** The form of a run by itself. */
export function formOfRun({ match, remote }: Run): RuleForm {
  if (remote.kind !== 'prefixes') return { match, remote };
  return { match, remote: { kind: 'prefixes', family: remote.prefixes.family } };
}

/** The prefixes of a run whose form has that family. */
export function prefixesIn(
  { starts, wordStarts, words, lengths }: Runs,
  run: number,
  family: Family,
): Prefixes {
  return {
    family,
    words: words.subarray(wordStarts[run], wordStarts[run + 1]),
    lengths: lengths.subarray(starts[run], starts[run + 1]),
  };
}

/** The runs in their order. Slow for many runs: it makes objects for each. */
export function* eachRun(runs: Runs): Generator<Run> {
  for (let run = 0; run < runs.count; run++) yield runAt(runs, run);
}

/** The number of rules in a run. */
export function runRuleCount(run: Run): number {
  return run.remote.kind === 'prefixes' ? run.remote.prefixes.lengths.length : 1;
}

/** The rule at `offset` (0 <= offset < runRuleCount) of a run. */
export function ruleOfRun({ match, remote }: Run, offset: number): Rule {
  const own: Remote =
    remote.kind === 'prefixes' ? { kind: 'prefix', prefix: prefixAt(remote.prefixes, offset) } : remote;
  return { ...match, remote: own };
}

/** The run of a rule, both counted from 0. */
export function runOfRule({ starts, count }: Runs, rule: number): number {
  let [low, high] = [0, count];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= rule)
      low = middle; // middle < count
    else high = middle;
  }
  return low;
}

/** The rule number `index`, counted from 0. Throws RangeError if there is none. */
export function ruleAt(runs: Runs, index: number): Rule {
  if (index < 0 || index >= ruleCount(runs))
    throw new RangeError(`no rule ${index}: there are ${ruleCount(runs)}`);
  const run = runOfRule(runs, index);
  return ruleOfRun(runAt(runs, run), index - runs.starts[run]!);
}

/** The rules [from, to), one after the other. */
export function* rulesIn(runs: Runs, from = 0, to = ruleCount(runs)): Generator<Rule> {
  if (from >= to) return;
  for (let run = runOfRule(runs, from), rule = from; rule < to; run++) {
    const one = runAt(runs, run);
    const [first, end] = [runs.starts[run]!, Math.min(to, runs.starts[run + 1]!)]; // to is at most all
    for (; rule < end; rule++) yield ruleOfRun(one, rule - first);
  }
}

/** A copy of everything in a rule except its remote side. */
function matchOf(rule: RuleMatch): RuleMatch {
  const { action, proto, dns, ports, icmpType, expire, comment, isPrivate } = rule;
  return { action, proto, dns, ports, icmpType, expire, comment, ...(isPrivate === true && { isPrivate }) };
}

/** Equal for equal forms. */
export function formKey({ match, remote }: RuleForm): string {
  const { action, proto = '', dns, ports, icmpType = '', expire = '', comment = '', isPrivate } = match;
  const own = `${action} ${proto} ${dns} ${ports?.first}-${ports?.last} ${icmpType} ${expire} ${isPrivate}`;
  // Neither names nor the fields before them have spaces, so that a comment can come last.
  switch (remote.kind) {
    case 'any':
      return `${own} any ${comment}`;
    case 'prefixes':
      return `${own} ${remote.family} ${comment}`;
    case 'name':
      return `${own} name ${remote.name} ${comment}`;
    case 'list':
      return `${own} @ ${remote.list} ${comment}`;
  }
}

/** The number of equal rules that two blocks begin and end with, none of them counted twice. */
export interface CommonEnds {
  readonly head: number;
  readonly tail: number;
}

export function commonEnds(a: Runs, b: Runs): CommonEnds {
  return commonEndsByNumber(...numberedAlike(a, b));
}

/** The rules of two blocks, with equal numbers for equal forms. */
export function numberedAlike(a: Runs, b: Runs): readonly [RuleNumbers, RuleNumbers] {
  const known = new Map(a.forms.map((form, at) => [formKey(form), at]));
  const numbers = b.forms.map((form, at) => known.get(formKey(form)) ?? a.forms.length + at);
  return [new RuleNumbers(a, [...a.forms.keys()]), new RuleNumbers(b, numbers)];
}

/** Likewise, for blocks with common numbers. */
export function commonEndsByNumber(a: RuleNumbers, b: RuleNumbers): CommonEnds {
  const least = Math.min(a.count, b.count);
  let head = 0;
  while (head < least && a.isSame(head, b, head)) head++;
  let tail = 0;
  while (tail < least - head && a.isSame(a.count - 1 - tail, b, b.count - 1 - tail)) tail++;
  return { head, tail };
}

export function sameRuns(a: Runs, b: Runs): boolean {
  if (a === b) return true;
  return (
    a.count === b.count &&
    a.forms.length === b.forms.length &&
    sameNumbers(a.words, b.words) &&
    sameNumbers(a.lengths, b.lengths) &&
    sameNumbers(a.formOf, b.formOf) &&
    sameNumbers(a.starts, b.starts) &&
    a.forms.every((form, at) => formKey(form) === formKey(b.forms[at]!)) // as many
  );
}

function sameNumbers(a: Uint32Array | Uint8Array, b: Uint32Array | Uint8Array): boolean {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at === a.length && a.length === b.length;
}

/** Numbers the rules of a block, for comparison with another block. */
export class RuleNumbers {
  readonly runs: Runs;
  readonly count: number;
  readonly #formNumbers: Uint32Array;
  readonly #runOf: Uint32Array;

  /** `formNumbers`: by form, see numberedAlike. */
  constructor(runs: Runs, formNumbers: readonly number[]) {
    this.runs = runs;
    this.count = ruleCount(runs);
    this.#formNumbers = Uint32Array.from(formNumbers);
    this.#runOf = new Uint32Array(this.count);
    for (let run = 0; run < runs.count; run++) {
      const end = runs.starts[run + 1]!; // one more than runs
      for (let rule = runs.starts[run]!; rule < end; rule++) this.#runOf[rule] = run;
    }
  }

  /** The number of the form of a rule. */
  formOf(rule: number): number {
    return this.#formNumbers[this.runs.formOf[this.#runOf[rule]!]!]!; // a rule, here and below
  }

  /** The index of a rule's first word. */
  wordAt(rule: number): number {
    const { starts, wordStarts } = this.runs;
    const run = this.#runOf[rule]!;
    return wordStarts[run]! + (rule - starts[run]!) * this.stride(rule);
  }

  /** The number of words of a rule's prefix: 0 without one. */
  stride(rule: number): number {
    const { starts, wordStarts } = this.runs;
    const run = this.#runOf[rule]!;
    return (wordStarts[run + 1]! - wordStarts[run]!) / (starts[run + 1]! - starts[run]!);
  }

  /** Whether `rule` equals `otherRule` of a block that is numbered alike. */
  isSame(rule: number, other: RuleNumbers, otherRule: number): boolean {
    if (this.runs.lengths[rule] !== other.runs.lengths[otherRule]) return false;
    if (this.formOf(rule) !== other.formOf(otherRule)) return false;
    const stride = this.stride(rule); // equal forms have equal ones
    const [at, from] = [this.wordAt(rule), other.wordAt(otherRule)];
    for (let w = 0; w < stride; w++) if (this.runs.words[at + w] !== other.runs.words[from + w]) return false;
    return true;
  }
}

/** Matches recognised by identity: readers pass one object for all lines alike. Our choice. */
const MATCHES_KNOWN_MAX = 64;
/** Initial room of a column. */
const LEAST_ROOM = 8;

/** Gathers rules, in their order. */
export class RunBuilder {
  readonly #forms: RuleForm[] = [];
  readonly #known = new Map<string, number>();
  readonly #ofMatch = { 4: new Map<RuleMatch, number>(), 6: new Map<RuleMatch, number>() };
  readonly #source: Runs;
  readonly #sourceForms = new Map<number, number>();
  #count = 0;
  #ruleCount = 0;
  #wordCount = 0;
  #formOf = new Uint32Array(LEAST_ROOM);
  #starts = new Uint32Array(LEAST_ROOM);
  #wordStarts = new Uint32Array(LEAST_ROOM);
  #words = new Uint32Array(LEAST_ROOM);
  #lengths = new Uint8Array(LEAST_ROOM);

  /** `source`: the block that most rules are copied from; its forms are looked up once. */
  constructor(source: Runs = NO_RULES) {
    this.#source = source;
  }

  push(rule: Rule): void {
    const { remote } = rule;
    if (remote.kind === 'prefix')
      this.pushPrefix(rule, remote.prefix.family, remote.prefix.words, 0, remote.prefix.length);
    else this.pushForm(this.form({ match: rule, remote }));
  }

  /** Appends a rule whose remote side is the prefix at entry `at` of a word column; copies it. */
  pushPrefix(match: RuleMatch, family: Family, words: Uint32Array, at: number, length: number): void {
    const form = this.prefixForm(match, family);
    const stride = strideOf(family);
    this.#open(form, 1, stride);
    for (let w = 0; w < stride; w++) this.#words[this.#wordCount++] = words[at * stride + w]!; // the caller's
    this.#lengths[this.#ruleCount++] = length;
  }

  /** The place of a form for prefixes, which are about to be pushed. */
  prefixForm(match: RuleMatch, family: Family): number {
    const known = this.#ofMatch[family];
    let form = known.get(match);
    if (form === undefined) {
      form = this.form({ match, remote: { kind: 'prefixes', family } });
      if (known.size === MATCHES_KNOWN_MAX) known.clear();
      known.set(match, form);
    }
    return form;
  }

  /** The place of the form of a rule that is about to be pushed; added if it is new. */
  form(form: RuleForm): number {
    const key = formKey(form);
    let place = this.#known.get(key);
    if (place === undefined) {
      place = this.#forms.length;
      this.#forms.push({ match: matchOf(form.match), remote: form.remote });
      this.#known.set(key, place);
    }
    return place;
  }

  /** Whether rules of a form would go on the last run. */
  continues(form: number): boolean {
    return (
      this.#count > 0 &&
      this.#formOf[this.#count - 1] === form &&
      this.#forms[form]?.remote.kind === 'prefixes'
    );
  }

  pushRun(run: Run): void {
    const form = this.form(formOfRun(run));
    if (run.remote.kind === 'prefixes') this.pushPrefixes(form, run.remote.prefixes);
    else this.pushForm(form);
  }

  /** Appends the rules [from, to) of another block. */
  pushRules(runs: Runs, from = 0, to = ruleCount(runs)): void {
    if (from >= to) return;
    // By form of `runs`: its place here, once it is used. A map, as only a rule or two of 2^18 forms may be
    // used.
    const places = runs === this.#source ? this.#sourceForms : new Map<number, number>();
    const { starts, wordStarts, formOf } = runs;
    for (let run = runOfRule(runs, from); run < runs.count && starts[run]! < to; run++) {
      const [first, end] = [starts[run]!, starts[run + 1]!]; // one more than runs
      const own = formOf[run]!;
      const form = places.get(own) ?? this.form(runs.forms[own]!); // one of its own forms
      places.set(own, form);
      const words = wordStarts[run + 1]! - wordStarts[run]!;
      if (words === 0) {
        this.pushForm(form);
        continue;
      }
      const stride = words / (end - first);
      const [since, until] = [Math.max(first, from), Math.min(end, to)];
      const at = wordStarts[run]! + (since - first) * stride;
      this.#pushColumns(form, runs.words, at, (until - since) * stride, runs.lengths, since, until);
    }
  }

  /** Appends a rule without a prefix. */
  pushForm(form: number): void {
    this.#open(form, 1, 0);
    this.#lengths[this.#ruleCount++] = 0;
  }

  /** Appends a rule for each prefix. */
  pushPrefixes(form: number, { words, lengths }: Prefixes): void {
    this.#pushColumns(form, words, 0, words.length, lengths, 0, lengths.length);
  }

  #pushColumns(
    form: number,
    words: Uint32Array,
    wordAt: number,
    wordCount: number,
    lengths: Uint8Array,
    from: number,
    to: number,
  ): void {
    this.#open(form, to - from, wordCount);
    for (let w = 0; w < wordCount; w++) this.#words[this.#wordCount++] = words[wordAt + w]!; // the caller's
    for (let i = from; i < to; i++) this.#lengths[this.#ruleCount++] = lengths[i]!; // likewise
  }

  /** Makes room for so many more rules and words, in a run of that form. */
  #open(form: number, rules: number, words: number): void {
    this.#lengths = withRoom(this.#lengths, this.#ruleCount + rules);
    this.#words = withRoom(this.#words, this.#wordCount + words);
    if (this.continues(form)) return;
    this.#formOf = withRoom(this.#formOf, this.#count + 1);
    this.#starts = withRoom(this.#starts, this.#count + 2);
    this.#wordStarts = withRoom(this.#wordStarts, this.#count + 2);
    this.#formOf[this.#count] = form;
    this.#starts[this.#count] = this.#ruleCount;
    this.#wordStarts[this.#count++] = this.#wordCount;
  }

  /** The runs so far. */
  build(): Runs {
    const count = this.#count;
    if (count === 0) return NO_RULES;
    this.#starts[count] = this.#ruleCount;
    this.#wordStarts[count] = this.#wordCount;
    return {
      count,
      forms: [...this.#forms],
      formOf: this.#formOf.slice(0, count),
      starts: this.#starts.slice(0, count + 1),
      wordStarts: this.#wordStarts.slice(0, count + 1),
      words: this.#words.slice(0, this.#wordCount),
      lengths: this.#lengths.slice(0, this.#ruleCount),
    };
  }
}

function withRoom<T extends Uint32Array | Uint8Array>(column: T, least: number): T {
  if (least <= column.length) return column;
  const size = Math.max(least, column.length * 2);
  const wider = column instanceof Uint8Array ? new Uint8Array(size) : new Uint32Array(size);
  wider.set(column);
  return wider as T; // of the same type
}

/** The rules of some forms. */
export function formsChosen(runs: Runs, isChosen: (form: RuleForm) => boolean): Runs {
  const chosen = runs.forms.map(isChosen);
  const builder = new RunBuilder(runs);
  for (let run = 0; run < runs.count; run++)
    if (chosen[runs.formOf[run]!] === true) builder.pushRules(runs, runs.starts[run], runs.starts[run + 1]); // a run
  return builder.build();
}

/** Most blocks have no rules: all of those are one object. */
export const NO_RULES: Runs = {
  count: 0,
  forms: [],
  formOf: new Uint32Array(0),
  starts: new Uint32Array(1),
  wordStarts: new Uint32Array(1),
  words: new Uint32Array(0),
  lengths: new Uint8Array(0),
};

/** Some runs as columns. */
export function runsOfEach(runs: Iterable<Run>): Runs {
  const builder = new RunBuilder();
  for (const run of runs) builder.pushRun(run);
  return builder.build();
}
