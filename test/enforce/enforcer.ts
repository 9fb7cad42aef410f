/** A subscriber that enforces, in the router of a network, as a process of its own. */

import { readFileSync } from 'node:fs';
import { type Daemon, startSubscriberOf } from '../processes.mjs';
import { type Scene, within } from '../system/scene.ts';
import type { Network } from './network.mjs';

/** Its name, and the directory of its state within the scene. */
export const ENFORCER = 'firewall';

/** Starts it; resolves when it is ready, so with its boot mode or its last release in the kernel. */
export async function startEnforcer(
  scene: Scene,
  network: Network,
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<Daemon> {
  const own = ['--state', scene.path(ENFORCER), '--enforce', ...args];
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const launch = [...network.router.prefix, ...(variables.length > 0 ? ['env', ...variables] : [])];
  return scene.keep(await startSubscriberOf(await scene.trustLine(), scene.listen, ENFORCER, own, launch));
}

/** The process ids of the children of a process. */
export function childrenOf(pid: number | undefined): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Longest wait for what the subscriber does by itself: a repair, an expiry. */
const EVENTUALLY_MS = 15_000;

/**
 * Resolves once something holds; looks again and again, since the kernel tells nobody when a packet would be
 * dropped.
 */
export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const look = async (): Promise<void> => {
    while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await within(look(), EVENTUALLY_MS, 'a change in the kernel');
}
