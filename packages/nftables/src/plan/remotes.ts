/**
 * The remote side of rules: anything, one prefix, a set of the kernel, or the addresses that DNS gave a qube.
 * A set in the kernel is kept if that is less work.
 */

import {
  type Address,
  bitsOf,
  canonicalPrefixes,
  columnFor,
  columnOf,
  diffPrefixes,
  type Family,
  isOfPrivateNames,
  type ListChange,
  memberContaining,
  type NameSet,
  namesOpenedBy,
  nameTexts,
  openedLists,
  PrefixBuilder,
  type Prefixes,
  type PrefixesDelta,
  type RuleMatch,
  type RunRemote,
  type Runs,
  resolutionOf,
  runAt,
} from '@rulecast/rules';
import { IN_PLACE_SHARE, SMALL_MEMBERS_MAX } from '../limits.ts';
import { fitsLayout, newSet } from './layout.ts';
import { listKeys, nameSetFor } from './name-set.ts';
import {
  type AddressSet,
  hexAt,
  type Key,
  keyOf,
  type PlannedNameSet,
  type PlanRemote,
  type PlanSource,
  setKey,
} from './plan.ts';

/** The set of some key that is in the kernel. */
export type KnownSets = (setKey: string) => AddressSet | undefined;

/** Results about remote sides that the next plan reuses. */
export interface RemoteBasis {
  readonly nameSets: ReadonlyMap<string, PlannedNameSet>;
  /** Canonical columns of runs with prefixes of their own, by index of the run. */
  readonly canonicals: ReadonlyMap<Runs, ReadonlyMap<number, Prefixes>>;
}

export class Remotes {
  readonly sets = new Map<string, AddressSet>();
  readonly nameSets = new Map<string, PlannedNameSet>();
  readonly canonicals = new Map<Runs, Map<number, Prefixes>>();
  readonly #source: PlanSource;
  readonly #known: KnownSets;
  readonly #before: RemoteBasis | undefined;
  /** By list: its name set, from this plan or the one before. */
  readonly #named: Map<string, PlannedNameSet>;
  readonly #columns = new Map<string, Prefixes>(); // of lists
  readonly #opened: ReturnType<typeof openedLists>;

  constructor(source: PlanSource, known: KnownSets, before: RemoteBasis | undefined) {
    this.#source = source;
    this.#known = known;
    this.#before = before;
    this.#opened = openedLists(source.ruleSet);
    this.#named = new Map(Array.from(before?.nameSets.values() ?? [], (each) => [each.list, each]));
  }

  /** The remote sides of a run in one family: none if it matches nothing. `counter` identifies the run. */
  of(runs: Runs, index: number, counter: string, family: Family): readonly PlanRemote[] {
    const { match, remote } = runAt(runs, index);
    if (remote.kind === 'any' && !match.dns) return [{ kind: 'any' }];
    if (remote.kind === 'prefixes' && remote.prefixes.lengths.length === 1 && !match.dns)
      return [onlyPrefix(remote.prefixes)];
    const told = remote.kind === 'list' ? this.#toldBy(remote.list, match, family) : undefined;
    if (told !== undefined) return told;
    const text = remoteText(remote, counter);
    const key = match.dns ? `dns ${text}` : text;
    const whole =
      remote.kind === 'prefixes'
        ? this.#canonicalOf(runs, index, remote.prefixes)
        : this.#column(remote, family, `${text} ${family}`);
    const column = match.dns ? this.#dnsWithin(whole, remote, family) : whole;
    const count = column.lengths.length;
    if (count === 0) return [];
    if (count === 1 && remote.kind !== 'list') return [onlyPrefix(column)];
    const change = remote.kind === 'list' ? this.#source.changes?.get(remote.list) : undefined;
    return [{ kind: 'set', set: this.#addSet(keyOf(key), column, change), except: [] }];
  }

  /**
   * The remote sides of a rule whose list of names the firewall's own DNS serves; undefined for any other
   * list. A drop rule stops questions, and no packet.
   */
  #toldBy(list: string, { action, dns }: RuleMatch, family: Family): readonly PlanRemote[] | undefined {
    const names = namesOpenedBy(this.#source.ruleSet.lists, list);
    if (names === undefined) return undefined;
    const opened = this.#opened.get(list);
    const qubes = opened?.[`v${family}`];
    if (action !== 'accept' || dns || qubes === undefined || qubes.lengths.length === 0) return [];
    const isPrivate = isOfPrivateNames(this.#source.ruleSet.lists.get(list));
    const version = this.#versionOf(list, names, isPrivate);
    const set = nameSetFor(list, version, qubes);
    const pairs = family === 4 ? (opened?.pairs ?? []) : [];
    const planned = { list, names, version, isPrivate, qubes, pairs };
    this.nameSets.set(set, planned);
    this.#named.set(list, planned);
    return [{ kind: 'told', set }];
  }

  /** The digest of a list; taken from an earlier plan if the list is the same. */
  #versionOf(list: string, names: NameSet, isPrivate: boolean): Key {
    const known = this.#named.get(list);
    const isKnown = known?.names === names && known.isPrivate === isPrivate;
    return isKnown ? known.version : listKeys(list, names, isPrivate).version;
  }

  #addSet(key: Key, members: Prefixes, change: ListChange | undefined): string {
    const name = setKey(key, members.family);
    if (!this.sets.has(name)) {
      const known = this.#known(name);
      const kept = known === undefined ? undefined : keptSet(key, members, known, change);
      this.sets.set(name, kept ?? newSet(key, members));
    }
    return name;
  }

  /** The canonical column of a remote side in one family. */
  #column(remote: Exclude<RunRemote, { kind: 'prefixes' }>, family: Family, key: string): Prefixes {
    switch (remote.kind) {
      case 'any':
        return columnOf([], family);
      case 'name':
        return columnFor(resolutionOf(this.#source.ruleSet, remote.name), family);
      case 'list': {
        let column = this.#columns.get(key);
        if (column === undefined) {
          column = this.#listColumn(remote.list, family);
          this.#columns.set(key, column);
        }
        return column;
      }
    }
  }

  /** The very column of the plan before where the runs are the same. */
  #canonicalOf(runs: Runs, index: number, prefixes: Prefixes): Prefixes {
    const canonical = this.#before?.canonicals.get(runs)?.get(index) ?? canonicalPrefixes(prefixes);
    const columns = this.canonicals.get(runs) ?? new Map<number, Prefixes>();
    this.canonicals.set(runs, columns.set(index, canonical));
    return canonical;
  }

  #listColumn(name: string, family: Family): Prefixes {
    const list = this.#source.ruleSet.lists.get(name);
    if (list === undefined || (list.kind === 'names' && list.resolve !== true)) return columnOf([], family);
    if (list.kind === 'prefixes') return columnFor(list, family);
    const union = new PrefixBuilder(family);
    for (const host of nameTexts(list.names)) {
      const column = columnFor(resolutionOf(this.#source.ruleSet, host), family);
      for (let i = 0; i < column.lengths.length; i++) union.push(column.words, i, column.lengths[i]!); // i < length
    }
    return canonicalPrefixes(union.build());
  }

  /** The DNS addresses of a family that a remote side holds. */
  #dnsWithin(column: Prefixes, remote: RunRemote, family: Family): Prefixes {
    const within = (address: Address): boolean =>
      address.family === family && (remote.kind === 'any' || memberContaining(column, address.words) >= 0);
    const prefixes = this.#source.environment.dns
      .filter(within)
      .map((address) => ({ ...address, length: bitsOf(family) }));
    return canonicalPrefixes(columnOf(prefixes, family));
  }
}

/** A remote side of one prefix. */
function onlyPrefix(column: Prefixes): PlanRemote {
  const [length = 0] = column.lengths;
  return length === 0
    ? { kind: 'any' }
    : { kind: 'prefix', address: hexAt(column.words, 0, column.family), length };
}

/** The purpose of a column of addresses; a run's own prefixes belong to that run. */
function remoteText(remote: RunRemote, counter: string): string {
  switch (remote.kind) {
    case 'any':
      return 'any';
    case 'prefixes':
      return `run ${counter}`;
    case 'name':
      return `name ${remote.name}`;
    case 'list':
      return `list ${remote.list}`;
  }
}

/**
 * The existing set, unchanged or changed in place; undefined if it is too small for that, too full, or too
 * different.
 */
function keptSet(
  key: Key,
  members: Prefixes,
  known: AddressSet,
  change: ListChange | undefined,
): AddressSet | undefined {
  if (known.members === members) return known.delta === undefined ? known : { ...known, delta: undefined };
  const { layout, version } = known;
  if (members.lengths.length <= SMALL_MEMBERS_MAX || !fitsLayout(members, layout)) return undefined;
  const delta = deltaBetween(known.members, members, change);
  const changed = delta.removed.length + delta.added.lengths.length;
  if (changed > members.lengths.length * IN_PLACE_SHARE) return undefined;
  const removed = new PrefixBuilder(members.family, delta.removed.length);
  for (const index of delta.removed) {
    removed.push(known.members.words, index, known.members.lengths[index]!); // an index of that column
  }
  const made = { removed: removed.build(), added: delta.added };
  return { key, members, layout, version, delta: changed === 0 ? undefined : made };
}

/** The change from one column to another: `change` if it is about these very columns, else a comparison. */
function deltaBetween(before: Prefixes, after: Prefixes, change: ListChange | undefined): PrefixesDelta {
  const { family } = after;
  const isOfThese =
    change !== undefined &&
    columnFor(change.before, family) === before &&
    columnFor(change.after, family) === after;
  return isOfThese ? change[`v${family}`] : diffPrefixes(before, after);
}
