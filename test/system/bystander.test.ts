/**
 * A subscriber that is stopped and one on a slow line cost the third nothing, and the publisher no memory.
 */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import type { Daemon } from '../processes.mjs';
import { Gateway } from './gateway.ts';
import { Scene } from './scene.ts';

const SEED = 0x5eed08;
const PUSHES = 100;
const WARM_UP = 40;
const HOSTS = 50_000;
/** Removed and added by each push: deltas of about 5 kB. */
const CHANGES = 1000;
const P99_FACTOR = 3;
const P99_SLACK_MS = 50;
/**
 * By how much the most that the publisher has in 100 pushes beside them may be more than in the 100 before,
 * also beside them: if it kept for a stuck subscriber what it has for it (a rule set of 200 kB, its text of
 * 700 kB, a delta), that were 90 MB. The first of those is no measure: the thread that composes deltas for
 * who is behind is started then, with a heap of its own.
 */
const RSS_GROWTH_MAX_BYTES = 48 * 2 ** 20;

it('has a release in force as soon beside a stopped and a slow subscriber as alone', async () => {
  console.log(`seed ${SEED}`);
  const scene = new Scene();
  const { control } = scene;
  const publisher = await scene.publisher();
  const front = scene.path('front.sock');
  const gateway = await Gateway.open(front, scene.path('subscribers.sock'));
  scene.onClose(() => gateway.close());
  await scene.subscriber('third');
  await control.until(({ subscribers }) => subscribers.length === 1);
  let { words } = millionHosts(HOSTS, SEED);
  let pushes = 0;
  let mostBytes = 0; // resident
  const measure = async (count: number): Promise<readonly number[]> => {
    const times: number[] = [];
    mostBytes = 0;
    for (let i = 0; i < count; i++) {
      words = churned(words, CHANGES, SEED + ++pushes);
      times.push(await releasedToApplied(scene, textOf(words)));
      mostBytes = Math.max(mostBytes, residentBytes(publisher));
    }
    return times.sort((a, b) => a - b);
  };
  await measure(WARM_UP);
  const unhindered = await measure(PUSHES);
  const bytesAlone = mostBytes;

  const stopped = await scene.subscriber('stopped');
  await scene.subscriber('slow', `unix:${front}`);
  for (const name of ['stopped', 'slow']) await control.synced(name);
  gateway.carry = { kind: 'trickle', bytes: 64, pauseMs: 20 };
  gateway.drop();
  await control.until(({ subscribers }) =>
    subscribers.some(({ name, state }) => name === 'slow' && state !== 'disconnected'),
  );
  stopped.process.kill('SIGSTOP');
  const hindered = await measure(PUSHES);
  const bytesBefore = mostBytes;
  await measure(PUSHES);
  const bytesAfter = mostBytes;
  const { head, subscribers } = await control.status();
  const versions = Object.fromEntries(subscribers.map(({ name, version }) => [name, version]));
  stopped.process.kill('SIGCONT');

  const [before, beside] = [percentile(unhindered, 0.99), percentile(hindered, 0.99)];
  console.log(
    `released to APPLIED of the third: median ${percentile(unhindered, 0.5).toFixed(1)} → ${percentile(hindered, 0.5).toFixed(1)} ms, ` +
      `p99 ${before.toFixed(1)} → ${beside.toFixed(1)} ms (× ${(beside / before).toFixed(2)}); ` +
      `most of the publisher ${mebibytes(bytesAlone)} → ${mebibytes(bytesBefore)} → ${mebibytes(bytesAfter)} MiB; versions ${JSON.stringify(versions)} of ${head.version}`,
  );
  expect(versions['third']).toBe(head.version);
  expect(versions['stopped']).toBe(head.version - 2 * PUSHES);
  expect(beside).toBeLessThan(P99_FACTOR * before + P99_SLACK_MS);
  expect(bytesAfter - bytesBefore).toBeLessThan(RSS_GROWTH_MAX_BYTES);
  gateway.carry = { kind: 'whole' };
  gateway.drop();
  for (const name of ['stopped', 'slow', 'third']) {
    expect(await control.synced(name)).toMatchObject({ hash: head.hash });
  }
});

/** Milliseconds from the record of the release to the one that the third subscriber has it in force. */
async function releasedToApplied(scene: Scene, text: string): Promise<number> {
  let releasedMs = 0;
  let appliedMs = 0;
  await scene.control.push({
    list: 'blocked',
    text,
    enough: (record) => {
      if (record.record === 'release') releasedMs = performance.now();
      const isThird = record.record === 'applied' && record.subscriber === 'third';
      if (isThird) {
        expect(record.state).toBe('applied');
        appliedMs = performance.now();
      }
      return isThird;
    },
  });
  expect(appliedMs).toBeGreaterThan(0);
  return appliedMs - releasedMs;
}

function residentBytes(daemon: Daemon): number {
  const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** The least of sorted values that so large a share of them does not exceed. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
