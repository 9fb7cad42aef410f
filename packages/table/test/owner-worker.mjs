/** Prepares what its parent says in a table that goes on from another's; the parent flips, and says so. */

import { parentPort, workerData } from 'node:worker_threads';
import { Table } from '../dist/index.js';

const table = new Table(workerData);
let policies; // the same object for as long as they are the same
parentPort.on('message', ({ ruleSet, environment, settled }) => {
  if (settled !== undefined) return table.settle(settled);
  policies = ruleSet.policies ?? policies;
  const { header, memoryBytes, generation, isEdit } = table.prepare({ ...ruleSet, policies }, environment);
  parentPort.postMessage({ header, memoryBytes, generation, isEdit });
});
