/**
 * The kernel memory that a change takes, with a limit, so that a subverted subscriber cannot take all there
 * is. Measured on Linux 6.18 and rounded up: a million IPv4 elements take 74 bytes each and their buckets.
 */

import type { Change } from './change.ts';
import { parseNameSetName } from './name-set.ts';
import { parseClassMapName, parseSetName, type Step } from './plan.ts';

const BUCKET_BYTES = 8;
const ELEMENT_BYTES = { 4: 80, 6: 112 } as const;
/** With its key, its verdict, and its share of a table that grows by itself. */
const MAP_ELEMENT_BYTES = 192;
/** With its time, the longest name, and its share of a table that grows by itself; of either family. */
const NAME_ELEMENT_BYTES = 320;
/**
 * A rule, with its counter and its verdict, twice, as the kernel also keeps it in the form that it runs; and
 * each thing that it asks for.
 */
const RULE_BYTES = 380;
const PROTOCOL_BYTES = 150;
const PORTS_BYTES = 270;
const PREFIX_BYTES = 200;
const SET_LOOKUP_BYTES = 390;
const CHAIN_BYTES = 512;
const SET_BYTES = 2048;
const COUNTER_BYTES = 512;

/** Bytes that the kernel needs at most for what a checked change adds. */
export function kernelBytesOf(change: Change, body: Uint8Array): number {
  let bytes =
    change.newCounters.length * COUNTER_BYTES +
    change.newChains.length * CHAIN_BYTES +
    (change.newSets.length + change.newMaps.length) * SET_BYTES +
    change.keys.length * MAP_ELEMENT_BYTES;
  for (const { steps } of change.chains) for (const step of steps) bytes += stepBytes(step);
  for (const { count } of change.verdicts) bytes += count * MAP_ELEMENT_BYTES;
  for (const name of [...change.newSets, ...change.newMaps]) {
    const { tier } = parseSetName(name) ?? parseClassMapName(name) ?? {};
    if (tier !== undefined) bytes += 2 ** tier.bucketsLog2 * BUCKET_BYTES;
    bytes += (parseNameSetName(name)?.size ?? 0) * NAME_ELEMENT_BYTES;
  }
  for (const elements of change.added) bytes += elementsBytes(elements, body);
  return bytes;
}

function stepBytes(step: Step): number {
  if (step.kind !== 'rule') return RULE_BYTES + SET_LOOKUP_BYTES;
  const { protocols, ports, icmpType, remote } = step;
  let bytes = RULE_BYTES;
  if (protocols.length > 0) bytes += PROTOCOL_BYTES;
  if (ports !== undefined || icmpType !== undefined) bytes += PORTS_BYTES;
  if (remote.kind === 'prefix') bytes += PREFIX_BYTES;
  if (remote.kind === 'set') bytes += (1 + remote.except.length) * SET_LOOKUP_BYTES;
  return remote.kind === 'told' ? 2 * (bytes + 2 * SET_LOOKUP_BYTES) : bytes; // a rule for each direction
}

function elementsBytes({ set, at, count, above }: Change['added'][number], body: Uint8Array): number {
  const { family = 6, tier } = parseSetName(set) ?? {};
  const lengthsAt = at + count * (family === 4 ? 4 : 16);
  let load = 0;
  for (let i = lengthsAt; i < lengthsAt + count; i++) {
    const length = body[i]!; // the body holds `count` lengths
    if (tier === undefined)
      load += 2; // both ends of an interval
    else if (length > above && length <= tier.length) load += 2 ** (tier.length - length);
  }
  return load * ELEMENT_BYTES[family];
}
