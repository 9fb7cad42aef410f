/** Lists with source and freshness; one of them with its size over time and its releases. */

import { isPartName } from '@rulecast/rules';
import { formatAge, formatCount, NOTHING } from '../../render/amounts.ts';
import { ageOf, listFacts } from '../../render/lists.ts';
import { PLAIN } from '../../terminal/terminal.ts';
import { type Html, html } from '../html.ts';
import type { ListRecord, Model } from '../model.ts';
import { sizesPlot } from '../plot.ts';
import { command, facts, firsts, type Page, shown, state, table } from './frame.ts';
import { RELEASE_COLUMNS, releaseRow } from './releases.ts';

/** So that the page is small; the box finds the others. */
const LISTS_SHOWN = 250;
const RELEASES_SHOWN = 10;

export const LIST_COLUMNS = ['list', '-source', 'state', '#entries', '-#last change', '-changed', 'read'];

export async function listsPage(model: Model, query: URLSearchParams): Promise<Page> {
  const wanted = (query.get('q') ?? '').trim().toLowerCase();
  const nowMs = model.nowMs();
  const part = await shown(model.lists(false), (lists) => listsPart(lists, wanted, nowMs));
  const form = html`<form><label>Name<input name="q" type="search" value="${wanted}" maxlength="63"></label><button>Find</button></form>`;
  return { title: 'Lists', view: 'lists', isLive: true, main: html`<h1>Lists</h1>${form}${part}` };
}

function listsPart(lists: readonly ListRecord[], wanted: string, nowMs: number): Html {
  const found = lists
    .filter(({ name }) => name.includes(wanted))
    .sort((a, b) => Number(a.state === 'ok') - Number(b.state === 'ok') || (a.name < b.name ? -1 : 1));
  if (found.length === 0) return html`<p>There is no such list.</p>`;
  const rows = found.map((list) => listRow(list, nowMs, 'lists/'));
  return firsts(rows, LISTS_SHOWN, 'rulectl lists', (some) => table('Lists', LIST_COLUMNS, some));
}

/** A row, and why it is not fresh; `below`: where the page of a list is. */
export function listRow(list: ListRecord, nowMs: number, below: string): Html {
  const { name, source, count, changedAtMs, added, removed, error, published } = list;
  const change = changedAtMs === undefined ? NOTHING : `+${formatCount(added)} -${formatCount(removed)}`;
  const row = html`<tr><th scope="row"><a href="${below}${encodeURIComponent(name)}">${name}</a></th><td class="less">${source}${published ? undefined : ', operand'}</td><td>${state(list.state)}</td><td class="number">${formatCount(count)}</td><td class="number less">${change}</td><td class="when less">${ageOf(changedAtMs, nowMs)}</td><td class="when">${ageOf(list.fetchedAtMs, nowMs)}</td></tr>
`;
  if (error === undefined) return row;
  return html`${row}<tr class="why"><td colspan="7">${error.text} (${error.code}, ${formatAge(nowMs - error.atMs)} ago)</td></tr>`;
}

export async function listPage(model: Model, name: string): Promise<Page | undefined> {
  if (!isPartName(name)) return undefined;
  const nowMs = model.nowMs();
  const sizes = async (): ReturnType<Model['sizes']> => {
    const { parts } = await model.status();
    const now = parts.find((part) => part.kind === 'list' && part.name === name)?.count;
    return now === undefined ? [] : model.sizes(name, now);
  };
  const [known, plot, releases] = await Promise.all([
    shown(model.list(name), (list) => listPart(list, nowMs)),
    shown(sizes(), (points) => sizesPlot(points, nowMs)),
    shown(model.releases(RELEASES_SHOWN, name), (all) =>
      all.length === 0
        ? html`<p>No release that is kept changed it.</p>`
        : table(
            'Releases',
            RELEASE_COLUMNS,
            all.map((one) => releaseRow(one, '../releases/')),
          ),
    ),
  ]);
  const main = html`<h1>List ${name}</h1>${known}<h2>Size over time</h2>${plot}<h2>Releases that changed it</h2>${releases}`;
  return { title: `List ${name}`, view: 'lists', isLive: true, main };
}

function listPart(list: ListRecord | undefined, nowMs: number): Html {
  if (list === undefined) return html`<p>The publisher said nothing of it.</p>`;
  const rows = listFacts(list, nowMs, PLAIN)
    .slice(1)
    .map(([label, value]) => [label, label === 'state' ? state(list.state) : value] as const);
  const refresh = list.source === 'push' ? undefined : command(`rulectl lists refresh ${list.name}`);
  return html`${facts(rows)}${refresh}${command(`rulectl lists show ${list.name} --stats`)}`;
}
