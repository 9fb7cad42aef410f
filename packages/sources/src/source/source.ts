/**
 * One configured list: loads, reads and judges its source, and accepts it, or refuses it, when the last good
 * list stays.
 *
 *     inputs ─worker: unpack, import, filter─▶ list ─guards─▶ layers (one, or more where it merges) ─▶ list
 *        └── FetchError, InputError: failing      └── refused
 */

import type { ListConfig, SourceLimits } from '@rulecast/formats';
import {
  combineSets,
  EMPTY_PREFIX_SET,
  entryCount,
  type Family,
  type List,
  NO_NAME_SET,
  nameListOf,
  type PrefixSet,
  prefixListOf,
  subtractPrefixes,
} from '@rulecast/rules';
import type { Clock, SteadyTime } from '../clock.ts';
import { FetchError } from '../fetch/error.ts';
import { wholeFamilies } from '../guard/finding.ts';
import {
  changeRefusals,
  firstRefusals,
  GuardCode,
  judged,
  NO_PERMITS,
  type Overridden,
  type Permits,
  type Refusal,
  shortRefusals,
  wholeRefusals,
} from '../guard/guard.ts';
import { type Expression, sameList, type UnsayableExpression } from '../lists/expression.ts';
import {
  type Layer,
  listOfLayers,
  type Merged,
  type Merging,
  nextExpiryMs,
  unexpired,
} from '../lists/layers.ts';
import type { SavedList } from '../lists/saved.ts';
import { namesTaken } from '../lists/suffixes.ts';
import {
  cachedInputs,
  type Downloader,
  fetchInputs,
  InputError,
  type Inputs,
  readDirInputs,
  readFileInputs,
} from '../read/inputs.ts';
import type { ReadingOrder } from '../read/list-worker.ts';
import type { ReadList, ReadRefused } from '../read/reading.ts';
import { Flapping } from '../schedule/flapping.ts';
import { FileRest } from '../watch/rest.ts';
import type { RangeTable } from './range-table.ts';

/**
 * Work that is long for long lists; a ListWorker does it in a thread. Rejects only for a bug, or for want of
 * memory.
 */
export interface ListWork {
  /** Rejects with FetchError besides, where a download is not there any more. */
  read(order: ReadingOrder): Promise<ReadList | ReadRefused>;
  evaluate(expression: Expression): Promise<List | UnsayableExpression>;
  merge(merging: Merging): Promise<Merged>;
}

/** The parts shared by all sources of a publisher. */
export interface SourceContext {
  readonly clock: Clock;
  readonly time: SteadyTime;
  readonly fetcher: Downloader;
  readonly work: ListWork;
  readonly limits: SourceLimits;
  readonly neverBlock: PrefixSet;
  readonly tables: ReadonlyMap<string, RangeTable>;
  /** Aborts fetches when the sources close. */
  readonly signal: AbortSignal;
}

/** Why a list is not as fresh as it should be. */
export interface SourceTrouble extends Refusal {
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** The result of a load. */
export interface LoadResult {
  readonly isGood: boolean;
  /** The wait that its server requests. */
  readonly retryAfterMs: number | undefined;
  /** A refusal of the list that a permit overrode. */
  readonly overridden: Overridden | undefined;
  /** No result yet: a file is still being written, and may be read so much later. */
  readonly restsInMs: number | undefined;
}

/** A file may be restless for so long before that is reported. Our choice. */
const RESTLESS_TOLD_MS = 60_000;

/** A source may stay unchanged for so many intervals before that is reported. */
const UNCHANGED_INTERVALS = 10;

const NOT_YET: Refusal = { code: 'not-yet', reason: 'its table was not fetched yet' };

export class Source {
  readonly config: ListConfig;
  /** The last good list; undefined before there is one. */
  list: List | undefined;
  /** The layers of `list`; one, except for lists that merge. */
  layers: readonly Layer[] = [];
  /** Steady milliseconds: when the source last confirmed the list's content. */
  goodAtMs: number | undefined;
  /** Likewise: since when it has this content. */
  contentAtMs: number | undefined;
  /** Milliseconds since 1970 of the last reading, good or not. */
  fetchedAtMs: number | undefined;
  trouble: SourceTrouble | undefined;
  /** In a row. */
  failures = 0;
  /** How often its content was refused. */
  refusalCount = 0;
  /** The last good reading. */
  report: ReadList | undefined;
  /** The number of suffix entries of which only the name itself is used. */
  suffixCount = 0;
  /** Its time to live is over, and the list is empty for that. */
  isExpired = false;
  readonly #context: SourceContext;
  readonly #rest: FileRest;
  /** How long a watched file needs to rest before it is read; undefined if it was read, or cannot be. */
  restsInMs: number | undefined;
  /** Since when what is watched does not rest, by a clock that only runs. */
  #restlessSinceMs: number | undefined;
  /** The fingerprint of the last input, and its refusal, if any. */
  #lastRead: { readonly fingerprint: string; readonly refusal: Refusal | undefined } | undefined;
  /** Damps a flapping download. */
  readonly #flapping = new Flapping();
  /** For an expression: its last operands. */
  #operands: readonly List[] = [];
  /** Families that the list may cover completely, by a permit. */
  #wholeAllowed: readonly Family[] = [];
  /** The number of short prefixes allowed by a permit. */
  #shortAllowed = 0;
  /** Entries of the longest list that was taken so far, of the kind that it has now. */
  longestEntries = 0;

  constructor(config: ListConfig, context: SourceContext) {
    this.config = config;
    this.#context = context;
    this.#rest = new FileRest(config.rest, context.clock);
  }

  /** Restores the state from before the publisher stopped. */
  resume(kept: SavedList | undefined, layers: readonly Layer[] | undefined, held: List | undefined): void {
    this.goodAtMs = kept?.goodAtMs;
    this.fetchedAtMs = kept?.fetchedAtWallMs;
    this.longestEntries = kept?.longestEntries ?? 0;
    this.contentAtMs = kept?.contentAtMs ?? this.#context.time.nowMs();
    const seenAtMs = kept?.goodAtMs ?? this.#context.time.nowMs();
    this.layers = layers ?? (held === undefined ? [] : [{ seenAtMs, list: held }]);
    if (this.layers.length > 0) this.list = held ?? listOfLayers(this.layers);
  }

  /** Reads the cache instead of the network; undefined where it holds nothing for this list. */
  async loadCached(): Promise<LoadResult | undefined> {
    const { source } = this.config;
    if (source.kind !== 'url') return undefined;
    try {
      const inputs = await cachedInputs(source, this.#context.fetcher);
      return inputs && (await this.#takeInputs(inputs, NO_PERMITS));
    } catch (error) {
      if (error instanceof FetchError) return undefined; // then it is fetched
      throw error;
    }
  }

  /** Reads the source now. Never rejects but for a bug. */
  async load(permits: Permits): Promise<LoadResult> {
    this.restsInMs = undefined;
    const fixed = fixedList(this.config);
    if (fixed !== undefined) {
      this.fetchedAtMs = this.#context.clock.wallMs();
      await this.#setFresh(this.#shaped(fixed));
      return this.#good(undefined);
    }
    try {
      const inputs = await this.#inputs();
      if (inputs === undefined) return this.#failed(this.#notYet(), undefined);
      return await this.#takeInputs(inputs, permits);
    } catch (error) {
      if (error instanceof FetchError)
        return this.#failed({ code: error.code, reason: error.message }, error.retryAfterMs);
      if (error instanceof InputError) return this.#unread(error);
      throw error;
    }
  }

  #notYet(): Refusal {
    const { source } = this.config;
    const table = source.kind === 'table' ? this.#context.tables.get(source.table) : undefined;
    return table?.trouble ?? NOT_YET;
  }

  /** A watched file cannot be read now. If it is only being written, waits, at first silently. */
  #unread({ code, message, restsInMs }: InputError): LoadResult {
    if (restsInMs === undefined) return this.#failed({ code, reason: message }, undefined);
    this.restsInMs = restsInMs;
    const { quietMs, unfinishedMs = 0 } = this.#rest.config;
    const nowMs = this.#context.clock.monotonicMs();
    this.#restlessSinceMs ??= nowMs;
    const isTold = nowMs - this.#restlessSinceMs >= Math.max(RESTLESS_TOLD_MS, quietMs * 2, unfinishedMs * 2);
    if (isTold) return { ...this.#failed({ code, reason: message }, undefined), restsInMs };
    return { isGood: false, retryAfterMs: undefined, overridden: undefined, restsInMs };
  }

  async #inputs(): Promise<Inputs | undefined> {
    const { source, timeoutMs } = this.config;
    const { limits, signal, fetcher, clock, tables } = this.#context;
    switch (source.kind) {
      case 'file':
        this.#rest.begin();
        return readFileInputs(source.path, limits, clock.wallMs(), this.#rest);
      case 'dir':
        this.#rest.begin();
        return readDirInputs(source.path, source.match, limits, clock.wallMs(), this.#rest);
      case 'url':
        return fetchInputs(source, fetcher, { limits, timeoutMs, signal });
      case 'table':
        return tables.get(source.table)?.inputs(clock.wallMs());
      case 'names':
      case 'entries':
      case 'expression':
        throw new TypeError(`a list of ${source.kind} has no inputs`);
    }
  }

  async #takeInputs(inputs: Inputs, permits: Permits): Promise<LoadResult> {
    const { fingerprint } = inputs;
    const nowMs = this.#context.time.nowMs();
    this.fetchedAtMs = inputs.fetchedAtMs;
    if (
      fingerprint !== undefined &&
      fingerprint === this.#lastRead?.fingerprint &&
      permits.codes.size === 0
    ) {
      if (this.#lastRead.refusal !== undefined) return this.#refused(this.#lastRead.refusal);
      if (this.isExpired) await this.#merge(this.layers, undefined);
      return this.#good(undefined);
    }
    const { result, overridden } = await this.#readInputs(inputs, permits);
    const refusal = result.kind === 'refused' ? { code: result.code, reason: result.reason } : undefined;
    this.#lastRead = fingerprint === undefined ? undefined : { fingerprint, refusal };
    if (result.kind === 'refused') return this.#refused(result);
    const takeInMs = (isPermitted: boolean): number =>
      fingerprint === undefined ? 0 : this.#flapping.takeInMs(result.list, nowMs, isPermitted);
    let waitMs = takeInMs(false);
    if (waitMs > 0 && permits.codes.has(GuardCode.flapping)) {
      permits.needed.add(GuardCode.flapping);
      waitMs = takeInMs(true);
    }
    if (waitMs > 0) {
      this.#lastRead = undefined; // so that it is read again, and accepted if it is still there
      return this.#refused(flappingRefusal(this.config.name, waitMs));
    }
    this.report = result;
    this.suffixCount = result.suffixCount;
    await this.#setFresh(result.list);
    return this.#good(overridden);
  }

  /** Reads the bytes, and runs every guard. */
  async #readInputs(
    inputs: Inputs,
    permits: Permits,
  ): Promise<{
    readonly result: ReadList | (Refusal & { readonly kind: 'refused' });
    readonly overridden: Overridden | undefined;
  }> {
    const { config } = this;
    const context = this.#context;
    const { reading, resolve, suffixes, aggregate, rejectsShare, guard, purpose, neverBlockExempt } = config;
    const neverBlock = purpose === 'allow' ? undefined : exempted(context.neverBlock, neverBlockExempt);
    const read = await context.work.read({
      inputs: inputs.inputs,
      reading: config.source.kind === 'table' ? tableReading(config, context.tables) : reading,
      resolve,
      asNames: suffixes === 'as-names',
      aggregate,
      rejectsShare,
      leastEntries: Math.min(1, guard.minEntries ?? 1),
      ignoreDeclared: guard.ignoreDeclared,
      limits: context.limits,
      neverBlock,
    });
    if (read.kind === 'refused') return { result: read, overridden: undefined };
    const result = { ...read, notes: [...(inputs.notes ?? []), ...read.notes] };
    const before = this.layers[0]?.list ?? this.list;
    const isFirst = before === undefined || entryCount(before) === 0;
    const isDownload = config.source.kind === 'url';
    const { longestEntries } = this;
    const against = [
      ...wholeRefusals(result.whole, this.#wholeAllowed, guard),
      ...shortRefusals(result.short, this.#shortAllowed, guard),
      ...firstRefusals(isDownload ? result.apology : undefined, isFirst),
      ...changeRefusals(before, result.list, guard, { whole: result.whole, longestEntries }),
    ];
    const { refusal, overridden } = judged(config.name, against, permits);
    if (refusal !== undefined) return { result: { kind: 'refused', ...refusal }, overridden };
    this.#wholeAllowed = result.whole;
    this.#shortAllowed = result.short?.count ?? 0;
    return { result, overridden };
  }

  /** Shapes the list by its settings for names. */
  #shaped(made: List): List {
    const { resolve, suffixes } = this.config;
    const { list, suffixCount } = namesTaken(made, suffixes === 'as-names');
    this.suffixCount = suffixCount;
    return list.kind === 'names' ? { ...list, resolve } : list;
  }

  /** Sets the present content of the source. */
  async #setFresh(list: List): Promise<void> {
    const fresh: Layer = { seenAtMs: this.#context.time.nowMs(), list };
    const isSameKind = this.list === undefined || this.list.kind === list.kind;
    this.longestEntries = Math.max(isSameKind ? this.longestEntries : 0, entryCount(list));
    const isMerged = this.config.mode === 'merge' && this.layers[0]?.list.kind === list.kind;
    if (isMerged) await this.#merge(this.layers, fresh);
    else this.#take({ layers: [fresh], list });
  }

  async #merge(layers: readonly Layer[], fresh: Layer | undefined): Promise<void> {
    this.#take(await this.#context.work.merge({ layers, fresh, aggregate: this.config.aggregate }));
  }

  #take({ layers, list }: Merged): void {
    this.layers = layers;
    if (sameList(this.list, list)) return; // the same object where it is the same
    this.list = list;
    this.contentAtMs = this.#context.time.nowMs();
  }

  #good(overridden: Overridden | undefined): LoadResult {
    this.goodAtMs = this.#context.time.nowMs();
    this.failures = 0;
    this.trouble = undefined;
    this.isExpired = false;
    this.#restlessSinceMs = undefined;
    return { isGood: true, retryAfterMs: undefined, overridden, restsInMs: undefined };
  }

  #refused(refusal: Refusal): LoadResult {
    this.refusalCount++;
    return this.#failed(refusal, undefined);
  }

  #failed(refusal: Refusal, retryAfterMs: number | undefined): LoadResult {
    const { code, reason } = refusal;
    // A watched file is good until something is wrong with it; a download, as of its time.
    const isWatched = this.config.source.kind === 'file' || this.config.source.kind === 'dir';
    if (isWatched && this.trouble === undefined && this.list !== undefined)
      this.goodAtMs = this.#context.time.nowMs();
    this.trouble = { code, reason, atMs: this.#context.clock.wallMs() };
    this.failures++;
    return { isGood: false, retryAfterMs, overridden: undefined, restsInMs: undefined };
  }

  /** Goes on from a list of the same source that was configured otherwise. */
  inherit(before: Source): void {
    const { list, layers, goodAtMs, contentAtMs, fetchedAtMs } = before;
    const { report, longestEntries, suffixCount, refusalCount } = before;
    Object.assign(this, { list, layers, goodAtMs, contentAtMs, fetchedAtMs });
    Object.assign(this, { report, longestEntries, suffixCount, refusalCount });
    this.#wholeAllowed = before.#wholeAllowed;
    this.#shortAllowed = before.#shortAllowed;
  }

  // ── Expressions ──────────────────────────────────────────────────────────────────────────────────────────

  /** Whether these very lists were judged last. */
  isMadeOf(operands: readonly List[]): boolean {
    const last = this.#operands;
    return last.length === operands.length && operands.every((list, i) => list === last[i]);
  }

  /** Accepts the present value of an expression. Returns the refusal that was overridden, if one was. */
  async takeExpression(
    list: List,
    operands: readonly List[],
    permits: Permits,
  ): Promise<Overridden | undefined> {
    this.#operands = operands;
    this.fetchedAtMs = this.#context.clock.wallMs();
    const shaped = this.#shaped(list);
    const { guard } = this.config;
    const whole = wholeFamilies(shaped);
    const against = [
      ...wholeRefusals(whole, this.#wholeAllowed, guard),
      ...changeRefusals(this.list, shaped, guard, { longestEntries: this.longestEntries }),
    ];
    const { refusal, overridden } = judged(this.config.name, against, permits);
    if (refusal !== undefined) {
      this.#refused(refusal);
      return undefined;
    }
    this.#wholeAllowed = whole;
    await this.#setFresh(shaped);
    this.#good(undefined);
    return overridden;
  }

  /** The list cannot be made now: its last good content stays. */
  refuse(refusal: Refusal): void {
    if (this.trouble?.reason !== refusal.reason) this.#failed(refusal, undefined);
  }

  // ── Expiry ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Drops what is too old: entries of a list that merges, and all of a list that could not be refreshed for
   * its time to live.
   */
  async expire(): Promise<void> {
    const { ttlMs, entryTtlMs, aggregate } = this.config;
    const nowMs = this.#context.time.nowMs();
    const { layers } = this;
    const kept = entryTtlMs === undefined ? layers : unexpired(layers, nowMs, entryTtlMs);
    if (kept !== layers) {
      const merged = await this.#context.work.merge({ layers: kept, fresh: undefined, aggregate });
      if (this.layers !== layers) return; // loaded meanwhile: that is told, and expires, with the next batch
      if (this.isExpired) this.layers = merged.layers;
      else this.#take(merged);
    }
    if (ttlMs === undefined || this.isExpired || this.trouble === undefined || this.list === undefined)
      return;
    if (nowMs - (this.goodAtMs ?? nowMs) < ttlMs) return;
    this.isExpired = true;
    this.list = emptyLike(this.list);
  }

  /**
   * Steady milliseconds when `expire` has something to do if nothing else happens, and how exact that must
   * be.
   */
  nextExpiry(): { readonly atMs: number; readonly ttlMs: number } | undefined {
    const { ttlMs, entryTtlMs } = this.config;
    const entryAtMs = entryTtlMs === undefined ? undefined : nextExpiryMs(this.layers, entryTtlMs);
    const canExpire =
      ttlMs !== undefined && this.trouble !== undefined && !this.isExpired && this.list !== undefined;
    const listAtMs = canExpire && this.goodAtMs !== undefined ? this.goodAtMs + ttlMs : undefined;
    const both = [
      ...(entryAtMs === undefined ? [] : [{ atMs: entryAtMs, ttlMs: entryTtlMs ?? 0 }]),
      ...(listAtMs === undefined ? [] : [{ atMs: listAtMs, ttlMs: ttlMs ?? 0 }]),
    ];
    return both.sort((a, b) => a.atMs - b.atMs)[0];
  }

  /**
   * A trouble if it is read, but has been the same for long: an abandoned feed does not fail, it stands
   * still.
   */
  get standstill(): SourceTrouble | undefined {
    const { source, intervalMs, maxUnchangedMs } = this.config;
    if (source.kind !== 'url' || intervalMs === undefined || this.trouble !== undefined) return undefined;
    const { contentAtMs, goodAtMs } = this;
    if (contentAtMs === undefined || goodAtMs === undefined) return undefined;
    const mostMs = maxUnchangedMs ?? UNCHANGED_INTERVALS * intervalMs;
    if (goodAtMs - contentAtMs < mostMs) return undefined;
    const what =
      maxUnchangedMs === undefined ? `${UNCHANGED_INTERVALS} intervals` : 'as long as max-unchanged: says';
    const reason = `unchanged for ${what}: its source answers, but perhaps nobody updates it: look at it, or raise max-unchanged:`;
    const { clock, time } = this.#context;
    return { code: 'unchanged', reason, atMs: clock.wallMs() - (time.nowMs() - contentAtMs - mostMs) };
  }

  get count(): number {
    return this.list === undefined ? 0 : entryCount(this.list);
  }
}

function flappingRefusal(list: string, waitMs: number): Refusal {
  const minutes = Math.max(1, Math.ceil(waitMs / 60_000));
  const reason = `its source alternates between earlier contents: this one is accepted in ${minutes} min, if it is still there; rulectl lists refresh ${list} --permit flapping takes it now`;
  return { code: GuardCode.flapping, reason };
}

/** The list that the configuration itself holds, if it does. */
function fixedList({ source, resolve }: ListConfig): List | undefined {
  if (source.kind === 'entries') return prefixListOf(source.set);
  return source.kind === 'names' ? nameListOf(source.names, resolve) : undefined;
}

function exempted(neverBlock: PrefixSet, exempt: PrefixSet): PrefixSet {
  return combineSets(subtractPrefixes, neverBlock, exempt);
}

function tableReading(config: ListConfig, tables: ReadonlyMap<string, RangeTable>): ListConfig['reading'] {
  const table = config.source.kind === 'table' ? tables.get(config.source.table)?.config : undefined;
  return { ...config.reading, format: table?.format, members: table?.members ?? [] };
}

function emptyLike(list: List): List {
  return list.kind === 'names' ? { ...list, ...NO_NAME_SET } : prefixListOf(EMPTY_PREFIX_SET);
}
