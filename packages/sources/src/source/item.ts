/** The items of the schedule: each list and each table by a name of its own; and the paths to watch. */

import { isDeepStrictEqual } from 'node:util';
import type { FetchConfig, ListConfig, TableConfig } from '@rulecast/formats';

export interface Item {
  readonly kind: 'list' | 'table';
  readonly name: string;
}

export function listItem(name: string): string {
  return `list:${name}`;
}

export function tableItem(name: string): string {
  return `table:${name}`;
}

export function itemOf(text: string): Item {
  const at = text.indexOf(':');
  return { kind: text.startsWith('list:') ? 'list' : 'table', name: text.slice(at + 1) };
}

/** The hosts that downloads come from, before redirects. */
export function hostsOf({ urls }: FetchConfig): readonly string[] {
  return [...new Set(urls.map((url) => new URL(url).host))];
}

/** The lists and tables that are read from files. */
export interface Watchable {
  readonly lists: ReadonlyMap<string, ListConfig>;
  readonly tables: ReadonlyMap<string, TableConfig>;
}

/** Sorted, each once. */
export function watchedPaths({ lists, tables }: Watchable): readonly string[] {
  const paths = new Set<string>();
  for (const { source } of lists.values()) {
    if (source.kind === 'file' || source.kind === 'dir') paths.add(source.path);
  }
  for (const { source } of tables.values()) {
    if (source.kind === 'files') for (const path of source.paths) paths.add(path);
  }
  return [...paths].sort();
}

/** The items read from a path. */
export function itemsAt(path: string, { lists, tables }: Watchable): readonly string[] {
  const items: string[] = [];
  for (const { name, source } of lists.values()) {
    const isOfList = (source.kind === 'file' || source.kind === 'dir') && source.path === path;
    if (isOfList) items.push(listItem(name));
  }
  for (const { name, source } of tables.values()) {
    if (source.kind === 'files' && source.paths.includes(path)) items.push(tableItem(name));
  }
  return items;
}

/** Whether two configurations of a list are equal, wherever they are in their files. */
export function isSameConfig(a: ListConfig, b: ListConfig): boolean {
  return isDeepStrictEqual({ ...a, line: 0, column: 0 }, { ...b, line: 0, column: 0 });
}
