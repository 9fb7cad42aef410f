/**
 * A publisher of its own for the packet loop, in the same process: a first release with the rules of a few
 * qubes and a long list, then another every quarter of a second, in which part of the list comes or goes.
 * Real ones run elsewhere: see rulecast-publisher.
 */

import { setInterval } from 'node:timers/promises';
import { Publisher, serveSubscribers } from '@rulecast/publisher';
import { parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { BLOCKS, numbersFrom } from './traffic.mjs';

const ENDPOINT = parseEndpoint('memory:packet-loop');
const RELEASE_EVERY_MS = 250;
/** Blocks that come or go with a release. */
const CHANGED_BLOCKS = 64;

const RULES = `
lists:
  office: { entries: [198.18.0.0/20, "2001:db8::/36"] }
common:
  egress: [drop dst=@blocked]
policies:
  work:
    prefixes: [10.137.0.1, 10.137.0.2, "fd09:24ef:4179::a89:1", "fd09:24ef:4179::a89:2"]
    egress:
      - accept dst=@office
      - accept proto=tcp dstports=443
      - accept proto=icmp
  default:
    egress:
      - accept proto=tcp dstports=80
      - accept proto=tcp dstports=443
      - accept proto=udp dstports=53
      - drop proto=icmp icmptype=3
      - accept proto=icmp
`;

/**
 * @typedef {object} Scene
 * @property {import('@rulecast/vchan').Endpoint} endpoint Where subscribers in this process connect.
 * @property {import('@rulecast/protocol').Trust} trust
 * @property {() => Promise<void>} close
 */

/** @param {string} directory For the publisher's state. @returns {Promise<Scene>} */
export async function startScene(directory) {
  const publisher = new Publisher({
    stateDirectory: directory,
    name: 'packet-loop',
    resolve: () => Promise.reject(new Error('these rules have no names')),
    logger: pino({ level: 'silent' }),
  });
  const served = await serveSubscribers(publisher, [ENDPOINT]);
  const below = numbersFrom(1);
  const blocked = Array.from({ length: BLOCKS }, (_, block) => block).filter(() => below(2) === 0);
  await push(publisher, 'replace', { 'rules.yaml': RULES, 'blocked.txt': listOf(blocked) });
  const stop = new AbortController();
  const changing = changeForever(publisher, listOf(blocked.slice(0, CHANGED_BLOCKS)), stop.signal);
  const close = async () => {
    stop.abort();
    await changing;
    await served.close();
    await publisher.close();
  };
  return { endpoint: ENDPOINT, trust: publisher.identity, close };
}

/**
 * Takes part of the list away and brings it back, a release each.
 * @param {Publisher} publisher
 * @param {string} part
 * @param {AbortSignal} signal
 */
async function changeForever(publisher, part, signal) {
  let isAway = false;
  try {
    for await (const _ of setInterval(RELEASE_EVERY_MS, undefined, { signal })) {
      await push(publisher, isAway ? 'merge' : 'withdraw', { 'blocked.txt': part });
      isAway = !isAway;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/**
 * @param {Publisher} publisher
 * @param {'replace' | 'merge' | 'withdraw'} action
 * @param {Record<string, string>} texts By file name.
 */
async function push(publisher, action, texts) {
  const files = Object.entries(texts).map(([name, text]) => ({
    name,
    role: /** @type {const} */ ('pushed'),
    bytes: new TextEncoder().encode(text),
  }));
  const outcome = await publisher.push({
    action,
    list: undefined,
    policy: undefined,
    replaceAll: false,
    files,
  });
  if (outcome.kind !== 'released') throw new Error(`a release was due: ${JSON.stringify(outcome)}`);
}

/** Blocks as a list file, in both families. @param {readonly number[]} blocks */
function listOf(blocks) {
  const lines = blocks.flatMap((block) => [
    `198.18.${block >>> 6}.${(block & 63) * 4}/30`,
    `2001:db8:${block.toString(16)}::/48`,
  ]);
  return `${lines.join('\n')}\n`;
}
