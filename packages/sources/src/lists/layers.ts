/**
 * Entries with a time to live, for lists that merge the present content of their source with former ones.
 * They are kept as disjoint layers, each with the entries last seen at one time, so that ages take no room by
 * entry:
 *
 *     now      [ what the source says now              ]
 *     before   [ … less what is above ]
 *     earlier  [ … less what is above ]     ← dropped whole when it is too old
 */

import { entryCount, type List, nameListOf } from '@rulecast/rules';
import { aggregatedList, subtractLists, unionLists } from './expression.ts';

export interface Layer {
  /** Steady milliseconds when the source last said these. */
  readonly seenAtMs: number;
  readonly list: List;
}

/** The input of a merge. Plain data. */
export interface Merging {
  readonly layers: readonly Layer[];
  /** The present content of the source, if there is some; of the kind of the layers. */
  readonly fresh: Layer | undefined;
  readonly aggregate: boolean;
}

/** Layers, and their union. */
export interface Merged {
  readonly layers: readonly Layer[];
  readonly list: List;
}

export function mergeLayers({ layers, fresh, aggregate }: Merging): Merged {
  const merged = fresh === undefined ? layers : layersWith(layers, fresh.list, fresh.seenAtMs);
  const list = listOfLayers(merged);
  return { layers: merged, list: aggregate && merged.length > 1 ? aggregatedList(list) : list };
}

/**
 * Beyond this many the two oldest become one, with the age of the younger: the bound on work and memory is
 * worth that.
 */
export const LAYERS_MAX = 48;

/** The layers after the source said `list`. `list` is of the kind of the layers, if there are any. */
export function layersWith(layers: readonly Layer[], list: List, seenAtMs: number): readonly Layer[] {
  const older = layers
    .map((layer) => ({ ...layer, list: subtractLists(layer.list, list) }))
    .filter((layer) => entryCount(layer.list) > 0);
  const next = [{ seenAtMs, list }, ...older];
  if (next.length <= LAYERS_MAX) return next;
  const [oldest, younger] = [next.pop(), next.pop()];
  if (oldest === undefined || younger === undefined) return next;
  return [...next, { seenAtMs: younger.seenAtMs, list: unionLists([younger.list, oldest.list]) }];
}

/** The layers younger than `ttlMs`; the first, the present content, stays whatever its age. */
export function unexpired(layers: readonly Layer[], nowMs: number, ttlMs: number): readonly Layer[] {
  const kept = layers.filter((layer, i) => i === 0 || nowMs - layer.seenAtMs < ttlMs);
  return kept.length === layers.length ? layers : kept;
}

/** When the next layer expires, in steady milliseconds; undefined where none will. */
export function nextExpiryMs(layers: readonly Layer[], ttlMs: number): number | undefined {
  const oldest = layers.length > 1 ? layers.at(-1) : undefined;
  return oldest === undefined ? undefined : oldest.seenAtMs + ttlMs;
}

/** All layers as one list. */
export function listOfLayers(layers: readonly Layer[]): List {
  const [only] = layers;
  if (only === undefined) return nameListOf([], false);
  return layers.length === 1 ? only.list : unionLists(layers.map(({ list }) => list));
}
