/**
 * A publisher that is killed at any moment loses nothing it has acknowledged, and no subscriber knew of a
 * release it lost.
 */

import { expect, it } from 'vitest';
import { dottedQuad, millionHosts } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import type { Daemon } from '../processes.mjs';
import { type ControlClient, releaseOf } from './control-client.ts';
import { listDigest } from './list-digest.ts';
import { Observer } from './observer.ts';
import { loggedVersions, Scene } from './scene.ts';

const SEED = 0x5eed01;
const PUSHES = 300;
/** One push in so many is cut short by SIGKILL. */
const KILL_EVERY = 10;
/** A push of this list takes about 25 ms: kills fall before, within and after the commit. */
const KILL_WITHIN_MS = 40;
const HOSTS = 20_000;
/**
 * A snapshot of the list is 56 kB; a delta of one entry 50 bytes, so a chain of some hundred stays far below.
 */
const TRANSFER_MAX_BYTES = 20_000;

interface Released {
  readonly version: number;
  readonly hash: string;
  readonly digest: string;
}

/** Each kill waits for a restart, and for a connection that comes back ever later. */
const PATIENCE_MS = 400_000;

it(
  'loses no acknowledged version, and offers none that it could lose, however often it is killed',
  async () => {
    console.log(`seed ${SEED}`);
    const next = seededNumbers(SEED);
    const scene = new Scene();
    const { control } = scene;
    let publisher = await scene.publisher();
    const subscriber = await scene.subscriber('firewall');
    const observer = new Observer(scene.listen, await scene.trusted());
    scene.onClose(() => observer.close());
    const hosts = millionHosts(HOSTS, SEED).text;
    let last = await acknowledged(control, hosts);
    await control.synced('firewall');
    const publishers: Daemon[] = [publisher];
    const after = { kept: 0, committed: 0 };
    for (let i = 1; i < PUSHES; i++) {
      const text = `${hosts}${dottedQuad(0x0a000000 + i)}\n`; // its digest is its own
      if (next(KILL_EVERY) !== 0) {
        const released = await acknowledged(control, text);
        expect(released.version).toBeGreaterThan(last.version); // what was signed and not stored is left out
        last = released;
        continue;
      }
      const killed = killIn(publisher, next(KILL_WITHIN_MS));
      const answer = await control.push({ list: 'blocked', text, wait: 'released' }).catch(() => undefined);
      const told = answer?.ending?.kind === 'done' ? releaseOf(answer) : undefined;
      await killed;
      publisher = await scene.publisher();
      publishers.push(publisher);
      const head = await headOf(control);
      if (told !== undefined) expect(head).toMatchObject({ version: told.version, hash: told.hash });
      if (head.version === last.version) expect(head).toEqual(last);
      else {
        expect(head.version).toBeGreaterThan(last.version);
        expect(head.digest).toBe(listDigest('blocked', text));
      }
      after[head.version === last.version ? 'kept' : 'committed'] += 1;
      last = head;
      const heard = [
        ...loggedVersions(subscriber, 'applied'),
        ...observer.offers.map(({ version }) => version),
      ];
      expect(Math.max(...heard)).toBeLessThanOrEqual(head.version);
      if (next(2) === 0) await control.synced('firewall');
    }
    const row = await control.synced('firewall');
    expect(row).toMatchObject({ version: last.version, hash: last.hash });
    const applied = loggedVersions(subscriber, 'applied');
    expect(applied).toEqual([...new Set(applied)].sort((a, b) => a - b));
    expect(contradictions(observer)).toEqual([]);
    const bytes = publishers.flatMap(({ log }) =>
      log
        .filter((line) => line['msg'] === 'applied' && line['subscriber'] === 'firewall')
        .map((line) => Number(line['bytes'])),
    );
    console.log(
      `${publishers.length - 1} kills: ${after.kept} before the commit, ${after.committed} after it; ` +
        `head ${last.version}; ${applied.length} applied, ${observer.offers.length} offers seen; largest transfer but the first ${Math.max(...bytes.slice(1))} bytes`,
    );
    expect(after.kept).toBeGreaterThan(0);
    expect(after.committed).toBeGreaterThan(0);
    expect(Math.max(...bytes.slice(1))).toBeLessThan(TRANSFER_MAX_BYTES);
  },
  PATIENCE_MS,
);

async function acknowledged(control: ControlClient, text: string): Promise<Released> {
  const answer = await control.push({ list: 'blocked', text, wait: 'released' });
  const { version, hash } = releaseOf(answer);
  return { version, hash, digest: listDigest('blocked', text) };
}

async function headOf(control: ControlClient): Promise<Released> {
  const { head, parts } = await control.status();
  return { version: head.version, hash: head.hash, digest: parts[0]?.digest ?? '' };
}

function killIn(publisher: Daemon, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    setTimeout(() => publisher.kill().then(resolve, reject), ms);
  });
}

/** Versions offered with two contents. */
function contradictions(observer: Observer): readonly number[] {
  const hashes = new Map<number, string>();
  return observer.offers
    .filter(({ version, hash }) => {
      const known = hashes.get(version) ?? hash;
      hashes.set(version, known);
      return known !== hash;
    })
    .map(({ version }) => version);
}
