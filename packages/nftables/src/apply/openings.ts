/**
 * The addresses open by name: those that DNS gave to qubes, in the name sets of the table in force. While the
 * next table is prepared, openings go into both, so that none is missing after the switch.
 *
 * The requests come from `rulecast-dns`, which parses packets of qubes and is not trusted. A qube must be one
 * of a policy that uses the list, in the state in force. An address must be on the Internet, or on a private
 * network if the release allows that for the list. This file counts how much a qube has open, over both of
 * its addresses; beyond the limit, its own openings give way. It also knows the qube's address of the other
 * family, which the client does not: from the interface that both come by, else from the release.
 */

import { NAME_ADDRESSES_MAX } from '@rulecast/rules/columns';
import type { Command } from '../kernel/commands.ts';
import { type ReadNameElement, renewNamed } from '../kernel/name-elements.ts';
import { NativeError } from '../kernel/native.ts';
import { changeSources, SOURCES_SETS, type Source } from '../kernel/sources.ts';
import { CARRIED_ELEMENTS, LIVE_EVERY_MS } from '../limits.ts';
import type { NameSet } from '../plan/change.ts';
import type { NameLabel } from '../plan/name-set.ts';
import type { Key } from '../plan/plan.ts';
import {
  addressText,
  type Book,
  BookChange,
  CROWDED_AT,
  type Entry,
  elementOf,
  entryIn,
  holdingOf,
  NAME_CROWDED_AT,
  prune,
  put,
  textOf,
  wordsOf,
} from './book.ts';
import {
  type Flows,
  type FlowsKernel,
  Looks,
  MAKES_ROOM,
  NEEDS_LOOK,
  type OpeningRequest,
  type OpeningResult,
} from './looks.ts';
import type { ToldName } from './message.ts';
import {
  isOf,
  isOpenable,
  isSaidOf,
  isStillIn,
  keepCarried,
  type ListSet,
  type NameTable,
  tableOf,
} from './name-tables.ts';
import { type Opening, type OpeningOutcome, Outcome, openSecondsOf } from './opening.ts';
import { withoutRoom } from './room.ts';

/** The kernel and time, as far as they are needed. */
export interface OpeningsKernel extends FlowsKernel {
  /** One transaction. Throws NativeError. */
  run(commands: readonly Command[]): void;
  /** The table in force, and its name sets. Throws NativeError. */
  inForce(): { readonly name: string; readonly sets: readonly string[] } | undefined;
  /** Rejects with NativeError. */
  named(table: string, set: string): Promise<readonly ReadNameElement[]>;
  /** The pairs of a set of interfaces and addresses. Rejects with NativeError. */
  sources(table: string, set: string): Promise<readonly Source[]>;
}

/** One address of a qube, and the place of its openings by a list. */
interface Side {
  readonly list: string;
  readonly place: ListSet;
  readonly own: Uint32Array;
}

/** A set of the kernel, and the openings to add there. */
interface Target {
  readonly table: string;
  readonly set: string;
  readonly takes: readonly Entry[];
}

export class Openings {
  readonly #kernel: OpeningsKernel;
  #current: NameTable | undefined;
  /** Made, and not in force yet; may be in the same table of the kernel. */
  #next: NameTable | undefined;
  /** The table that the next one replaces: the one in force, even before `adopt` said who may open what. */
  #former: NameTable | undefined;
  /**
   * Openings by list and family. An opening here may have ended in the kernel, but none in the kernel is
   * missing here.
   */
  readonly #held = new Map<string, Book>();
  /** By a qube's address: its interface and address, as in our tables; and as last reported, if ever. */
  #paired: ReadonlyMap<string, Source> = new Map();
  #pairs: ReadonlyMap<string, Source> | undefined;
  readonly #looks: Looks;

  constructor(kernel: OpeningsKernel) {
    this.#kernel = kernel;
    this.#looks = new Looks({
      kernel,
      open: (request, flows) => this.#openKnowing(flows, request),
      qubesOf: ({ opening: { qube }, other }) =>
        [qube, this.#otherOf(qube, other)].filter((each) => each !== undefined),
    });
  }

  // ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * For a table whose sets exist: copies the openings that remain allowed, and from now on adds new ones to
   * both tables. `turn` is awaited between pieces. Rejects with NativeError.
   */
  async prepare(
    name: string,
    sets: readonly NameSet[],
    body: Uint8Array,
    turn: () => Promise<unknown>,
  ): Promise<void> {
    const former = this.#current ?? (await this.#found());
    const next = this.#known(tableOf(name, sets, body));
    this.#former = former;
    this.#pairUp(); // openings that it closes are not carried over
    const pairs = former?.name === name ? [] : [...changeSources('add', name, [...this.#paired.values()])];
    if (pairs.length > 0) this.#kernel.run(pairs);
    this.#next = next;
    for (const [list, place] of next.places) {
      const was = former?.places.get(list);
      const isThere = former?.name === name && was?.set === place.set;
      if (was === undefined || isThere) continue;
      for (const mine of [...(this.#held.get(list)?.values() ?? [])]) {
        const entries = [...mine];
        for (let from = 0; from < entries.length; from += CARRIED_ELEMENTS) {
          const some = entries.slice(from, from + CARRIED_ELEMENTS);
          this.#carry(was, place, name, mine, some);
          await turn();
        }
      }
    }
  }

  /** Copies the openings that a qube had at the start and still has: newer ones are in both tables. */
  #carry(
    was: ListSet,
    place: ListSet,
    table: string,
    mine: ReadonlyMap<string, Entry>,
    entries: readonly (readonly [string, Entry])[],
  ): void {
    const nowMs = this.#kernel.nowMs();
    const left = entries.flatMap(([address, entry]) => {
      const isHeld = mine.get(address) === entry && entry.untilMs > nowMs;
      const stays = isHeld && isOf(place, entry.key) && isStillIn(was, place, entry);
      return stays ? [elementOf(entry, nowMs)] : [];
    });
    if (left.length > 0) this.#kernel.run(renewNamed(table, place.set, left));
  }

  /** The prepared table is in force. */
  release(): void {
    const [former, next] = [this.#former, this.#next];
    this.#current = next;
    this.#next = undefined;
    this.#former = undefined;
    for (const [list, held] of this.#held) {
      const [was, place] = [former?.places.get(list), next?.places.get(list)];
      if (was === undefined || place === undefined) this.#held.delete(list);
      else if (was !== place) keepCarried(held, was, place);
    }
    this.#pairUp();
  }

  discard(): void {
    this.#next = undefined;
    this.#former = undefined;
  }

  /** No table is in force. */
  forget(): void {
    this.#current = undefined;
    this.discard();
    this.#held.clear();
  }

  /** Sets who may open what in a table that another applier made. Rejects with NativeError. */
  async adopt(name: string, sets: readonly NameSet[]): Promise<void> {
    const table = this.#known(tableOf(name, sets, new Uint8Array(0)));
    await this.#read(table);
    this.#current = table;
    this.#pairUp();
  }

  /** The table in force left by another applier, with its openings read from the kernel. */
  async #found(): Promise<NameTable | undefined> {
    const found = this.#kernel.inForce();
    if (found === undefined) return undefined;
    const sets = found.sets.map(
      (set): NameSet => ({ set, list: '', isPrivate: false, qubes: [], pairs: [] }),
    );
    const table = tableOf(found.name, sets, new Uint8Array(0));
    await this.#read(table);
    return table;
  }

  /**
   * Reads openings, and pairs unless known; a table without our set of pairs, as older versions made it, has
   * none.
   */
  async #read({ name, places }: NameTable): Promise<void> {
    if (this.#current === undefined) this.#paired = byQube(await this.#sourcesOf(name));
    for (const [list, place] of places) {
      if (this.#held.has(list)) continue;
      const elements = await this.#kernel.named(name, place.set);
      const held = this.#heldOf(list); // a newer opening wins
      for (const { key, label, milliseconds, agoMs } of elements) {
        const nowMs = this.#kernel.nowMs();
        const sinceMs = nowMs - agoMs;
        const entry = { key, label, sinceMs, usedMs: sinceMs, untilMs: nowMs + milliseconds };
        if (entryIn(held, place.family, key) === undefined) put(held, place.family, entry);
      }
    }
  }

  async #sourcesOf(table: string): Promise<readonly Source[]> {
    try {
      const read = [SOURCES_SETS[4], SOURCES_SETS[6]].map((set) => this.#kernel.sources(table, set));
      return (await Promise.all(read)).flat();
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      return [];
    }
  }

  /** Adds the remaining names that are known for sets in force. */
  #known({ name, places, others }: NameTable): NameTable {
    const current = this.#current?.name === name ? this.#current.places : undefined;
    const known = [...places].map(([list, place]): [string, ListSet] => {
      const was = current?.get(list);
      return [list, was?.set === place.set ? { ...place, left: was.left } : place];
    });
    return { name, places: new Map(known), others };
  }

  // ── The interface of each qube ─────────────────────────────────────────────────────────────────────────

  /** Sets the interface of each qube. Openings of an address whose interface changed are closed. */
  pair(pairs: ReadonlyMap<string, Source>): void {
    this.#pairs = byQube(pairs.values());
    this.#pairUp();
  }

  /** In all tables of the kernel at once, or, where it refuses, the next time. */
  #pairUp(): void {
    const [before, after] = [this.#paired, this.#pairs];
    if (after === undefined) return;
    const others = (of: typeof before, than: typeof before): readonly [string, Source][] =>
      [...of].filter(([qube, { interface: name }]) => than.get(qube)?.interface !== name);
    const [gone, come] = [others(before, after), others(after, before)];
    if (gone.length + come.length === 0) return;
    const change = new BookChange();
    for (const qube of new Set([...gone, ...come].map(([each]) => each))) this.#close(qube, change);
    const [current, next] = [this.#current ?? this.#former, this.#next];
    const sourcesOf = (all: typeof gone): readonly Source[] => all.map(([, source]) => source);
    for (const table of new Set([current?.name, next?.name]))
      if (table !== undefined) change.pair(table, sourcesOf(come), sourcesOf(gone));
    if (this.#run(change)) this.#paired = after;
  }

  /** Puts into `change` that nothing is open to a qube by an address of its. */
  #close(qube: string, change: BookChange): void {
    for (const [list, held] of this.#held) {
      const mine = held.get(qube);
      if (mine === undefined) continue;
      for (const { table, set } of this.#targets(list)) change.destroy(table, set, [...mine.values()]);
      for (const address of [...mine.keys()]) change.hold(held, qube, mine, address, undefined);
      held.delete(qube);
    }
  }

  // ── Openings ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Opens all addresses of a request in the kernel, or those that fit, or none. Other openings give way only
   * if no flow uses them, so that it may have to look at flows first.
   */
  open(opening: Opening, other?: string): OpeningOutcome | Promise<OpeningOutcome> {
    return this.openAll([{ opening, other }])[0] ?? Outcome.later;
  }

  /**
   * Likewise several, of OPENED_TOGETHER addresses at most: in one transaction, and one by one where the
   * kernel refuses that, so that none fails by another. An outcome for each.
   */
  openAll(requests: readonly OpeningRequest[]): readonly (OpeningOutcome | Promise<OpeningOutcome>)[] {
    return this.#openTogether(requests).map((result, index) =>
      this.#looks.outcomeOf(requests[index]!, result),
    ); // as many
  }

  #openTogether(requests: readonly OpeningRequest[]): readonly OpeningResult[] {
    const change = new BookChange();
    const results = requests.map((each) => this.#open(each, undefined, change));
    if (this.#run(change)) return results;
    return requests.length === 1 ? [Outcome.later] : requests.flatMap((each) => this.#openTogether([each]));
  }

  /** Whether the kernel made the change; else the book is as before. */
  #run(change: BookChange): boolean {
    const { commands } = change;
    try {
      if (commands.length > 0) this.#kernel.run(commands);
      return true;
    } catch (error) {
      change.undo();
      if (!(error instanceof NativeError)) throw error;
      return false;
    }
  }

  #openKnowing(flows: Flows, request: OpeningRequest): OpeningOutcome {
    const change = new BookChange();
    const result = this.#open(request, flows, change);
    return this.#run(change) && typeof result !== 'string' ? result : Outcome.later;
  }

  /** Adds the kernel's commands to `change`, and updates the book as if they were done. */
  #open(
    { opening: { family, key, version, qube, addresses, seconds, label }, other }: OpeningRequest,
    flows: Flows | undefined,
    change: BookChange,
  ): OpeningResult {
    const state = addresses.length === 0 ? undefined : version; // to make room, any version will do
    const asked = this.#sideOf(key, state, label, qube);
    if (asked === undefined) return Outcome.later;
    if (!isOf(asked.place, asked.own)) return Outcome.refused;
    // the interface of a qube that has just started may be unknown yet
    if (!this.#paired.has(textOf(asked.own))) return Outcome.later;
    const beside = this.#sideOf(key, state, label, this.#otherOf(qube, other));
    const [side, rest] = asked.place.family === family ? [asked, beside] : [beside, asked];
    if (side === undefined || !isOf(side.place, side.own)) return Outcome.unknown;
    if (!this.#paired.has(textOf(side.own))) return Outcome.unknown;
    const { place, list, own } = side;
    const keys = addresses.map((address) => Uint32Array.of(...own, ...wordsOf(address)));
    if (!keys.every((pair) => isOpenable(place, pair))) return Outcome.refused;
    const nowMs = this.#kernel.nowMs();
    const held = this.#heldOf(list);
    const ownText = textOf(own);
    const mine = holdingOf(held, place.most, ownText, nowMs);
    if (mine === undefined) return Outcome.full;
    const its = rest && this.#held.get(rest.list)?.get(textOf(rest.own));
    const times = { sinceMs: nowMs, usedMs: nowMs, untilMs: nowMs + seconds * 1000 };
    const entries = keys.map((pair): Entry => ({ key: pair, label, ...times }));
    const added = new Map(entries.map((entry) => [addressText(family, entry.key), entry]));
    const gone = withoutRoom(mine, its, added, label, nowMs, flows);
    if (gone === NEEDS_LOOK || gone === Outcome.full) {
      if (mine.size === 0) held.delete(ownText);
      return gone;
    }
    if (rest !== undefined)
      for (const { table, set } of this.#targets(rest.list)) change.destroy(table, set, gone.its);
    const taken = [...gone.takes.values()];
    for (const { table, set, takes } of this.#targets(list, taken)) {
      change.destroy(table, set, gone.mine);
      for (const entry of takes) change.renew(table, set, elementOf(entry, nowMs));
    }
    if (rest !== undefined && its !== undefined)
      for (const { key: pair } of gone.its)
        change.hold(
          this.#heldOf(rest.list),
          textOf(rest.own),
          its,
          addressText(rest.place.family, pair),
          undefined,
        );
    for (const { key: pair } of gone.mine)
      change.hold(held, ownText, mine, addressText(family, pair), undefined);
    for (const [address, entry] of gone.takes) change.hold(held, ownText, mine, address, entry);
    if (mine.size === 0) held.delete(ownText);
    const [all, ofName] = [mine.size + (its?.size ?? 0), mine.countOf(label) + (its?.countOf(label) ?? 0)];
    if (flows === undefined) {
      const isNameCrowded = ofName > Math.max(NAME_CROWDED_AT, added.size);
      return all > mine.crowdedAt || isNameCrowded ? MAKES_ROOM : Outcome.open;
    }
    // If flows keep nearly all of it, not every opening looks again.
    mine.crowdedAt = Math.max(CROWDED_AT, Math.ceil((all + NAME_ADDRESSES_MAX) / 2));
    if (taken.length === added.size) return Outcome.open;
    return entries.map((entry) => gone.takes.has(addressText(family, entry.key)));
  }

  /** The place of a qube's openings by a list, or by a state of it; undefined: there is none. */
  #sideOf(
    key: Key,
    state: Key | undefined,
    label: NameLabel,
    qube: Uint8Array | undefined,
  ): Side | undefined {
    if (qube === undefined) return undefined;
    const list = `${key}_${qube.length === 4 ? 4 : 6}`;
    const place = this.#current?.places.get(list);
    if (place === undefined || (state !== undefined && !isSaidOf(place, state, label))) return undefined;
    return { list, place, own: wordsOf(qube) };
  }

  #otherOf(qube: Uint8Array, said: string | undefined): Uint8Array | undefined {
    const other = said ?? this.#current?.others.get(Buffer.from(qube).toString('hex')) ?? '';
    return other === '' ? undefined : Buffer.from(other, 'hex');
  }

  /** The lists by which an address is open to a qube, given in hex digits, and the names. */
  toldOf(qube: string, address: string): readonly ToldName[] {
    const [of, to] = [qube, address].map((digits) => textOf(wordsOf(Buffer.from(digits, 'hex'))));
    const nowMs = this.#kernel.nowMs();
    return [...(this.#current?.places ?? [])].flatMap(([list, place]) => {
      const entry = this.#held
        .get(list)
        ?.get(of ?? '')
        ?.get(to ?? '');
      if (entry === undefined || entry.untilMs <= nowMs) return [];
      const agoS = Math.floor(Math.max(0, nowMs - entry.sinceMs) / 1000);
      return [{ list: place.list, name: entry.label, agoS }];
    });
  }

  /** Extends openings that would end soon, and that some flow uses. Rejects with NativeError. */
  async renewLive(): Promise<void> {
    const soonMs = this.#kernel.nowMs() + 2 * LIVE_EVERY_MS;
    for (const held of this.#held.values())
      for (const qube of [...held.keys()]) prune(held, qube, this.#kernel.nowMs());
    const ending = new Set<string>();
    for (const [, , entry] of this.#openEntries()) if (entry.untilMs <= soonMs) ending.add(textOf(entry.key));
    if (ending.size === 0) return;
    const live = new Set<string>();
    await this.#kernel.flows((key) => {
      const text = textOf(key);
      if (ending.has(text)) live.add(text);
    });
    const nowMs = this.#kernel.nowMs();
    for (const [list, place, old] of [...this.#openEntries()]) {
      if (old.untilMs > soonMs || old.untilMs <= nowMs || !live.has(textOf(old.key))) continue;
      const entry = { ...old, usedMs: nowMs, untilMs: nowMs + openSecondsOf(0) * 1000 };
      for (const { table, set, takes } of this.#targets(list, [entry]))
        if (takes.length > 0) this.#kernel.run(renewNamed(table, set, [elementOf(entry, nowMs)]));
      put(this.#heldOf(list), place.family, entry);
    }
  }

  /** The number of open addresses, counting those that ended since the last look at flows. */
  get count(): number {
    const books = [...(this.#current?.places.keys() ?? [])].map((list) => this.#held.get(list));
    return books.flatMap((held) => [...(held?.values() ?? [])]).reduce((sum, mine) => sum + mine.size, 0);
  }

  /** The openings by the lists in force. */
  *#openEntries(): Generator<readonly [string, ListSet, Entry]> {
    for (const [list, place] of this.#current?.places ?? []) {
      for (const mine of this.#held.get(list)?.values() ?? [])
        for (const entry of mine.values()) yield [list, place, entry];
    }
  }

  /** The set in force, and the next one, which takes those entries whose names it still has. */
  #targets(list: string, entries: readonly Entry[] = []): readonly Target[] {
    const [current, next] = [this.#current ?? this.#former, this.#next];
    const [place, following] = [current?.places.get(list), next?.places.get(list)];
    if (current === undefined || place === undefined) return [];
    const target = { table: current.name, set: place.set, takes: entries };
    const isBoth = current.name === next?.name && place.set === following?.set;
    if (next === undefined || following === undefined || isBoth) return [target];
    const takes = entries.filter((entry) => isStillIn(place, following, entry));
    return [target, { table: next.name, set: following.set, takes }];
  }

  #heldOf(list: string): Book {
    let held = this.#held.get(list);
    if (held === undefined) {
      held = new Map();
      this.#held.set(list, held);
    }
    return held;
  }
}

function byQube(sources: Iterable<Source>): ReadonlyMap<string, Source> {
  return new Map(
    Array.from(sources, (each) => [textOf(wordsOf(Buffer.from(each.address, 'hex'))), each] as const),
  );
}
