/** The saved state of each list: written after each batch, if it changed. */

import type { ListConfig } from '@rulecast/formats';
import type { SavedTime } from '../clock.ts';
import type { Layer } from '../lists/layers.ts';
import { type SavedList, SavedLists, type SavedState } from '../lists/saved.ts';
import type { Delivery } from './delivery.ts';
import type { Source } from './source.ts';

/** The input of a record. */
export interface Recorded {
  readonly time: SavedTime;
  readonly nowMs: number;
  readonly sources: ReadonlyMap<string, Source>;
  readonly delivery: Delivery;
  /** Lists in force, as they were saved, while the configuration has no lists. */
  readonly unsaid: ReadonlyMap<string, SavedList>;
}

export class Records {
  readonly #saved: SavedLists;
  /** The layers that were written last, by list. */
  readonly #written = new Map<string, readonly Layer[]>();

  constructor(directory: string) {
    this.#saved = new SavedLists(directory);
  }

  state(): Promise<SavedState> {
    return this.#saved.state();
  }

  /** The layers of a list, if no release holds all that they are. */
  async layersOf(config: ListConfig): Promise<readonly Layer[] | undefined> {
    return isSavedWhole(config) ? this.#saved.layers(config.name) : undefined;
  }

  /** Rejects as the disk does. */
  async write({ time, nowMs, sources, delivery, unsaid }: Recorded): Promise<void> {
    const lists = new Map<string, SavedList>(unsaid);
    const whole = new Set<string>(unsaid.keys());
    for (const [name, source] of sources) {
      lists.set(name, {
        goodAtMs: source.goodAtMs ?? nowMs,
        fetchedAtWallMs: source.fetchedAtMs,
        contentAtMs: source.contentAtMs,
        change: delivery.change(name),
        longestEntries: source.longestEntries,
      });
      if (!isSavedWhole(source.config)) continue;
      whole.add(name);
      const { layers } = source;
      if (this.#written.get(name) === layers || layers.length === 0) continue;
      await this.#saved.writeLayers(name, layers);
      this.#written.set(name, layers);
    }
    await this.#saved.writeState({ time, lists });
    await this.#saved.retain(whole);
  }
}

/** Whether no release holds all that is to be known of a list after a restart. */
function isSavedWhole(config: ListConfig): boolean {
  return config.mode === 'merge' || !config.publish;
}
