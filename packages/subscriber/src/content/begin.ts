/** Creates the content owner, and imports the packages it needs only in the thread that uses them. */

import type { ContentQuestions } from './messages.ts';
import { ContentOwner, type OwnerParts } from './owner.ts';

/** Rejects with TableEngineError. */
export async function beginContent(asks: ContentQuestions['begin']['asks']): Promise<ContentOwner> {
  const { plans, judgesNames } = asks.options;
  const parts: OwnerParts = {
    planner: plans === undefined ? undefined : (await import('@rulecast/nftables/plans')).plannerFor(plans),
    portionOf: judgesNames ? (await import('@rulecast/dns/portion')).portionOf : undefined,
  };
  return new ContentOwner(asks, parts);
}
