/** A subscriber of mirrors: all that it takes, refuses and reports, with no session to the publisher. */

import { join } from 'node:path';
import { openIdentity, readRootKey, replaceIdentity, rootKeyFileOf } from '@rulecast/program/identity';
import { nextRoot } from '@rulecast/program/next-root';
import {
  decodeDepotPage,
  encodeDepotPage,
  encodeReportAnswer,
  encodeRoot,
  hexOf,
  joinSigned,
  objectPath,
  publicBytes,
  type Report,
  type ReportAnswer,
  readReport,
  readRoot,
  referenceOf,
  signBytes,
  systemTurn,
  tokenOf,
  withRoot,
} from '@rulecast/protocol';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey } from '../../../test/kit/roots.mjs';
import { type Files, headOf, MemorySource, releases, withHead, write } from '../../depot/test/depot-rig.ts';
import type { Publisher } from '../../publisher/src/release/publisher.ts';
import { WORK_IN_PLACE } from '../../publisher/src/release/worker.ts';
import { freshPublisher } from '../../publisher/test/fresh-publisher.ts';
import { type MirrorsOptions, openMirrors } from '../src/daemon/mirrors.ts';
import { createSubscriber } from '../src/peer/subscriber.ts';
import { inPlaceContent } from './in-place-content.ts';
import { TestClock } from './test-clock.ts';

const SECRET = new Uint8Array(32).fill(7);
const logger = pino({ level: 'silent' });

/** Puts a root in force that has other keys of freshness. */
function rotate(identityFile: string): void {
  const identity = openIdentity(identityFile);
  const { key } = readRootKey(rootKeyFileOf(identityFile, identity.lineage));
  const fresh = freshKey();
  const change = {
    add: { freshness: [publicBytes(fresh)] },
    remove: [],
    thresholds: {},
    epochCeiling: undefined,
  };
  const content = encodeRoot(nextRoot(identity.root, change));
  const next = readRoot({ signatures: signBytes(content, key), content });
  const keys = [...identity.keys, fresh];
  replaceIdentity(identityFile, { ...identity, keys, roots: withRoot(identity.roots, next) });
}

/** A publisher with some releases and their depot, as a mirror that passes reports on. */
async function mirrored(count: number, stateDirectory = temporaryDirectory()) {
  const publisher = freshPublisher({ workHost: WORK_IN_PLACE, stateDirectory });
  await releases(publisher, count);
  const source = new MemorySource(await write(publisher), 'mirror');
  const { lineage } = publisher.identity;
  const token = tokenOf(SECRET, lineage, 'fw');
  const reports: Report[] = [];
  const world = {
    publisher,
    source,
    token,
    reports,
    answer: async (report: Report): Promise<Partial<ReportAnswer>> => ({
      statement: await world.publisher.attest(report.nonce, world.publisher.head),
    }),
    /** The depot has what the publisher has, and the mirror shows it at once. */
    async publish(): Promise<void> {
      await write(world.publisher, source.files);
      source.onHeads?.();
    },
  };
  source.report = (all) =>
    Promise.all(
      all.map(async (bytes) => {
        const report = readReport(bytes, (name) => tokenOf(SECRET, lineage, name));
        reports.push(report);
        const answer = { prove: false, isReplayed: false, sequence: report.sequence, statement: undefined };
        return encodeReportAnswer({ ...answer, ...(await world.answer(report)) }, token);
      }),
    );
  return world;
}

async function follower(
  publisher: Publisher,
  source: MemorySource,
  options: Partial<MirrorsOptions> & { readonly stateDirectory?: string } = {},
) {
  const clock = new TestClock(6000); // nonces and PINGs go on by themselves; polls and five minutes do not
  const { lineage, rootHash } = publisher.identity;
  const trust = { lineage, rootHash };
  const mirrors = openMirrors({
    sources: [source],
    trust,
    clock,
    random: () => 0.5,
    logger,
    pollMs: 15_000,
    name: 'rules.example',
    token: undefined,
    nowMs: Date.now,
    turn: systemTurn,
    ...options,
  });
  const { stateDirectory } = options;
  const content = inPlaceContent();
  const { channel } = mirrors;
  const subscriber = await createSubscriber({
    channel,
    trust,
    name: 'fw',
    logger,
    clock,
    content,
    stateDirectory,
  });
  const close = async (): Promise<void> => {
    await mirrors.close();
    await subscriber.close();
  };
  onTestFinished(close);
  return { subscriber, close };
}

describe('a subscriber of mirrors', () => {
  it('takes the newest release once the publisher has answered its nonce, then each next one', async () => {
    const { publisher, source, token, reports, publish } = await mirrored(2);
    const { subscriber } = await follower(publisher, source, { token });
    await expect.poll(() => subscriber.status().version).toBe(2);
    expect(subscriber.status()).toMatchObject({ connected: true, publisher: 'rules.example' });
    await releases(publisher, 1, 300);
    const asked = source.asked.length;
    await publish();
    await expect.poll(() => subscriber.status().version).toBe(3);
    await expect.poll(() => subscriber.status().freshness).toBe('fresh');
    const delta = decodeDepotPage(source.files.get(objectPath(headOf(source.files).page)) ?? new Uint8Array())
      .deltas[0];
    expect(source.asked.slice(asked)).toContain(delta && objectPath(delta));
    await expect.poll(() => reports.at(-1)?.held?.version).toBe(3);
    expect(reports[0]).toMatchObject({ name: 'fw', held: undefined });
    expect(reports.at(-1)?.held).toMatchObject({ isPersisted: false });
  });

  it('takes nothing without a token where nothing was in force, and goes by its floor where something was', async () => {
    const { publisher, source, token, publish } = await mirrored(2);
    const stateDirectory = temporaryDirectory();
    const blind = await follower(publisher, source);
    await expect.poll(() => blind.subscriber.status().lastError?.code).toBe('not-fresh');
    expect(blind.subscriber.status().version).toBeUndefined();
    await blind.close();
    const again = Object.assign(new MemorySource(source.files), { report: source.report });
    const seeing = await follower(publisher, again, { token, stateDirectory });
    await expect.poll(() => seeing.subscriber.status().version).toBe(2);
    await seeing.close();
    await releases(publisher, 1, 300);
    await publish();
    const restarted = await follower(publisher, new MemorySource(source.files), { stateDirectory });
    await expect.poll(() => restarted.subscriber.status().version).toBe(3);
    expect(restarted.subscriber.status().freshness).not.toBe('fresh');
  });

  it('follows a root while it runs, and takes what is released under it', async () => {
    const stateDirectory = temporaryDirectory();
    const world = await mirrored(1, stateDirectory);
    const { subscriber } = await follower(world.publisher, world.source, { token: world.token });
    await expect.poll(() => subscriber.status().version).toBe(1);
    const said: string[] = [];
    subscriber.events.on('refused', ({ text }) => said.push(text));
    await world.publisher.close();
    rotate(join(stateDirectory, 'identity'));
    world.publisher = freshPublisher({ workHost: WORK_IN_PLACE, stateDirectory });
    await releases(world.publisher, 1, 300);
    await world.publish();
    await expect.poll(() => subscriber.status().version).toBe(2);
    await expect.poll(() => subscriber.status().freshness).toBe('fresh');
    expect(said).toContain('the publisher ended the session: there is another root');
  });

  it('takes the snapshot where a page leads to a stream that is not the release', async () => {
    const { publisher, source, token } = await mirrored(2);
    const { subscriber } = await follower(publisher, source, { token });
    await expect.poll(() => subscriber.status().version).toBe(2);
    await releases(publisher, 1, 300);
    const files: Files = await write(publisher, new Map(source.files));
    const head = headOf(files);
    const page = decodeDepotPage(files.get(objectPath(head.page)) ?? new Uint8Array());
    const [good, ...others] = page.deltas;
    const wrong = Uint8Array.from(files.get(good ? objectPath(good) : '') ?? []);
    wrong[wrong.length - 3] = (wrong[wrong.length - 3] ?? 0) ^ 1;
    const deltas = [...(good ? [{ ...referenceOf(wrong), base: good.base }] : []), ...others];
    const spoiled = encodeDepotPage({ ...page, deltas });
    const change = { page: referenceOf(spoiled), sequence: head.sequence + 1 };
    source.files = withHead(files, change, ...publisher.identity.freshnessKeys)
      .set(objectPath(referenceOf(wrong)), wrong)
      .set(objectPath(referenceOf(spoiled)), spoiled);
    source.onHeads?.();
    await expect.poll(() => subscriber.status().version).toBe(3);
    expect(source.asked).toContain(objectPath(referenceOf(wrong)));
  });

  it('proves what it has in force where the publisher does not know it', async () => {
    const world = await mirrored(2);
    const { publisher, source, token, reports } = world;
    const stateDirectory = temporaryDirectory();
    world.answer = async ({ nonce, held }) =>
      held === undefined
        ? { statement: await publisher.attest(nonce, publisher.head) }
        : { prove: reports.at(-1)?.proof === undefined };
    const first = await follower(publisher, source, { token, stateDirectory });
    await expect.poll(() => first.subscriber.status().version).toBe(2);
    await first.close();
    const next = Object.assign(new MemorySource(source.files), { report: source.report });
    await follower(publisher, next, { token, stateDirectory });
    await expect.poll(() => reports.some(({ proof }) => proof !== undefined)).toBe(true);
    const { proof } = reports.find((report) => report.proof !== undefined) ?? {};
    const { signatures, manifestBytes: content } = publisher.head ?? {
      signatures: new Uint8Array(),
      manifestBytes: new Uint8Array(),
    };
    expect(proof && hexOf(joinSigned(proof))).toBe(hexOf(joinSigned({ signatures, content })));
  });

  it('says why it has no connection where no mirror gives anything, and comes back by itself', async () => {
    const { publisher, source, token } = await mirrored(1);
    source.fault = 'connection refused';
    const { subscriber } = await follower(publisher, source, { token });
    await expect.poll(() => subscriber.status().lastError?.text).toContain('mirror: connection refused');
    source.fault = undefined;
    source.onHeads?.();
    await expect.poll(() => subscriber.status().version).toBe(1);
  });
});
