/** The thread of verifier.ts: one request a message. Runs from the built package. */

import { parentPort } from 'node:worker_threads';
import { noteCatalogue, ProtocolError } from '@rulecast/protocol';
import type { List, RuleSet } from '@rulecast/rules';
import { Garbage, givenAway } from '@rulecast/threads';
import type { ChangedRuleSet, VerifierAnswer, VerifierNote, VerifierRequest } from './verifier.ts';
import { digestsOf, leavesFrom, SignedFault, snapshotStream, verify } from './verify.ts';

parentPort?.on('message', (request: VerifierRequest) => {
  const moved = new Set<ArrayBuffer>();
  const answer = answerTo(request, moved);
  parentPort?.postMessage(answer, [...moved]);
});
new Garbage().collect();

/** Gathers in `moved` the memory that the answer takes with it. */
function answerTo(request: VerifierRequest, moved: Set<ArrayBuffer>): VerifierAnswer {
  try {
    if (request.kind === 'snapshot') {
      const stream = snapshotStream(request.ruleSet);
      moved.add(stream.buffer as ArrayBuffer); // nothing here is shared memory
      return { kind: 'stream', stream };
    }
    const { claim, baseDigests, leftOut } = request;
    noteCatalogue(claim.base, baseDigests, leftOut);
    const { ruleSet } = verify(claim, () => parentPort?.postMessage({ kind: 'step' } satisfies VerifierNote));
    const [digests, leaves] = [digestsOf(ruleSet), leavesFrom(claim.base, ruleSet)];
    return { kind: 'verified', changed: changedFrom(claim.base, ruleSet, moved), digests, leaves };
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
  const lists = changedParts(base.lists, ruleSet.lists).map(([name, list]) => {
    return [name, list && given(list, moved)] as const;
  });
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

function given(list: List, moved: Set<ArrayBuffer>): List {
  const { lists, buffers } = givenAway([list]);
  for (const buffer of buffers) moved.add(buffer);
  return lists[0] ?? list; // one in, one out
}
