/**
 * Charts as SVG, for the documents: bars, one group a row and one bar a series, on a logarithmic axis; and
 * lines from 0 on.
 */

const WIDTH = 1000;
const BAR_HEIGHT = 15;
const GROUP_GAP = 16;
const LABEL_WIDTH = 230;
const RIGHT_MARGIN = 300; // for the longest name of a series
const TOP = 56;
const COLOURS = [
  '#1b6e8c',
  '#4d94a8',
  '#7fb7be',
  '#3f6b45',
  '#5b8c5a',
  '#8fb58e',
  '#c44536',
  '#d38b5d',
  '#e3b23c',
  '#b0b0b0',
];

/**
 * @param {{ title: string, unit: string, series: readonly string[], groups: readonly { name: string, values: readonly (number | undefined)[] }[] }}
 *   chart
 * @returns {string} An SVG document. Groups and series without a value are left out.
 */
export function barChart({ title, unit, series, groups }) {
  const values = groups.flatMap((group) => group.values.filter((value) => value !== undefined));
  const low = 10 ** Math.floor(Math.log10(Math.max(1e-6, Math.min(...values))));
  const high = Math.max(...values) * 1.2;
  const span = WIDTH - LABEL_WIDTH - RIGHT_MARGIN;
  /** @param {number} value */
  const length = (value) => Math.max(1, (Math.log10(value / low) / Math.log10(high / low)) * span);
  const body = [];
  let y = TOP;
  for (const group of groups) {
    const shown = group.values.flatMap((value, index) => (value === undefined ? [] : [{ value, index }]));
    const middle = y + (shown.length * BAR_HEIGHT) / 2 + 4;
    body.push(text(LABEL_WIDTH - 8, middle, group.name, 'end'));
    for (const { value, index } of shown) {
      const width = length(value).toFixed(1);
      const colour = COLOURS[index % COLOURS.length];
      body.push(
        `<rect x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR_HEIGHT - 3}" fill="${colour}"/>`,
      );
      const label = series.length > 1 ? `${digits(value)}  ${series[index]}` : digits(value);
      body.push(text(LABEL_WIDTH + Number(width) + 5, y + 10, label, 'start'));
      y += BAR_HEIGHT;
    }
    y += GROUP_GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="11" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`,
    `<text x="12" y="22" font-size="15" font-weight="bold">${escaped(title)}</text>`,
    text(12, 40, `${unit}, logarithmic scale`, 'start'),
    ...body,
    '</svg>\n',
  ].join('\n');
}

const LINES_HEIGHT = 360;
const LINES_LEFT = 60;
const LINES_RIGHT = 40;

/**
 * @param {{ title: string, unit: string, curves: readonly { name: string, points: readonly { x: number, y: number }[] }[] }}
 *   chart Of y from 0 to 1; each second curve is dashed, as what the one before it is compared with.
 * @returns {string} An SVG document.
 */
export function lineChart({ title, unit, curves }) {
  const most = Math.ceil(Math.max(...curves.flatMap(({ points }) => points.map(({ x }) => x))));
  const bottom = LINES_HEIGHT - 30;
  const xOf = (/** @type {number} */ x) => LINES_LEFT + (x / most) * (WIDTH - LINES_LEFT - LINES_RIGHT);
  const yOf = (/** @type {number} */ y) => bottom - y * (bottom - TOP);
  const body = [];
  for (let x = 0; x <= most; x++) {
    body.push(text(xOf(x), bottom + 16, String(x), 'start'));
    body.push(`<path d="M${xOf(x).toFixed(1)} ${TOP}V${bottom}" stroke="#dddddd"/>`);
  }
  for (const y of [0, 0.25, 0.5, 0.75, 1]) {
    body.push(text(LINES_LEFT - 8, yOf(y) + 4, `${y * 100} %`, 'end'));
    body.push(`<path d="M${LINES_LEFT} ${yOf(y).toFixed(1)}H${WIDTH - LINES_RIGHT}" stroke="#dddddd"/>`);
  }
  for (const [index, { name, points }] of curves.entries()) {
    const colour = COLOURS[(index >> 1) * 6] ?? '#222222';
    const dash = index % 2 === 1 ? ' stroke-dasharray="6 4"' : '';
    const path = points.map(({ x, y }) => `${xOf(x).toFixed(1)} ${yOf(y).toFixed(1)}`).join('L');
    body.push(`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"${dash}/>`);
    const at = TOP + 20 + index * 18;
    body.push(`<path d="M${LINES_LEFT + 12} ${at - 4}h30" stroke="${colour}" stroke-width="2"${dash}/>`);
    body.push(text(LINES_LEFT + 50, at, name, 'start'));
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${LINES_HEIGHT}" viewBox="0 0 ${WIDTH} ${LINES_HEIGHT}" font-family="sans-serif" font-size="11" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${LINES_HEIGHT}" fill="#ffffff"/>`,
    `<text x="12" y="22" font-size="15" font-weight="bold">${escaped(title)}</text>`,
    text(12, 40, unit, 'start'),
    ...body,
    '</svg>\n',
  ].join('\n');
}

/** @param {number} x @param {number} y @param {string} content @param {'start' | 'end'} anchor */
function text(x, y, content, anchor) {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222222">${escaped(content)}</text>`;
}

/** @param {number} value */
function digits(value) {
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

/** @param {string} content */
function escaped(content) {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
