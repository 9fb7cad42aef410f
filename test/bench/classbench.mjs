/**
 * Rule sets and packets like those of ClassBench (Taylor and Turner, "ClassBench: a packet classification
 * benchmark", IEEE/ACM Transactions on Networking, 2007), made anew from the published description; its seed
 * files and code are not used.
 *
 * The paper finds that real filter sets differ in: how often each protocol occurs; which of five classes
 * their port ranges are of (any, 0 to 1023, 1024 to 65535, one port, some range) together with the protocol;
 * how long their prefixes are; and how addresses branch: the share of a prefix tree's nodes with two children
 * by depth, and the skew between the two. Packets are corners of filters drawn with Pareto bursts. The
 * numbers below follow the shapes it shows for its three families: access control lists (acl) name hosts and
 * single ports; firewalls (fw) leave many destinations open; IP chains (ipc) are in between.
 *
 * A rule of ours has no source, so that filters that differ in it alone are one; each rule here is distinct.
 * As in the paper, filters of smaller scope come first, so that few are hidden by others.
 */

import { NO_RULES, NO_RUNS, plainRule, prefixOf, prefixSetOf, RunBuilder } from '@rulecast/rules';
import { seededWords } from '../kit/random.mjs';

/** @typedef {import('@rulecast/rules').Rule} Rule */
/** @typedef {'acl' | 'fw' | 'ipc'} Family */

/**
 * `lengths`: cumulative shares of destination prefix lengths. `protos`: shares of tcp, udp, icmp, any.
 * `ports`: of tcp and udp, shares of any, 0-1023, 1024-65535, one port, a range. `branching`: the share of
 * nodes with two children at the root and at depth
 * 31. `skew`: the share of filters that the lighter of two children gets.
 * @type {Record<Family, { lengths: [number, number][], protos: number[], ports: number[], branching: [number, number], skew: number }>}
 */
const FAMILIES = {
  acl: {
    lengths: [[0, 0.005], [8, 0.01], [16, 0.05], [20, 0.08], [23, 0.12], [24, 0.3], [27, 0.36], [28, 0.42], [30, 0.5], [31, 0.52], [32, 1]], // biome-ignore format: a row
    protos: [0.78, 0.12, 0.04, 0.06],
    ports: [0.1, 0.01, 0.06, 0.73, 0.1],
    branching: [0.8, 0.25],
    skew: 0.25,
  },
  fw: {
    lengths: [[0, 0.14], [8, 0.18], [14, 0.2], [16, 0.27], [20, 0.3], [24, 0.48], [27, 0.55], [28, 0.6], [32, 1]], // biome-ignore format: a row
    protos: [0.6, 0.22, 0.05, 0.13],
    ports: [0.22, 0.03, 0.14, 0.48, 0.13],
    branching: [0.6, 0.2],
    skew: 0.35,
  },
  ipc: {
    lengths: [[0, 0.04], [8, 0.06], [14, 0.08], [16, 0.16], [20, 0.2], [22, 0.25], [24, 0.42], [28, 0.52], [30, 0.6], [32, 1]], // biome-ignore format: a row
    protos: [0.62, 0.2, 0.06, 0.12],
    ports: [0.25, 0.02, 0.1, 0.53, 0.1],
    branching: [0.7, 0.25],
    skew: 0.3,
  },
};
/** Ports that real rules name often; others are uniform. */
const WELL_KNOWN = [20, 21, 22, 23, 25, 53, 80, 110, 123, 135, 137, 139, 143, 161, 389, 443, 445, 993, 1433, 1521, 3306, 3389, 5060, 8080]; // biome-ignore format: a row
const WELL_KNOWN_SHARE = 0.7;
const PROTOS = /** @type {const} */ (['tcp', 'udp', 'icmp', undefined]);
/** The shape of the Pareto distribution of bursts (the paper's locality parameters a = 1, b = 1). */
const BURST_SCALE = 1;
const BURST_MAX = 64;
const DRAWS_PER_RULE = 1000;

/** A source of numbers in [0, 1), the same for the same seed. @param {number} seed */
function fractions(seed) {
  const next = seededWords((Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) | 1);
  for (let i = 0; i < 8; i++) next();
  return () => next() / 2 ** 32;
}

/**
 * The index of the share that a number in [0, 1) falls in.
 * @param {readonly number[]} shares
 * @param {number} at
 */
function shareOf(shares, at) {
  let rest = at;
  for (const [index, share] of shares.entries()) {
    rest -= share;
    if (rest < 0) return index;
  }
  return shares.length - 1;
}

/**
 * A number in [0, 1) that depends on a seed and a node of the prefix tree.
 * @param {number} seed
 * @param {number} bits
 * @param {number} depth
 */
function nodeFraction(seed, bits, depth) {
  let hash = Math.imul(seed ^ (bits + Math.imul(depth + 1, 0x9e3779b1)), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x21f0aaad);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}

/**
 * A destination of `length` bits: a walk down a prefix tree whose shape is a function of the seed.
 * @param {Family} family @param {number} seed @param {number} length @param {() => number} fraction
 */
function destination(family, seed, length, fraction) {
  const { branching, skew } = FAMILIES[family];
  let bits = 0; // of the prefix so far, from the top of the word
  for (let depth = 0; depth < length; depth++) {
    const node = nodeFraction(seed, bits, depth);
    const both = branching[0] + ((branching[1] - branching[0]) * depth) / 31;
    const heavy = node * 65536 - Math.floor(node * 65536) < 0.5 ? 0 : 1;
    const side = node < both && fraction() < skew ? 1 - heavy : heavy;
    bits = (bits | (side << (31 - depth))) >>> 0;
  }
  return bits;
}

/**
 * @param {readonly number[]} shares
 * @param {() => number} fraction
 * @returns {{ first: number, last: number } | undefined}
 */
function portsOf(shares, fraction) {
  switch (shareOf(shares, fraction())) {
    case 0:
      return undefined;
    case 1:
      return { first: 0, last: 1023 };
    case 2:
      return { first: 1024, last: 65535 };
    case 3: {
      const isKnown = fraction() < WELL_KNOWN_SHARE;
      const port = isKnown
        ? (WELL_KNOWN[Math.floor(fraction() ** 2 * WELL_KNOWN.length)] ?? 80)
        : Math.floor(fraction() * 65536);
      return { first: port, last: port };
    }
    default: {
      const first = Math.floor(fraction() * 65000);
      return { first, last: Math.min(65535, first + 1 + Math.floor(fraction() ** 4 * 20000)) };
    }
  }
}

/**
 * `count` distinct rules of a family, in their order, ending in no wildcard of their own accord. Throws
 * RangeError if the family has not as many.
 * @param {Family} family @param {number} count @param {number} seed @returns {readonly Rule[]}
 */
export function classBenchRules(family, count, seed) {
  const { lengths, protos, ports } = FAMILIES[family];
  const fraction = fractions(seed);
  /** @type {Map<string, Rule>} */
  const rules = new Map();
  for (let draw = 0; rules.size < count; draw++) {
    if (draw > count * DRAWS_PER_RULE)
      throw new RangeError(`no ${count} distinct ${family} rules: ${rules.size}`);
    const at = fraction();
    const length = (lengths.find(([, share]) => at < share) ?? [32])[0];
    const word = destination(family, seed, length, fraction);
    const proto = PROTOS[shareOf(protos, fraction())];
    const range = proto === 'tcp' || proto === 'udp' ? portsOf(ports, fraction) : undefined;
    if (length === 0 && proto === undefined) continue; // would decide all that follows
    const key = `${word}/${length} ${proto} ${range?.first}-${range?.last}`;
    if (rules.has(key)) continue;
    rules.set(key, {
      ...plainRule(fraction() < 0.5 ? 'accept' : 'drop'),
      remote: length === 0 ? { kind: 'any' } : { kind: 'prefix', prefix: prefixOf(4, [word], length) },
      proto,
      ports: range,
    });
  }
  const scopes = new Map(Array.from(rules.values(), (rule) => [rule, scopeOf(rule)]));
  return [...scopes].sort(([, a], [, b]) => a - b).map(([rule]) => rule);
}

/** The logarithm of how many packets a rule matches. @param {Rule} rule */
function scopeOf({ remote, proto, ports }) {
  const addressBits = remote.kind === 'prefix' ? 32 - remote.prefix.length : 32;
  const portBits = ports === undefined ? 16 : Math.log2(ports.last - ports.first + 1);
  return addressBits + portBits + (proto === undefined ? 8 : 0);
}

/**
 * A rule set whose `default` policy has the rules, for egress.
 * @param {readonly Rule[]} rules @returns {import('@rulecast/rules').RuleSet}
 */
export function defaultPolicyOf(rules) {
  const runs = new RunBuilder();
  for (const rule of rules) runs.push(rule);
  const policy = {
    name: 'default',
    prefixes: prefixSetOf([]),
    defaultAction: /** @type {const} */ ('drop'),
    exceptions: NO_RUNS,
    egress: runs.build(),
    ingress: NO_RULES,
  };
  return {
    lists: new Map(),
    policies: new Map([['default', policy]]),
    resolutions: new Map(),
    unmatched: undefined,
  };
}

/**
 * `count` packets for the rules: corners of rules, in Pareto bursts. Columns as `lookupBatch` takes them.
 * @param {readonly Rule[]} rules @param {number} count @param {number} seed
 */
export function classBenchPackets(rules, count, seed) {
  const fraction = fractions(seed);
  const dst = new Uint32Array(count);
  const protos = new Uint8Array(count);
  const details = new Int32Array(count);
  for (let i = 0; i < count; ) {
    const rule = rules[Math.floor(fraction() * rules.length)];
    const burst = Math.min(BURST_MAX, Math.ceil(BURST_SCALE / (1 - fraction())));
    const { word, last } = extentOf(rule, fraction);
    const isLow = fraction() < 0.5;
    const proto = rule?.proto ?? (['tcp', 'udp', 'icmp'][Math.floor(fraction() * 3)] || 'tcp');
    const ports = rule?.ports ?? { first: Math.floor(fraction() * 65536), last: 65535 };
    for (let b = 0; b < burst && i < count; b++, i++) {
      dst[i] = isLow ? word : last;
      protos[i] = proto === 'tcp' ? 6 : proto === 'udp' ? 17 : 1;
      details[i] = proto === 'icmp' ? 8 : isLow ? ports.first : ports.last;
    }
  }
  return { dst, protos, details };
}

/** @param {Rule | undefined} rule @param {() => number} fraction */
function extentOf(rule, fraction) {
  if (rule?.remote.kind !== 'prefix') {
    const word = Math.floor(fraction() * 2 ** 32);
    return { word, last: word };
  }
  const { words, length } = rule.remote.prefix;
  const word = words[0] ?? 0;
  return { word, last: length === 0 ? 0xffffffff : word + 2 ** (32 - length) - 1 };
}
