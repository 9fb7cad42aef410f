/**
 * What decodes a peer's bytes, by itself: each input is nearly right, and either refused with a ProtocolError
 * or of one meaning, which writes the same bytes again. Anything else that comes out is a fault.
 */

import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import {
  applyChain,
  applyDelta,
  Budget,
  canonicalBytes,
  decodeCanonical,
  decodeManifest,
  decodeMessage,
  diffRuleSets,
  ENTRIES_MAX,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeMessage,
  encodeRoot,
  encodeSnapshot,
  encodeStatement,
  FrameDecoder,
  FrameEncoder,
  manifestFor,
  ProtocolError,
  partsOf,
  readRoot,
  readStatement,
  verifyRuleSet,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { mutatedBody, mutatedDelta, namesOf, rawBodies, ruleSetOf } from './make.mjs';

/** @typedef {import('./draw.mjs').Draw} Draw */

/** @param {string} file */
function vectors(file) {
  return JSON.parse(readFileSync(new URL(`../../protocol/vectors/${file}.json`, import.meta.url), 'utf8'));
}

/** @param {string} hex */
function bytesOfHex(hex) {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** @typedef {{ type: number, bodyHex: string }} MessageVector */
/** @type {readonly { readonly type: number, readonly body: Buffer }[]} */
export const MESSAGES = vectors('messages').valid.map((/** @type {MessageVector} */ { type, bodyHex }) => ({
  type,
  body: bytesOfHex(bodyHex),
}));
/** @type {readonly Buffer[]} */
const MANIFESTS = vectors('manifest').manifests.map((/** @type {{ hex: string }} */ { hex }) =>
  bytesOfHex(hex),
);
/** @typedef {readonly { readonly hex: string }[]} HexVectors */
const TRUST = vectors('trust');
const [ROOTS, STATEMENTS] = [TRUST.roots.valid, TRUST.statements.valid].map((/** @type {HexVectors} */ all) =>
  all.map(({ hex }) => bytesOfHex(hex)),
);
const UNSIGNED = Uint8Array.of(0);
const KIND_OF_TAG = /** @type {const} */ ({ RCP1: 1, RCN1: 2, RCQ1: 3, RCQ2: 3, RCA1: 4, RCU1: 5 });
const LINEAGE = new Uint8Array(16);

/**
 * Runs `decode`; undefined where the bytes are refused.
 * @template T
 * @param {() => T} decode
 * @returns {T | undefined}
 */
export function orRefused(decode) {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** Frames of several messages, cut anywhere. @param {Draw} draw */
function frames(draw) {
  const encoder = new FrameEncoder();
  const stream = [];
  for (let count = 1 + draw.below(4); count > 0; count--) {
    const { type, body } = draw.of(MESSAGES);
    stream.push(encoder.frame(type, draw.oneIn(8) ? draw.word() : 0, body));
  }
  const bytes = draw.mutated(Buffer.concat(stream));
  const decoder = new FrameDecoder();
  orRefused(() => {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + draw.below(draw.oneIn(2) ? 40 : 4000));
      decoder.feed(bytes.subarray(at, end));
      at = end;
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        const { type, body } = frame;
        orRefused(() => decodeMessage(type, body));
      }
    }
  });
}

/** @param {Draw} draw */
function messages(draw) {
  const { type, body } = draw.of(MESSAGES);
  const otherType = draw.oneIn(10) ? draw.below(256) : type;
  const message = orRefused(() => decodeMessage(otherType, draw.mutated(body)));
  if (message === undefined) return;
  const again = encodeMessage(message);
  assert.deepStrictEqual(decodeMessage(again.type, again.body), message);
}

/** @param {Draw} draw */
function manifests(draw) {
  const bytes = draw.oneIn(2)
    ? draw.of(MANIFESTS)
    : encodeManifest(
        manifestFor(ruleSetOf(draw), {
          lineage: LINEAGE,
          epoch: 1,
          version: 2,
          previousVersion: 1,
          createdAtMs: 3,
        }),
      );
  const mutated = draw.mutated(bytes);
  const manifest = orRefused(() => decodeManifest(mutated));
  if (manifest !== undefined) assert.deepEqual(Buffer.from(encodeManifest(manifest)), mutated);
}

/** @param {Draw} draw */
function roots(draw) {
  const content = draw.mutated(draw.of(ROOTS ?? []));
  const read = orRefused(() => readRoot({ signatures: UNSIGNED, content }));
  if (read !== undefined) assert.deepEqual(Buffer.from(encodeRoot(read.root)), content);
  const bytes = draw.mutated(draw.of(STATEMENTS ?? []));
  const statement = readStatement(bytes);
  if (statement !== undefined) assert.deepEqual(Buffer.from(encodeStatement(statement)), bytes);
}

/** @param {Draw} draw */
function canonical(draw) {
  const parts = partsOf(ruleSetOf(draw));
  if (parts.length === 0) return;
  const part = draw.of(parts);
  const bytes = draw.mutated(canonicalBytes(part));
  const tag = bytes.toString('latin1', 0, 4);
  const kind = tag in KIND_OF_TAG ? KIND_OF_TAG[/** @type {keyof typeof KIND_OF_TAG} */ (tag)] : part.kind;
  const decoded = orRefused(() => decodeCanonical({ kind, name: part.name }, bytes));
  if (decoded !== undefined) assert.deepEqual(Buffer.from(canonicalBytes(decoded)), bytes);
}

/** A patch from one rule set to another, or a snapshot. @param {Draw} draw */
function deltas(draw) {
  const before = draw.oneIn(3) ? EMPTY_RULE_SET : ruleSetOf(draw);
  const delta = mutatedDelta(draw, encodeDelta(diffRuleSets(before, ruleSetOf(draw))));
  const after = orRefused(() => applyDelta(before, delta));
  if (after === undefined) return;
  const again = applyDelta(EMPTY_RULE_SET, encodeSnapshot(after));
  assert.equal(encodeDelta(diffRuleSets(after, again)).length, 1, 'it is another after a snapshot of it');
}

/**
 * Lists of names, whole and patched: what is made is canonical, and what makes a whole list is, before it is
 * packed, the only bytes that do.
 * @param {Draw} draw
 */
function names(draw) {
  const before = draw.oneIn(2) ? EMPTY_RULE_SET : namesOf(draw);
  const delta = mutatedBody(draw, encodeDelta(diffRuleSets(before, namesOf(draw))));
  const after = orRefused(() => applyDelta(before, delta));
  if (after === undefined) return;
  for (const part of partsOf(after))
    assert.deepEqual(canonicalBytes(decodeCanonical(part, canonicalBytes(part))), canonicalBytes(part));
  if (before !== EMPTY_RULE_SET) return;
  const again = encodeDelta(diffRuleSets(before, after));
  assert.deepEqual(rawBodies(again), rawBodies(delta), 'a list has two forms');
}

/**
 * Chains and snapshots as a subscriber takes them: behind a manifest that says what is to come, within its
 * budget.
 * @param {Draw} draw
 */
function chains(draw) {
  const base = draw.oneIn(3) ? EMPTY_RULE_SET : ruleSetOf(draw);
  const result = ruleSetOf(draw);
  const manifest = manifestFor(result, {
    lineage: LINEAGE,
    epoch: 1,
    version: 2,
    previousVersion: 1,
    createdAtMs: 3,
  });
  const steps = [];
  let before = base;
  for (let count = draw.below(4); count > 0; count--) {
    const after = ruleSetOf(draw);
    steps.push(encodeDelta(diffRuleSets(before, after)));
    before = after;
  }
  steps.push(encodeDelta(diffRuleSets(before, result)));
  const at = draw.below(steps.length);
  steps[at] = mutatedDelta(draw, steps[at] ?? new Uint8Array(2));
  if (draw.oneIn(8)) steps.splice(at, 0, ...Array(draw.below(900)).fill(steps[at]));
  const stream = draw.oneIn(8) ? draw.mutated(encodeChain(steps)) : encodeChain(steps);
  const made = orRefused(() => {
    const ruleSet = applyChain(base, stream, new Budget(base, manifest, ENTRIES_MAX));
    verifyRuleSet(manifest, ruleSet);
    return ruleSet;
  });
  if (made === undefined) return;
  assert.deepEqual(encodeSnapshot(made), encodeSnapshot(result), 'what was verified is not what was signed');
}

/** By name, with how many of a hundred inputs each gets. */
export const DECODERS = /** @type {const} */ ({
  frames: { share: 15, run: frames },
  messages: { share: 30, run: messages },
  manifests: { share: 10, run: manifests },
  roots: { share: 5, run: roots },
  canonical: { share: 10, run: canonical },
  deltas: { share: 10, run: deltas },
  names: { share: 10, run: names },
  chains: { share: 9, run: chains },
});
