/**
 * Deltas: the changes from one rule set to the next, found by content, encoded, and applied strictly. A
 * snapshot is the delta from the empty rule set; a transfer is a chain of deltas. CONTENT.md "Delta and
 * snapshot".
 *
 *   chain    (length varint, delta) …                                 to the end
 *   delta    change count varint | change …                           by kind, then name; one change a part
 *   change   op u8 | place | claim | body length varint | body        a removal is op and place alone
 *   place    parts skipped varint; of a new part: kind u8 | name length u8 | name
 *   claim    count, bytes of canonical form: differences to what they were
 */

import {
  atOnce,
  EMPTY_RULE_SET,
  type List,
  Pace,
  type Pieces,
  type Policy,
  type RuleSet,
} from '@rulecast/rules';
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import {
  type Budget,
  bodyMaxBytes,
  type Claim,
  entriesIn,
  isBeyond,
  type PartBounds,
  type StepBounds,
  uncountedOf,
} from '../content/budget.ts';
import { canonicalLength } from '../content/canonical.ts';
import { catalogueOf, checkTotals, totalsOf } from '../content/catalogue.ts';
import {
  comparePartIds,
  isNamedRight,
  isPartKind,
  type Part,
  type PartId,
  PartKind,
  partCount,
  partsOf,
  partText,
} from '../content/part.ts';
import { Meter, Work } from '../content/work.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import { ENTRIES_MAX, PARTS_MAX, STEPS_MAX, UNCOUNTED_MAX } from '../limits.ts';
import { withoutDeflate } from './packed.ts';
import { type OnListPatch, partWeight, patchBody, putBody, readPatch, readPut } from './part-body.ts';
import { diffParts, type EditCounts, type PartEdits, wholeCounts } from './part-edits.ts';

/** `add` puts a part that was not there. */
const OpCode = { remove: 0, put: 1, patch: 2, add: 3 } as const;
type OpCode = (typeof OpCode)[keyof typeof OpCode];

/** Op and place. */
const CHANGE_LEAST_BYTES = 2;
const COUNT_MAX = 0xffff_ffff;

/**
 * The change of one part. A `patch` has both contents; the encoder may still send the new one whole if that
 * is shorter.
 */
export type PartChange = PartId &
  EditCounts & {
    /** The place of the part among those before; undefined for one that is put. */
    readonly index: number | undefined;
  } & (
    | { readonly op: 'remove'; readonly before: Part }
    | { readonly op: 'put'; readonly after: Part }
    | { readonly op: 'patch'; readonly before: Part; readonly after: Part; readonly edits: PartEdits }
  );

/** The changes from one rule set to another, by kind, then name; none if both say the same. */
export interface RuleSetDelta {
  readonly changes: readonly PartChange[];
}

/**
 * The delta from `before` to `after`. Parts that are the same object cost nothing; others are compared by
 * value, linearly.
 */
export function diffRuleSets(before: RuleSet, after: RuleSet): RuleSetDelta {
  return atOnce(diffPieces(before, after));
}

/** The same in pieces: ten thousand policies take half a second. */
export function* diffPieces(before: RuleSet, after: RuleSet): Pieces<RuleSetDelta> {
  const old = partsOf(before);
  const changes: PartChange[] = [];
  let index = 0;
  const removeUpTo = (part: Part | undefined): void => {
    for (; index < old.length; index++) {
      const gone = old[index]!; // index < length
      if (part !== undefined && comparePartIds(gone, part) >= 0) return;
      const { kind, name } = gone;
      changes.push({ op: 'remove', index, kind, name, before: gone, ...wholeCounts(gone, 'remove') });
    }
  };
  const pace = new Pace();
  for (const part of partsOf(after)) {
    if (pace.isOver) yield;
    pace.take(partCount(part));
    removeUpTo(part);
    const was = old[index];
    const isThere = was !== undefined && comparePartIds(was, part) === 0;
    const change = isThere ? patchOf(index, was, part) : putOf(part);
    if (isThere) index++;
    if (change !== undefined) changes.push(change);
  }
  removeUpTo(undefined);
  return { changes };
}

function putOf(after: Part): PartChange {
  const { kind, name } = after;
  return { op: 'put', index: undefined, kind, name, after, ...wholeCounts(after, 'put') };
}

function patchOf(index: number, before: Part, after: Part): PartChange | undefined {
  const edits = diffParts(before, after);
  if (edits === undefined) return undefined;
  const { kind, name } = after;
  const { addedCount, removedCount, unchangedCount } = edits;
  return { op: 'patch', index, kind, name, before, after, edits, addedCount, removedCount, unchangedCount };
}

/** The bytes of a delta. Throws RangeError if its content could not be decoded again. */
export function encodeDelta({ changes }: RuleSetDelta): Uint8Array {
  return joinChanges(
    changes,
    changes.map((change) => encodeChange(change)),
  );
}

/** The bytes of a delta from its changes, each encoded by `encodeChange`. */
export function joinChanges(changes: readonly PartChange[], encoded: readonly EncodedChange[]): Uint8Array {
  const writer = new ByteWriter();
  writer.varint(changes.length);
  let next = 0;
  for (const [i, change] of changes.entries()) {
    const { op, claim, body } = encoded[i]!; // one each
    writer.u8(op);
    if (change.index === undefined) {
      writer.u8(change.kind);
      writer.shortText(change.name);
    } else {
      writer.varint(change.index - next);
      next = change.index + 1;
    }
    if (change.op === 'remove') continue;
    writer.difference(claim.count);
    writer.difference(claim.bytes);
    writer.varint(body.length);
    writer.bytes(body);
  }
  return writer.take();
}

const NO_CLAIM: Claim = { count: 0, bytes: 0 };

function claimOf(part: Part): Claim {
  return { count: partCount(part), bytes: canonicalLength(part) };
}

/**
 * A snapshot: the delta from the empty rule set; with nothing deflated in it if it is plain. Throws as
 * `encodeDelta` does.
 */
export function encodeSnapshot(ruleSet: RuleSet, isPlain = false): Uint8Array {
  const { changes } = diffRuleSets(EMPTY_RULE_SET, ruleSet);
  return joinChanges(
    changes,
    changes.map((change) => encodeChange(change, isPlain)),
  );
}

/** A change as op, claim and body; of a removal op is all. */
export interface EncodedChange {
  readonly op: OpCode;
  readonly claim: Claim;
  readonly body: Uint8Array;
}

/** A change, encoded, with nothing deflated in it if it is plain. Throws RangeError. */
export function encodeChange(change: PartChange, isPlain = false): EncodedChange {
  const old = change.op === 'patch' ? claimOf(change.before) : NO_CLAIM;
  const next = change.op === 'remove' ? NO_CLAIM : claimOf(change.after);
  const claim = { count: next.count - old.count, bytes: next.bytes - old.bytes };
  return { claim, ...(isPlain ? withoutDeflate(() => shortest(change)) : shortest(change)) };
}

/** The shorter of a patch and a put. */
function shortest(change: PartChange): Omit<EncodedChange, 'claim'> {
  switch (change.op) {
    case 'remove':
      return { op: OpCode.remove, body: new Uint8Array(0) };
    case 'put':
      return { op: OpCode.add, body: putBody(change.after) };
    case 'patch': {
      if (isNearlyNew(change)) return { op: OpCode.put, body: putBody(change.after) };
      const patch = patchBody(change.before, change.after, change.edits);
      if (patch === undefined) return { op: OpCode.put, body: putBody(change.after) };
      if (!mayBeShorterWhole(change)) return { op: OpCode.patch, body: patch };
      const put = putBody(change.after);
      return put.length < patch.length ? { op: OpCode.put, body: put } : { op: OpCode.patch, body: patch };
    }
  }
}

/**
 * A patch is not tried if at least so many entries are added, and so many times as many as stay. Our choice.
 */
const COMES_MANY = 1024;

/** Whether so little stays that a patch saves a thousandth at most, and takes as long as the whole part. */
function isNearlyNew({ unchangedCount, addedCount }: PartChange): boolean {
  return addedCount >= COMES_MANY * Math.max(1, unchangedCount);
}

/**
 * Whether so much changed that the whole part is worth encoding for comparison: half of it or more. Our
 * choice.
 */
function mayBeShorterWhole(change: PartChange & { readonly op: 'patch' }): boolean {
  return (change.addedCount + change.removedCount) * 2 >= partCount(change.after);
}

/** The base of deltas: its parts, and the claim of each. */
interface PartTable {
  /** Sorted. */
  readonly parts: readonly Part[];
  readonly claims: readonly (PartId & Claim)[];
}

/** A change as it stands in the bytes; the body is not yet read. */
interface ChangeHead extends PartId {
  readonly op: OpCode;
  /** The place of the part; for a new one, the place to insert it at. */
  readonly index: number;
  /** The present part; undefined for a new part. */
  readonly before: Part | undefined;
  readonly claimBefore: Claim;
  /** For a part that is removed: nothing. */
  readonly claim: Claim;
  readonly body: ByteReader;
}

/** Bounds of our own deltas, which respect a receiver's default limits. */
const OWN_BOUNDS: StepBounds = { entriesMax: ENTRIES_MAX };

/**
 * The rule set that a delta makes of `before`. Unchanged parts stay the same objects, so that their digests
 * stay known. Parts that do not change stay the same objects, so that their digests stay known. Throws
 * ProtocolError with the part and, if there is one, the entry: `bad-delta` for malformed bytes or a result
 * that is not canonical, `bad-canonical` for a malformed policy or resolutions put whole, `bad-base` for a
 * change that does not fit `before`, `bad-count` for a part that differs from its claim, `over-limit` for
 * more parts, or more than `entriesMax` entries, rules and addresses in all. With signed bounds, it also
 * throws before decoding: `bad-count` or `bad-rule-set` for claims that do not add up to them, and
 * `over-budget` for more than they allow. `verifyRuleSet` checks whether the result is the release.
 * `onListPatch` gets the changes of patched lists of prefixes, to save comparing them.
 */
export function applyDelta(
  before: RuleSet,
  bytes: Uint8Array,
  bounds: StepBounds = OWN_BOUNDS,
  onListPatch?: OnListPatch,
): RuleSet {
  return ruleSetOf(atOnce(stepPieces(tableOf(before), bytes, bounds, onListPatch)).parts);
}

function tableOf(ruleSet: RuleSet): PartTable {
  const { items, records } = catalogueOf(ruleSet);
  return { parts: items, claims: records };
}

function* stepPieces(
  table: PartTable,
  bytes: Uint8Array,
  bounds: StepBounds,
  onListPatch: OnListPatch | undefined,
): Pieces<PartTable> {
  const reader = new ByteReader(bytes, ErrorCode.badDelta);
  const { meter = new Meter() } = bounds;
  meter.spend(table.parts.length * Work.part);
  const heads = readHeads(reader, table, meter);
  const claims = mergedBy(table.claims, heads, (head) => {
    return head.op === OpCode.remove ? undefined : { kind: head.kind, name: head.name, ...head.claim };
  });
  checkClaims(reader, claims, bounds);
  const left = new RoomLeft(bounds);
  const changed = new Set(heads.map((head) => head.before));
  for (const part of table.parts) if (!changed.has(part)) left.take(part, reader);
  const made: (Part | undefined)[] = [];
  const pace = new Pace();
  for (const head of heads) {
    if (pace.isOver) {
      yield;
      meter.rest();
    }
    const part = changedPart(head, meter, onListPatch);
    head.body.end();
    made.push(part);
    if (part === undefined) continue;
    checkClaim(head, part);
    left.take(part, head.body);
    meter.spend(partWeight(part) * Work.merged);
    pace.take(partWeight(part));
  }
  yield;
  meter.rest();
  return { parts: mergedBy(table.parts, heads, (_, i) => made[i]), claims };
}

/** Throws ProtocolError `bad-count` if a part differs from its claim. */
function checkClaim({ claim, body }: ChangeHead, part: Part): void {
  const { count, bytes } = claimOf(part);
  if (count === claim.count && bytes === claim.bytes) return;
  const text = `has ${count} entries in ${bytes} bytes where the delta says ${claim.count} in ${claim.bytes}`;
  throw body.error(text, undefined, ErrorCode.badCount);
}

/** Values in the order of parts, with those of changed parts replaced. */
function mergedBy<T>(
  old: readonly T[],
  heads: readonly ChangeHead[],
  madeOf: (head: ChangeHead, index: number) => T | undefined,
): readonly T[] {
  const merged: T[] = [];
  let next = 0;
  for (const [i, head] of heads.entries()) {
    while (next < head.index) merged.push(old[next++]!); // an index is at most the length
    if (head.op !== OpCode.add) next++;
    const made = madeOf(head, i);
    if (made !== undefined) merged.push(made);
  }
  while (next < old.length) merged.push(old[next++]!); // next < length
  return merged;
}

/** Checks that the claims equal the signed totals, or are within the step's, before any part is made. */
function checkClaims(
  reader: ByteReader,
  claims: readonly (PartId & Claim)[],
  { signed, step, entriesMax }: StepBounds,
): void {
  const totals = totalsOf(claims);
  if (totals.parts > PARTS_MAX)
    throw reader.error(`${totals.parts} parts; the most is ${PARTS_MAX}`, undefined, ErrorCode.overLimit);
  if (signed !== undefined) checkTotals(signed, totals);
  if (step !== undefined && isBeyond(step, totals))
    throw reader.error('far more than is to be left', undefined, ErrorCode.overBudget);
  if (entriesIn(totals) > entriesMax) {
    const code = step === undefined ? ErrorCode.overLimit : ErrorCode.overBudget;
    throw reader.error(`more than ${entriesMax} entries in all`, undefined, code);
  }
}

/** The room left in a release for its receiver's limits. */
class RoomLeft {
  readonly #bounds: StepBounds;
  /** The code for exceeding the receiver's limits; the releases between base and result need not fit. */
  readonly #limitCode: ErrorCode;
  #weight: number;
  #uncounted = UNCOUNTED_MAX;

  constructor(bounds: StepBounds) {
    this.#bounds = bounds;
    this.#limitCode = bounds.step === undefined ? ErrorCode.overLimit : ErrorCode.overBudget;
    this.#weight = bounds.entriesMax;
  }

  /** Takes a part's share of the room. Throws if there is too little left. */
  take(part: Part, reader: ByteReader): void {
    const uncounted = uncountedOf(part);
    this.#weight -= partCount(part) + uncounted;
    this.#uncounted -= uncounted;
    if (this.#weight < 0) {
      const text = `more than ${this.#bounds.entriesMax} entries in all`;
      throw reader.error(text, undefined, this.#limitCode);
    }
    if (this.#uncounted < 0) {
      const text = `more than ${UNCOUNTED_MAX} prefixes of policies and addresses of names in all`;
      throw reader.error(text, undefined, this.#limitCode);
    }
  }
}

/** All changes, without their bodies, so that what is replaced is known before anything is made. */
function readHeads(reader: ByteReader, table: PartTable, meter: Meter): readonly ChangeHead[] {
  const count = reader.varint();
  if (count * CHANGE_LEAST_BYTES > reader.remaining) throw reader.error(`${count} changes in too few bytes`);
  meter.spend(count * Work.change);
  const heads: ChangeHead[] = [];
  let next = 0; // the first part after the last one that was there and is changed
  for (let i = 0; i < count; i++) {
    const head = readHead(reader, table, next);
    const last = heads.at(-1);
    if (last !== undefined && comparePartIds(last, head) >= 0) {
      throw head.body.error('changes are not sorted, or two are of one part');
    }
    if (head.op !== OpCode.add) next = head.index + 1;
    heads.push(head);
  }
  reader.end();
  return heads;
}

function readHead(reader: ByteReader, table: PartTable, next: number): ChangeHead {
  const op = reader.u8();
  if (op !== OpCode.remove && op !== OpCode.put && op !== OpCode.patch && op !== OpCode.add)
    throw reader.error(`unknown change ${op}`);
  if (op === OpCode.add) {
    const id = readId(reader);
    const index = indexOf(table.parts, id);
    const there = table.parts[index];
    const text = partText(id);
    if (there !== undefined && comparePartIds(there, id) === 0)
      throw new ByteReader(new Uint8Array(0), ErrorCode.badBase, text).error('is added, but is there');
    const claim = readClaim(reader, NO_CLAIM);
    return {
      op,
      index,
      ...id,
      before: undefined,
      claimBefore: NO_CLAIM,
      claim,
      body: readBody(reader, text),
    };
  }
  const index = next + reader.varint();
  const before = table.parts[index];
  const claimBefore = table.claims[index];
  if (before === undefined || claimBefore === undefined) {
    const text = `part ${index} is changed, and there are ${table.parts.length}`;
    throw reader.error(text, undefined, ErrorCode.badBase);
  }
  const { kind, name } = before;
  const isGone = op === OpCode.remove;
  const claim = isGone ? NO_CLAIM : readClaim(reader, claimBefore);
  const text = partText(before);
  const body = isGone ? new ByteReader(new Uint8Array(0), ErrorCode.badDelta, text) : readBody(reader, text);
  return { op, index, kind, name, before, claimBefore, claim, body };
}

function readBody(reader: ByteReader, text: string): ByteReader {
  return new ByteReader(reader.bytes(reader.varint()), ErrorCode.badDelta, text);
}

function readId(reader: ByteReader): PartId {
  const kind = reader.u8();
  if (!isPartKind(kind)) throw reader.error(`unknown part kind ${kind}`);
  const id = { kind, name: reader.shortText() };
  if (!isNamedRight(id)) throw reader.error('a part with a wrong name');
  return id;
}

function readClaim(reader: ByteReader, before: Claim): Claim {
  const count = before.count + reader.difference();
  const bytes = before.bytes + reader.difference();
  if (count < 0 || count > COUNT_MAX || bytes < 0) throw reader.error('a part of less than nothing');
  return { count, bytes };
}

/** The place of a part among sorted parts, or where it would be. */
function indexOf(parts: readonly Part[], id: PartId): number {
  let low = 0;
  let high = parts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePartIds(parts[middle]!, id) < 0)
      low = middle + 1; // middle < length
    else high = middle;
  }
  return low;
}

/** The part that a change leaves; undefined if none. */
function changedPart(head: ChangeHead, meter: Meter, onListPatch: OnListPatch | undefined): Part | undefined {
  const { op, kind, before, claim, claimBefore, body } = head;
  if (op === OpCode.remove) return undefined;
  const bounds: PartBounds = {
    entries: claim.count,
    code: ErrorCode.badCount,
    bytes: bodyMaxBytes(kind, claimBefore, claim),
    meter,
  };
  const isPatch = op === OpCode.patch && before !== undefined;
  if (isPatch) meter.spend(partWeight(before) * Work.merged);
  const part = isPatch ? readPatch(body, before, bounds, onListPatch) : readPut(body, head, bounds);
  if (part.kind === PartKind.resolutions && part.resolutions.size === 0) {
    throw body.error('no resolutions are no part: they are removed');
  }
  return part;
}

/** The rule set of sorted parts. */
function ruleSetOf(parts: readonly Part[]): RuleSet {
  const lists = new Map<string, List>();
  const policies = new Map<string, Policy>();
  let { resolutions, unmatched } = EMPTY_RULE_SET;
  for (const part of parts) {
    if (part.kind === PartKind.policy) policies.set(part.name, part.policy);
    else if (part.kind === PartKind.resolutions) resolutions = part.resolutions;
    else if (part.kind === PartKind.unmatched) unmatched = part.unmatched;
    else if (lists.has(part.name))
      throw new ProtocolError(ErrorCode.badDelta, `two lists of the name ${part.name}`, {
        part: partText(part),
      });
    else lists.set(part.name, part.list);
  }
  return { lists, policies, resolutions, unmatched };
}

/**
 * The same for deltas of our own, one after the other, however many: what is between is never digested.
 */
export function applyDeltas(before: RuleSet, deltas: readonly Uint8Array[]): RuleSet {
  return atOnce(deltaPieces(before, deltas));
}

/** The same in pieces. */
export function* deltaPieces(before: RuleSet, deltas: readonly Uint8Array[]): Pieces<RuleSet> {
  let table = tableOf(before);
  for (const delta of deltas) table = yield* stepPieces(table, delta, OWN_BOUNDS, undefined);
  return ruleSetOf(table.parts);
}

/**
 * The stream of a transfer: deltas in the order in which they apply. Throws RangeError on none, and on more
 * than 1,024.
 */
export function encodeChain(steps: readonly Uint8Array[]): Uint8Array {
  if (steps.length === 0 || steps.length > STEPS_MAX)
    throw new RangeError(`a chain of ${steps.length} deltas`);
  const writer = new ByteWriter(steps.reduce((sum, step) => sum + 5 + step.length, 0));
  for (const step of steps) {
    writer.varint(step.length);
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
  const steps: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (steps.length === STEPS_MAX)
      throw reader.error(`more than ${STEPS_MAX} deltas`, undefined, ErrorCode.overLimit);
    steps.push(reader.bytes(reader.varint()));
  }
  if (steps.length === 0) throw reader.error('a chain without a delta');
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
  return atOnce(chainPieces(before, bytes, budget, onListPatch));
}

/** The same in pieces, each with no more work than the budget has for one. */
export function* chainPieces(
  before: RuleSet,
  bytes: Uint8Array,
  budget?: Budget,
  onListPatch?: OnListPatch,
): Pieces<RuleSet> {
  const steps = decodeChain(bytes);
  let table = tableOf(before);
  for (const [i, delta] of steps.entries()) {
    const isLast = i === steps.length - 1;
    const bounds = budget?.step(isLast) ?? OWN_BOUNDS;
    table = yield* stepPieces(table, delta, bounds, isLast ? onListPatch : undefined);
  }
  return ruleSetOf(table.parts);
}
