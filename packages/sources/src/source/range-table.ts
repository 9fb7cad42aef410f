/**
 * Tables: addresses by country or AS number, as registries and range databases publish them, from which many
 * lists are cut. A table is fetched once for all of them, and read by each through the filter of its format,
 * so that nothing of it stays in memory.
 */

import type { SourceLimits, TableConfig } from '@rulecast/formats';
import type { Clock } from '../clock.ts';
import type { Refusal } from '../guard/guard.ts';
import { cachedInputs, type Downloader, fetchInputs, type Inputs, readFileInputs } from '../read/inputs.ts';
import { FileRest } from '../watch/rest.ts';

export class RangeTable {
  readonly config: TableConfig;
  readonly #fetcher: Downloader;
  readonly #limits: SourceLimits;
  /** In a row. */
  failures = 0;
  /** Why the last fetch failed. */
  trouble: Refusal | undefined;
  readonly #rest: FileRest;

  constructor(config: TableConfig, fetcher: Downloader, limits: SourceLimits, clock: Clock) {
    this.#rest = new FileRest(config.rest, clock);
    this.config = config;
    this.#fetcher = fetcher;
    this.#limits = limits;
  }

  /** Fetches newer content. Throws FetchError. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { source, timeoutMs } = this.config;
    if (source.kind === 'files') return;
    this.failures++;
    await fetchInputs(source, this.#fetcher, { limits: this.#limits, timeoutMs, signal });
    this.failures = 0;
    this.trouble = undefined;
  }

  /**
   * Milliseconds since 1970 when the cache was filled; undefined where it holds nothing. Throws FetchError.
   */
  async cachedAtMs(): Promise<number | undefined> {
    const { source } = this.config;
    if (source.kind === 'files') return undefined;
    return (await cachedInputs(source, this.#fetcher))?.fetchedAtMs;
  }

  /**
   * The present content of the table, from its files or from the cache; undefined if nothing was fetched yet.
   * Throws InputError and FetchError.
   */
  async inputs(nowMs: number): Promise<Inputs | undefined> {
    const { source } = this.config;
    if (source.kind === 'url') return cachedInputs(source, this.#fetcher);
    this.#rest.begin();
    const files = await Promise.all(
      source.paths.map((path) => readFileInputs(path, this.#limits, nowMs, this.#rest)),
    );
    return { inputs: files.flatMap(({ inputs }) => inputs), fetchedAtMs: nowMs, fingerprint: undefined };
  }
}
