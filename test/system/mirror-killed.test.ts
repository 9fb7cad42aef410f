/** A publisher that is killed at each step by which it writes a depot, one after the other. */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseTrust } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { filesIn, pathsIn, releaseIn } from '../kit/depot.ts';
import type { Daemon } from '../processes.mjs';
import { Scene } from './scene.ts';

const KILL_AT = fileURLToPath(new URL('../kit/kill-at.mjs', import.meta.url));
/** A release needs a stream, a page and a head at least, each of two steps, and so does a start. */
const STEPS_MIN = 8;
/** After one kill in so many a publisher starts again, and releases. */
const RECOVER_EVERY = 4;

it('leaves a whole release in the depot, wherever it is killed, and goes on from there', async () => {
  const scene = new Scene();
  const depot = scene.path('depot');
  const trust = parseTrust(await scene.trustLine()) ?? expect.fail('no trust line');
  writeFileSync(scene.path('publisher.yaml'), `depot: { directory: ${depot} }\n`);
  const args = ['--config', scene.path('publisher.yaml')];
  const found = () => releaseIn(filesIn(depot), trust);
  const push = (byte: number): Promise<unknown> => {
    const hosts = Array.from({ length: 100 }, (_, i) => `198.51.${i}.${byte}`);
    return scene.control.push({ list: 'blocked', text: hosts.join('\n'), wait: 'released' });
  };
  /** Until the head names that version, by a page with deltas from each release before; or it has ended. */
  const isWhole = (publisher: Daemon, version: number): Promise<void> => {
    const isThere = (): boolean =>
      found().head.version === version && found().page.deltas.length === version - 1;
    return expect.poll(() => !isAlive(publisher) || isThere(), { interval: 20 }).toBe(true);
  };
  const first = await scene.publisher(args);
  for (const byte of [1, 2, 3]) await push(byte);
  await isWhole(first, 3);
  await first.stop();
  for (const part of ['depot', 'publisher']) scene.copy(part, `${part}-before`);

  const shown = { 3: 0, 4: 0 };
  for (let at = 1; ; at++) {
    for (const part of ['depot', 'publisher']) scene.copy(`${part}-before`, part);
    const where = [`RULECAST_KILL_IN=${depot}`, `RULECAST_KILL_AT=${at}`];
    const launch = ['env', `NODE_OPTIONS=--import=${KILL_AT}`, ...where];
    const publisher = await scene.publisher(args, launch).catch(() => undefined); // killed before it is ready
    if (publisher !== undefined) {
      await push(4).catch(() => undefined);
      await isWhole(publisher, 4);
    }
    if (publisher !== undefined && isAlive(publisher)) {
      await publisher.stop();
      expect(at).toBeGreaterThan(STEPS_MIN);
      console.log(`killed at ${at - 1} steps: the head named the release before ${shown[3]} times`);
      break;
    }
    shown[found().head.version as 3 | 4] += 1;
    if (at % RECOVER_EVERY !== 0) continue;
    const again = await scene.publisher(args);
    await push(5);
    await isWhole(again, (await scene.control.status()).head.version);
    await again.stop();
    expect(pathsIn(depot).filter((path) => path.endsWith('.new'))).toEqual([]);
  }
  expect(Math.min(shown[3], shown[4])).toBeGreaterThan(0);
});

function isAlive({ process: { exitCode, signalCode } }: Daemon): boolean {
  return exitCode === null && signalCode === null;
}
