/** The first page: the sentence that begins `rulectl status`, and its details. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { formatAge, formatCount, NOTHING } from '../../render/amounts.ts';
import { renderFleet, renderMembers } from '../../render/fleet.ts';
import { healthOf } from '../../render/health.ts';
import { capitalised, renderHead, type StatusView } from '../../render/status.ts';
import { PLAIN } from '../../terminal/terminal.ts';
import { type Html, html } from '../html.ts';
import type { ListRecord, Model } from '../model.ts';
import { command, firsts, markOf, type Page, sentence, shown, state, table } from './frame.ts';
import { LIST_COLUMNS, listRow } from './lists.ts';
import { RELEASE_COLUMNS, releaseRow } from './releases.ts';

type Firewall = ControlRecordOf<'subscriber'>;

/** Troubled lists shown, and releases; their own pages have all. */
const LISTS_SHOWN = 10;
const RELEASES_SHOWN = 5;
/** The worst first; a page is small. */
const FIREWALLS_SHOWN = 300;
const TROUBLES_SHOWN = 4;
const FIREWALL_COLUMNS = ['firewall', 'state', '#version', 'last seen', '-bound to'];
const RANKS: readonly string[] = ['refused', 'diverged', 'synced', 'behind', 'disconnected', 'receiving'];
const WORDS = { well: 'Well', degraded: 'Degraded', 'not-enforced': 'Not enforced' } as const;

export async function statusPage(model: Model): Promise<Page> {
  const nowMs = model.nowMs();
  const [truth, lists, releases] = await Promise.all([
    shown(
      model.status(),
      (status) => statusPart(status, nowMs),
      (why) => truthPart('bad', 'Not known', html`<h1>${why}</h1>`),
    ),
    shown(model.lists(true), (all) => listsPart(all, nowMs)),
    shown(model.releases(RELEASES_SHOWN), (all) =>
      table(
        'Newest releases',
        RELEASE_COLUMNS,
        all.map((one) => releaseRow(one)),
      ),
    ),
  ]);
  const main = html`${truth}<h2>Lists</h2>${lists}<h2>Newest releases</h2>${releases}<p><a href="releases">All releases</a></p>`;
  return { title: 'Status', view: '', isLive: true, main };
}

function statusPart(status: StatusView, nowMs: number): Html {
  const health = healthOf(status, nowMs);
  const [worst, ...others] = health.troubles;
  const { head, parts, subscribers, fleet, members = [] } = status;
  const rows = [...subscribers]
    .sort((a, b) => rankOf(a) - rankOf(b) || (a.name < b.name ? -1 : 1))
    .map((one) => firewallRow(one, nowMs));
  const troubles = others.map(
    ({ text, remedy }) => html`<li>${capitalised(sentence(text), status)}${remedy && command(remedy)}</li>`,
  );
  const more =
    troubles.length > 0
      ? firsts(troubles, TROUBLES_SHOWN, 'rulectl status --verbose', (some) => html`<ul>${some}</ul>`)
      : undefined;
  const release =
    head === undefined || head.version === 0
      ? []
      : renderHead(head, parts, { verbose: false }, nowMs, PLAIN).split('\n');
  const sentences = html`<h1>${capitalised(sentence(worst?.text ?? health.text), status)}</h1>${worst?.remedy && command(worst.remedy)}${more}`;
  return html`${truthPart(markOf(health.state), WORDS[health.state], sentences)}
<p class="lines">${release.map((line) => `${capitalised(sentence(line), status)}\n`)}</p>
<h2>Firewalls</h2>${rows.length === 0 ? html`<p>${fleet ? 'No firewall is connected.' : 'No firewall was ever connected.'}</p>` : firsts(rows, FIREWALLS_SHOWN, 'rulectl status', (some) => table('Firewalls', FIREWALL_COLUMNS, some))}
${fleet && html`<p>${renderFleet(fleet, PLAIN)}.</p>`}${members.length > 0 ? html`<pre>${renderMembers(members, nowMs, PLAIN)}</pre>` : undefined}
${status.warnings.length > 0 ? html`<h2>Warnings</h2><ul>${status.warnings.map(({ reason }) => html`<li>${sentence(reason)}</li>`)}</ul>` : undefined}`;
}

function truthPart(mark: string, word: string, sentences: Html): Html {
  return html`<div class="truth ${mark}"><p class="state ${mark}">${word}</p>${sentences}</div>`;
}

/** Expected firewalls with troubles come first, in the order of the sentence; then those without. */
function rankOf({ expected, state, matches }: Firewall): number {
  if (!expected) return RANKS.length + 1;
  return state === 'synced' && matches ? RANKS.length : RANKS.indexOf(state);
}

/** With why it is not well, if it says so. */
function firewallRow(one: Firewall, nowMs: number): Html {
  const { name, version, lastSeenMs, expected, refusal, lastError, bound = [] } = one;
  const seen = lastSeenMs === 0 ? 'never' : `${formatAge(nowMs - lastSeenMs)} ago`;
  const word = one.state === 'receiving' ? 'on its way' : one.state;
  const kinds = bound.map((text) => text.split(' ', 1).join('')).join(', ') || NOTHING;
  const row = html`<tr><th scope="row">${name}</th><td>${state(one.state, expected ? word : `${word}, not expected`)}</td><td class="number">${version === undefined ? NOTHING : formatCount(version)}</td><td class="when">${seen}</td><td class="less">${kinds}</td></tr>
`;
  const trouble = refusal ?? (one.state === 'synced' ? undefined : lastError);
  if (trouble === undefined) return row;
  const what = refusal === undefined ? 'Last error' : 'Refuses it';
  return html`${row}<tr class="why"><td colspan="5">${what}: ${trouble.text} (${trouble.code}, ${formatAge(nowMs - trouble.atMs)} ago)</td></tr>`;
}

function listsPart(lists: readonly ListRecord[], nowMs: number): Html {
  const others = lists.filter((list) => list.state !== 'ok');
  const all = html`<p><a href="lists">All lists</a></p>`;
  if (lists.length === 0) return html`<p>No list has a source that the publisher reads.</p>${all}`;
  if (others.length === 0) return html`<p>${state('ok', 'All are as fresh as they should be.')}</p>${all}`;
  const rows = others.slice(0, LISTS_SHOWN).map((list) => listRow(list, nowMs, 'lists/'));
  return html`<p>Not as fresh as they should be: ${formatCount(others.length)} of ${formatCount(lists.length)} with a source.</p>${table('Lists that are not fresh', LIST_COLUMNS, rows)}${all}`;
}
