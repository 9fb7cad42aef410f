/** The thread of verifier.ts: one request a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { ProtocolError } from '@rulecast/protocol';
import type { List, RuleSet } from '@rulecast/rules';
import type { ChangedRuleSet, VerifierAnswer, VerifierRequest } from './verifier.ts';
import { SignedFault, snapshotStream, verify } from './verify.ts';

parentPort?.on('message', (request: VerifierRequest) => {
  const moved = new Set<ArrayBuffer>();
  const answer = answerTo(request, moved);
  parentPort?.postMessage(answer, [...moved]);
});

/** Gathers in `moved` the memory that the answer takes with it. */
function answerTo(request: VerifierRequest, moved: Set<ArrayBuffer>): VerifierAnswer {
  try {
    if (request.kind === 'snapshot') {
      const stream = snapshotStream(request.ruleSet);
      moveBuffer(stream, moved);
      return { kind: 'stream', stream };
    }
    const { base } = request.claim;
    return { kind: 'verified', changed: changedFrom(base, verify(request.claim).ruleSet, moved) };
  } catch (error) {
    if (error instanceof ProtocolError) {
      const { code, message, part, entry } = error;
      return { kind: 'refused', isSigned: error instanceof SignedFault, code, message, part, entry };
    }
    if (error instanceof RangeError) return { kind: 'range-error', message: error.message };
    throw error;
  }
}

function changedFrom(base: RuleSet, ruleSet: RuleSet, moved: Set<ArrayBuffer>): ChangedRuleSet {
  const lists = changedParts(base.lists, ruleSet.lists);
  for (const [, list] of lists) if (list !== undefined) moveList(list, moved);
  const { resolutions, unmatched } = ruleSet;
  const isSame = resolutions === base.resolutions || resolutions.size + base.resolutions.size === 0;
  return {
    lists,
    policies: changedParts(base.policies, ruleSet.policies),
    resolutions: isSame ? undefined : resolutions,
    unmatched,
  };
}

function changedParts<T>(
  base: ReadonlyMap<string, T>,
  parts: ReadonlyMap<string, T>,
): readonly (readonly [string, T | undefined])[] {
  return [...parts].map(([name, part]) => [name, part === base.get(name) ? undefined : part]);
}

function moveList(list: List, moved: Set<ArrayBuffer>): void {
  if (list.kind === 'names') return;
  for (const { words, lengths } of [list.v4, list.v6]) {
    moveBuffer(words, moved);
    moveBuffer(lengths, moved);
  }
}

function moveBuffer({ buffer }: Uint8Array | Uint32Array, moved: Set<ArrayBuffer>): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) moved.add(buffer);
}
