/**
 * How fast a router forwards with rules in it: packets of 58 bytes of 1,024 accepted flows, there and back,
 * by processor time.
 *
 * All rules lie in one router at once, dormant, and are awake in short turns of a random order, so that what
 * else the machine does slows all of them alike, and each walks the same memory for flows and interfaces. A
 * turn warms its flows up, then sends some thousand packets each way. What is told is the median of processor
 * time a packet. Two rows are the same rules: what they differ by is noise.
 */

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { importList, parseRuleLines } from '@rulecast/formats';
import { EMPTY_RULE_SET, emptyPolicy, IpProtocol, memberContaining } from '@rulecast/rules';
import { classPieces, keyPieces, mapPieces } from '../../packages/nftables/dist/kernel/elements.js';
import { scriptOf } from '../../packages/nftables/dist/kernel/script.js';
import { CONNECTION_LABELS, FLOW_MARK_MAX } from '../../packages/nftables/dist/limits.js';
import { wholeChange } from '../../packages/nftables/dist/plan/change.js';
import { planOf } from '../../packages/nftables/dist/plan/planner.js';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, Network } from '../enforce/network.mjs';
import { commandText, elementsText } from '../enforce/nft-text.mjs';
import { dottedQuad, seedPolicy } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { median } from './report.mjs';

const BLASTER = fileURLToPath(new URL('../enforce/frame-blaster.py', import.meta.url));
const SEED = 17;
const MARK = 0x0bebe;
const FLOWS = 1024;
/** Rounds of 2,048 packets in a turn: to warm flows up, and to measure. */
const WARM_ROUNDS = 1;
const MEASURED_ROUNDS = 3;
const TURNS_OF_A_RUN = 20;
const FIRST_ADDRESS = 0x01000000;
const GROUP = 2;
const BLOCKING = ['drop dst=@blocked', 'accept'];

/**
 * @typedef {{ readonly name: string, readonly rules: string | undefined }} Situation `rules` make a table
 *   TABLE; undefined: there is none.
 */

/**
 * The rows of the table, rates in thousands a second of one core.
 * @param {readonly string[]} million
 * @param {number} runs
 */
export async function forwardingRows(million, runs) {
  const flows = acceptedFlows(million);
  const situations = situationsWith(million);
  const [bare, tracked] = [new Network(), new Network()]; // what follows flows cannot be turned off again in a router
  try {
    const routers = { bare: await Router.open(bare, flows), tracked: await Router.open(tracked, flows) };
    for (const [index, { rules }] of situations.entries())
      if (rules !== undefined) tracked.router.nft(asleep(rules, index));
    /** Nanoseconds a packet. @type {readonly (readonly [number[], number[]])[]} */
    const costs = situations.map(() => [[], []]);
    const next = seededNumbers(SEED);
    for (let turn = 0; turn < runs * TURNS_OF_A_RUN; turn++) {
      for (const index of shuffled(situations.length, next)) {
        const { rules } = situations[index] ?? {};
        const router = rules === undefined ? routers.bare : routers.tracked;
        const [there, back] = await router.turn(rules && tableOf(rules, index));
        costs[index]?.[0].push(there ?? Number.NaN);
        costs[index]?.[1].push(back ?? Number.NaN);
      }
    }
    return rowsOf(
      situations,
      costs.map((each) => each.map(median)),
    );
  } finally {
    for (const network of [bare, tracked]) network.removeNamespaces();
  }
}

export const FORWARDING_HEAD = [
  'rules',
  'kpps',
  'of no rules',
  'of flows only',
  'of the former',
  'replies',
  'of no rules',
  'of flows only',
  'of the former',
];

/** @param {readonly Situation[]} situations @param {readonly (readonly number[])[]} costs */
function rowsOf(situations, costs) {
  return situations.map(({ name }, index) => {
    const former = situations.findIndex((other) => other.name === name.replace(/^ours/, 'packets judged'));
    const columns = [0, 1].flatMap((way) => {
      const cost = costs[index]?.[way] ?? Number.NaN;
      const share = (/** @type {number} */ other) =>
        other < 0 || other === index
          ? ''
          : `${((100 * (costs[other]?.[way] ?? Number.NaN)) / cost).toFixed(1)} %`;
      return [(1e6 / cost).toFixed(0), share(0), share(1), share(former)];
    });
    return [name, ...columns];
  });
}

/**
 * The numbers below a count in another order. @param {number} count @param {(below: number) => number} next
 */
function shuffled(count, next) {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = next(i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

// ── The router ─────────────────────────────────────────────────────────────────────────────────────────────

/** @param {string} rules @param {number} index */
function asleep(rules, index) {
  const table = tableOf(rules, index);
  return rules
    .replaceAll(tableOf(rules, undefined), `${table}`)
    .replace(`add table ${table}`, `add table ${table} { flags dormant; }`);
}

/** Its family and name. @param {string} rules @param {number | undefined} index */
function tableOf(rules, index) {
  const family = /^add table (\w+) /.exec(rules)?.[1] ?? '';
  return `${family} ${index === undefined ? 'TABLE' : `t${index}`}`;
}

class Router {
  /** @type {readonly Blaster[]} */
  #blasters;
  /** @type {Network} */
  #network;

  /**
   * @param {Network} network
   * @param {{ readonly originals: readonly string[], readonly replies: readonly string[] }} flows
   */
  static async open(network, { originals, replies }) {
    const blasters = [new Blaster(network, 'a', originals), new Blaster(network, 'world', replies)];
    const router = new Router(network, blasters);
    await router.turn(undefined);
    return router;
  }

  /** @param {Network} network @param {readonly Blaster[]} blasters */
  constructor(network, blasters) {
    this.#blasters = blasters;
    this.#network = network;
  }

  /** Nanoseconds a packet, there and back, with one table awake. @param {string | undefined} table */
  async turn(table) {
    if (table !== undefined) this.#network.router.nft(`add table ${table}\n`);
    for (const blaster of this.#blasters) await blaster.send(WARM_ROUNDS);
    /** @type {number[]} */
    const costs = [];
    for (const blaster of this.#blasters) costs.push(await blaster.send(MEASURED_ROUNDS));
    if (table !== undefined) this.#network.router.nft(`add table ${table} { flags dormant; }\n`);
    return [costs[0] ?? Number.NaN, costs[1] ?? Number.NaN];
  }
}

/** frame-blaster.py, which sends when it is told. */
class Blaster {
  #stdin;
  #lines;

  /** @param {Network} network @param {'a' | 'world'} from @param {readonly string[]} frames */
  constructor(network, from, frames) {
    const { stdin, stdout } = network.links[from].namespace.spawn(['python3', BLASTER, 'eth0', 'turns']);
    if (stdin === null || stdout === null) throw new Error('no pipes');
    this.#stdin = stdin;
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    stdin.write(`${frames.join('\n')}\n\n`);
  }

  /** Nanoseconds of processor time a packet. @param {number} rounds */
  async send(rounds) {
    this.#stdin.write(`${rounds}\n`);
    const { value } = await this.#lines.next();
    const [sent = 0, , seconds = Number.NaN] = String(value).split(' ').map(Number);
    return (seconds * 1e9) / sent;
  }
}

/**
 * Flows to addresses that the list does not hold: a packet of each, and a reply.
 * @param {readonly string[]} listed
 */
function acceptedFlows(listed) {
  const list = listOf(listed);
  if (list.kind !== 'prefixes') throw new TypeError('a list of prefixes was expected');
  const next = seededNumbers(SEED);
  /** @type {string[]} */
  const originals = [];
  /** @type {string[]} */
  const replies = [];
  const proto = IpProtocol.udp;
  while (originals.length < FLOWS) {
    const dst = address(dottedQuad(FIRST_ADDRESS + next(0x08000000)));
    if (memberContaining(list.v4, dst.words) >= 0) continue;
    const src = address('10.137.0.5');
    const [port, data] = [10_000 + originals.length, { mark: MARK, dataBytes: 16 }];
    const there = segment(src, dst, proto, { ...data, srcPort: port, dstPort: 443 });
    const back = segment(dst, src, proto, { ...data, srcPort: 443, dstPort: port });
    originals.push(hexOf(frameOf(...macsAt(0), { src, dst, proto, payload: there })));
    replies.push(hexOf(frameOf(...macsAt(2), { src: dst, dst: src, proto, payload: back })));
  }
  return { originals, replies };
}

/**
 * The MAC addresses of the router and of the host in one network, by the host's place.
 * @param {number} host
 * @returns {[Uint8Array, Uint8Array]}
 */
function macsAt(host) {
  return [Uint8Array.of(2, 0, 0, 0, host, 1), Uint8Array.of(2, 0, 0, 0, host, 2)];
}

/** @param {Uint8Array} bytes */
function hexOf(bytes) {
  return Buffer.from(bytes).toString('hex');
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The first two are what others are compared with.
 * @param {readonly string[]} million
 * @returns {readonly Situation[]}
 */
function situationsWith(million) {
  const ten = million.slice(0, 10);
  const hook = 'add chain inet TABLE forward { type filter hook forward priority 0; policy accept; }';
  const followed = `add table inet TABLE\n${hook}\nadd rule inet TABLE forward ct state new accept\n`;
  const linear = Array.from(
    { length: 1000 },
    (_, index) => `add rule ip TABLE forward ip daddr ${dottedQuad(0xdff00000 + index * 256)}/24 drop`,
  );
  return [
    { name: 'none, and no connection tracking', rules: undefined },
    { name: 'flows followed only', rules: followed },
    { name: 'the same again', rules: followed },
    { name: 'packets judged, 10 prefixes', rules: formerly(oursOf(ten, BLOCKING, 1), 1) },
    { name: 'ours, 10 prefixes', rules: oursOf(ten, BLOCKING, 2) },
    { name: 'ours, 1M prefixes', rules: oursOf(million, BLOCKING, 3) },
    { name: 'ours, 2^18 rules', rules: oursOf([], seedPolicy().trim().split('\n'), 4) },
    { name: 'packets judged, 10 prefixes, no marks', rules: formerly(oursOf(ten, BLOCKING, 0), 0) },
    { name: 'ours, 10 prefixes, no marks', rules: oursOf(ten, BLOCKING, 0) },
    { name: 'packets judged, 1M prefixes, no marks', rules: formerly(oursOf(million, BLOCKING, 0), 0) },
    { name: 'ours, 1M prefixes, no marks', rules: oursOf(million, BLOCKING, 0) },
    {
      name: '1M prefixes in a bare interval set',
      rules: `add table inet TABLE\n${hook}\nadd set inet TABLE blocked { type ipv4_addr; flags interval; }\nadd element inet TABLE blocked { ${million.join(', ')} }\nadd rule inet TABLE forward ip daddr @blocked drop\n`,
    },
    {
      name: '1,000 rules, one after the other',
      rules: `add table ip TABLE\n${hook.replace('inet', 'ip')}\n${linear.join('\n')}\n`,
    },
  ];
}

/** @param {readonly string[]} entries */
function listOf(entries) {
  return importList('', new TextEncoder().encode(entries.join('\n')), { format: 'plain' }).list;
}

/**
 * Our table, as a text for nft.
 * @param {readonly string[]} entries
 * @param {readonly string[]} rules
 * @param {number} mark
 */
function oursOf(entries, rules, mark) {
  const { runs } = parseRuleLines(new TextEncoder().encode(rules.join('\n')), 'egress', 0);
  const ruleSet = {
    ...EMPTY_RULE_SET,
    lists: new Map([['blocked', listOf(entries)]]),
    policies: new Map([['default', { ...emptyPolicy('default'), egress: runs }]]),
  };
  const { plan } = planOf({ ruleSet, environment: { now: 0, dns: [] } }, () => undefined);
  const tag = { release: '0'.repeat(64), conditions: '0'.repeat(16), mark };
  const { change, body } = wholeChange(plan, { tag, downstreamGroup: GROUP, answer: 'reject' });
  const bytes = Buffer.concat(body);
  const { objects, chains, release } = scriptOf(change, 'TABLE');
  /** @type {string[]} */
  const lines = ['add table inet TABLE', ...[...objects].map(commandText)];
  const put = (/** @type {import('../../packages/nftables/dist/kernel/elements.js').Piece} */ piece) =>
    lines.push(elementsText('add', 'TABLE', piece));
  for (const each of change.added) for (const piece of keyPieces(each, bytes)) put(piece);
  for (const command of chains) lines.push(commandText(command));
  for (const each of change.verdicts) for (const piece of classPieces(each, bytes)) put(piece);
  for (const piece of mapPieces(change.keys)) put(piece);
  return `${[...lines, ...[...release].map(commandText)].join('\n')}\n`;
}

/**
 * The same policy as it was before flows were judged: by packets in the original direction, with no rule for
 * replies.
 * @param {string} ours
 * @param {number} mark
 */
function formerly(ours, mark) {
  const byPackets = ours
    .replace(/ct original (ip6?) saddr/g, '$1 saddr')
    .replace(/ct reply (ip6?) saddr/g, '$1 daddr')
    .replaceAll('ct original protocol', 'meta l4proto')
    .replaceAll('ct reply proto-src', 'th dport')
    .split('\n')
    .filter((line) => !/^add rule inet TABLE (forward|to_qubes) /.test(line));
  const path = `iifgroup ${GROUP} oifgroup != ${GROUP} ct state new,established`;
  const label = CONNECTION_LABELS - FLOW_MARK_MAX - 1 + mark;
  const rules = [
    ...(mark === 0 ? [] : [`to_qubes ${path} ct label set ${label} accept`]),
    `to_qubes oifgroup != ${GROUP} accept`,
    'to_qubes accept',
    'forward ct direction reply accept',
    ...(mark === 0 ? [] : [`forward ct label ${label} ${path} accept`]),
    ...[4, 6].map((family) => `forward iifgroup ${GROUP} meta nfproto ipv${family} goto egress${family}`),
    'forward goto to_qubes',
  ];
  return [...byPackets, ...rules.map((rule) => `add rule inet TABLE ${rule}`), ''].join('\n');
}
