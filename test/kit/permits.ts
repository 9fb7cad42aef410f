/** Every permit of a push, for tests of other things than guards, which have tests of their own. */

import type { PushPermits } from '../../packages/publisher/src/guards/refusal.ts';

export const ALL_PERMITS: PushPermits = {
  allowEmpty: true,
  allowShrink: true,
  allowGrowth: true,
  allowCoverage: true,
  allowAll: true,
  allowKind: true,
  allowWider: true,
  allowAcceptAll: true,
  allowDropAll: true,
  allowNoPolicy: true,
  allowUnreachable: true,
  allowUnresolved: true,
  allowUnsupported: true,
};
