/**
 * Labels of flows (nf_conntrack_labels.h, nfnetlink_conntrack.h): bits beside the connection mark, which no
 * program copies into the mark of a packet, so that no routing depends on them. A flow mark is one of ours.
 * Rules can add a label and not take it away; a message about the flow can.
 */

import { CONNECTION_LABELS, FLOW_MARK_MAX } from '../limits.ts';
import { type Attribute, attribute } from './attributes.ts';

/** A message that takes labels from a flow. */
export interface Unlabel {
  /** Family of the addresses. */
  readonly family: number;
  readonly attributes: readonly Attribute[];
}

/** Attributes of a flow: the tuples that identify it, and its labels. */
const ORIGINAL = 1;
const ZONE = 18;
const LABELS = 22;
const LABELS_MASK = 23;

const LABEL_BYTES = CONNECTION_LABELS / 8;
/** The bit before that of mark 1. */
const OTHERS = CONNECTION_LABELS - FLOW_MARK_MAX - 1;

/** The labels of marks, as the kernel has them, on a machine that is little-endian. */
export function labelsOf(marks: Iterable<number>): Uint8Array {
  const bytes = new Uint8Array(LABEL_BYTES);
  for (const mark of marks) {
    const label = OTHERS + mark;
    bytes[label >> 3] = (bytes[label >> 3] ?? 0) | (1 << (label & 7));
  }
  return bytes;
}

const OURS = labelsOf(Array.from({ length: FLOW_MARK_MAX }, (_, index) => index + 1));

/**
 * A message that clears our labels from a flow of the table, except those to keep; undefined: it has no
 * others.
 */
export function unlabelOf(flow: Buffer, kept: Uint8Array): Unlabel | undefined {
  const [tuple, zone, labels] = [ORIGINAL, ZONE, LABELS].map((type) => attribute(flow, type));
  const taken = OURS.map((ours, at) => ours & (labels?.[at] ?? 0) & ~(kept[at] ?? 0));
  if (tuple === undefined || taken.every((byte) => byte === 0)) return undefined;
  return {
    family: flow[0] ?? 0,
    attributes: [
      [ORIGINAL, Buffer.from(tuple)],
      ...(zone === undefined ? [] : [[ZONE, Buffer.from(zone)] as const]),
      [LABELS, new Uint8Array(LABEL_BYTES)],
      [LABELS_MASK, taken],
    ],
  };
}
