/**
 * The process that simulates, started by main.mjs: runs the seeds that it is given, one after the other, and
 * tells what came of each. It stops at the first violation.
 */

import './air.ts';
import '../../packages/publisher/src/release/worker-thread.ts';
import '../../packages/subscriber/src/content/content-thread.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FAULTS, type Fault, type Pair, planOf } from './plan.ts';
import { MACHINE_STATES } from './witness.ts';
import { EVENTS, FORKS, World } from './world.ts';

interface Order {
  readonly seeds: readonly number[];
  readonly rounds: number;
  readonly faults?: readonly Fault[];
  /** Tried on top of the plan. */
  readonly wanted?: readonly Pair[];
  /** Which actions of the plan are kept, by their index; all by default. */
  readonly kept?: readonly number[];
  readonly loud?: boolean;
}

const order: Order = JSON.parse(process.argv[2] ?? '{}');
const unknown = order.faults?.find((fault) => !FAULTS.includes(fault));
if (unknown !== undefined) throw new Error(`there is no fault ${unknown}: ${FAULTS.join(', ')}`);

for (const seed of order.seeds) {
  const whole = planOf(seed, order.rounds, order.faults, order.wanted);
  const kept = order.kept === undefined ? undefined : new Set(order.kept);
  const actions = whole.actions.filter((_, i) => kept?.has(i) ?? true);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-simulate-'));
  try {
    const world = new World({ ...whole, actions }, directory, order.loud === true);
    const outcome = await world.run(order.rounds);
    await tell({
      seed,
      ...outcome,
      pairs: [...outcome.pairs],
      forks: [...outcome.forks],
      events: [...outcome.events],
      names: { faults: FAULTS, states: MACHINE_STATES, forks: FORKS, events: EVENTS },
      actionCount: whole.actions.length,
      lines: outcome.violation === undefined ? [] : outcome.lines.slice(-400),
    });
    if (outcome.violation !== undefined) break;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
process.exit(0);

function tell(message: object): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) {
      process.stdout.write(`${JSON.stringify(message)}\n`);
      resolve();
    } else process.send(message, undefined, undefined, () => resolve());
  });
}
