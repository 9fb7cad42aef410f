/** Refused packets and names: by hour, by list, by qube, and the latest with reasons. */

import { ErrorCode } from '@rulecast/protocol';
import { formatAge, formatCount, formatTime } from '../../render/amounts.ts';
import {
  allowText,
  gapTexts,
  HOW_TO_LOG,
  packetText,
  QUBES_NOTE,
  type Refused,
  sumsOf,
  whyText,
} from '../../render/refused.ts';
import { CliError } from '../../terminal/exit.ts';
import { type Html, html } from '../html.ts';
import { type LogPart, type Model, REFUSED_SHOWN } from '../model.ts';
import { hoursPlot, share } from '../plot.ts';
import { command, firsts, type Page, shown, table } from './frame.ts';

const TOP_SHOWN = 10;
const GAPS_SHOWN = 5;

export async function refusedPage(model: Model): Promise<Page> {
  const nowMs = model.nowMs();
  const [hours, lists, log] = await Promise.all([
    shown(model.hours(), (all) => hoursPlot(all, nowMs)),
    shown(model.topLists(), (all) =>
      topPart(
        'list',
        all.map(({ list = '', packets }) => [list, packets] as const),
      ),
    ),
    shown(model.log().catch(logError), (part) => logPart(part, nowMs)),
  ]);
  const main = html`<h1>Refused packets</h1>${hours}<h2>Lists that dropped most in 24 hours</h2>${lists}${log}`;
  return { title: 'Refused', view: 'refused', isLive: true, main };
}

/** An error for a role that may not read the log, and for firewalls without a log, with a remedy. */
function logError(error: unknown): never {
  const code = error instanceof CliError ? error.code : undefined;
  if (!(error instanceof CliError) || (code !== ErrorCode.notPermitted && code !== ErrorCode.unsupported))
    throw error;
  const hint = code === ErrorCode.unsupported ? `: ${HOW_TO_LOG}` : '';
  const text = `Who was refused what is not shown: ${error.message}${hint}`;
  throw new CliError(error.exit, error.code, text, { cause: error });
}

function topPart(what: string, rows: readonly (readonly [name: string, count: number])[]): Html {
  if (rows.length === 0) return html`<p>Nothing, as far as firewalls reported.</p>`;
  const most = rows[0]?.[1] ?? 0;
  const shownRows = rows
    .slice(0, TOP_SHOWN)
    .map(
      ([name, count]) =>
        html`<tr><th scope="row">${name}</th><td class="number">${formatCount(count)}</td>${share(count, most)}</tr>`,
    );
  return table(`Most by ${what}`, [what, '#packets', 'share'], shownRows);
}

function logPart({ refused, sinceMs, gaps }: LogPart, nowMs: number): Html {
  const notes = gapTexts(gaps).map((text) => html`<p class="note">${text}.</p>`);
  const told = firsts(notes, GAPS_SHOWN, 'rulectl log', (some) => html`${some}`);
  const span = formatAge(nowMs - sinceMs);
  const top = sumsOf(refused, 'qubes').map(({ key, times }) => [key, times] as const);
  const rows = refused.slice(0, REFUSED_SHOWN).map(refusedRow);
  const list =
    rows.length === 0
      ? html`<p>Nothing in ${span}, as far as firewalls remember.</p>`
      : html`${table('Last refused', ['last (UTC)', 'what', '#times'], rows)}<p class="soft">${QUBES_NOTE.replace(/^# /, '')}</p>`;
  return html`<h2>Qubes that were refused most in ${span}</h2>${told}${topPart('qube', top)}<h2>The last that was refused</h2>${list}`;
}

function refusedRow(one: Refused): Html {
  const name = one.what === 'name' || one.name === undefined ? '' : ` (${one.name})`;
  const allow = allowText(one);
  return html`<tr><td class="when">${formatTime(one.lastS * 1000).slice(5, 19)}</td><td><code>${packetText(one)}${name}</code></td><td class="number">${formatCount(one.count)}</td></tr><tr class="why"><td></td><td colspan="2">${one.subscriber}: ${whyText(one)}${allow && command(allow)}</td></tr>
`;
}
