/** The kept releases: caller, cause, and changes. */

import { formatAmount, formatBytes, formatCount, formatTime, NOTHING } from '../../render/amounts.ts';
import { editLines, renderChangeHead } from '../../render/changes.ts';
import { causeText, changedText } from '../../render/history.ts';
import { PLAIN } from '../../terminal/terminal.ts';
import { type Html, html } from '../html.ts';
import { DIFF_LINES_MAX, type Difference, type Model, type Release } from '../model.ts';
import { command, facts, type Page, shown, table } from './frame.ts';

const RELEASES_SHOWN = 100;

export const RELEASE_COLUMNS = ['version', 'when (UTC)', 'cause', '-by', '-changed', '-#added', '-#removed'];

export async function releasesPage(model: Model): Promise<Page> {
  const part = await shown(model.releases(RELEASES_SHOWN), (all) => {
    if (all.length === 0) return html`<p>Nothing is released yet.</p>${command('rulectl push FILE')}`;
    const more = html`<p>These are the newest.</p>${command('rulectl history --all')}`;
    const rows = all.map((one) => releaseRow(one));
    return html`${table('Releases', RELEASE_COLUMNS, rows)}${all.length === RELEASES_SHOWN ? more : undefined}`;
  });
  return { title: 'Releases', view: 'releases', isLive: true, main: html`<h1>Releases</h1>${part}` };
}

/** `below`: where the page of a release is. */
export function releaseRow(release: Release, below = 'releases/'): Html {
  const { version, createdAtMs, by, message, added, removed } = release;
  const row = html`<tr><th scope="row"><a href="${below}${version}">${formatCount(version)}</a></th><td class="when">${formatTime(createdAtMs).slice(0, 16)}</td><td>${causeText(release)}</td><td class="less">${by ?? NOTHING}</td><td class="less">${changedText(release)}</td><td class="number less">+${formatCount(added)}</td><td class="number less">-${formatCount(removed)}</td></tr>
`;
  return message === undefined
    ? row
    : html`${row}<tr class="why"><td></td><td colspan="6">${message}</td></tr>`;
}

export async function releasePage(model: Model, version: number): Promise<Page> {
  const known = model.release(version);
  const part = await shown(known, ([release]) => releasePart(release));
  const from = await known.then(
    ([, before]) => before?.version ?? 0,
    () => version - 1,
  );
  const changes = await shown(model.difference(from, version), (difference) => differencePart(difference));
  const words = from === 0 ? 'What it holds' : `What it changed since version ${formatCount(from)}`;
  const all = command(`rulectl diff ${from}..${version}`);
  const main = html`<h1>Version ${formatCount(version)}</h1>${part}<h2>${words}</h2>${changes}${all}`;
  return { title: `Version ${version}`, view: 'releases', isLive: false, main };
}

function releasePart(release: Release | undefined): Html {
  if (release === undefined) return html`<p>It is not kept, or was never made.</p>`;
  const { version, createdAtMs, by, message, cause, detail, entries, rules, parts, deltaBytes } = release;
  const rows = facts([
    ['Released', formatTime(createdAtMs)],
    ['Cause', detail === '' ? cause : `${cause} ${detail}`],
    ['By', by ?? 'nobody: the publisher itself'],
    ['Message', message ?? NOTHING],
    [
      'Content',
      `${formatAmount(parts, 'part')}, ${formatAmount(entries, 'entry', 'entries')}, ${formatAmount(rules, 'rule')}`,
    ],
    ['Delta', formatBytes(deltaBytes)],
  ]);
  return html`${rows}<p>To release once more what it said:</p>${command(`rulectl rollback ${version}`)}`;
}

function differencePart({ changes, edits, isCut }: Difference): Html {
  if (changes.length === 0) return html`<p>Nothing.</p>`;
  const parts = changes.map((change) => {
    const own = edits.filter(({ kind, name }) => kind === change.kind && name === change.name);
    const lines = own.flatMap((edit) =>
      [...editLines(edit, PLAIN)].map((line) => html`<span class="${edit.op}">${line}</span>\n`),
    );
    return html`<h3>${renderChangeHead(change, PLAIN)}</h3>${lines.length > 0 ? html`<pre>${lines}</pre>` : undefined}`;
  });
  const more = html`<p>There is more than these ${formatCount(DIFF_LINES_MAX)} lines.</p>`;
  return html`${parts}${isCut ? more : undefined}`;
}
