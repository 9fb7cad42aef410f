/**
 * `npm run bench -- elements [--runs N]`, as root: how long it takes until the kernel has an address that a
 * qube was told: by our messages, beside the `nft` program held open, and one that is started for each.
 */

import { fileURLToPath } from 'node:url';
import { Namespace } from '../enforce/network.mjs';
import { namespacePrefix } from '../run/run.mjs';
import { machineLine, runsOf, table } from './report.mjs';

const COSTS = fileURLToPath(new URL('element-costs.mjs', import.meta.url));

/** @param {readonly string[]} args */
export function run(args) {
  const runs = runsOf(args, 5);
  process.stdout.write(machineLine(runs));
  const namespace = new Namespace(`${namespacePrefix()}${process.pid}-elements`);
  try {
    const rows = /** @type {Record<string, number[]>} */ (
      JSON.parse(namespace.run([process.execPath, COSTS, `${runs}`]))
    );
    const shown = Object.entries(rows).map(([what, values]) => [what, ...values.map((us) => us.toFixed(1))]);
    process.stdout.write(table(['until it is there, µs', 'median', '99 %'], shown));
  } finally {
    namespace.close();
  }
}
