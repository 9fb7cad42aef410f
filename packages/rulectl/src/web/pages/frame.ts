/**
 * The frame of all pages: the menu, and pieces that several use. Pure, except that it awaits values to show.
 */

import { formatCount } from '../../render/amounts.ts';
import { CliError } from '../../terminal/exit.ts';
import { type Html, html, type Piece } from '../html.ts';

const NAMES_SHOWN = 5;
const VIEWS = [
  ['', 'Status'],
  ['lists', 'Lists'],
  ['releases', 'Releases'],
  ['refused', 'Refused'],
  ['ask', 'Ask'],
] as const;

export interface Page {
  readonly title: string;
  /** The view of the menu in which it is. */
  readonly view: string;
  /** Whether it updates by itself. */
  readonly isLive: boolean;
  readonly main: Html;
}

/** A whole page. `base`: the path of the first one. */
export function pageOf({ title, view, isLive, main }: Page, base: string): string {
  const menu = VIEWS.map(
    ([path, name]) => html`<a href="${base}${path}"${path === view ? CURRENT : undefined}>${name}</a>`,
  );
  const live = isLive ? html` data-events="${base}events"` : undefined;
  return html`${head(title)}<script src="/page.js" defer></script></head>
<body${live}><a class="skip" href="#main">To the content</a>
<header><strong>Rulecast</strong><nav aria-label="Views">${menu}</nav></header>
<p id="gone" role="alert" hidden>rulectl web does not answer, or was started anew: what stands here may be old.</p>
<main id="main">${main}</main></body></html>
`.text;
}

const CURRENT = html` aria-current="page"`;

/** One sentence; with `isFirst` the page that trades the secret of a link. */
export function messagePage(text: string, isFirst: boolean): string {
  const script = isFirst ? html`<script src="/enter.js" defer></script>` : undefined;
  const without = isFirst ? html`<noscript>This page needs JavaScript to open.</noscript>` : undefined;
  return html`${head('Rulecast')}${script}</head><body><header><strong>Rulecast</strong></header><main><h1>Rulecast</h1><p>${text}</p>${without}</main></body></html>
`.text;
}

function head(title: string): Html {
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title} · Rulecast</title><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css"><link rel="icon" href="/icon.svg">`;
}

/**
 * The rendered value, or a line that says why there is none: a role without the right, a publisher that is
 * gone.
 */
export async function shown<T>(
  value: Promise<T>,
  render: (value: T) => Html,
  without = (why: string): Html => html`<p class="note">${why}</p>`,
): Promise<Html> {
  try {
    return render(await value);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return without(sentence(error.message));
  }
}

export function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** A command to copy; with the place where it is to be called, as the remedy of a trouble has it. */
export function command(text: string): Html {
  const [line, where] = text.split(/(, on \S+)$/);
  const place = where && html`<span>${where.replace(', on', 'On')}:</span>`;
  return html`<div class="run">${place}<code>${line}</code><button class="copy">Copy</button></div>`;
}

/**
 * The first of many items in their container; below it the number of others, and the command that lists all.
 */
export function firsts(
  pieces: readonly Html[],
  most: number,
  line: string,
  hold: (some: readonly Html[]) => Html,
): Html {
  const more = pieces.length - most;
  if (more <= 0) return hold(pieces);
  return html`${hold(pieces.slice(0, most))}<p>And ${formatCount(more)} more.</p>${command(line)}`;
}

/** Some of many names. */
export function namesText(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return more > 0
    ? `${names.slice(0, NAMES_SHOWN).join(', ')} and ${formatCount(more)} more`
    : names.join(', ');
}

/** A table. A column that begins with `#` has numbers; one with `-` is hidden if there is no room. */
export function table(name: string, columns: readonly string[], rows: readonly Html[]): Html {
  const heads = columns.map((column) => {
    const text = column.replace(/^[#-]+/, '');
    const kind = `${column.includes('#') ? 'number' : ''}${column.startsWith('-') ? ' less' : ''}`;
    return html`<th scope="col" class="${kind}">${text}</th>`;
  });
  return html`<div class="tables" role="region" aria-label="${name}" tabindex="0"><table><thead><tr>${heads}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** Those that have no value are left out. */
export function facts(rows: readonly (readonly [label: string, value: Piece])[]): Html {
  const known = rows.filter(([, value]) => value !== undefined);
  return html`<dl>${known.map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)}</dl>`;
}

const WELL: readonly string[] = ['synced', 'ok', 'well'];
const DEGRADED: readonly string[] = ['behind', 'receiving', 'waiting', 'loading', 'degraded'];

/** A state in its colour and shape. */
export function state(word: string, text = word): Html {
  return html`<span class="state ${markOf(word)}">${text}</span>`;
}

/** A word that is not known is bad. */
export function markOf(word: string): string {
  if (WELL.includes(word)) return 'well';
  return DEGRADED.includes(word) ? 'degraded' : 'bad';
}
