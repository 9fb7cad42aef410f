/** Plots as SVG, with a text alternative. Pure. */

import { formatAmount, formatCount, formatTime } from '../render/amounts.ts';
import { type Html, html } from './html.ts';
import { DAY_HOURS, HOUR_MS, type Hour } from './model.ts';

const WIDTH = 240;
const HEIGHT = 100;
/** Above the highest, so that it does not touch the edge. */
const ROOM = 1.08;

const NONE = 'Rules dropped no packets in 24 hours, as far as firewalls reported';

/** Packets of each hour of the last day, the newest at the right. */
export function hoursPlot(hours: readonly Hour[], nowMs: number): Html {
  const step = WIDTH / DAY_HOURS;
  const placed = hours
    .map(({ fromMs, packets }) => ({ ago: Math.floor((nowMs - fromMs) / HOUR_MS), fromMs, packets }))
    .filter(({ ago }) => ago >= 0 && ago < DAY_HOURS);
  const most = Math.max(1, ...placed.map(({ packets }) => packets));
  const sum = placed.reduce((total, { packets }) => total + packets, 0);
  const bars = placed.map(({ ago, fromMs, packets }) => {
    const height = Math.round((packets / most / ROOM) * HEIGHT * 10) / 10;
    const x = WIDTH - (ago + 1) * step + 1;
    const title = `${formatTime(fromMs).slice(11, 16)}: ${formatAmount(packets, 'packet')}`;
    return html`<rect x="${x}" y="${(HEIGHT - height).toFixed(1)}" width="${step - 2}" height="${height}"><title>${title}</title></rect>`;
  });
  const words = `Packets that rules dropped by hour: ${formatCount(sum)} in 24 hours, ${formatCount(most)} in the hour with most`;
  return figure(sum === 0 ? NONE : words, html`${bars}`, ['24 h ago', '12 h ago', 'now']);
}

/** The size of a list, a step at each release that changed it. */
export function sizesPlot(sizes: readonly (readonly [atMs: number, count: number])[], nowMs: number): Html {
  const [first] = sizes;
  const last = sizes.at(-1);
  if (first === undefined || last === undefined || sizes.length < 2)
    return html`<p class="soft">No change of it is kept, so there is no plot of its size.</p>`;
  const counts = sizes.map(([, count]) => count);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const span = Math.max(1, nowMs - first[0]);
  const x = (atMs: number): number => Math.round(((atMs - first[0]) / span) * WIDTH * 10) / 10;
  // Small changes must be visible: the axis does not begin at 0, and the labels give the values.
  const room = Math.max(1, most - least) * 0.15;
  const y = (count: number): number =>
    Math.round((1 - (count - least + room) / (most - least + 2 * room)) * HEIGHT * 10) / 10;
  const points = sizes.flatMap(([atMs, count], i) => [
    `${x(atMs)},${y(count)}`,
    `${x(sizes[i + 1]?.[0] ?? nowMs)},${y(count)}`,
  ]);
  const words = `Entries over time: ${formatCount(first[1])} at first, ${formatCount(last[1])} now, between ${formatCount(least)} and ${formatCount(most)}`;
  const line = html`<polyline points="${points.join(' ')}"/>`;
  return figure(words, line, [formatTime(first[0]), 'now']);
}

/** A bar in a table: how much it is of the most. */
export function share(part: number, most: number): Html {
  const width = Math.round((part / Math.max(1, most)) * 1000) / 10;
  return html`<td class="share"><svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect width="${width}" height="1"/></svg></td>`;
}

function figure(words: string, drawing: Html, axis: readonly string[]): Html {
  return html`<figure><svg role="img" aria-label="${words}" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">${drawing}</svg><div class="axis">${axis.map((text) => html`<span>${text}</span>`)}</div><figcaption>${words}.</figcaption></figure>`;
}
