/**
 * What is open by name: addresses that qubes were told, in the name sets of the table in force, and from the
 * moment when another one is nearly made in those of both, so that none is missing at the switch.
 *
 * Who asks is `rulecast-dns`, which reads what qubes send, and is not trusted: a qube is one of a policy that
 * uses the list, in the state in which it is in force; an address is one of the Internet, or of a network of
 * one's own where the release says so of the list; how much a qube may
 * hold is counted here, by both its addresses together. What goes beyond takes the place of the qube's own.
 * Which address of the other family it has is known here, too, and not to who asks: by the interface that
 * both come by, else by the release.
 */

import {
  canonicalPrefixes,
  type Family,
  isLeft,
  isNetworkAddress,
  isPrivateAddress,
  memberContaining,
  NAME_ADDRESSES_MAX,
  type Names,
  PrefixBuilder,
  type Prefixes,
  strideOf,
} from '@rulecast/rules';
import type { Command } from '../kernel/commands.ts';
import { destroyNamed, type NameElement, type ReadNameElement, renewNamed } from '../kernel/name-elements.ts';
import { NativeError } from '../kernel/native.ts';
import { changeSources, SOURCES_SETS, type Source } from '../kernel/sources.ts';
import {
  CARRIED_ELEMENTS,
  LABELS_KNOWN_MAX,
  LIVE_EVERY_MS,
  LOOKS_MAX,
  LOOKS_OF_ONE_MAX,
  NAME_ADDRESSES_OF_ONE_MAX,
  ROOM_AHEAD,
  SPARED_MS,
} from '../limits.ts';
import type { ColumnInBody, LeftInBody, NameSet } from '../plan/change.ts';
import { isReadable, type NameLabel, parseNameSetName } from '../plan/name-set.ts';
import type { Key } from '../plan/plan.ts';
import type { ToldName } from './message.ts';
import { type Opening, type OpeningOutcome, Outcome, openSecondsOf } from './opening.ts';

/** The kernel and time, as far as they are needed. */
export interface OpeningsKernel {
  /** One transaction. Throws NativeError. */
  run(commands: readonly Command[]): void;
  /** The table in force, and its name sets. Throws NativeError. */
  inForce(): { readonly name: string; readonly sets: readonly string[] } | undefined;
  /** Rejects with NativeError. */
  named(table: string, set: string): Promise<readonly ReadNameElement[]>;
  /** The pairs of a set of interfaces and addresses. Rejects with NativeError. */
  sources(table: string, set: string): Promise<readonly Source[]>;
  /** The keys of all flows that may go on. Rejects with NativeError. */
  flows(take: (key: Uint32Array) => void): Promise<void>;
  /** Steady. */
  nowMs(): number;
  pause(milliseconds: number): Promise<unknown>;
  /** Logs a fault of ours. */
  warn(text: string): void;
}

/** What is to be opened. */
export interface Asked {
  readonly opening: Opening;
  /**
   * The qube's address of the other family as its interface says, 8 or 32 hex digits; empty: it has none;
   * undefined: the release is asked.
   */
  readonly other?: string | undefined;
}

/** An opening for which something has to give way, and who is told what came of it. */
interface Waiting extends Asked {
  readonly qube: string;
  readonly tell: (outcome: OpeningOutcome) => void;
}

/** What was seen of flows: pairs of a qube and where one goes. */
type Look = ReadonlySet<string>;

/** One address that a qube may use. */
interface Entry {
  readonly key: Uint32Array;
  readonly label: NameLabel;
  /** When the qube was told it. */
  readonly sinceMs: number;
  /** When it was told, or a look last saw a flow to it. The least recently used gives way first. */
  usedMs: number;
  readonly untilMs: number;
}

/** With more, room is made ahead: of a list, and of a name. */
const CROWDED_AT = NAME_ADDRESSES_MAX - aheadOf(NAME_ADDRESSES_MAX);
const NAME_CROWDED_AT = NAME_ADDRESSES_OF_ONE_MAX - aheadOf(NAME_ADDRESSES_OF_ONE_MAX);

/** What a qube holds, by address, and how much of it is of each name: it is asked at every opening. */
class Holding extends Map<string, Entry> {
  readonly #ofNames = new Map<NameLabel, number>();
  /** With more, by both addresses of the qube, it is looked for what may give way. */
  crowdedAt = CROWDED_AT;

  countOf(label: NameLabel): number {
    return this.#ofNames.get(label) ?? 0;
  }

  override set(address: string, entry: Entry): this {
    this.#count(this.get(address), -1);
    this.#count(entry, 1);
    return super.set(address, entry);
  }

  override delete(address: string): boolean {
    this.#count(this.get(address), -1);
    return super.delete(address);
  }

  #count(entry: Entry | undefined, more: 1 | -1): void {
    if (entry === undefined) return;
    const count = this.countOf(entry.label) + more;
    if (count > 0) this.#ofNames.set(entry.label, count);
    else this.#ofNames.delete(entry.label);
  }
}

/** What comes of an opening while it is not known which flows there are. */
const NEEDS_LOOK = 'needs-look';
/** It is open; and before there is no room for the next, it had better be known which flows there are. */
const MAKES_ROOM = 'makes-room';

type Opened = OpeningOutcome | typeof NEEDS_LOOK | typeof MAKES_ROOM;

/** By qube. */
type Held = Map<string, Holding>;

/** What the kernel is to do at once, and how it is undone here where it does not. */
class Change {
  readonly #destroyed: Command[] = [];
  readonly #sources: Command[] = [];
  readonly #renewed = new Map<string, { table: string; set: string; elements: Map<string, NameElement> }>();
  readonly #before: (readonly [Held, string, Holding, string, Entry | undefined])[] = [];

  destroy(table: string, set: string, gone: readonly Entry[]): void {
    if (gone.length > 0) this.#destroyed.push(destroyNamed(table, set, gone));
  }

  /** Which pairs come to a table, and which go from it. */
  pair(table: string, come: readonly Source[], gone: readonly Source[]): void {
    this.#sources.push(...changeSources('destroy', table, gone), ...changeSources('add', table, come));
  }

  /** Of one that comes twice, what was said last. */
  renew(table: string, set: string, element: NameElement): void {
    const at = `${table} ${set}`;
    const known = this.#renewed.get(at) ?? { table, set, elements: new Map() };
    this.#renewed.set(at, known);
    known.elements.set(textOf(element.key), element);
  }

  /** What a qube holds at an address. Undefined: it is held no more. */
  hold(held: Held, qube: string, mine: Holding, address: string, entry: Entry | undefined): void {
    this.#before.push([held, qube, mine, address, mine.get(address)]);
    if (entry === undefined) mine.delete(address);
    else mine.set(address, entry);
  }

  get commands(): readonly Command[] {
    const renewed = [...this.#renewed.values()].flatMap(({ table, set, elements }) =>
      renewNamed(table, set, [...elements.values()]),
    );
    return [...this.#destroyed, ...this.#sources, ...renewed];
  }

  undo(): void {
    for (const [held, qube, mine, address, before] of this.#before.reverse()) {
      if (before === undefined) mine.delete(address);
      else mine.set(address, before);
      if (mine.size === 0) held.delete(qube);
      else held.set(qube, mine);
    }
  }
}

/** A name set of a table. */
interface Place {
  readonly set: string;
  /** Its name. */
  readonly list: string;
  readonly isPrivate: boolean;
  readonly family: Family;
  readonly version: string;
  readonly qubes: Prefixes;
  /** Qubes that may hold something. */
  readonly most: number;
  /** Of a list that came in place of another state of it. */
  readonly left: Left | undefined;
}

/** Of an element of which state it is known whether its name is still in the list. */
interface Left {
  /** Null: of whichever. */
  readonly from: Key | null;
  has(label: NameLabel): boolean;
}

interface Table {
  readonly name: string;
  /** By list and family. */
  readonly places: ReadonlyMap<string, Place>;
  /** By address of a qube its other one, in hex digits, as the release says. */
  readonly others: ReadonlyMap<string, string>;
}

/** One address of a qube, and where it has what it holds by a list. */
interface Side {
  readonly list: string;
  readonly place: Place;
  readonly own: Uint32Array;
}

/** A set of the kernel, and what goes there. */
interface Target {
  readonly table: string;
  readonly set: string;
  readonly takes: readonly Entry[];
}

export class Openings {
  readonly #kernel: OpeningsKernel;
  #current: Table | undefined;
  /** Made, and not in force yet; may be in the same table of the kernel. */
  #next: Table | undefined;
  /** What the next comes in place of: the one in force, also where nobody has said yet who may open what. */
  #former: Table | undefined;
  /** By list and family. What is here may have ended in the kernel, and not the other way round. */
  readonly #held = new Map<string, Held>();
  /** By the address of a qube its pair, as our tables have it; and as it is said to be, once it was. */
  #paired: ReadonlyMap<string, Source> = new Map();
  #pairs: ReadonlyMap<string, Source> | undefined;
  /** Those that wait for the next look at flows. */
  #waiting: Waiting[] = [];
  #isLooking = false;
  /** The last one: it is logged once, until it is another. */
  #fault = '';

  constructor(kernel: OpeningsKernel) {
    this.#kernel = kernel;
  }

  // ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The sets of a table are made: what is open and still may be is carried over, and from now on new ones go
   * to both. `turn` is awaited between pieces. Rejects with NativeError.
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
    this.#pairUp(); // what is closed by it is not carried over
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

  /** Carries what a qube held at the begin, and still does: what came since is in both tables. */
  #carry(
    was: Place,
    place: Place,
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

  /** What was prepared is in force. */
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

  /** Nothing is in force. */
  forget(): void {
    this.#current = undefined;
    this.discard();
    this.#held.clear();
  }

  /** Who may open what in a table that another applier made. Rejects with NativeError. */
  async adopt(name: string, sets: readonly NameSet[]): Promise<void> {
    const table = this.#known(tableOf(name, sets, new Uint8Array(0)));
    await this.#read(table);
    this.#current = table;
    this.#pairUp();
  }

  /** What another applier left in force: what is open there is read. */
  async #found(): Promise<Table | undefined> {
    const found = this.#kernel.inForce();
    if (found === undefined) return undefined;
    const sets = found.sets.map(
      (set): NameSet => ({ set, list: '', isPrivate: false, qubes: [], pairs: [] }),
    );
    const table = tableOf(found.name, sets, new Uint8Array(0));
    await this.#read(table);
    return table;
  }

  /** Pairs, too, unless they are known: without a set of them, as others had made it, there is none. */
  async #read({ name, places }: Table): Promise<void> {
    if (this.#current === undefined) this.#paired = byQube(await this.#sourcesOf(name));
    for (const [list, place] of places) {
      if (this.#held.has(list)) continue;
      const elements = await this.#kernel.named(name, place.set);
      const held = this.#heldOf(list); // where something was opened meanwhile, that is the newer
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

  /** With what is known already of sets that are in force. */
  #known({ name, places, others }: Table): Table {
    const current = this.#current?.name === name ? this.#current.places : undefined;
    const known = [...places].map(([list, place]): [string, Place] => {
      const was = current?.get(list);
      return [list, was?.set === place.set ? { ...place, left: was.left } : place];
    });
    return { name, places: new Map(known), others };
  }

  // ── Who comes by what ────────────────────────────────────────────────────────────────────────────────────

  /** Takes which interface each qube comes by. What was told to one of another pair than before is closed. */
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
    const change = new Change();
    for (const qube of new Set([...gone, ...come].map(([each]) => each))) this.#close(qube, change);
    const [current, next] = [this.#current ?? this.#former, this.#next];
    const sourcesOf = (all: typeof gone): readonly Source[] => all.map(([, source]) => source);
    for (const table of new Set([current?.name, next?.name]))
      if (table !== undefined) change.pair(table, sourcesOf(come), sourcesOf(gone));
    if (this.#run(change)) this.#paired = after;
  }

  /** Puts into `change` that nothing is open to a qube by an address of its. */
  #close(qube: string, change: Change): void {
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
   * Opens all addresses of a request in the kernel, or those for which there is room, or none of them. What
   * gives way for them is none that a flow goes to, so that flows may have to be looked at first.
   */
  open(opening: Opening, other?: string): OpeningOutcome | Promise<OpeningOutcome> {
    return this.openAll([{ opening, other }])[0] ?? Outcome.later;
  }

  /**
   * Likewise several, of OPENED_TOGETHER addresses at most: in one transaction, and one by one where the
   * kernel refuses that, so that none fails by another. An outcome for each.
   */
  openAll(asked: readonly Asked[]): readonly (OpeningOutcome | Promise<OpeningOutcome>)[] {
    return this.#openTogether(asked).map((outcome, index) => this.#outcomeOf(asked[index]!, outcome)); // as many
  }

  #openTogether(asked: readonly Asked[]): readonly Opened[] {
    const change = new Change();
    const outcomes = asked.map((each) => this.#open(each, undefined, change));
    if (this.#run(change)) return outcomes;
    return asked.length === 1 ? [Outcome.later] : asked.flatMap((each) => this.#openTogether([each]));
  }

  /** Whether the kernel has done it; else it is as it was. */
  #run(change: Change): boolean {
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

  #outcomeOf(asked: Asked, opened: Opened): OpeningOutcome | Promise<OpeningOutcome> {
    if (opened !== NEEDS_LOOK && opened !== MAKES_ROOM) return opened;
    const { opening, other } = asked;
    const qube = textOf(wordsOf(opening.qube));
    const own = this.#waiting.filter((each) => each.qube === qube).length;
    if (opened === MAKES_ROOM) {
      const nothing = { ...opening, addresses: [] }; // but room for the next
      const tell = (): void => undefined;
      if (own === 0 && this.#waiting.length < LOOKS_MAX) this.#wait({ opening: nothing, other, qube, tell });
      return Outcome.open;
    }
    if (own >= LOOKS_OF_ONE_MAX || this.#waiting.length >= LOOKS_MAX) return Outcome.later;
    return new Promise((tell) => this.#wait({ opening, other, qube, tell }));
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
    void this.#look();
  }

  /** Looks at flows for all that wait, one look after the other, and rests as long as each takes. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#waiting.length > 0) {
        const waiting = this.#waiting;
        this.#waiting = [];
        const startMs = this.#kernel.nowMs();
        const flows = await this.#flowsOf(waiting);
        for (const each of waiting) {
          each.tell(flows === undefined ? Outcome.later : this.#openWith(flows, each));
          await this.#kernel.pause(0); // others have their turn
        }
        await this.#kernel.pause(this.#kernel.nowMs() - startMs);
      }
    } finally {
      this.#isLooking = false;
    }
  }

  /** A fault of ours fails the opening that meets it, and no other. */
  #openWith(look: Look, waiting: Waiting): OpeningOutcome {
    try {
      const change = new Change();
      const opened = this.#open(waiting, look, change);
      return this.#run(change) && typeof opened !== 'string' ? opened : Outcome.later;
    } catch (error) {
      this.#warn(error);
      return Outcome.later;
    }
  }

  #warn(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (text !== this.#fault) this.#kernel.warn(text);
    this.#fault = text;
  }

  /** Pairs of qubes that wait and where their flows go; undefined: the kernel does not say. */
  async #flowsOf(waiting: readonly Waiting[]): Promise<ReadonlySet<string> | undefined> {
    const qubes = new Set<string>();
    for (const { opening, other } of waiting) {
      for (const each of [opening.qube, this.#otherOf(opening.qube, other)])
        if (each !== undefined) qubes.add(textOf(wordsOf(each)));
    }
    const flows = new Set<string>();
    try {
      await this.#kernel.flows((key) => {
        if (qubes.has(textOf(key.subarray(0, key.length / 2)))) flows.add(textOf(key));
      });
      return flows;
    } catch (error) {
      if (!(error instanceof NativeError)) this.#warn(error);
      return undefined;
    }
  }

  /** Puts into `change` what the kernel is to do, and holds it as if it had. */
  #open(
    { opening: { family, key, version, qube, addresses, seconds, label }, other }: Asked,
    look: Look | undefined,
    change: Change,
  ): Opened {
    const state = addresses.length === 0 ? undefined : version; // of room it is no matter
    const asked = this.#sideOf(key, state, label, qube);
    if (asked === undefined) return Outcome.later;
    if (!isOf(asked.place, asked.own)) return Outcome.refused;
    if (!this.#paired.has(textOf(asked.own))) return Outcome.later; // as one that has just begun
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
    const mine = heldBy(held, place, ownText, nowMs);
    if (mine === undefined) return Outcome.full;
    const its = rest && this.#held.get(rest.list)?.get(textOf(rest.own));
    const times = { sinceMs: nowMs, usedMs: nowMs, untilMs: nowMs + seconds * 1000 };
    const entries = keys.map((pair): Entry => ({ key: pair, label, ...times }));
    const added = new Map(entries.map((entry) => [addressText(family, entry.key), entry]));
    const gone = withoutRoom(mine, its, added, label, nowMs, look);
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
    if (look === undefined) {
      const isNameCrowded = ofName > Math.max(NAME_CROWDED_AT, added.size);
      return all > mine.crowdedAt || isNameCrowded ? MAKES_ROOM : Outcome.open;
    }
    // Where flows keep nearly all of it, not every opening looks again.
    mine.crowdedAt = Math.max(CROWDED_AT, Math.ceil((all + NAME_ADDRESSES_MAX) / 2));
    if (taken.length === added.size) return Outcome.open;
    return entries.map((entry) => gone.takes.has(addressText(family, entry.key)));
  }

  /** Where an address of a qube has what it holds by a list, or a state of it; undefined: nowhere. */
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

  /** The lists by which an address is open to a qube, in hex digits; and as what it was told it. */
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

  /**
   * Keeps addresses open that would end soon, and that some flow goes to. Rejects with NativeError.
   */
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

  /** What is open by the lists in force. */
  *#openEntries(): Generator<readonly [string, Place, Entry]> {
    for (const [list, place] of this.#current?.places ?? []) {
      for (const mine of this.#held.get(list)?.values() ?? [])
        for (const entry of mine.values()) yield [list, place, entry];
    }
  }

  /** The set in force, and the one that is about to be, which takes what it still has the name of. */
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

  #heldOf(list: string): Held {
    let held = this.#held.get(list);
    if (held === undefined) {
      held = new Map();
      this.#held.set(list, held);
    }
    return held;
  }
}

function tableOf(name: string, sets: readonly NameSet[], body: Uint8Array): Table {
  const places = sets.flatMap(({ set, list, isPrivate, qubes, left }) => {
    const parsed = parseNameSetName(set);
    if (parsed === undefined) return [];
    const { key, family, size, version } = parsed;
    const column = new PrefixBuilder(family, qubes.length);
    for (const { address, length } of qubes) column.push(wordsOf(Buffer.from(address, 'hex')), 0, length);
    const most = Math.max(1, Math.floor(size / NAME_ADDRESSES_MAX));
    const place: Place = {
      set,
      list,
      isPrivate,
      family,
      version,
      qubes: canonicalPrefixes(column.build()),
      most,
      left: left && leftIn(left, body),
    };
    return [[`${key}_${family}`, place] as const];
  });
  const others = sets.flatMap(({ pairs }) =>
    pairs.flatMap(([four, six]) => [[four, six] as const, [six, four] as const]),
  );
  return { name, places: new Map(places), others: new Map(others) };
}

/** What is said of the names of a list, each of which is looked up once. */
function leftIn({ from, gone, kept }: LeftInBody, body: Uint8Array): Left {
  const column = ({ at, byteCount }: ColumnInBody): Names => ({
    count: byteCount, // of which nobody asks
    bytes: body.subarray(at, at + byteCount),
  });
  const left = { gone: gone === null ? undefined : column(gone), kept: column(kept) };
  const known = new Map<NameLabel, boolean>();
  return {
    from,
    has(label) {
      let is = known.get(label);
      if (is === undefined) {
        is = isReadable(label) && isLeft(left, label);
        if (known.size >= LABELS_KNOWN_MAX) known.clear();
        known.set(label, is);
      }
      return is;
    },
  };
}

/** Whether what is said of one state of a list holds in the one in force. */
function isSaidOf({ version, left }: Place, said: Key, label: NameLabel): boolean {
  return version === said || (left?.from === said && left.has(label));
}

/** Whether a name that one set is of is in the list of the next, too, which may open its address. */
function isStillIn(was: Place, next: Place, { key, label }: Entry): boolean {
  const { version, left } = next;
  if (was.version === version) return true;
  if (!isOpenable(next, key)) return false;
  return left !== undefined && (left.from === null || left.from === was.version) && left.has(label);
}

/** Forgets what was not carried from one set to the next. */
function keepCarried(held: Held, was: Place, place: Place): void {
  for (const [qube, mine] of held) {
    const [one] = mine.values();
    if (one === undefined || !isOf(place, one.key)) held.delete(qube);
    else if (was.version !== place.version)
      for (const [address, entry] of mine) if (!isStillIn(was, place, entry)) mine.delete(address);
    if (mine.size === 0) held.delete(qube);
  }
}

function isOf({ qubes }: Place, key: Uint32Array): boolean {
  return memberContaining(qubes, key) >= 0; // which begins with the address of the qube
}

/** No name opens what is private but by such a list, and none at all what is of a link or of this machine. */
function isOpenable({ family, isPrivate }: Place, key: Uint32Array): boolean {
  const address = { family, words: key.subarray(strideOf(family)) };
  return !isPrivateAddress(address) || (isPrivate && isNetworkAddress(address));
}

/** What a qube holds, some of which may have ended; undefined: too many others hold something. */
function heldBy(held: Held, { most }: Place, qube: string, nowMs: number): Holding | undefined {
  const known = held.get(qube);
  if (known === undefined && held.size >= most) for (const each of held.keys()) prune(held, each, nowMs);
  if (known === undefined && held.size >= most) return undefined;
  const mine = known ?? new Holding();
  held.set(qube, mine);
  return mine;
}

function prune(held: Held, qube: string, nowMs: number): void {
  const all = held.get(qube);
  if (all !== undefined) forgetEnded(all, nowMs);
  if (all?.size === 0) held.delete(qube);
}

function forgetEnded(mine: Holding, nowMs: number): void {
  for (const [address, { untilMs }] of mine) if (untilMs <= nowMs) mine.delete(address);
}

/**
 * What gives way of what a qube holds by either of its addresses, so that there is room for more, of the same
 * name and of all. Where that needs a look at flows, room is made for the next ones, too; then `takes` is
 * what there is room for. `its`: by the address of the other family than what is added.
 */
function withoutRoom(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
  nowMs: number,
  look: Look | undefined,
):
  | {
      readonly takes: ReadonlyMap<string, Entry>;
      readonly mine: readonly Entry[];
      readonly its: readonly Entry[];
    }
  | typeof NEEDS_LOOK
  | typeof Outcome.full {
  // As nearly always, and without a look at a thousand.
  const all = { takes: added, mine: [], its: [] };
  if (look === undefined && isRoom(mine, its, added, label)) return all;
  forgetEnded(mine, nowMs);
  if (its !== undefined) forgetEnded(its, nowMs);
  if (look === undefined) return isRoom(mine, its, added, label) ? all : NEEDS_LOOK;
  for (const each of [...mine.values(), ...(its?.values() ?? [])])
    if (look.has(textOf(each.key))) each.usedMs = nowMs;
  const takes = admitted(mine, its, added, label, nowMs, look);
  if (takes.size === 0 && added.size > 0) return Outcome.full;
  const gone = new Set<Entry>();
  const isAhead = added.size === 0;
  for (const { entries, idle, most } of crowdsOf(besides(mine, its, takes), label, nowMs, look, isAhead)) {
    const excess = entries.filter((each) => !gone.has(each)).length + takes.size - (most - 2 * aheadOf(most));
    const idleLeft = idle.filter((each) => !gone.has(each));
    for (const each of idleLeft.slice(0, Math.max(0, excess))) gone.add(each);
  }
  const isGone = (entry: Entry): boolean => gone.has(entry);
  return { takes, mine: [...mine.values()].filter(isGone), its: [...(its?.values() ?? [])].filter(isGone) };
}

/** What a qube holds beside these addresses. */
function besides(
  mine: Holding,
  its: Holding | undefined,
  addresses: ReadonlyMap<string, Entry>,
): readonly Entry[] {
  const own = [...mine].flatMap(([address, entry]) => (addresses.has(address) ? [] : [entry]));
  return [...own, ...(its?.values() ?? [])];
}

/**
 * The added addresses that fit once all that may give way has gone. Addresses that the qube has already take
 * no room and come first, those of this name before those of others.
 */
function admitted(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
  nowMs: number,
  look: Look,
): ReadonlyMap<string, Entry> {
  const crowds = crowdsOf(besides(mine, its, added), label, nowMs, look, added.size === 0);
  const room = Math.min(...crowds.map(({ entries, idle, most }) => most - (entries.length - idle.length)));
  if (room >= added.size) return added;
  const rank = ([address]: readonly [string, Entry]): number => {
    const entry = mine.get(address);
    return entry?.label === label ? 0 : entry === undefined ? 2 : 1;
  };
  return new Map([...added].sort((a, b) => rank(a) - rank(b)).slice(0, Math.max(0, room)));
}

/** What there is of a name, then of all, up to `most`; and what of it may give way. */
function crowdsOf(
  all: readonly Entry[],
  label: NameLabel,
  nowMs: number,
  look: Look,
  isAhead: boolean,
): readonly { readonly entries: readonly Entry[]; readonly idle: readonly Entry[]; readonly most: number }[] {
  const ofName = all.filter((each) => each.label === label);
  const [most, mostOfName] = [NAME_ADDRESSES_MAX, NAME_ADDRESSES_OF_ONE_MAX];
  const [spared, sparedOfName] = isAhead ? [most / 2, mostOfName] : [0, 0];
  return [
    { entries: ofName, idle: idleIn(ofName, sparedOfName, nowMs, look), most: mostOfName },
    { entries: all, idle: idleIn(all, spared, nowMs, look), most },
  ];
}

/** Rank of an entry that was told longer ago: it gives way before all that were told a moment ago. */
const OLD_RANK = Number.MAX_SAFE_INTEGER;

/**
 * Those to which no flow goes, in the order in which they give way: first the one used longest ago. What was
 * told a moment ago comes last, of the domain that has most of it the oldest first: no domain, however many
 * names it has, takes the room of others. Each domain keeps the newest `spared` of that.
 */
function idleIn(entries: readonly Entry[], spared: number, nowMs: number, look: Look): readonly Entry[] {
  const counts = new Map<string, number>();
  const newestFirst = entries.filter(({ key }) => !look.has(textOf(key))).sort((a, b) => b.usedMs - a.usedMs);
  const ranked = newestFirst.map((entry) => {
    if (nowMs - entry.sinceMs > SPARED_MS) return { entry, rank: OLD_RANK };
    const domain = domainOf(entry.label);
    const rank = counts.get(domain) ?? 0;
    counts.set(domain, rank + 1);
    return { entry, rank };
  });
  return ranked
    .filter(({ rank }) => rank >= spared)
    .reverse()
    .sort((a, b) => b.rank - a.rank)
    .map(({ entry }) => entry);
}

/** Names below one domain are its owner's, who can make up as many as he likes; digests have none. */
function domainOf(label: NameLabel): string {
  return label.includes('.') ? label.split('.').slice(-2).join('.') : '';
}

function isRoom(
  mine: Holding,
  its: Holding | undefined,
  added: ReadonlyMap<string, Entry>,
  label: NameLabel,
): boolean {
  let [more, moreOfName] = [0, 0];
  for (const address of added.keys()) {
    const entry = mine.get(address);
    if (entry === undefined) more++;
    if (entry?.label !== label) moreOfName++;
  }
  return (
    mine.size + (its?.size ?? 0) + more <= NAME_ADDRESSES_MAX &&
    mine.countOf(label) + (its?.countOf(label) ?? 0) + moreOfName <= NAME_ADDRESSES_OF_ONE_MAX
  );
}

/** Room for what is told while flows are looked at. */
function aheadOf(most: number): number {
  return most / ROOM_AHEAD;
}

function put(held: Held, family: Family, entry: Entry): void {
  const qube = qubeText(family, entry.key);
  const mine = held.get(qube) ?? new Holding();
  held.set(qube, mine);
  mine.set(addressText(family, entry.key), entry);
}

function entryIn(held: Held, family: Family, key: Uint32Array): Entry | undefined {
  return held.get(qubeText(family, key))?.get(addressText(family, key));
}

function qubeText(family: Family, key: Uint32Array): string {
  return textOf(key.subarray(0, strideOf(family)));
}

function addressText(family: Family, key: Uint32Array): string {
  return textOf(key.subarray(strideOf(family)));
}

function elementOf({ key, label, untilMs }: Entry, nowMs: number): NameElement {
  return { key, label, milliseconds: Math.max(1, untilMs - nowMs) };
}

function byQube(sources: Iterable<Source>): ReadonlyMap<string, Source> {
  return new Map(
    Array.from(sources, (each) => [textOf(wordsOf(Buffer.from(each.address, 'hex'))), each] as const),
  );
}

/** The same for the same words, and for no others: `join` takes ten times as long for one or two. */
function textOf(words: Uint32Array): string {
  let text = `${words[0] ?? ''}`;
  for (let w = 1; w < words.length; w++) text += `,${words[w]}`;
  return text;
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(bytes.length / 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let w = 0; w < words.length; w++) words[w] = view.getUint32(w * 4);
  return words;
}
