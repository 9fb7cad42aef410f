/**
 * Hit counters under a packet loop: each packet counts once, for the run, default action and list that the
 * evaluator names.
 */

import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { parseDocument } from '@rulecast/formats';
import {
  type Address,
  type Environment,
  evaluate,
  type Packet,
  parsePrefix,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  unionPrefixes,
} from '@rulecast/rules';
import { LookupDirection, openReader, Table, type TableHits, UNREADABLE } from '@rulecast/table';
import { describe, expect, it } from 'vitest';
import { Lane, Parsed, parsePacket } from '../../examples/packet-loop/parser.mjs';
import { Counter, newCounters, ringOf } from '../../examples/packet-loop/ring.mjs';
import { trafficOf } from '../../examples/packet-loop/traffic.mjs';

const ENVIRONMENT: Environment = { now: 0, dns: [] };
const RULES = `
lists:
  even: { entries: [198.18.0.0/18, 198.18.128.0/18, "2001:db8::/34"] }
  odd: { entries: [198.18.64.0/18, "2001:db8:1000::/36"] }
  others: { entries: [192.0.2.0/24] }
common:
  egress: [drop dst=@odd proto=udp]
  ingress: [accept src=@others]
policies:
  work:
    prefixes: [10.137.0.0/30, "fd09:24ef:4179::a89:0/126"]
    egress: [accept dst=@odd proto=tcp, drop dst=@even proto=tcp dstports=443, accept proto=icmp]
    ingress: [accept src=@even proto=udp, drop src=@odd]
  default:
    default: accept
    egress: [drop dst=@even proto=udp, drop proto=tcp dstports=22-80, drop dst=@others]
`;
const RULE_SET = ruleSetOf(RULES);

function ruleSetOf(document: string): RuleSet {
  const { lists, policies, rejects } = parseDocument(
    'rules.yaml',
    new TextEncoder().encode(document),
    0,
    () => undefined,
  );
  expect(rejects).toEqual([]);
  return { lists, policies, resolutions: new Map(), unmatched: undefined };
}

/**
 * The same rules, with one more member in a list that no packet goes to: a delta, which keeps all counters.
 */
function withMember(ruleSet: RuleSet, index: number): RuleSet {
  const list = ruleSet.lists.get('others');
  const member = parsePrefix(`192.0.${(index >> 8) & 255}.${index & 255}`);
  if (list?.kind !== 'prefixes' || typeof member === 'string') throw new TypeError('others holds prefixes');
  const more = prefixListOf({ ...list, v4: unionPrefixes(list.v4, prefixSetOf([member]).v4) });
  return { ...ruleSet, lists: new Map(ruleSet.lists).set('others', more) };
}

/** Counts by what decided, as text. */
type Tally = Map<string, number>;

function add(tally: Tally, key: string, count: number): void {
  if (count > 0) tally.set(key, (tally.get(key) ?? 0) + count);
}

/** Counts a packet `count` times, by the evaluator's word. */
function addPacket(tally: Tally, packet: Packet, count: number): void {
  const { action, by } = evaluate(RULE_SET, ENVIRONMENT, packet);
  if (by === undefined) return add(tally, action, count);
  const { policy, direction, rule } = by;
  add(
    tally,
    rule === undefined
      ? `${policy} ${direction} default`
      : `${policy} ${direction} ${rule.policy} ${rule.run}`,
    count,
  );
  if (rule?.list !== undefined) add(tally, `list ${rule.list}`, count);
}

/** What the table says, in the same words. */
function tallyOf({ none, programs, lists }: TableHits): Tally {
  const tally: Tally = new Map();
  add(tally, 'none', none);
  for (const { policy, direction, defaultAction, exceptions, common, own } of programs) {
    add(tally, `${policy} ${direction} default`, defaultAction);
    for (const [run, count] of exceptions.entries())
      add(tally, `${policy} ${direction} exceptions ${run}`, count);
    for (const [run, count] of common.entries()) add(tally, `${policy} ${direction} common ${run}`, count);
    for (const [run, count] of own.entries()) add(tally, `${policy} ${direction} ${policy} ${run}`, count);
  }
  for (const [list, count] of lists) add(tally, `list ${list}`, count);
  return tally;
}

interface ReadPacket extends Packet {
  readonly src: Address;
}

/** The same packet on its way back. */
function swapped(packet: ReadPacket): ReadPacket {
  return { ...packet, src: packet.dst, dst: packet.src };
}

/** The packets of some frames, by frame; undefined where it is refused. */
function packetsOf(frames: readonly Uint8Array[]): readonly (ReadPacket | undefined)[] {
  const table = new Table();
  const lanes = {
    [Parsed.ip4]: new Lane(table.reader.columns(4)),
    [Parsed.ip6]: new Lane(table.reader.columns(6)),
  };
  return frames.map((frame) => {
    const bytes = Uint8Array.from(frame);
    const { [Parsed.ip4]: lane4, [Parsed.ip6]: lane6 } = lanes;
    lane4.count = 0;
    lane6.count = 0;
    const kind = parsePacket(new DataView(bytes.buffer), 0, bytes.length, 0, lane4, lane6);
    if (kind !== Parsed.ip4 && kind !== Parsed.ip6) return undefined;
    const { family, src, dst, protos, details } = lanes[kind].columns;
    const words = family === 4 ? 1 : 4;
    const [proto = 0, detail = UNREADABLE] = [protos[0], details[0]];
    const known = detail === UNREADABLE ? undefined : detail;
    const hasPort = proto === 6 || proto === 17;
    return {
      direction: 'egress',
      src: { family, words: src.slice(0, words) },
      dst: { family, words: dst.slice(0, words) },
      proto,
      port: hasPort ? known : undefined,
      icmpType: hasPort ? undefined : known,
    };
  });
}

const FRAMES = trafficOf(1500, 11);
const PACKETS = packetsOf(FRAMES);

describe('hits', () => {
  it('of batches through many readers, while deltas flip, are what the evaluator says of each packet', () => {
    const table = new Table();
    let ruleSet = RULE_SET;
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const readers = Array.from({ length: 7 }, () => openReader(table.handle()));
    const expected: Tally = new Map();
    for (let round = 0; round < 60; round++) {
      const reader = readers[round % readers.length];
      const direction = (['egress', 'ingress', 'both'] as const)[round % 3] ?? 'both';
      const family = round % 2 === 0 ? 4 : 6;
      const from = (round * 97) % 1000;
      const packets = PACKETS.slice(from, from + 1 + ((round * 37) % 400)).flatMap((packet) => {
        if (packet?.dst.family !== family) return [];
        return [{ ...(direction === 'ingress' ? swapped(packet) : packet), direction }];
      });
      for (const packet of packets) addPacket(expected, packet, 1);
      const batch = {
        family,
        direction: LookupDirection[direction],
        count: packets.length,
        src: Uint32Array.from(packets.flatMap(({ src }) => [...src.words])),
        dst: Uint32Array.from(packets.flatMap(({ dst }) => [...dst.words])),
        protos: Uint8Array.from(packets, ({ proto }) => proto),
        details: Int32Array.from(packets, ({ port, icmpType }) => port ?? icmpType ?? UNREADABLE),
      } as const;
      reader?.lookupBatch(batch, { codes: new Uint32Array(batch.count), generation: 0 });
      expect(tallyOf(table.hits())).toEqual(expected);
      ruleSet = withMember(ruleSet, round);
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      expect(prepared.isEdit).toBe(true);
      table.flip(prepared);
    }
    for (const reader of readers) reader.close();
    expect(tallyOf(table.hits())).toEqual(expected);
    expect(expected.size).toBe(15); // every run, list and default action but those of list `others`, and none
  });

  it('of a packet loop in a thread, and then another, are exact to the packet', async () => {
    const table = new Table();
    let ruleSet = RULE_SET;
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const ring = ringOf(FRAMES);
    const expected: Tally = new Map();
    for (const firstFrame of [0, 700]) {
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const counters = newCounters(Object.keys(Parsed).length);
      const workerData = { handle: table.handle(), ring, counters, stop, firstFrame };
      const worker = new Worker(new URL('../../examples/packet-loop/worker.mjs', import.meta.url), {
        workerData,
      });
      const ended = once(worker, 'exit');
      for (let flips = 0; flips < 40; flips++) {
        await setTimeout(5);
        ruleSet = withMember(ruleSet, flips);
        table.flip(table.prepare(ruleSet, ENVIRONMENT));
      }
      while (counters[Counter.generation] !== table.stats().generation) await setTimeout(5);
      Atomics.store(stop, 0, 1);
      await ended;
      addLoop(expected, counters, firstFrame);
      expect(tallyOf(table.hits())).toEqual(expected);
    }
  });
});

/** Counts what a thread judged that went round the ring from a frame on. */
function addLoop(tally: Tally, counters: Float64Array, firstFrame: number): void {
  const frames = FRAMES.length;
  const judged = counters.subarray(Counter.parsed).reduce((sum, count) => sum + count, 0);
  for (const [frame, packet] of PACKETS.entries()) {
    const place = (frame - firstFrame + frames) % frames;
    if (packet !== undefined)
      addPacket(tally, packet, Math.floor(judged / frames) + (place < judged % frames ? 1 : 0));
  }
}
