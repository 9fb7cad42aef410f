/** The subscriber of a bench: with `--enforce`, which needs root, it enforces in a network namespace. */

import { join } from 'node:path';
import { missingForEnforcement, Network } from '../enforce/network.mjs';
import { startSubscriber } from '../processes.mjs';

/** The network of a subscriber that is to enforce; undefined: it is not. @param {readonly string[]} args */
export async function networkOf(args) {
  if (!args.includes('--enforce')) return undefined;
  const missing = missingForEnforcement([]);
  if (missing !== undefined) throw new Error(`--enforce: ${missing}`);
  return Network.open();
}

/** With state on disk. @param {string} directory @param {Network | undefined} [network] */
export function startBenched(directory, network) {
  const own = ['--state', join(directory, 'subscriber'), ...(network === undefined ? [] : ['--enforce'])];
  return startSubscriber(directory, 'bench', own, network?.router.prefix);
}
