/**
 * The data of the page, requested from the publisher like `rulectl` does: with the role of the user who
 * started it, a few requests at a time. Results summed from many answers are cached for a while.
 */

import {
  BLOCK_TARGET_MAX_BYTES,
  type ControlRecord,
  type ControlRecordOf,
  type MessageOf,
  VERSION_MAX,
} from '@rulecast/protocol';
import { ask, askOrFail, type ControlRequest } from '../control/client.ts';
import { askForVerdicts, type LiveAnswers, type Pace, testFieldsOf, withSources } from '../control/live.ts';
import { askCounters, askStatus, StatusBatch } from '../control/status.ts';
import { bounded } from '../release/options.ts';
import { renderMetrics, Samples } from '../render/metrics.ts';
import { type Dropped, keyOf, type LogGap, type Refused } from '../render/refused.ts';
import type { StatusView } from '../render/status.ts';
import { CliError } from '../terminal/exit.ts';
import type { PacketDirection } from '../terminal/packets.ts';

export const HOUR_MS = 3_600_000;
export const DAY_HOURS = 24;
/** Refusals that are shown. */
export const REFUSED_SHOWN = 50;
/** Lines of a difference; `rulectl diff` has all. */
export const DIFF_LINES_MAX = 500;
/** Releases for which a list's size is shown, and how many of them may need a request of their own. */
const SIZES_MAX = 24;
const SIZES_ASKED_MAX = 4;
/** Timeout of one request; a busy publisher may take as long. */
const TIMEOUT_MS = 30_000;
/** The log is read back window by window until there is enough, up to a number of records. */
const LOG_WINDOWS_MS = [HOUR_MS / 12, HOUR_MS, DAY_HOURS * HOUR_MS];
const LOG_RECORDS_MAX = 2000;
/** An operator has four places at the publisher: one watches, and one is left for `rulectl`. */
const QUESTIONS_AT_ONCE = 2;
/** For how long answers are good enough; the publisher looks at counters once a minute itself. */
const KEPT_MS = { status: 500, counters: 10_000, log: 10_000, hours: 60_000 } as const;
/** The wait before a lost publisher is asked again. */
const RETRY_MS = 2000;

export type Release = ControlRecordOf<'history'>;
export type ListRecord = ControlRecordOf<'list'>;

/** Packets that rules dropped, from then on for an hour. */
export interface Hour {
  readonly fromMs: number;
  readonly packets: number;
}

/** The part of the log read, newest first, its start, and the gaps in it with their reasons. */
export interface LogPart {
  readonly refused: readonly Refused[];
  readonly sinceMs: number;
  readonly gaps: readonly LogGap[];
}

/** The changes of a release; `isCut`: there are more. */
export interface Difference {
  readonly changes: readonly ControlRecordOf<'change'>[];
  readonly edits: readonly ControlRecordOf<'edit'>[];
  readonly isCut: boolean;
}

/** Thrown by a receiver of records that needs no more of them. */
class Enough extends Error {}

export class Model {
  readonly #place: Pick<ControlRequest, 'endpoint' | 'curve'>;
  readonly #world: Pace;
  readonly #turns = new Turns();
  readonly #counters: () => Promise<StatusView['counters']>;
  /** The last counters: only the first page waits for silent firewalls. */
  #counted: StatusView['counters'] | undefined;
  /** With the firewalls' counters, which may be older. */
  readonly status: () => Promise<StatusView>;
  /** Drops by rules in each hour of the last day, the newest first. */
  readonly hours: () => Promise<readonly Hour[]>;
  readonly log: () => Promise<LogPart>;

  constructor(place: Pick<ControlRequest, 'endpoint' | 'curve'>, world: Pace) {
    this.#place = place;
    this.#world = world;
    const keep = <T>(ms: number, make: () => Promise<T>) => kept(ms, world.nowMs, make);
    this.#counters = keep(KEPT_MS.counters, async () => {
      this.#counted = await this.#turns.take(() => askCounters(place));
      return this.#counted;
    });
    this.status = keep(KEPT_MS.status, () => this.#askStatus());
    this.hours = keep(KEPT_MS.hours, () => this.#askHours());
    this.log = keep(KEPT_MS.log, () => this.#askLog());
  }

  nowMs(): number {
    return this.#world.nowMs();
  }

  async #askStatus(): Promise<StatusView> {
    const batch = new StatusBatch();
    const next = this.#counters();
    const [counters] = await Promise.all([
      this.#counted ?? next,
      this.#turns.take(() => askStatus(this.#place, batch, false)),
    ]);
    batch.counters.push(...counters);
    return batch;
  }

  /** `sourcesOnly`: without those that only pushes bring, which are as fresh as they were pushed. */
  lists(sourcesOnly: boolean): Promise<readonly ListRecord[]> {
    return this.#all({ kind: 'lists', sourcesOnly }, 'list');
  }

  async list(name: string): Promise<ListRecord | undefined> {
    const [record] = await this.#all({ kind: 'list', name, content: false }, 'list');
    return record;
  }

  /** The newest first; `list`: those that changed it. */
  releases(most: number, list?: string): Promise<readonly Release[]> {
    return this.#all({ kind: 'history', most, list }, 'history');
  }

  /** A release, and the one before it that is kept. */
  async release(version: number): Promise<readonly [Release | undefined, Release | undefined]> {
    const found: Release[] = [];
    await this.#ask({ kind: 'history', most: VERSION_MAX }, (record) => {
      if (record.record === 'history' && record.version <= version) found.push(record);
      if (found.length === 2) throw new Enough();
    });
    return found[0]?.version === version ? [found[0], found[1]] : [undefined, undefined];
  }

  async difference(from: number, to: number): Promise<Difference> {
    const changes: ControlRecordOf<'change'>[] = [];
    const edits: ControlRecordOf<'edit'>[] = [];
    let lines = 0;
    const isCut = await this.#ask({ kind: 'diff', from, to, stats: false }, (record) => {
      if (record.record === 'change') changes.push(record);
      if (record.record === 'edit') edits.push(record);
      lines += record.record === 'edit' ? record.lines.length : 1;
      if (lines > DIFF_LINES_MAX) throw new Enough();
    });
    return { changes, edits, isCut };
  }

  /**
   * The number of a list's entries over time, the oldest first, computed back from its present size. A
   * release that changed this list alone has the change in its record; for others it is requested, up to a
   * limit.
   */
  async sizes(list: string, now: number): Promise<readonly (readonly [atMs: number, count: number])[]> {
    const sizes: (readonly [number, number])[] = [];
    let [count, asked] = [now, 0];
    for (const release of await this.releases(SIZES_MAX, list)) {
      sizes.unshift([release.createdAtMs, count]);
      const isAlone = release.changedCount === 1 && release.changedParts[0] === `list ${list}`;
      if (!isAlone && asked++ === SIZES_ASKED_MAX) break;
      const change = isAlone ? release : await this.#change(release.version, list);
      if (change === undefined) break;
      count += change.removed - change.added;
    }
    return sizes;
  }

  /** Undefined if the version before is not kept. */
  async #change(to: number, list: string): Promise<Pick<Release, 'added' | 'removed'> | undefined> {
    try {
      const changes = await this.#all({ kind: 'diff', from: to - 1, to, list, stats: true }, 'change');
      // If the list has no change, only the addresses of its names may have changed.
      return changes.find(({ kind }) => kind === 'list') ?? { added: 0, removed: 0 };
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      return undefined;
    }
  }

  /** Drops by lists in the last day, the most first. */
  topLists(): Promise<readonly Dropped[]> {
    return this.#top('lists', DAY_HOURS);
  }

  /** From sums of the last hour, of the last two, and so on. */
  async #askHours(): Promise<readonly Hour[]> {
    const hours: Hour[] = [];
    const oldest = (await this.#top('rules', DAY_HOURS))[0]?.fromMs;
    let before = 0;
    for (let hour = 1; hour <= DAY_HOURS && oldest !== undefined; hour++) {
      const dropped = await this.#top('rules', hour);
      const fromMs = dropped[0]?.fromMs;
      if (fromMs === undefined || fromMs === hours.at(-1)?.fromMs) continue;
      const sum = dropped.reduce((total, { packets }) => total + packets, 0);
      hours.push({ fromMs, packets: Math.max(0, sum - before) });
      before = sum;
      if (fromMs === oldest) break;
    }
    return hours;
  }

  #top(of: 'lists' | 'rules', hours: number): Promise<readonly Dropped[]> {
    return this.#all({ kind: 'top', of, sinceMs: hours * HOUR_MS }, 'dropped');
  }

  async #askLog(): Promise<LogPart> {
    let part: LogPart = { refused: [], sinceMs: 0, gaps: [] };
    for (const windowMs of LOG_WINDOWS_MS) {
      part = await this.#logSince(Math.max(0, this.nowMs() - windowMs));
      if (part.refused.length >= REFUSED_SHOWN) break;
    }
    return part;
  }

  async #logSince(sinceMs: number): Promise<LogPart> {
    const refused = new Map<string, Refused>();
    const gaps: LogGap[] = [];
    await this.#ask({ kind: 'log', sinceS: Math.floor(sinceMs / 1000), follow: false }, (record) => {
      if (record.record === 'refused') refused.set(keyOf(record), record);
      if (record.record === 'warning' || record.record === 'lost') gaps.push(record);
      if (refused.size >= LOG_RECORDS_MAX) throw new Enough();
    });
    const newestFirst = [...refused.values()].sort((a, b) => b.lastS - a.lastS || b.id - a.id);
    return { refused: newestFirst, sinceMs, gaps };
  }

  /** The firewalls' verdicts on a packet, or a name. Throws CliError for text that is neither. */
  async verdicts(text: string, direction: PacketDirection): Promise<LiveAnswers> {
    const fields = testFieldsOf(text, direction);
    const once: Parameters<typeof askForVerdicts>[0] = (subscriber, onRecord) =>
      this.#turns.take(() =>
        ask({
          ...this.#place,
          timeoutMs: TIMEOUT_MS,
          send: (connection) => connection.send({ kind: 'test', ...fields, subscriber }),
          onRecord,
        }),
      );
    return withSources(await askForVerdicts(once, undefined, this.#world), fields.policy);
  }

  /** Records `holder`, `decision`, `step` and `warning`, in their order. */
  async holders(text: string): Promise<readonly ControlRecord[]> {
    const what = bounded(text, BLOCK_TARGET_MAX_BYTES, 'what to look for');
    const records: ControlRecord[] = [];
    await this.#ask({ kind: 'which', what }, (record) => void records.push(record));
    return records;
  }

  /** As `rulectl metrics` prints them. */
  async metrics(): Promise<string> {
    const samples = new Samples(this.nowMs());
    await this.#ask({ kind: 'metrics' }, (record) => {
      if (record.record === 'samples') samples.put(record);
    });
    return renderMetrics(samples, false);
  }

  /** Calls at each change of the status, until it is aborted. */
  async watch(onChange: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await ask({
        ...this.#place,
        timeoutMs: TIMEOUT_MS,
        isEndless: true,
        signal,
        send: (connection) => connection.send({ kind: 'status', watch: true }),
        onRecord: ({ record }) => {
          if (record === 'end') onChange();
        },
      }).catch((error: unknown) => {
        if (!(error instanceof CliError)) throw error; // the page itself reports it when it is requested
      });
      if (signal.aborted) return;
      onChange();
      await this.#world.waitMs(RETRY_MS);
    }
  }

  async #all<K extends ControlRecord['record']>(
    request: Asking,
    kind: K,
  ): Promise<readonly ControlRecordOf<K>[]> {
    const records: ControlRecordOf<K>[] = [];
    await this.#ask(request, (record) => {
      if (isOf(record, kind)) records.push(record);
    });
    return records;
  }

  /** Whether the receiver had enough before the end. Throws CliError. */
  #ask(request: Asking, onRecord: (record: ControlRecord) => void): Promise<boolean> {
    const send: ControlRequest['send'] = (connection) => connection.send(request);
    return this.#turns.take(async () => {
      try {
        await askOrFail({ ...this.#place, timeoutMs: TIMEOUT_MS, send, onRecord });
        return false;
      } catch (error) {
        if (error instanceof Enough) return true;
        throw error;
      }
    });
  }
}

/** Requests that change nothing. */
type Asking = MessageOf<'lists' | 'list' | 'history' | 'diff' | 'top' | 'log' | 'which' | 'metrics'>;

function isOf<K extends ControlRecord['record']>(
  record: ControlRecord,
  kind: K,
): record is ControlRecord & ControlRecordOf<K> {
  return record.record === kind;
}

/** Limits the number of concurrent requests; others wait for their turn. */
class Turns {
  #free = QUESTIONS_AT_ONCE;
  readonly #waiting: (() => void)[] = [];

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** Caches an answer for a while; concurrent callers share one request. */
function kept<T>(ms: number, nowMs: () => number, make: () => Promise<T>): () => Promise<T> {
  let [atMs, last]: [number, Promise<T> | undefined] = [0, undefined];
  return () => {
    // A clock that was set back must not keep an answer fresh.
    if (last !== undefined && Math.abs(nowMs() - atMs) < ms) return last;
    const next = make();
    [atMs, last] = [nowMs(), next];
    next.catch(() => {
      if (last === next) last = undefined;
    });
    return next;
  };
}
