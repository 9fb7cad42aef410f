/** Bar charts as SVG, for the documents: one group of bars a row, one bar a series, on a logarithmic axis. */

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
      body.push(text(LABEL_WIDTH + Number(width) + 5, y + 10, `${digits(value)}  ${series[index]}`, 'start'));
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
