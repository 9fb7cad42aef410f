/**
 * Crashes: a subscriber killed at every step of the commit order starts again with the old or the new
 * release, complete. The killed process runs the built package.
 */

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTrust, type Signed } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { expectEnforces, packetOf, sampleRuleSet } from '../../packages/subscriber/test/sample.ts';
import {
  chainOf,
  ScriptedPublisher,
  type ScriptedRelease,
  type ScriptedTransfer,
  snapshotOf,
} from '../../packages/subscriber/test/scripted-publisher.ts';
import { nobody, startedSubscriber } from '../../packages/subscriber/test/started.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { freshFor } from '../kit/roots.mjs';

const CHILD = fileURLToPath(new URL('../../packages/subscriber/test/crash-child.mjs', import.meta.url));
/** Processes at once. */
const PARALLEL = 4;

const publisher = new ScriptedPublisher();
const releases = [1, 2, 3].map((version) => publisher.release(sampleRuleSet(version), { version }));
const [one, two, three] = releases;
if (one === undefined || two === undefined || three === undefined) throw new TypeError('three releases');
/** A snapshot, a delta that is stored as one, and a snapshot again. */
const transfers: readonly ScriptedTransfer[] = [snapshotOf(one), chainOf(one, two), snapshotOf(three)];

interface Crash {
  /** The last release of which APPLIED was sent; 0 if none. */
  readonly appliedVersion: number;
  /** The number of steps in a run that was not killed. */
  readonly stepCount: number | undefined;
  readonly signal: string | undefined;
  readonly directory: string;
}

function run(inputPath: string, directory: string, step: number): Promise<Crash> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [CHILD, inputPath, directory, String(step)], (error, stdout, stderr) => {
      if (error !== null && error.signal !== 'SIGKILL') return reject(new Error(stderr || String(error)));
      const versions = [...stdout.matchAll(/^applied (\d+)$/gm)].map((match) => Number(match[1]));
      const steps = /^steps (\d+)$/m.exec(stdout)?.[1];
      resolve({
        appliedVersion: versions.at(-1) ?? 0,
        stepCount: steps === undefined ? undefined : Number(steps),
        signal: error?.signal ?? undefined,
        directory,
      });
    });
  });
}

function writeInput(): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const path = join(temporaryDirectory(), 'input.json');
  const written = releases.map((release: ScriptedRelease, i) => {
    const transfer = transfers[i];
    if (transfer === undefined) throw new TypeError('a transfer for each release');
    return {
      manifest: base64(release.bytes),
      signatures: base64(release.signatures),
      isSnapshot: transfer.begin.snapshot === true,
      stream: base64(Buffer.concat(transfer.chunks)),
    };
  });
  const text = ({ signatures, content }: Signed) => ({
    signatures: base64(signatures),
    content: base64(content),
  });
  const nonce = new Uint8Array(16);
  const input = {
    trust: formatTrust(publisher.trust),
    root: text(publisher.root),
    nonce: base64(nonce),
    fresh: text(freshFor(nonce, publisher.root, publisher.privateKey)),
    releases: written,
  };
  writeFileSync(path, JSON.stringify(input));
  return path;
}

describe('a subscriber killed at any step', () => {
  it('starts again with the old or the new release, complete, and goes on from there', async () => {
    const inputPath = writeInput();
    const directory = temporaryDirectory();
    const whole = await run(inputPath, directory, 0);
    expect(whole).toMatchObject({ appliedVersion: 3, signal: undefined });
    const stepCount = whole.stepCount ?? 0;
    // A file of one chunk is opened, written, synced and renamed, its directory synced: the clock and the
    // root, once. Then for each release two calls of the sink, a file of four chunks and one of one. Once,
    // each directory above is synced; the copy has one more.
    const above = directory.split(sep).length - 1;
    const rooting = above + (above + 1);
    expect(stepCount).toBe(3 * 2 + 2 * (2 * 5 + 3 * (1 + 4 + 1 + 1 + 1 + 5)) + rooting); // all but the sink twice: there is a copy

    const steps = Array.from({ length: stepCount }, (_, i) => i + 1);
    const outcomes: string[] = [];
    const worker = async (): Promise<void> => {
      for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
        outcomes.push(await outcomeOf(await run(inputPath, temporaryDirectory(), step)));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    expect(outcomes).toHaveLength(stepCount);
    // Each release was lost by some crashes and kept by others, which came after its mark and before APPLIED;
    // the last also while it was copied.
    expect([...new Set(outcomes)].sort()).toEqual([
      'new 1',
      'new 2',
      'new 3',
      'old 0',
      'old 1',
      'old 2',
      'old 3',
    ]);
  });
});

/**
 * Starts again over what a crash left, expects one complete release, and that the next comes into force over
 * it.
 */
async function outcomeOf({ appliedVersion, signal, directory }: Crash): Promise<string> {
  expect(signal).toBe('SIGKILL');
  const again = await startedSubscriber(publisher, { stateDirectory: directory, channel: nobody });
  const version = again.status().version ?? 0;
  expect([appliedVersion, appliedVersion + 1]).toContain(version);
  expect(again.status().lastError).toBeUndefined();
  const release = releases[version - 1];
  if (release === undefined)
    expect(again.lookup(packetOf('egress', '10.137.0.5', '192.0.2.1')).policy).toBe('boot');
  else await expectEnforces(again, release.ruleSet);
  await again.close();

  const { trust, privateKey } = publisher;
  const link = new ScriptedPublisher(trust.lineage, privateKey); // of its own, for several crashes are looked at at once
  const onward = await startedSubscriber(publisher, { stateDirectory: directory, channel: link.channel });
  const next = publisher.release(sampleRuleSet(version + 1), { version: version + 1 });
  const { peer } = await link.greeted();
  const applied = await peer.bring(next, release === undefined ? snapshotOf(next) : chainOf(release, next));
  expect(applied.persisted).toBe(true);
  await expectEnforces(onward, next.ruleSet);
  await onward.close();
  return version === appliedVersion ? `old ${version}` : `new ${version}`;
}
