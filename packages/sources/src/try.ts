/**
 * Reads one list once, as a publisher with this configuration would: by the same fetcher, with the same
 * limits, in the same thread and under the same guards. Everything except the downloads stays in memory.
 */

import type { ListConfig } from '@rulecast/formats';
import type { List } from '@rulecast/rules';
import { SteadyTime, SYSTEM_CLOCK } from './clock.ts';
import { FetchError } from './fetch/error.ts';
import { Fetcher } from './fetch/fetcher.ts';
import { FindingCode } from './guard/finding.ts';
import { GuardCode, type Refusal } from './guard/guard.ts';
import { defaultNeverBlock } from './guard/never-block.ts';
import type { Downloader } from './read/inputs.ts';
import { ListWorker } from './read/list-worker.ts';
import type { ReadList } from './read/reading.ts';
import { RangeTable } from './source/range-table.ts';
import { Source, type SourceContext } from './source/source.ts';
import type { SourcesConfig } from './sources.ts';

export type TriedList =
  | {
      readonly kind: 'read';
      readonly list: List;
      readonly report: ReadList;
      /** The refusal of its guards, if any. */
      readonly against: Refusal | undefined;
      /** Each redirected download: from where to where. */
      readonly redirects: readonly string[];
    }
  | ({ readonly kind: 'unread' } & Refusal);

/** All refusals are permitted, so that those of later guards show as well; they are reported all the same. */
const ALL_CODES: ReadonlySet<string> = new Set([...Object.values(FindingCode), ...Object.values(GuardCode)]);

/** `cacheDirectory` takes the downloads; it is the caller's to remove. Rejects only for a bug. */
export async function tryList(
  list: ListConfig,
  config: Pick<SourcesConfig, 'limits' | 'tables'>,
  cacheDirectory: string,
): Promise<TriedList> {
  const { limits } = config;
  const [fetcher, work, closing] = [new Fetcher({ cacheDirectory }), new ListWorker(), new AbortController()];
  const tables = new Map<string, RangeTable>();
  const redirects: string[] = [];
  const following: Downloader = {
    fetch: async (request) => {
      const outcome = await fetcher.fetch(request);
      if (outcome.finalUrl !== new URL(request.url).href)
        redirects.push(`${request.url} leads to ${outcome.finalUrl}`);
      return outcome;
    },
    cached: (url) => fetcher.cached(url),
    close: () => fetcher.close(),
  };
  const context: SourceContext = {
    clock: SYSTEM_CLOCK,
    time: new SteadyTime(SYSTEM_CLOCK, undefined),
    fetcher: following,
    work,
    limits,
    neverBlock: defaultNeverBlock(),
    tables,
    signal: closing.signal,
  };
  try {
    for (const [name, table] of config.tables) {
      const opened = new RangeTable(table, following, limits, SYSTEM_CLOCK);
      tables.set(name, opened);
      await opened.refresh(closing.signal);
    }
    const source = new Source(list, context);
    const { overridden } = await source.load({ codes: ALL_CODES, needed: new Set() });
    const { list: taken, report, trouble } = source;
    if (taken !== undefined && report !== undefined)
      return { kind: 'read', list: taken, report, against: overridden, redirects };
    return { kind: 'unread', code: trouble?.code ?? 'empty', reason: trouble?.reason ?? 'nothing was read' };
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    return { kind: 'unread', code: error.code, reason: error.message };
  } finally {
    await work.close();
    await fetcher.close();
  }
}
