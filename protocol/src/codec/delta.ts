/**
 * Deltas: what turns one rule set into the next, found by content, encoded, and applied strictly. A snapshot
 * is the delta from the empty rule set; a transfer is a chain of deltas. PROTOCOL.md "Delta and snapshot".
 *
 *   delta    change count u16 | change …                              by kind, then name; one change a part
 *   change   op u8 | kind u8 | name length u8 | name | body length u32 | body
 *   chain    step count u32 | (length u32, delta)…
 */

import { EMPTY_RULE_SET, type List, type Policy, type RuleSet } from '@rulecast/rules';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import {
  type Budget,
  bodyMaxBytes,
  Meter,
  type PartBounds,
  type StepBounds,
  uncountedOf,
  Work,
} from '../content/budget.ts';
import { isNamedRight } from '../content/manifest.ts';
import {
  comparePartIds,
  isPartKind,
  type Part,
  type PartId,
  PartKind,
  partCount,
  partsOf,
  partText,
} from '../content/part.ts';
import { ErrorCode } from '../error.ts';
import { CHANGES_MAX, ENTRIES_MAX, PARTS_MAX, STEPS_MAX, UNCOUNTED_MAX } from '../limits.ts';
import { withoutDeflate } from './deflate.ts';
import { type OnListPatch, partWeight, patchBody, putBody, readPatch, readPut } from './part-body.ts';
import { diffParts, type EditCounts, type PartEdits, wholeCounts } from './part-edits.ts';

const OpCode = { remove: 0, put: 1, patch: 2 } as const;
type OpCode = (typeof OpCode)[keyof typeof OpCode];

/** Op, kind, name length and body length. */
const CHANGE_LEAST_BYTES = 7;

/**
 * What happens to one part. A `patch` has both contents; the encoder may still send the new one whole where
 * that is shorter.
 */
export type PartChange = PartId &
  EditCounts &
  (
    | { readonly op: 'remove'; readonly before: Part }
    | { readonly op: 'put'; readonly after: Part }
    | { readonly op: 'patch'; readonly before: Part; readonly after: Part; readonly edits: PartEdits }
  );

/** The changes from one rule set to another, by kind, then name; none if both say the same. */
export interface RuleSetDelta {
  readonly changes: readonly PartChange[];
}

/**
 * What turns `before` into `after`. Parts that are the same object cost nothing; others are compared by
 * value, linearly.
 */
export function diffRuleSets(before: RuleSet, after: RuleSet): RuleSetDelta {
  const old = new Map<string, Part>();
  for (const part of partsOf(before)) old.set(partText(part), part);
  const changes: PartChange[] = [];
  for (const part of partsOf(after)) {
    const key = partText(part);
    const change = changeOf(old.get(key), part);
    old.delete(key);
    if (change !== undefined) changes.push(change);
  }
  for (const part of old.values()) {
    changes.push({
      op: 'remove',
      kind: part.kind,
      name: part.name,
      before: part,
      ...wholeCounts(part, 'remove'),
    });
  }
  return { changes: changes.sort(comparePartIds) };
}

function changeOf(before: Part | undefined, after: Part): PartChange | undefined {
  const { kind, name } = after;
  if (before === undefined) return { op: 'put', kind, name, after, ...wholeCounts(after, 'put') };
  const edits = diffParts(before, after);
  if (edits === undefined) return undefined;
  const { addedCount, removedCount, unchangedCount } = edits;
  return { op: 'patch', kind, name, before, after, edits, addedCount, removedCount, unchangedCount };
}

/** The bytes of a delta. Throws RangeError if its content could not be decoded again. */
export function encodeDelta(delta: RuleSetDelta): Uint8Array {
  const writer = new ByteWriter();
  writer.u16(delta.changes.length);
  for (const change of delta.changes) {
    const { op, body } = encodedChange(change);
    writer.u8(op);
    writer.u8(change.kind);
    writer.shortText(change.name);
    writer.u32(body.length);
    writer.bytes(body);
  }
  return writer.take();
}

/**
 * A snapshot: the delta from the empty rule set; with nothing deflated in it if it is plain. Throws as
 * `encodeDelta` does.
 */
export function encodeSnapshot(ruleSet: RuleSet, isPlain = false): Uint8Array {
  const encode = (): Uint8Array => encodeDelta(diffRuleSets(EMPTY_RULE_SET, ruleSet));
  return isPlain ? withoutDeflate(encode) : encode();
}

/** A change as op and body: of a patch and a put, the shorter. */
function encodedChange(change: PartChange): { readonly op: OpCode; readonly body: Uint8Array } {
  switch (change.op) {
    case 'remove':
      return { op: OpCode.remove, body: new Uint8Array(0) };
    case 'put':
      return { op: OpCode.put, body: putBody(change.after) };
    case 'patch': {
      const patch = patchBody(change.before, change.after, change.edits);
      if (patch === undefined) return { op: OpCode.put, body: putBody(change.after) };
      if (!mayBeShorterWhole(change)) return { op: OpCode.patch, body: patch };
      const put = putBody(change.after);
      return put.length < patch.length ? { op: OpCode.put, body: put } : { op: OpCode.patch, body: patch };
    }
  }
}

/**
 * Whether so much changed that the whole part is worth encoding for comparison: half of it or more. Our
 * choice.
 */
function mayBeShorterWhole(change: PartChange & { readonly op: 'patch' }): boolean {
  return (change.addedCount + change.removedCount) * 2 >= partCount(change.after);
}

/** A change as it stands in the bytes; the body is not yet read. */
interface ChangeHead extends PartId {
  readonly op: OpCode;
  /** What the part is now; undefined for a new part. */
  readonly before: Part | undefined;
  readonly body: ByteReader;
}

/** Deltas that are our own: they are within what a receiver takes unless configured. */
const OWN_BOUNDS: StepBounds = { entriesMax: ENTRIES_MAX };

/**
 * The rule set that a delta makes of `before`. Parts that do not change stay the same objects, so that their
 * digests stay known. Throws ProtocolError with part and, where there is one, entry: `bad-delta` for
 * malformed bytes or a result that is not canonical, `bad-canonical` for a malformed policy or resolutions
 * put whole, `bad-base` for what does not fit `before`, `over-limit` for more parts, or more than
 * `entriesMax` entries, rules and addresses in all; and where there are bounds of what was signed,
 * `bad-count` for a part that is larger, `bad-rule-set` for one that is not in the manifest, `over-budget`
 * for more than these allow. Whether the result is the release is for `verifyRuleSet` to say. `onListPatch`
 * is told what patched lists of prefixes gain and lose, so that nobody has to compare them.
 */
export function applyDelta(
  before: RuleSet,
  bytes: Uint8Array,
  bounds: StepBounds = OWN_BOUNDS,
  onListPatch?: OnListPatch,
): RuleSet {
  const parts = new Map<string, Part>();
  for (const part of partsOf(before)) parts.set(partText(part), part);
  const reader = new ByteReader(bytes, ErrorCode.badDelta);
  const { meter = new Meter() } = bounds;
  meter.spend(parts.size * Work.part);
  const heads = readHeads(reader, parts, meter);
  for (const head of heads) parts.delete(partText(head));
  const left = new BoundsLeft(bounds, meter);
  for (const part of parts.values()) left.take(part, reader);
  for (const head of heads) {
    const part = changedPart(head, left.boundsFor(head), onListPatch);
    head.body.end();
    if (part === undefined) continue;
    left.take(part, head.body);
    meter.spend(partWeight(part) * Work.merged);
    parts.set(partText(part), part);
  }
  if (parts.size > PARTS_MAX) {
    throw reader.error(`${parts.size} parts; the most is ${PARTS_MAX}`, undefined, ErrorCode.overLimit);
  }
  return ruleSetOf(reader, [...parts.values()].sort(comparePartIds));
}

/** What a release that is being made has left of its bounds. */
class BoundsLeft {
  readonly #bounds: StepBounds;
  readonly #meter: Meter;
  /** Of more than the receiver takes: between base and result a release that it need not take at all. */
  readonly #limitCode: ErrorCode;
  #weight: number;
  #entries: number;
  #uncounted = UNCOUNTED_MAX;

  constructor(bounds: StepBounds, meter: Meter) {
    this.#bounds = bounds;
    this.#meter = meter;
    this.#limitCode = bounds.stepEntries === undefined ? ErrorCode.overLimit : ErrorCode.overBudget;
    this.#weight = bounds.entriesMax;
    this.#entries = bounds.stepEntries ?? Number.POSITIVE_INFINITY;
  }

  /** For a part that is about to be changed. Throws where it is none of those that were signed. */
  boundsFor(head: ChangeHead): PartBounds {
    const { counts } = this.#bounds;
    const { kind, before, op } = head;
    const count = counts?.get(partText(head));
    if (counts !== undefined && count === undefined && op !== OpCode.remove) {
      throw head.body.error('is not in the manifest', undefined, ErrorCode.badRuleSet);
    }
    const signed = counts === undefined ? this.#entries : (count ?? 0);
    const code =
      this.#weight < signed
        ? this.#limitCode
        : counts === undefined
          ? ErrorCode.overBudget
          : ErrorCode.badCount;
    const entries = Math.max(0, Math.min(this.#weight, signed));
    const entriesBefore = before === undefined ? 0 : partCount(before);
    return { entries, code, bytes: bodyMaxBytes(kind, entries, entriesBefore), meter: this.#meter };
  }

  /** Takes the room of a part. Throws where there is none left. */
  take(part: Part, reader: ByteReader): void {
    const count = partCount(part);
    const uncounted = uncountedOf(part);
    this.#weight -= count + uncounted;
    this.#entries -= count;
    this.#uncounted -= uncounted;
    if (this.#weight < 0) {
      const text = `more than ${this.#bounds.entriesMax} entries in all`;
      throw reader.error(text, undefined, this.#limitCode);
    }
    if (this.#uncounted < 0) {
      const text = `more than ${UNCOUNTED_MAX} prefixes of policies and addresses of names in all`;
      throw reader.error(text, undefined, this.#limitCode);
    }
    if (this.#entries < 0)
      throw reader.error('far more entries than are to be left', undefined, ErrorCode.overBudget);
  }
}

/** All changes, without their bodies, so that what is replaced is known before anything is made. */
function readHeads(
  reader: ByteReader,
  parts: ReadonlyMap<string, Part>,
  meter: Meter,
): readonly ChangeHead[] {
  const count = reader.u16();
  if (count > CHANGES_MAX) {
    throw reader.error(`${count} changes; the most is ${CHANGES_MAX}`, undefined, ErrorCode.overLimit);
  }
  if (count * CHANGE_LEAST_BYTES > reader.remaining) throw reader.error(`${count} changes in too few bytes`);
  meter.spend(count * Work.change);
  const heads: ChangeHead[] = [];
  for (let i = 0; i < count; i++) {
    const head = readHead(reader, parts);
    const last = heads.at(-1);
    if (last !== undefined && comparePartIds(last, head) >= 0) {
      throw head.body.error('changes are not sorted, or two are of one part');
    }
    heads.push(head);
  }
  reader.end();
  return heads;
}

function readHead(reader: ByteReader, parts: ReadonlyMap<string, Part>): ChangeHead {
  const op = reader.u8();
  if (op !== OpCode.remove && op !== OpCode.put && op !== OpCode.patch)
    throw reader.error(`unknown change ${op}`);
  const kind = reader.u8();
  if (!isPartKind(kind)) throw reader.error(`unknown part kind ${kind}`);
  const name = reader.shortText();
  const id = { kind, name };
  if (!isNamedRight(id)) throw reader.error('a part with a wrong name');
  const body = new ByteReader(reader.bytes(reader.u32()), ErrorCode.badDelta, partText(id));
  const before = parts.get(partText(id));
  if (before === undefined && op !== OpCode.put) {
    throw body.error('is changed, but is not there', undefined, ErrorCode.badBase);
  }
  return { op, kind, name, before, body };
}

/** The part that a change leaves; undefined if none. */
function changedPart(
  head: ChangeHead,
  bounds: PartBounds,
  onListPatch: OnListPatch | undefined,
): Part | undefined {
  if (head.op === OpCode.remove) return undefined;
  const isPatch = head.op === OpCode.patch && head.before !== undefined;
  if (isPatch) bounds.meter.spend(partWeight(head.before) * Work.merged);
  const part = isPatch
    ? readPatch(head.body, head.before, bounds, onListPatch)
    : readPut(head.body, head, bounds);
  if (part.kind === PartKind.resolutions && part.resolutions.size === 0) {
    throw head.body.error('no resolutions are no part: they are removed');
  }
  return part;
}

/** The rule set of sorted parts. */
function ruleSetOf(reader: ByteReader, parts: readonly Part[]): RuleSet {
  const lists = new Map<string, List>();
  const policies = new Map<string, Policy>();
  let { resolutions, unmatched } = EMPTY_RULE_SET;
  for (const part of parts) {
    if (part.kind === PartKind.policy) policies.set(part.name, part.policy);
    else if (part.kind === PartKind.resolutions) resolutions = part.resolutions;
    else if (part.kind === PartKind.unmatched) unmatched = part.unmatched;
    else if (lists.has(part.name)) throw reader.error(`two lists of the name ${part.name}`);
    else lists.set(part.name, part.list);
  }
  return { lists, policies, resolutions, unmatched };
}

/**
 * The stream of a transfer: deltas in the order in which they apply. Throws RangeError on none, and on more
 * than 1,024.
 */
export function encodeChain(steps: readonly Uint8Array[]): Uint8Array {
  if (steps.length === 0 || steps.length > STEPS_MAX)
    throw new RangeError(`a chain of ${steps.length} deltas`);
  const writer = new ByteWriter(steps.reduce((sum, step) => sum + 4 + step.length, 4));
  writer.u32(steps.length);
  for (const step of steps) {
    writer.u32(step.length);
    writer.bytes(step);
  }
  return writer.take();
}

/**
 * The deltas of a chain, as views of it. Throws ProtocolError `bad-delta`, or `over-limit` on more than
 * 1,024.
 */
export function decodeChain(bytes: Uint8Array): readonly Uint8Array[] {
  const reader = new ByteReader(bytes, ErrorCode.badDelta);
  const count = reader.u32();
  if (count > STEPS_MAX) {
    throw reader.error(`${count} deltas; the most is ${STEPS_MAX}`, undefined, ErrorCode.overLimit);
  }
  if (count === 0) throw reader.error('a chain without a delta');
  const steps: Uint8Array[] = [];
  for (let i = 0; i < count; i++) steps.push(reader.bytes(reader.u32()));
  reader.end();
  return steps;
}

/**
 * Applies the deltas of a chain, one after the other; throws as `decodeChain` and `applyDelta` do. `budget`
 * bounds those of a peer; `onListPatch` is told of the last one.
 */
export function applyChain(
  before: RuleSet,
  bytes: Uint8Array,
  budget?: Budget,
  onListPatch?: OnListPatch,
): RuleSet {
  const steps = decodeChain(bytes);
  return steps.reduce((ruleSet, delta, i) => {
    const isLast = i === steps.length - 1;
    return applyDelta(ruleSet, delta, budget?.step(isLast), isLast ? onListPatch : undefined);
  }, before);
}
