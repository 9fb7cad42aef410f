/**
 * Many readers of a depot in one process, each with a connection of its own: `mirror-clients.mjs URL CA
 * COUNT TRUST POLL_MS`. They start spread over one poll, and take each release as a firewall does, up to the
 * stream that brings it, which is not applied. Tells its parent when all have a first release, and then of
 * each release when every one of them had its stream, as milliseconds since 1970.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { DepotFeed, HttpSource } from '@rulecast/depot';
import { parseTrust } from '@rulecast/protocol';

const [url = '', caFile = '', countText, trustLine = '', pollText] = process.argv.slice(2);
const [count, pollMs] = [Number(countText), Number(pollText)];
const trust = parseTrust(trustLine);
if (trust === undefined) throw new TypeError('no trust line');
const ca = readFileSync(caFile, 'utf8');
const clock = {
  monotonicMs: () => performance.now(),
  /** @param {number} ms @param {() => void} callback */
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
const logger = {
  info: () => undefined,
  /** @param {object} fields @param {string} text */
  warn: (fields, text) => process.stderr.write(`${JSON.stringify(fields)} ${text}\n`),
};
/** By version, when each had it. @type {Map<number, number[]>} */
const seen = new Map();

/** @param {import('@rulecast/protocol').Trust} trust */
async function read(trust) {
  await pause(pollMs * Math.random());
  const sources = [new HttpSource(url, { ca, clock })];
  const feed = new DepotFeed({ sources, trust, clock, random: Math.random, logger, pollMs });
  /** @type {Uint8Array | undefined} */
  let base;
  feed.on('release', async () => {
    const { release } = feed;
    if (release === undefined) return;
    if (base !== undefined) await feed.stream(release, base);
    base = release.hash;
    note(release.manifest.version);
  });
  feed.start();
}

/** @param {number} version */
function note(version) {
  const at = seen.get(version) ?? [];
  seen.set(version, at);
  at.push(performance.timeOrigin + performance.now());
  if (at.length === count) process.send?.({ version, at });
}

for (let i = 0; i < count; i++) void read(trust);
