/** The report to the publisher on a release that could not be put in force. */

import { ErrorCode, ProtocolError } from '@rulecast/protocol';
import { RefusedError } from '../apply/commit.ts';
import type { Outcome, Refused } from './states.ts';

/** The outcome for an error from staging or applying a stream. A chain over the budget is no fault. */
export function outcomeOf(error: unknown, isChain: boolean): Exclude<Outcome, { readonly kind: 'applied' }> {
  const { blame, code, part, entry } = faultOf(error);
  if (isChain && error instanceof RefusedError && code === ErrorCode.overBudget)
    return { kind: 'overBudget' };
  const text = error instanceof Error ? error.message : String(error);
  return { kind: 'refused', blame, code, text, part, entry };
}

function faultOf(error: unknown): Omit<Refused, 'kind' | 'text'> {
  const nowhere = { part: undefined, entry: undefined };
  if (error instanceof RefusedError) return error;
  if (error instanceof ProtocolError) return { blame: 'stream', code: error.code, ...nowhere };
  if (error instanceof RangeError) return { blame: 'host', code: ErrorCode.outOfMemory, ...nowhere }; // no room for the stream itself
  return { blame: undefined, code: ErrorCode.internal, ...nowhere };
}
