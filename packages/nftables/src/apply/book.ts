/**
 * The book of openings: the addresses open to each qube by each list, and changes to it, with the kernel's
 * commands and a way to undo them here if the kernel refuses.
 */

import type { Family } from '@rulecast/rules';
import { NAME_ADDRESSES_MAX, strideOf } from '@rulecast/rules/columns';
import type { Command } from '../kernel/commands.ts';
import { destroyNamed, type NameElement, renewNamed } from '../kernel/name-elements.ts';
import { changeSources, type Source } from '../kernel/sources.ts';
import { NAME_ADDRESSES_OF_ONE_MAX, ROOM_AHEAD } from '../limits.ts';
import type { NameLabel } from '../plan/name-set.ts';

/** One address that a qube may use. */
export interface Entry {
  readonly key: Uint32Array;
  readonly label: NameLabel;
  /** When DNS gave the address to the qube. */
  readonly sinceMs: number;
  /** When it was last used: opened, or seen with a flow. The least recently used gives way first. */
  usedMs: number;
  readonly untilMs: number;
}

/** With more, room is made ahead: of a list, and of a name. */
export const CROWDED_AT = NAME_ADDRESSES_MAX - aheadOf(NAME_ADDRESSES_MAX);
export const NAME_CROWDED_AT = NAME_ADDRESSES_OF_ONE_MAX - aheadOf(NAME_ADDRESSES_OF_ONE_MAX);

/** The open addresses of one qube, with a count by name, as every opening asks for it. */
export class Holding extends Map<string, Entry> {
  readonly #ofNames = new Map<NameLabel, number>();
  /** Above this number, over both addresses of the qube, a look is made for entries that may give way. */
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

/** By qube. */
export type Book = Map<string, Holding>;

/** A change to the book: the kernel's commands for it, and how to undo it here if they fail. */
export class BookChange {
  readonly #destroyed: Command[] = [];
  readonly #sources: Command[] = [];
  readonly #renewed = new Map<string, { table: string; set: string; elements: Map<string, NameElement> }>();
  readonly #before: (readonly [Book, string, Holding, string, Entry | undefined])[] = [];

  destroy(table: string, set: string, gone: readonly Entry[]): void {
    if (gone.length > 0) this.#destroyed.push(destroyNamed(table, set, gone));
  }

  /** Adds pairs to a table, and removes others. */
  pair(table: string, come: readonly Source[], gone: readonly Source[]): void {
    this.#sources.push(...changeSources('destroy', table, gone), ...changeSources('add', table, come));
  }

  /** If an element is renewed twice, the last value wins. */
  renew(table: string, set: string, element: NameElement): void {
    const at = `${table} ${set}`;
    const known = this.#renewed.get(at) ?? { table, set, elements: new Map() };
    this.#renewed.set(at, known);
    known.elements.set(textOf(element.key), element);
  }

  /** Sets what a qube has open at an address. Undefined: nothing any more. */
  hold(held: Book, qube: string, mine: Holding, address: string, entry: Entry | undefined): void {
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

/** The open addresses of a qube, some of which may have ended; undefined if `most` other qubes have some. */
export function holdingOf(held: Book, most: number, qube: string, nowMs: number): Holding | undefined {
  const known = held.get(qube);
  if (known === undefined && held.size >= most) for (const each of held.keys()) prune(held, each, nowMs);
  if (known === undefined && held.size >= most) return undefined;
  const mine = known ?? new Holding();
  held.set(qube, mine);
  return mine;
}

export function prune(held: Book, qube: string, nowMs: number): void {
  const all = held.get(qube);
  if (all !== undefined) forgetEnded(all, nowMs);
  if (all?.size === 0) held.delete(qube);
}

export function forgetEnded(mine: Holding, nowMs: number): void {
  for (const [address, { untilMs }] of mine) if (untilMs <= nowMs) mine.delete(address);
}

export function put(held: Book, family: Family, entry: Entry): void {
  const qube = qubeText(family, entry.key);
  const mine = held.get(qube) ?? new Holding();
  held.set(qube, mine);
  mine.set(addressText(family, entry.key), entry);
}

export function entryIn(held: Book, family: Family, key: Uint32Array): Entry | undefined {
  return held.get(qubeText(family, key))?.get(addressText(family, key));
}

/** Room for openings that arrive during a look at flows. */
export function aheadOf(most: number): number {
  return most / ROOM_AHEAD;
}

function qubeText(family: Family, key: Uint32Array): string {
  return textOf(key.subarray(0, strideOf(family)));
}

export function addressText(family: Family, key: Uint32Array): string {
  return textOf(key.subarray(strideOf(family)));
}

export function elementOf({ key, label, untilMs }: Entry, nowMs: number): NameElement {
  return { key, label, milliseconds: Math.max(1, untilMs - nowMs) };
}

/** Equal for equal words only: `join` takes ten times as long for one or two. */
export function textOf(words: Uint32Array): string {
  let text = `${words[0] ?? ''}`;
  for (let w = 1; w < words.length; w++) text += `,${words[w]}`;
  return text;
}

export function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(bytes.length / 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let w = 0; w < words.length; w++) words[w] = view.getUint32(w * 4);
  return words;
}
