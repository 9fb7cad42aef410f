/**
 * docs/explain/performance.md with the figures of docs/measurements. Each table of the page stands between
 * `<!-- figures: NAME -->` and `<!-- end -->`; TABLES says what it shows, PLOTS what the plots show.
 */

import { barChart } from './plot.mjs';
import { table } from './report.mjs';

/**
 * @typedef {import('./measurements.mjs').Measurement} Measurement
 * @typedef {ReadonlyMap<string, Measurement>} Measurements by the name of the bench
 * @typedef {readonly [column: string, bound: '≤' | '≥', value: number]} Goal
 * @typedef {object} Source
 * @property {string} bench
 * @property {string} after What the caption of the table has in it.
 * @typedef {object} Shown
 * @property {readonly string[]} columns Those of the source that are shown, after the first.
 * @property {readonly string[]} [rows] Those that are shown; all without it.
 * @property {Readonly<Record<string, Goal>>} [goals] by row
 * @typedef {Source & Shown} Figures
 */

const STAGES = [
  ...['parse', 'canonicalise', 'diff', 'encode', 'digest + sign'],
  ...['transfer', 'verify', 'compile', 'flip'],
];

/** @type {Readonly<Record<string, Figures>>} */
const TABLES = {
  push: {
    bench: 'end-to-end',
    after: 'Three processes',
    columns: ['push, ms', 'commit to APPLIED, ms', 'sent, bytes'],
    goals: { '1M random /32': ['push, ms', '≤', 1000], '1k + 1k on 1M': ['push, ms', '≤', 800] },
  },
  growth: {
    bench: 'end-to-end',
    after: 'more and more',
    columns: ['push, ms', 'commit to APPLIED, ms', 'sent, bytes', 'publisher RSS, MB', 'subscriber RSS, MB'],
  },
  stages: {
    bench: 'end-to-end',
    after: 'One process',
    columns: ['1M random /32', 'real lists', '2^18 rules', '1k + 1k on 1M'],
    rows: [...STAGES, 'total', 'slow twin, total'],
  },
  series: {
    bench: 'end-to-end',
    after: 'one after the other',
    columns: ['median', 'quickest', 'slowest'],
    goals: { 'commit to APPLIED': ['median', '≤', 60] },
  },
  rules: {
    bench: 'rules',
    after: 'one rule after the other',
    columns: ['262,144 rules', '1,000 policies of 25'],
    goals: {
      'first: CPU of the publisher': ['262,144 rules', '≤', 2000],
      'rulectl push': ['262,144 rules', '≤', 800],
    },
  },
  commands: {
    bench: 'start',
    after: 'whole process',
    columns: ['ms', 'processor, ms'],
    goals: { 'rulectl status': ['ms', '≤', 220] },
  },
  start: {
    bench: 'start',
    after: 'without anything on its disk',
    columns: ['ready, ms', 'in force, ms', 'kernel, ms', 'subscriber, MB', 'applier, MB'],
    goals: { '100,000': ['in force, ms', '≤', 1000], '1,000,000': ['in force, ms', '≤', 2000] },
  },
  stalls: { bench: 'stalls', after: 'Longest stall', columns: ['publisher', 'subscriber'] },
  fleet: {
    bench: 'fleet',
    after: 'subscribers.',
    columns: ['to the last, ms', 'longest stall, ms', 'its own, ms', 'RSS, MiB'],
  },
  lists: {
    bench: 'formats',
    after: 'Real lists',
    columns: ['format', 'entries', 'ours', 'ipaddr.js', 'cidr-tools', 'mergeCidr'],
    rows: [
      'country-ru-ipv4.netset',
      'ipsum-level3.txt',
      'ipsum-scored.tsv',
      'aws-ip-ranges-2018.json',
      'spamhaus-drop_v4.ndjson',
      'drugs-adblock.txt',
    ],
  },
  aggregated: {
    bench: 'formats',
    after: 'mixed CIDRs',
    columns: ['left', 'ours, ms', 'cidr-tools mergeCidr, ms', 'ours to it'],
  },
  entry: {
    bench: 'wire',
    after: 'gains an entry',
    columns: ['bytes', 'commit, ms'],
    goals: { 'a list of 1M': ['bytes', '≤', 310] },
  },
  content: {
    bench: 'wire',
    after: 'Bytes an entry',
    columns: ['entries', 'ours, bytes', 'ours', 'brotli 5', 'brotli 11', 'entropy'],
    rows: [
      '1M random /32',
      'country-ru-ipv4.netset',
      'country-nl-ipv6.netset',
      'ipsum-level3.txt',
      'tor-exit-nodes.lst',
      'scam-plain.txt',
      'lists of networks, merged',
      '2^18 rules',
      '1k + 1k on 1M',
    ],
    goals: { '1M random /32': ['ours, bytes', '≤', 1_710_000] },
  },
  memory: {
    bench: 'memory',
    after: 'hosts in the list',
    columns: ['publisher, MB', 'publisher at most', 'subscriber, MB', 'subscriber at most'],
    rows: [
      ...['one host', '1 pushes of all', '10 pushes of all', '50 pushes of all', '100 pushes of all'],
      '10 changes of 1k + 1k',
    ],
    goals: { '100 pushes of all': ['publisher, MB', '≤', 300] },
  },
  dns: {
    bench: 'dns',
    after: 'One qube asks',
    columns: ['p50, µs', 'p99, µs', 'a second of CPU', 'CPU each, µs'],
  },
  blocked: {
    bench: 'dns',
    after: 'so many names blocked',
    columns: ['MB', 'seconds'],
  },
  lookups: {
    bench: 'table',
    after: '### real lists merged, IPv4',
    columns: ['half hits', 'uniform', 'Zipf', 'build, ms', 'B/entry'],
  },
  names: { bench: 'names', after: 'CPU time', columns: ['bytes', 'a name', 'encode', 'decode'] },
};

/** @type {Readonly<Record<string, { title: string, unit: string, figures: Figures }>>} */
const PLOTS = {
  'push-stages.svg': {
    title: 'A push of a million random hosts by stage, in one process',
    unit: 'ms',
    figures: { bench: 'end-to-end', after: 'One process', columns: ['1M random /32'], rows: STAGES },
  },
  'growth.svg': {
    title: 'From rulectl push to the table in force, by the number of hosts',
    unit: 'ms',
    figures: { bench: 'end-to-end', after: 'more and more', columns: ['push, ms', 'commit to APPLIED, ms'] },
  },
  'memory.svg': {
    title: 'Memory while a million hosts give way to another million',
    unit: 'MB',
    figures: { bench: 'memory', after: 'hosts in the list', columns: ['publisher, MB', 'subscriber, MB'] },
  },
};
/** A plot for each: lookups a second of every engine, by set. */
const TRAFFIC = { 'half hits': 'lookups-half-hits', uniform: 'lookups-uniform', Zipf: 'lookups-zipf' };

/** What is measured under this name stands once, at the top of the page. */
const MACHINES = 'machines';

/**
 * @param {string} page
 * @param {Measurements} measurements
 * @returns {string} The page with the figures of the measurements.
 */
export function filled(page, measurements) {
  return page.replace(
    /(<!-- figures: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, start, name, end) =>
      `${start}\n${name === MACHINES ? machinesText(measurements) : figuresText(name, measurements)}\n${end}`,
  );
}

/** @param {Measurements} measurements */
function machinesText(measurements) {
  const machines = new Set([...measurements.values()].map(({ machine }) => machine));
  return `Measured on: ${[...machines].join('; ')}.\n`;
}

/** @param {string} name @param {Measurements} measurements */
function figuresText(name, measurements) {
  const figures = TABLES[name];
  if (figures === undefined) throw new Error(`there is no table "${name}"`);
  const { columns, goals } = figures;
  const { command, commit, date, load } = measurementOf(figures, measurements);
  const rows = rowsOf(figures, measurements).map(([label = '', ...cells]) => {
    const goal = goals?.[label];
    const shown = cells.map((cell, index) =>
      goal === undefined || columns[index] !== goal[0] || isMet(cell, goal) ? cell : `**${cell}**`,
    );
    const goalText = goal === undefined ? '' : `${goal[0]} ${goal[1]} ${goal[2].toLocaleString('en-US')}`;
    return [label, ...shown, ...(goals === undefined ? [] : [goalText])];
  });
  const head = ['', ...columns, ...(goals === undefined ? [] : ['goal'])];
  return `${table(head, rows)}\n\`${command}\`, ${date}, \`${commit}\`, load ${load}.\n`;
}

/** @param {string} cell @param {Goal} goal */
function isMet(cell, [, bound, value]) {
  const measured = Number.parseFloat(cell.replaceAll(',', '')); // a median, before what was at most
  return bound === '≤' ? measured <= value : measured >= value;
}

/** @param {Source} source @param {Measurements} measurements */
function measurementOf({ bench }, measurements) {
  const measurement = measurements.get(bench);
  if (measurement === undefined) throw new Error(`docs/measurements has no ${bench}.json`);
  return measurement;
}

/**
 * @param {Figures} figures
 * @param {Measurements} measurements
 * @returns {readonly (readonly string[])[]} The first column, then those that are asked for.
 */
function rowsOf(figures, measurements) {
  const { bench, after, columns } = figures;
  const source = measurementOf(figures, measurements).tables.find(({ caption }) => caption.includes(after));
  if (source === undefined) throw new Error(`${bench}.json has no table after "${after}"`);
  const indexes = columns.map((column) => source.head.indexOf(column));
  if (indexes.includes(-1)) throw new Error(`a column of "${after}" in ${bench}.json is missing`);
  const wanted = figures.rows?.map((label) => {
    const row = source.rows.find(([first]) => first === label);
    if (row === undefined) throw new Error(`"${after}" in ${bench}.json has no row "${label}"`);
    return row;
  });
  return (wanted ?? source.rows).map((row) => [row[0] ?? '', ...indexes.map((index) => row[index] ?? '')]);
}

/** @param {Measurements} measurements @returns {ReadonlyMap<string, string>} SVG by the name of its file */
export function plots(measurements) {
  const own = Object.entries(PLOTS).map(([file, { title, unit, figures }]) => {
    const groups = rowsOf(figures, measurements).map(([name = '', ...cells]) => ({
      name,
      values: cells.map(numberOf),
    }));
    return /** @type {const} */ ([file, barChart({ title, unit, series: figures.columns, groups })]);
  });
  const lookups = Object.entries(TRAFFIC).map(([column, file]) => {
    const chart = lookupChart(column, measurements);
    return /** @type {const} */ ([`${file}.svg`, chart]);
  });
  return new Map([...own, ...lookups]);
}

/** @param {string} traffic @param {Measurements} measurements */
function lookupChart(traffic, measurements) {
  const { tables } = measurementOf({ bench: 'table', after: '' }, measurements);
  const sets = tables.filter(({ head }) => head[0] === 'engine');
  const series = [...new Set(sets.flatMap(({ rows }) => rows.map(([engine = '']) => engine)))];
  const groups = sets.map(({ caption, head, rows }) => ({
    name: /### (.+?),? [^,]*:/.exec(caption)?.[1] ?? caption,
    values: series.map((engine) => {
      const row = rows.find(([first]) => first === engine);
      return numberOf(row?.[head.indexOf(traffic)] ?? '');
    }),
  }));
  return barChart({ title: `Lookups, ${traffic}`, unit: 'M lookups/s', series, groups });
}

/** @param {string} cell @returns {number | undefined} of what is no number, or zero, there is no bar */
function numberOf(cell) {
  return Number(cell.replaceAll(',', '')) || undefined;
}
