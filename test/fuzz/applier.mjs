/**
 * Requests that are nearly right for the applier, as somebody could send them who has taken over the
 * subscriber: each is answered in time, none gets more kernel memory than was given or touches a table that
 * is not ours, and between them a sound release is taken. Needs root; in a network namespace of its own.
 *
 * Kernel memory is that of a control group with the applier in it, with all that the kernel allocated for it
 * at once; where there is none, that of the machine, which others change too.
 */

import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { applierCommand } from '@rulecast/nftables';
import {
  EMPTY_RULE_SET,
  emptyPolicy,
  FIRST_POLICY,
  parsePrefix,
  parseRule,
  prefixSetOf,
  RunBuilder,
} from '@rulecast/rules';
import { FrameSplitter, frameOf, parseFrame } from '../../packages/nftables/dist/apply/message.js';
import { wholeChange } from '../../packages/nftables/dist/plan/change.js';
import { planOf } from '../../packages/nftables/dist/plan/planner.js';
import { Network } from '../enforce/network.mjs';
import { Draw } from './draw.mjs';

/** @typedef {{ readonly request: unknown, readonly body: Uint8Array }} Input */
/** @typedef {{ readonly kind: string, readonly text?: string }} Reply */

const KERNEL_MIB = 32;
const MIB = 2 ** 20;
/** What the kernel holds for the process itself: stacks, sockets and what waits in them. */
const OWN_BYTES = 8 * MIB;
/** Long, as a machine may have other work: one that hangs never answers. */
const ANSWER_MS = 120_000;
/** After so many inputs a sound release has to be taken, and the tables of others are looked at. */
const SOUND_EVERY = 100;
const KEY = '0123456789abcdef';
const CANARY =
  'table inet others { set s { type ipv4_addr; elements = { 192.0.2.1 }; }; chain c { counter accept; }; }\n';
const TAG = { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 0 };
const OPTIONS = /** @type {const} */ ({ tag: TAG, downstreamGroup: 2, answer: 'reject' });
const HOSTILE = [
  null,
  true,
  -1,
  0,
  1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e300,
  0.5,
  '',
  'x',
  'fresh',
  KEY,
  'deny',
  'forward',
  'inet others',
  `e4_${KEY}`,
  `c${KEY}`,
  `s${KEY}_4_i_89abcdef`,
  `s${KEY}_6_128_26_89abcdef`,
  `v4_32_26_${KEY}`,
  'de4_32_89abcdef',
  'egress4; flush ruleset',
  '\n',
  'é'.repeat(300),
  [],
  {},
  [[]],
  { kind: 'set' },
  '__proto__',
  'toString',
];

/**
 * Runs inputs [from, to) of a seed, until a fault or the time.
 * @param {{ readonly seed: number, readonly from: number, readonly to: number, readonly plant?: string | undefined }} range
 * @param {number} endMs
 * @returns {Promise<{ readonly done: number, readonly taken: number, readonly worstBytes: number, readonly fault?: string }>}
 */
export async function fuzzApplier({ seed, from, to, plant }, endMs) {
  const group = new ControlGroup();
  const network = new Network();
  let taken = 0;
  let worstBytes = 0;
  let at = from;
  try {
    network.router.nft(CANARY);
    const canary = network.router.run(['nft', 'list', 'table', 'inet', 'others']);
    const applier = new Applier(network, group, plant === 'memory' ? 4 * KERNEL_MIB : KERNEL_MIB);
    const sound = soundChanges();
    await applier.ask({ request: { kind: 'counters' }, body: new Uint8Array(0) });
    const before = group.bytes();
    /** @param {string} text */
    const end = (text) => ({ done: at, taken, worstBytes, fault: `${text}: input ${at} of seed ${seed}` });
    for (; at < to && performance.now() < endMs; at++) {
      const reply = await applier.ask(inputOf(new Draw(seed, at), sound));
      if (reply === undefined) return end('no answer');
      if (reply.kind === 'applied') taken++;
      worstBytes = Math.max(worstBytes, group.bytes() - before);
      if (worstBytes > KERNEL_MIB * MIB + OWN_BYTES)
        return end(`${(worstBytes / MIB).toFixed(0)} MiB of the kernel`);
      if (at % SOUND_EVERY !== SOUND_EVERY - 1 && at !== to - 1) continue;
      const [request] = sound;
      const answer = request && (await applier.ask(request));
      if (answer?.kind !== 'applied')
        return end(`a sound release is answered with ${JSON.stringify(answer)}`);
      if (network.router.run(['nft', 'list', 'table', 'inet', 'others']) !== canary)
        return end('a table of others changed');
      const tables = network.router.run(['nft', 'list', 'tables']);
      if (/rulecast(?!_[ab]$)/m.test(tables)) return end(`there is a table too many: ${tables}`);
    }
    return { done: at, taken, worstBytes };
  } finally {
    await network.close();
    group.remove();
  }
}

// ── Inputs ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Whole releases, as the subscriber sends them. @returns {readonly Input[]} */
function soundChanges() {
  const egress = new RunBuilder();
  for (const line of [
    'drop dst4=192.0.2.0/24',
    'accept proto=tcp dstports=443',
    'accept proto=icmp icmptype=8',
    'drop dst6=2001:db8::/32',
  ]) {
    const result = parseRule(line, 'egress', 0);
    if (result.kind === 'rule') egress.push(result.rule);
  }
  const [qube, six] = ['10.137.0.5', 'fd00::5'].map(parsePrefix);
  if (typeof qube !== 'object' || typeof six !== 'object') throw new TypeError('two prefixes');
  const runs = egress.build();
  const work = { ...emptyPolicy('work'), prefixes: prefixSetOf([qube, six]), egress: runs, ingress: runs };
  const others = [emptyPolicy('default'), emptyPolicy(FIRST_POLICY)].map((policy) => ({
    ...policy,
    egress: runs,
  }));
  return [[work], [work, ...others], []].map((policies) => {
    const ruleSet = { ...EMPTY_RULE_SET, policies: new Map(policies.map((each) => [each.name, each])) };
    const { change, body } = wholeChange(
      planOf({ ruleSet, environment: { now: 0, dns: [] } }, () => undefined).plan,
      OPTIONS,
    );
    return { request: { kind: 'apply', change }, body: Buffer.concat(body) };
  });
}

/** @param {Draw} draw @param {readonly Input[]} sound @returns {Input} */
function inputOf(draw, sound) {
  const pick = draw.below(10);
  if (pick < 4) return spoiled(draw, draw.of(sound));
  if (pick < 9) return draw.oneIn(3) ? spoiled(draw, load(draw)) : load(draw);
  const names = [`s${KEY}_4_32_4_89abcdef`, 'de4_32_89abcdef', `v6_64_9_${KEY}`, 'x'];
  const list = Array.from({ length: draw.below(5) }, () => draw.of(names));
  const request = {
    kind: draw.of(['look', 'counters', 'clear-marks', 'release', 'discard', 'exec']),
    tag: TAG,
    kept: [1, 96],
    sets: list,
    maps: list,
    probes: [],
    classProbes: [],
  };
  return draw.oneIn(2)
    ? { request, body: new Uint8Array(0) }
    : spoiled(draw, { request, body: draw.bytes(64) });
}

/** One to three values of a request are others. @param {Draw} draw @param {Input} input @returns {Input} */
function spoiled(draw, { request, body }) {
  const copy = structuredClone(request);
  for (let changes = 1 + draw.below(3); changes > 0; changes--) {
    let place = /** @type {any} */ (copy);
    if (place.change !== undefined && !draw.oneIn(30)) place = place.change;
    for (;;) {
      const keys = typeof place === 'object' && place !== null ? Object.keys(place) : []; // spoiled before, it may be anything
      if (keys.length === 0) break;
      const key = draw.of(keys);
      const value = place[key];
      if (typeof value === 'object' && value !== null && Object.keys(value).length > 0 && !draw.oneIn(6)) {
        place = value;
        continue;
      }
      place[key] =
        Array.isArray(place) && draw.oneIn(2)
          ? structuredClone(draw.of(place))
          : structuredClone(draw.of(HOSTILE));
      break;
    }
  }
  return { request: copy, body: draw.oneIn(2) ? draw.mutated(body) : body };
}

/**
 * Objects, elements and rules of random sizes, from next to nothing to several times what may be.
 * @param {Draw} draw
 * @returns {Input}
 */
function load(draw) {
  const size = (/** @type {number} */ most) => Math.floor(2 ** ((draw.below(1000) / 1000) * Math.log2(most)));
  const numbered = (/** @type {(key: string) => string} */ name, /** @type {number} */ most) =>
    Array.from({ length: draw.oneIn(2) ? 0 : size(most) }, (_, i) => name(i.toString(16).padStart(16, '0')));
  const family = draw.oneIn(2) ? 4 : 6;
  const [stride, bits] = family === 4 ? [1, 32] : [4, 128];
  const log2 = 4 + draw.below(20);
  const set = draw.oneIn(5) ? `s${KEY}_${family}_i_89abcdef` : `s${KEY}_${family}_${bits}_${log2}_89abcdef`;
  const count = Math.max(1, Math.min(size(100_000), 2 ** log2 / 2));
  const words = new Uint32Array(count * stride);
  for (let i = 0; i < count; i++) words[(i + 1) * stride - 1] = i * 16;
  const lengths = new Uint8Array(count).fill(bits - (draw.oneIn(4) ? draw.below(5) : 0));
  const map = `v${family}_${bits}_${log2}_${KEY}`;
  const places = new Uint32Array(count);
  const pieces = [words, lengths, new Uint8Array(-count & 3), words, places].map(
    ({ buffer }) => new Uint8Array(buffer),
  );
  const at = pieces.slice(0, 3).reduce((sum, { length }) => sum + length, 0);
  const chains = numbered((key) => `e${family}_${key}`, 20_000);
  const hasMap = chains.length > 0 && draw.oneIn(2);
  const remote = draw.of([
    { kind: 'set', set, except: [] },
    { kind: 'any' },
    { kind: 'prefix', address: 'a0'.repeat(stride * 4), length: bits },
  ]);
  const rule = {
    kind: 'rule',
    remote,
    original: false,
    protocols: [6, 17],
    ports: [1, 9],
    icmpType: undefined,
    action: 'drop',
  };
  const steps = new Array(draw.below(20)).fill({ ...rule, counter: `c${KEY}` });
  const change = {
    ...wholeChange(
      planOf({ ruleSet: EMPTY_RULE_SET, environment: { now: 0, dns: [] } }, () => undefined).plan,
      OPTIONS,
    ).change,
    base: draw.oneIn(4) ? TAG : 'fresh',
    newCounters: [`c${KEY}`, ...numbered((key) => `c${key}`, 60_000)],
    newSets: [set, ...numbered((key) => `s${key}_4_32_4_89abcdef`, 2000)],
    newMaps: [...(hasMap ? [map] : []), ...numbered((key) => `de4_32_${key.slice(8)}`, 2000)],
    newChains: chains,
    chains: chains.map((name) => ({ name, steps })),
    added: [{ set, at: 0, count, above: -1 }],
    verdicts: hasMap ? [{ map, at, count, chains: chains.slice(0, 1) }] : [],
  };
  return { request: { kind: draw.of(['apply', 'apply', 'stage']), change }, body: Buffer.concat(pieces) };
}

// ── The applier ────────────────────────────────────────────────────────────────────────────────────────────

class Applier {
  #child;
  #splitter = new FrameSplitter();
  /** @type {((reply: Reply | undefined) => void) | undefined} */
  #resolve;
  #id = 0;

  /** @param {Network} network @param {ControlGroup} group @param {number} kernelMib */
  constructor(network, group, kernelMib) {
    const { program, args } = applierCommand(['--kernel-mib', String(kernelMib)]);
    this.#child = network.router.spawn(['sh', '-c', group.enter, 'sh', program, ...args]);
    this.#child.stdout?.on('data', (bytes) => {
      for (const frame of this.#splitter.push(bytes)) {
        const message = /** @type {any} */ (parseFrame(frame).header);
        if (message.id === this.#id) this.#resolve?.(message.reply);
      }
    });
    this.#child.on('exit', () => this.#resolve?.(undefined));
    this.#child.stdin?.on('error', () => undefined);
  }

  /** Undefined: it ended, or does not answer. @param {Input} input @returns {Promise<Reply | undefined>} */
  async ask({ request, body }) {
    const id = ++this.#id;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    try {
      return await new Promise((resolve) => {
        this.#resolve = resolve;
        timer = setTimeout(() => resolve(undefined), ANSWER_MS);
        if (this.#child.exitCode !== null) resolve(undefined);
        for (const piece of frameOf(/** @type {any} */ ({ id, request }), [body]))
          this.#child.stdin?.write(piece);
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A control group of memory, of either version, with nothing else in it. */
class ControlGroup {
  #path;
  #file;

  constructor() {
    const own = readFileSync('/proc/self/cgroup', 'latin1');
    const first = /^\d+:memory:(.*)$/m.exec(own)?.[1];
    const second = /^0::(.*)$/m.exec(own)?.[1];
    const root = first === undefined ? `/sys/fs/cgroup${second}` : `/sys/fs/cgroup/memory${first}`;
    const path = `${root}/rulecast-fuzz-${process.pid}`;
    const [file] = first === undefined ? ['memory.stat'] : ['memory.kmem.usage_in_bytes'];
    try {
      mkdirSync(path);
      if (existsSync(`${path}/${file}`)) this.#path = path;
      else rmdirSync(path);
    } catch {
      // not ours to make: the machine's is read
    }
    this.#file = file;
  }

  /** A script that goes in and runs its arguments. */
  get enter() {
    return this.#path === undefined ? 'exec "$@"' : `echo $$ > ${this.#path}/cgroup.procs; exec "$@"`;
  }

  bytes() {
    if (this.#path === undefined) {
      const text = readFileSync('/proc/meminfo', 'latin1');
      const of = (/** @type {string} */ field) =>
        Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
      return of('SUnreclaim') + of('VmallocUsed');
    }
    const text = readFileSync(`${this.#path}/${this.#file}`, 'latin1');
    return Number(/^kernel (\d+)$/m.exec(text)?.[1] ?? text);
  }

  remove() {
    if (this.#path === undefined) return;
    try {
      rmdirSync(this.#path);
    } catch {
      // something of it still ends
    }
  }
}
