import { join } from 'node:path';
import { openIdentity } from '@rulecast/program/identity';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { SimulatedDatabases } from '../../../test/simulate/databases.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { Publisher } from '../src/release/publisher.ts';
import { StoreError } from '../src/store/store.ts';
import { faultyDatabases } from './faulty-databases.ts';
import { degraded, freshPublisher, pushOf, RESOLVE_NOTHING, release, SILENT } from './fresh-publisher.ts';

describe('a publisher', () => {
  it('goes on after a restart with the lineage, the head and the next version', async () => {
    const stateDirectory = temporaryDirectory();
    const before = freshPublisher({ stateDirectory });
    const { hash } = await release(before, { 'hosts.txt': '192.0.2.1\n' });
    await before.close();
    const after = freshPublisher({ stateDirectory });
    expect(after.identity.lineage).toEqual(before.identity.lineage);
    expect(after.head?.hash).toEqual(hash);
    const next = await release(after, { 'hosts.txt': '192.0.2.2\n' });
    expect(next.manifest).toMatchObject({ version: 2, previousVersion: 1 });
  });

  it('does not start on a store of another identity', async () => {
    const stateDirectory = temporaryDirectory();
    const before = freshPublisher({ stateDirectory });
    await release(before, { 'hosts.txt': '192.0.2.1\n' });
    await before.close();
    const identityFile = join(stateDirectory, 'stranger');
    openIdentity(identityFile);
    const options = { stateDirectory, identityFile, name: 'mgmt', resolve: RESOLVE_NOTHING, logger: SILENT };
    expect(() => new Publisher(options)).toThrow(StoreError);
  });

  it.each(['', 'a b', 'x'.repeat(64)])('is not called %j', (name) => {
    expect(() => freshPublisher({ name })).toThrow(TypeError);
  });

  it('finishes the push under way before it closes', async () => {
    const publisher = freshPublisher();
    const pushed = publisher.push(pushOf({ 'hosts.txt': '192.0.2.1\n' }));
    await publisher.close();
    expect(await pushed).toMatchObject({ kind: 'released', head: { manifest: { version: 1 } } });
  });

  // Regression: a listener that threw made a push fail although its release was on disk, so it was pushed
  // again.
  it('is not told that a push failed because of a listener, which is logged once', async () => {
    const errors: unknown[] = [];
    const logger = pino({ level: 'error' }, { write: (line) => void errors.push(JSON.parse(line)) });
    const publisher = freshPublisher({ logger });
    publisher.on('release', () => {
      throw new Error('in release');
    });
    publisher.subscribers.on('change', () => Promise.reject(new Error('later, in change')));
    const heard: number[] = [];
    publisher.on('release', ({ manifest }) => heard.push(manifest.version));
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    await publisher.idle();
    expect(heard).toEqual([1, 2]);
    expect(errors).toMatchObject([
      { event: 'release', err: { message: 'in release' } },
      { event: 'change', err: { message: 'later, in change' } },
    ]);
  });

  it('takes the next push after one that was refused', async () => {
    const publisher = freshPublisher();
    const refused = publisher.push(pushOf({ 'x.rules': 'drop dst=@gone\n' }));
    const taken = publisher.push(pushOf({ 'hosts.txt': '192.0.2.1\n' }));
    await expect(refused).rejects.toMatchObject({ code: 'guard-refused', part: 'default' });
    expect(await taken).toMatchObject({ kind: 'released' });
  });
  it('releases and compares many policies in turns of the event loop', async () => {
    let turns = 0;
    const turn = (): Promise<void> => {
      turns++;
      return Promise.resolve();
    };
    const publisher = freshPublisher({ turn });
    const count = 200;
    const documentOf = (port: number): string =>
      `unmatched: drop\npolicies:\n${Array.from({ length: count }, (_, i) => {
        const rule = `drop dst4=192.0.2.1 proto=tcp dstports=${port}`;
        return `  q${i}: { prefixes: [10.${i >> 8}.${i & 255}.0/24], egress: [${rule}] }\n`;
      }).join('')}`;
    const turnsOf = async (port: number): Promise<number> => {
      const before = turns;
      await publisher.push(pushOf({ 'all.yaml': documentOf(port) }), { permits: ALL_PERMITS });
      return turns - before;
    };
    await turnsOf(1);
    const changed = await turnsOf(2);
    expect(publisher.head?.manifest.version).toBe(2);
    // It checks, compares, digests, guards and encodes them, at most 64 at a time.
    expect(changed).toBeGreaterThan((5 * count) / 64);
    const same = await turnsOf(2);
    expect(publisher.head?.manifest.version).toBe(2);
    expect(same).toBeGreaterThan((3 * count) / 64);
  });

  it('is degraded while names do not resolve, names the first eight with their age, and recovers', async () => {
    let works = false;
    const clock = new FakeClock();
    const publisher = freshPublisher({
      clock,
      resolve: (name) => (works ? RESOLVE_NOTHING(name) : Promise.reject(new Error('SERVFAIL'))),
    });
    const rules = Array.from({ length: 20 }, (_, i) => `accept dsthost=host-${i}.example`).join('\n');
    await release(publisher, { 'x.rules': rules });
    expect(degraded(publisher)).toHaveLength(9);
    expect(degraded(publisher)[0]).toBe(
      'host-0.example does not resolve (SERVFAIL): its rules match nothing',
    );
    expect(degraded(publisher).at(-1)).toBe('12 more names do not resolve');
    works = true;
    clock.advance(10 * 60_000);
    expect(degraded(publisher)[0]).toMatch(/^host-0.example does not resolve for 10 min \(SERVFAIL\)/);
    await publisher.refreshNames();
    expect(degraded(publisher)).toEqual([]);
  });

  it('is not degraded by a dry run', async () => {
    const publisher = freshPublisher({ resolve: () => Promise.reject(new Error('SERVFAIL')) });
    const outcome = await publisher.push(pushOf({ 'x.rules': 'accept dsthost=a.example\n' }), {
      dryRun: true,
    });
    expect(outcome).toMatchObject({ kind: 'planned', failedNames: [{ name: 'a.example' }] });
    expect(degraded(publisher)).toEqual([]);
  });
});

describe('a publisher to which a newer release is proved', () => {
  const LOST = { epoch: 1, version: 9, hash: new Uint8Array(32).fill(9) };

  // Its disk was full then: it forgot the proof, and gave numbers that were given before.
  it('knows it where it cannot be written', async () => {
    const databases = new SimulatedDatabases(1);
    const faulty = faultyDatabases(databases.open(), 3, 'ENOSPC'); // to begin, a release, then the proof
    const publisher = freshPublisher({ databases: () => faulty });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await publisher.proved(LOST, 'firewall');
    expect(faulty.isHit).toBe(true);
    expect(publisher.behind).toEqual({ epoch: 1, version: 9 });
    const push = publisher.push(pushOf({ 'hosts.txt': '192.0.2.2\n' }));
    await expect(push).rejects.toMatchObject({ code: 'publisher-behind' });
    await publisher.proved(LOST, 'firewall');
    expect(publisher.store.behind).toEqual([1, 9]);
  });
});
