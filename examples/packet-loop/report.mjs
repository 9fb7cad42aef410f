/** What the packet loop shows: totals over all threads, as text or as JSON lines. */

import { Parsed } from './parser.mjs';
import { Counter } from './ring.mjs';

/**
 * @typedef {import('@rulecast/subscriber').Subscriber} Subscriber
 * @typedef {Float64Array<SharedArrayBuffer>} Counters One thread's, see Counter.
 * @typedef {ReturnType<typeof totalOf>} Total
 */

/**
 * What all threads did in the seconds since they started.
 * @param {readonly Counters[]} threads
 * @param {number} seconds
 */
export function totalOf(threads, seconds) {
  /** @param {number} counter */
  const sumOf = (counter) => sum(threads.map((counters) => counters[counter] ?? 0));
  const parsed = Object.entries(Parsed).map(([kind, number]) => [kind, sumOf(Counter.parsed + number)]);
  return {
    seconds,
    accepted: sumOf(Counter.accept),
    acceptedBytes: sumOf(Counter.acceptedBytes),
    dropped: sumOf(Counter.drop),
    /** No policy is about them. */
    none: sumOf(Counter.none),
    /** Packets by what the parser made of them. @type {Record<keyof typeof Parsed, number>} */
    parsed: Object.fromEntries(parsed),
    /** By thread: packets, and the generation that judged the latest of them. */
    packets: threads.map((counters) => sum(counters.subarray(Counter.parsed))),
    generations: threads.map((counters) => counters[Counter.generation] ?? 0),
  };
}

/** Packets a second, by thread, between two totals. @param {Total} before @param {Total} after */
function ratesOf(before, after) {
  const seconds = after.seconds - before.seconds;
  return after.packets.map((packets, i) => Math.round((packets - (before.packets[i] ?? 0)) / seconds));
}

/** What is in force. @param {Subscriber} subscriber */
async function inForce(subscriber) {
  const { epoch, version } = subscriber.status();
  return { release: { epoch, version }, generation: (await subscriber.stats()).generation };
}

/** @param {Subscriber} subscriber @param {Total} before @param {Total} after */
export async function secondAsJson(subscriber, before, after) {
  return jsonLine({
    kind: 'second',
    ...after,
    packetsPerSecond: ratesOf(before, after),
    ...(await inForce(subscriber)),
  });
}

/** @param {Subscriber} subscriber @param {Total} total */
export async function totalAsJson(subscriber, total) {
  const { lists, programs } = await subscriber.hits();
  const packetsPerSecond = ratesOf(totalOf([], 0), total);
  const hits = { lists: Object.fromEntries(lists), programs };
  return jsonLine({ kind: 'total', ...total, packetsPerSecond, ...(await inForce(subscriber)), hits });
}

/** @param {object} value */
function jsonLine(value) {
  return `${JSON.stringify(value)}\n`;
}

const WIDTHS = [8, 11, 14, 14, 14];

/** The title of the columns of `secondAsText`. */
export function headingAsText() {
  return row(['release', 'generation', 'accepted', 'dropped', 'not judged'], 'M packets/s by thread');
}

/** @param {Subscriber} subscriber @param {Total} before @param {Total} after */
export async function secondAsText(subscriber, before, after) {
  const { release, generation } = await inForce(subscriber);
  const judged = [after.accepted - before.accepted, after.dropped - before.dropped];
  const cells = [...judged, unjudgedOf(after) - unjudgedOf(before)].map(grouped);
  const rates = ratesOf(before, after).map((rate) => (rate / 1e6).toFixed(2));
  return row([`${release.epoch}/${release.version}`, String(generation), ...cells], rates.join('  '));
}

/** @param {Subscriber} subscriber @param {Total} total */
export async function totalAsText(subscriber, total) {
  const rate = sum(ratesOf(totalOf([], 0), total)) / 1e6;
  const packets = `${grouped(sum(total.packets))} packets in ${total.seconds.toFixed(1)} s, ${rate.toFixed(2)} M/s`;
  const { ip4, ip6, ...refused } = total.parsed;
  const kinds = Object.entries({ IPv4: ip4, IPv6: ip6, ...refused }).map(
    ([kind, count]) => `${kind} ${grouped(count)}`,
  );
  const { lists, programs } = await subscriber.hits();
  const listHits = [...lists].map(([list, count]) => `  list ${list}: ${grouped(count)}\n`);
  const programHits = programs.map(({ policy, direction, defaultAction, exceptions, common, own }) => {
    const runs = `exceptions ${countsOf(exceptions)}, common runs ${countsOf(common)}, own runs ${countsOf(own)}, default ${grouped(defaultAction)}`;
    const judge = policy === undefined ? 'unmatched' : `policy ${policy}`;
    return `  ${judge}, ${direction}: ${runs}\n`;
  });
  return `\n${packets}: ${kinds.join(', ')}\nhits\n${[...listHits, ...programHits].join('')}`;
}

/** @param {readonly number[]} counts */
function countsOf(counts) {
  return `[${counts.map(grouped).join(' ')}]`;
}

/** Packets that no rule was asked about, or that no policy is about. @param {Total} total */
function unjudgedOf({ parsed: { ip4: _ip4, ip6: _ip6, ...refused }, none }) {
  return none + sum(Object.values(refused));
}

/** @param {readonly string[]} cells @param {string} last */
function row(cells, last) {
  return `${cells.map((cell, i) => cell.padStart(WIDTHS[i] ?? 0)).join(' ')}   ${last}\n`;
}

/** @param {readonly number[] | Counters} numbers */
function sum(numbers) {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

/** @param {number} count */
function grouped(count) {
  return count.toLocaleString('en-US');
}
