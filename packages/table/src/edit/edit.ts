/**
 * Edits between rule sets: the prefixes that joined or left each predicate, if nothing else changed.
 *
 * Parts that did not change are the same objects, so only the columns of lists that changed are compared,
 * most of which in stretches at once. Added rules use predicates of their own, or of known lists and names;
 * the predicates of removed rules stay, unused. Other changes are no edits: rules that expire, a list or name
 * without an address when it was compiled, the removal of a rule for everything. They are compiled in full,
 * as is a change of the action for qubes outside all policies.
 */

import {
  canonicalPrefixes,
  diffPrefixes,
  EMPTY_PREFIX_SET,
  type Environment,
  type Family,
  formKey,
  formOfRun,
  type List,
  type ListChange,
  type ListChanges,
  PrefixBuilder,
  type Prefixes,
  type PrefixesDelta,
  type PrefixSet,
  prefixCount,
  type RuleSet,
  type Run,
  samePrefixes,
  timeFor,
} from '@rulecast/rules';
import { type Boundaries, boundariesOf } from '../classes/classes.ts';
import { ALL_PROTOS, ASKS_DETAIL, ASKS_DNS, checksOf } from '../classes/match-checks.ts';
import { ANY_ADDRESS, NO_ADDRESS, setOfAddresses, setOfList } from '../classes/predicate.ts';
import { PredicateColumns } from '../classes/predicate-columns.ts';
import type { EditBase, NextExpiry } from '../image/image.ts';
import type { BlockPredicates } from '../program/outline.ts';
import { type BlockChange, type BlockNumbers, changedBlocks } from './policy.ts';
import type { BlockEdit } from './programs.ts';

/** A rule set in an environment. */
export interface Situation {
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
}

/** The change from one situation to another. */
export interface Edit {
  readonly toggles4: Boundaries;
  readonly toggles6: Boundaries;
  /** The runs that were replaced, and their replacements. */
  readonly blocks: readonly BlockEdit[];
  /** How many prefixes all predicates gain. */
  readonly entries: number;
}

/**
 * The most work of an edit, in slots or nodes that may have to be made anew, a microsecond or two each: more
 * blocks a thread for longer than anybody should notice, and is compiled in full.
 */
const DELTA_WEIGHT_MAX = 2 ** 14;
/**
 * The most removed and added runs. Our choice: each takes 8 µs to examine, and programs with more changes are
 * compiled in full in the end (edit/programs.ts).
 */
const RUNS_MAX = 2 ** 12;

/**
 * The edit between two situations; undefined if it is none, or too much to be made in place. `nextExpiry` is
 * when the next rules expire after the first.
 */
export function editBetween(
  before: Situation,
  after: Situation,
  predicates: EditPredicates,
  nextExpiry: NextExpiry,
  changes: ListChanges | undefined,
): Edit | undefined {
  for (const action of ['accept', 'drop'] as const) {
    const now = timeFor(action, after.environment);
    if (now < timeFor(action, before.environment) || now >= nextExpiry[action]) return undefined;
  }
  if (before.ruleSet.unmatched !== after.ruleSet.unmatched) return undefined;
  const changed = changedBlocks(before.ruleSet.policies, after.ruleSet.policies, predicates.numbers);
  if (changed === undefined || runsIn(changed) > RUNS_MAX) return undefined;
  const collector = new ToggleCollector();
  const blocks: BlockEdit[] = [];
  for (const change of changed) {
    if (isOfPrefixes(change, predicates, collector)) continue;
    const edit = blockEdit(change, predicates, collector);
    if (edit === undefined) return undefined;
    blocks.push(edit);
  }
  for (const source of candidates(before, after, predicates.sources)) {
    const change = changeOf(source, before, after, changes);
    if (change === undefined) continue;
    const { predicate } = source;
    if (predicate < 0) {
      if (prefixCount(change.after) > 0) return undefined;
      continue;
    }
    if (!collector.add(predicate, change)) return undefined;
  }
  return collector.isMuch ? undefined : { ...collector.edit(), blocks };
}

function runsIn(changes: readonly BlockChange[]): number {
  return changes.reduce((sum, { removed, added }) => sum + removed.length + added.length, 0);
}

/** Which predicate is which. */
export interface EditPredicates {
  readonly sources: PredicateSources;
  readonly numbers: BlockNumbers;
  /** By block. */
  readonly blocks: readonly BlockPredicates[];
  /** `usesIn` the blocks. */
  readonly uses: () => Uint8Array;
  /** A new one, of no address yet. */
  readonly add: () => number;
}

/**
 * Whether the runs of a block are those that were there but for their prefixes, as most changes of a rule
 * file are; then it is taken in, and programs are as they were.
 */
function isOfPrefixes(
  { block, first, removed, added }: BlockChange,
  { blocks, uses }: EditPredicates,
  collector: ToggleCollector,
): boolean {
  const own = blocks[block]?.predicates.subarray(first, first + removed.length);
  if (own === undefined || removed.length !== added.length) return false;
  if (own.some((predicate) => predicate < 0) || new Set(own).size < own.length) return false;
  if (removed.some((run, i) => !isAkin(run, added[i]!))) return false; // of the same length
  const changes: [predicate: number, change: SetChange][] = [];
  for (const [run, predicate] of own.entries()) {
    const [was, is] = [removed[run]!, added[run]!].map(({ remote }) => remote); // of the same length
    if (was?.kind !== 'prefixes' || is?.kind !== 'prefixes' || samePrefixes(was.prefixes, is.prefixes))
      continue;
    if (uses()[predicate] !== 1) return false;
    const [before, after] = [was, is].map(({ prefixes }) => ofFamily(canonicalPrefixes(prefixes)));
    if (before !== undefined && after !== undefined)
      changes.push([predicate, { before, after, known: undefined }]);
  }
  for (const [predicate, change] of changes) collector.add(predicate, change);
  return true;
}

/** Whether only the addresses of two runs are others, if anything. */
function isAkin(run: Run, other: Run): boolean {
  return formKey(formOfRun(run)) === formKey(formOfRun(other));
}

/** By predicate, how many runs ask about it, as far as two. */
export function usesIn(blocks: readonly BlockPredicates[]): Uint8Array {
  let most = -1;
  for (const { predicates } of blocks) for (const predicate of predicates) most = Math.max(most, predicate);
  const uses = new Uint8Array(most + 1);
  for (const { predicates } of blocks)
    for (const predicate of predicates)
      if (predicate >= 0) uses[predicate] = Math.min(2, uses[predicate]! + 1); // predicate <= most
  return uses;
}

/** The added runs, with their predicates; undefined if their predicates are not known. */
function blockEdit(
  { block, first, removed, added }: BlockChange,
  predicates: EditPredicates,
  collector: ToggleCollector,
): BlockEdit | undefined {
  // A removed rule for everything had hidden later rules, which were left out.
  if (removed.some(isForAll) && !added.some(isForAll)) return undefined;
  const runs: { predicate: number; list: string | undefined }[] = [];
  for (const run of added) {
    const predicate = predicateOf(run, predicates, collector);
    if (predicate === undefined) return undefined;
    runs.push({ predicate, list: run.remote.kind === 'list' ? run.remote.list : undefined });
  }
  return { block, first, removed: removed.length, added: runs };
}

function isForAll({ match, remote }: Run): boolean {
  return remote.kind === 'any' && (checksOf(match) & (ALL_PROTOS | ASKS_DETAIL)) === ALL_PROTOS;
}

function predicateOf(
  { match, remote }: Run,
  { sources, add }: EditPredicates,
  collector: ToggleCollector,
): number | undefined {
  const checks = checksOf(match);
  if (match.expire !== undefined) return undefined;
  if ((checks & ALL_PROTOS) === 0) return NO_ADDRESS;
  if (remote.kind === 'list') return sources.byList.get(remote.list)?.predicate;
  if (remote.kind === 'name') return sources.byHost.get(remote.name)?.predicate;
  if (remote.kind === 'any') return (checks & ASKS_DNS) === 0 ? ANY_ADDRESS : sources.dns?.predicate;
  if (remote.prefixes.lengths.length === 0) return NO_ADDRESS;
  const predicate = add();
  const after = ofFamily(canonicalPrefixes(remote.prefixes));
  collector.add(predicate, { before: EMPTY_PREFIX_SET, after, known: undefined });
  return predicate;
}

/** The source of a predicate's addresses: a list, a name, or the environment. */
interface PredicateSource {
  readonly kind: 'list' | 'name' | 'dns';
  readonly name: string;
  /** Negative if it had no address when it was compiled. */
  readonly predicate: number;
}

/** The sources of all predicates, except for runs' own prefixes. */
export class PredicateSources {
  readonly all: readonly PredicateSource[];
  readonly byList: ReadonlyMap<string, PredicateSource>;
  readonly byHost: ReadonlyMap<string, PredicateSource>;
  readonly dns: PredicateSource | undefined;

  /** `named` as of `Predicates.byName`. */
  constructor(named: EditBase['named']) {
    this.all = named.map(([key, predicate]) => {
      const kind = key === 'dns' ? 'dns' : key.startsWith('name ') ? 'name' : 'list';
      return { kind, name: key.slice(kind.length + 1), predicate };
    });
    const byName = (wanted: PredicateSource['kind']): ReadonlyMap<string, PredicateSource> =>
      new Map(this.all.flatMap((source) => (source.kind === wanted ? [[source.name, source]] : [])));
    this.byList = byName('list');
    this.byHost = byName('name');
    this.dns = this.all.find(({ kind }) => kind === 'dns');
  }
}

/** The sources that may have changed. */
function candidates(
  before: Situation,
  after: Situation,
  sources: PredicateSources,
): readonly PredicateSource[] {
  if (before.ruleSet.resolutions !== after.ruleSet.resolutions) return sources.all;
  const found = changedLists(before.ruleSet.lists, after.ruleSet.lists, sources);
  if (found === undefined) return sources.all;
  if (sources.dns !== undefined && before.environment.dns !== after.environment.dns) found.push(sources.dns);
  return found;
}

/**
 * The sources of lists that are not the same; undefined if the lists are not the same ones in the same order.
 */
function changedLists(
  before: RuleSet['lists'],
  after: RuleSet['lists'],
  { byList }: PredicateSources,
): PredicateSource[] | undefined {
  const found: PredicateSource[] = [];
  if (before === after) return found;
  if (before.size !== after.size) return undefined;
  const others = after.entries();
  for (const [name, list] of before) {
    const other = others.next();
    if (other.done === true || other.value[0] !== name) return undefined;
    if (other.value[1] === list) continue;
    const source = byList.get(name);
    if (source !== undefined) found.push(source);
  }
  return found;
}

function ofFamily(prefixes: Prefixes): PrefixSet {
  return prefixes.family === 4
    ? { v4: prefixes, v6: EMPTY_PREFIX_SET.v6 }
    : { v4: EMPTY_PREFIX_SET.v4, v6: prefixes };
}

/** The addresses of a predicate before and after. `known`: the change between them. */
interface SetChange {
  readonly before: PrefixSet;
  readonly after: PrefixSet;
  readonly known: ListChange | undefined;
}

function changeOf(
  { kind, name }: PredicateSource,
  before: Situation,
  after: Situation,
  changes: ListChanges | undefined,
): SetChange | undefined {
  if (kind === 'dns') {
    const was = before.environment.dns;
    const is = after.environment.dns;
    return was === is
      ? undefined
      : { before: setOfAddresses(was), after: setOfAddresses(is), known: undefined };
  }
  if (kind === 'name') {
    const was = before.ruleSet.resolutions.get(name) ?? EMPTY_PREFIX_SET;
    const is = after.ruleSet.resolutions.get(name) ?? EMPTY_PREFIX_SET;
    return was === is ? undefined : { before: was, after: is, known: undefined };
  }
  const was = before.ruleSet.lists.get(name);
  const is = after.ruleSet.lists.get(name);
  const isOfNames = isResolved(was) || isResolved(is);
  if (was === is && (!isOfNames || before.ruleSet.resolutions === after.ruleSet.resolutions))
    return undefined;
  const told = changes?.get(name);
  const known = told?.before === was && told?.after === is ? told : undefined;
  return {
    before: setOfList(was, before.ruleSet.resolutions),
    after: setOfList(is, after.ruleSet.resolutions),
    known,
  };
}

function isResolved(list: List | undefined): boolean {
  return list?.kind === 'names' && list.resolve === true;
}

/** Collects the prefixes that join or leave predicates. */
class ToggleCollector {
  readonly #v4 = new PredicateColumns(4);
  readonly #v6 = new PredicateColumns(6);
  readonly #predicates: number[] = []; // by predicate of the columns: the one that it toggles
  #entries = 0;
  /** Whether it is more than an edit takes; then it is good for nothing. */
  isMuch = false;
  #weight = 0;

  /** Takes in a change; false if that makes too much. */
  add(predicate: number, { before, after, known }: SetChange): boolean {
    const v4 = this.#changed(before.v4, after.v4, known?.v4);
    const v6 = v4 && this.#changed(before.v6, after.v6, known?.v6);
    if (v4 === undefined || v6 === undefined) {
      this.isMuch = true;
      return false;
    }
    this.#v4.push(v4.left);
    this.#v6.push(v6.left);
    this.#v4.push(v4.joined);
    this.#v6.push(v6.joined);
    this.#predicates.push(predicate, predicate);
    this.#entries += prefixCount(after) - prefixCount(before);
    return true;
  }

  edit(): Omit<Edit, 'blocks'> {
    return { toggles4: this.#toggles(this.#v4), toggles6: this.#toggles(this.#v6), entries: this.#entries };
  }

  #toggles(columns: PredicateColumns): Boundaries {
    const { keys, predicates, count } = boundariesOf(columns);
    const toggled = new Uint32Array(count);
    for (let i = 0; i < count; i++) toggled[i] = this.#predicates[predicates[i]!]!; // i < count, a predicate of the columns
    return { keys, predicates: toggled, count };
  }

  #changed(before: Prefixes, after: Prefixes, known: PrefixesDelta | undefined): Changed | undefined {
    if (before === after) return { left: undefined, joined: undefined };
    const delta = known ?? diffPrefixes(before, after, DELTA_WEIGHT_MAX);
    if (delta === undefined) return undefined;
    const { removed, added: joined } = delta;
    if (removed.length + joined.lengths.length > DELTA_WEIGHT_MAX) return undefined;
    const left = new PrefixBuilder(before.family, removed.length);
    // an entry of the former column
    for (const index of removed) left.push(before.words, index, before.lengths[index]!);
    const changed = { left: left.build(), joined };
    for (const column of [changed.left, changed.joined]) {
      for (const length of column?.lengths ?? []) this.#weight += weightOf(before.family, length);
    }
    return this.#weight > DELTA_WEIGHT_MAX ? undefined : changed;
  }
}

/** Prefixes that left and joined a set. */
interface Changed {
  readonly left: Prefixes | undefined;
  readonly joined: Prefixes | undefined;
}

/** The most slots or nodes that a prefix covers. */
function weightOf(family: Family, length: number): number {
  const told = family === 4 ? 16 : 32;
  return length >= told ? 1 : 2 ** (told - length);
}
