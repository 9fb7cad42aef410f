/** Every permit of a push, for tests of other things than guards, which have tests of their own. */

import { type Permits, permitCodes } from '../../packages/publisher/src/guards/permits.ts';

export const ALL_PERMITS: Permits = new Set(permitCodes('push'));
