/** Whether tests of enforcement can run here; the network that they use is test/enforce/network.mjs. */

import { missingForEnforcement } from '../enforce/network.mjs';

/**
 * Why enforcement cannot be tested here, printed; undefined where it can. Throws instead where CI=true, since
 * a gap there would go unseen.
 */
export function enforcementGap(): string | undefined {
  const missing = missingForEnforcement();
  if (missing === undefined) return undefined;
  if (process.env['CI'] === 'true') throw new Error(`enforcement cannot be tested: ${missing}`);
  console.log(`tests of enforcement are skipped: ${missing}`);
  return missing;
}
