/**
 * Whatever files a mirror shows, moved, cut, and mixed with those of other times and of another lineage, also
 * with heads by a stolen key of freshness: nothing comes into force that the publisher did not release, and
 * nothing older than what was.
 */

import { cpSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { encodeReportAnswer, hexOf, readReport, systemTurn, tokenOf } from '@rulecast/protocol';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { type Files, headOf, MemorySource, withHead, write } from '../../depot/test/depot-rig.ts';
import type { Publisher } from '../../publisher/src/release/publisher.ts';
import { WORK_IN_PLACE } from '../../publisher/src/release/worker.ts';
import { freshPublisher, release } from '../../publisher/test/fresh-publisher.ts';
import { openMirrors } from '../src/daemon/mirrors.ts';
import { createSubscriber } from '../src/peer/subscriber.ts';
import { inPlaceContent } from './in-place-content.ts';
import { packetOf } from './sample.ts';
import { TestClock } from './test-clock.ts';

const SECRET = new Uint8Array(32).fill(7);
const RELEASES = 5;
/** In force before anything is spoiled. */
const FLOOR = 2;
const logger = pino({ level: 'silent' });

/** Release n drops what goes to 10.0.0.n, and nothing else. */
function documentOf(n: number): string {
  return `policies: { default: { egress: [drop dst4=10.0.0.${n}/32], default: accept } }\n`;
}

/** A publisher's depot after each of its releases; each has all files of the one before. */
async function depotsOf(publisher: Publisher, onRelease?: (files: Files) => Promise<void>): Promise<Files[]> {
  const all: Files[] = [];
  for (let n = 1; n <= RELEASES; n++) {
    await release(publisher, { 'rules.yaml': documentOf(n) }, { replaceAll: true });
    all.push(await write(publisher, new Map(all.at(-1))));
    await onRelease?.(all[n - 1] ?? new Map());
  }
  return all;
}

/** What is done to the files: places and bytes are picked by numbers from all that there are. */
type Change =
  | { readonly kind: 'move' | 'join' | 'swap'; readonly at: number; readonly from: number }
  | { readonly kind: 'drop'; readonly at: number }
  | { readonly kind: 'cut' | 'flip'; readonly at: number; readonly byte: number }
  | { readonly kind: 'head'; readonly from: number }
  | { readonly kind: 'forge'; readonly page: number; readonly number: number; readonly hash: number };

const pick = fc.nat();
const CHANGES = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom('move', 'join', 'swap'), at: pick, from: pick }),
    fc.record({ kind: fc.constant('drop'), at: pick }),
    fc.record({ kind: fc.constantFrom('cut', 'flip'), at: pick, byte: pick }),
    fc.record({ kind: fc.constant('head'), from: pick }),
    fc.record({ kind: fc.constant('forge'), page: pick, number: pick, hash: pick }),
  ),
  { minLength: 1, maxLength: 5 },
) as fc.Arbitrary<readonly Change[]>;

interface World {
  readonly publisher: Publisher;
  readonly depots: readonly Files[];
  readonly strange: readonly Files[];
}

const NONE = new Uint8Array();

/** The files with one change. */
function spoiled(files: Files, change: Change, { publisher, depots, strange }: World): Files {
  const paths = [...files.keys()];
  const pool = [...files.values(), ...[...strange, ...depots].flatMap((each) => [...each.values()])];
  const path = (at: number): string => paths[at % paths.length] ?? '';
  const own = (at: number): Uint8Array => files.get(path(at)) ?? NONE;
  const other = (from: number): Uint8Array => pool[from % pool.length] ?? NONE;
  const next = new Map(files);
  switch (change.kind) {
    case 'move':
      return next.set(path(change.at), other(change.from));
    case 'join':
      return next.set(path(change.at), Buffer.concat([own(change.at), other(change.from)]));
    case 'swap':
      return next.set(path(change.at), own(change.from)).set(path(change.from), own(change.at));
    case 'drop':
      next.delete(path(change.at));
      return next;
    case 'cut':
      return next.set(path(change.at), own(change.at).subarray(0, change.byte % (own(change.at).length + 1)));
    case 'flip': {
      const flipped = Uint8Array.from(own(change.at));
      const at = change.byte % flipped.length;
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (change.byte % 8));
      return next.set(path(change.at), flipped);
    }
    case 'head': {
      const heads = [...depots, ...strange].map((each) => each.get('head') ?? NONE);
      return next.set('head', heads[change.from % heads.length] ?? NONE);
    }
    case 'forge': {
      const of = (at: number) => headOf(depots[at % depots.length] ?? new Map());
      const { epoch, version } = of(change.number);
      const said = { page: of(change.page).page, hash: of(change.hash).hash, epoch, version };
      const sequence = headOf(depots.at(-1) ?? new Map()).sequence + 1 + (change.page % 1000);
      const forged = withHead(
        depots.at(-1) ?? files,
        { ...said, sequence },
        ...publisher.identity.freshnessKeys,
      );
      return next.set('head', forged.get('head') ?? NONE);
    }
  }
}

async function follower(
  { publisher }: Pick<World, 'publisher'>,
  files: Files,
  stateDirectory: string,
  hasToken: boolean,
) {
  const { lineage, rootHash } = publisher.identity;
  const token = tokenOf(SECRET, lineage, 'fw');
  const source = new MemorySource(files);
  source.report = (reports) =>
    Promise.all(
      reports.map(async (bytes) => {
        const { nonce, sequence } = readReport(bytes, () => token);
        const statement = await publisher.attest(nonce, publisher.head);
        return encodeReportAnswer({ prove: false, isReplayed: false, sequence, statement }, token);
      }),
    );
  const clock = new TestClock(6000);
  const shared = { trust: { lineage, rootHash }, clock, logger };
  const mirrors = openMirrors({
    ...shared,
    sources: [source],
    random: () => 0.5,
    pollMs: 15_000,
    name: 'mirror',
    token: hasToken ? token : undefined,
    nowMs: Date.now,
    turn: systemTurn,
  });
  const { channel } = mirrors;
  const content = inPlaceContent();
  const subscriber = await createSubscriber({ ...shared, channel, name: 'fw', content, stateDirectory });
  const close = async (): Promise<void> => {
    await mirrors.close();
    await subscriber.close();
  };
  return { source, subscriber, close };
}

/** Until nothing more is asked of a mirror for a while; what it brought is judged, or will be. */
async function settled(source: MemorySource): Promise<void> {
  for (let asked = -1; asked !== source.asked.length; ) {
    asked = source.asked.length;
    for (let i = 0; i < 20; i++) await setImmediate();
  }
}

it('puts nothing in force that was not released, whatever becomes of the files', async () => {
  const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
  const strange = await depotsOf(freshPublisher({ workHost: WORK_IN_PLACE }));
  const before = temporaryDirectory();
  const depots = await depotsOf(publisher, async (files) => {
    if (publisher.head?.manifest.version !== FLOOR) return;
    const { subscriber, close } = await follower({ publisher }, files, before, true);
    await expect.poll(() => subscriber.status().version).toBe(FLOOR);
    await close();
  });
  const world = { publisher, depots, strange };
  const released = new Map(depots.map((files) => [hexOf(headOf(files).hash), headOf(files).version]));
  /** What is in force is one release of the publisher, whole. */
  const versionOf = ({ subscriber }: Pick<Awaited<ReturnType<typeof follower>>, 'subscriber'>): number => {
    const { version = 0, hash = '' } = subscriber.status();
    expect(released.get(hash)).toBe(version);
    for (let n = 1; n <= RELEASES; n++) {
      const { action } = subscriber.lookup(packetOf('egress', '10.137.0.5', `10.0.0.${n}`));
      expect(action, `release ${version}, 10.0.0.${n}`).toBe(n === version ? 'drop' : 'accept');
    }
    return version;
  };
  const reached = new Map<number, number>();
  const property = fc.asyncProperty(
    CHANGES,
    fc.nat(RELEASES - 1),
    fc.boolean(),
    async (changes, from, hasToken) => {
      const stateDirectory = temporaryDirectory();
      cpSync(before, stateDirectory, { recursive: true });
      let files = depots[from] ?? new Map();
      const firewall = await follower(
        world,
        spoiled(files, changes[0] as Change, world),
        stateDirectory,
        hasToken,
      );
      let version = FLOOR;
      for (const change of changes) {
        files = spoiled(files, change, world);
        firewall.source.files = files;
        firewall.source.onHeads?.();
        await settled(firewall.source);
        const now = versionOf(firewall);
        expect(now).toBeGreaterThanOrEqual(version);
        version = now;
      }
      await firewall.close();
      reached.set(version, (reached.get(version) ?? 0) + 1);
      const after = await follower(world, depots.at(-1) ?? new Map(), stateDirectory, hasToken);
      await expect.poll(() => after.subscriber.status().version, { interval: 5 }).toBe(RELEASES);
      versionOf(after);
      await after.close();
    },
  );
  await fc.assert(property, { numRuns: often(60, 2000) });
  expect(reached.size).toBeGreaterThan(2); // spoiled files are not merely ignored
});
