/**
 * A firewall that reads two web servers, while one or both fail in each way that a web server can: it goes on
 * with what it has, takes what comes from the other, and says which of them gives nothing, and why.
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeDepotHead, joinSigned, objectPath, readDepotHead, signBytes } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { nginxGap, startOrigin } from '../kit/nginx.mjs';
import { freshKey } from '../kit/roots.mjs';
import { isApplied, type Mirror, MirrorHouse, says } from './mirror-house.ts';

/** What happens to a mirror, and what undoes it where another copy of the depot does not. */
type Failure = (mirror: Mirror, house: MirrorHouse) => Promise<(() => Promise<unknown>) | undefined>;

/** Failures of one web server, while the other has the release. */
const FAILURES: readonly (readonly [name: string, said: string, failure: Failure])[] = [
  ['shows a head of before', '', async () => undefined],
  [
    'is a portal where people log in',
    'do not hold 60 signatures',
    async ({ directory }) => void writeFileSync(join(directory, 'head'), '<html>Please log in</html>'),
  ],
  [
    'has a head that is cut',
    'bytes expected',
    async ({ directory }, house) =>
      void writeFileSync(join(directory, 'head'), house.file('head').subarray(0, 150)),
  ],
  [
    'has a head with one bit changed',
    'not signed',
    async ({ directory }, house) => {
      const head = Uint8Array.from(house.file('head'));
      head[head.length - 80] = (head[head.length - 80] ?? 0) ^ 1;
      writeFileSync(join(directory, 'head'), head);
      return undefined;
    },
  ],
  // Trap 1: compared before it is verified, it hides every other head for ever.
  [
    'has a head of the highest sequence, signed by a stranger',
    'not signed',
    async ({ directory }, house) => {
      const { head } = readDepotHead(house.file('head'));
      const content = encodeDepotHead({ ...head, sequence: Number.MAX_SAFE_INTEGER });
      writeFileSync(
        join(directory, 'head'),
        joinSigned({ signatures: signBytes(content, freshKey()), content }),
      );
      return undefined;
    },
  ],
  [
    'has the head and not yet its page, which the other has',
    '',
    async ({ directory }, house) => void writeFileSync(join(directory, 'head'), house.file('head')),
  ],
  [
    'is down',
    'ECONNREFUSED',
    async (mirror, house) => {
      const { nginx, directory: depot } = mirror;
      await nginx.stop();
      const options = { depot, reports: house.reports, tls: house.tls, port: nginx.port };
      return async () => {
        mirror.nginx = house.keep(await startOrigin(nginx.directory, options));
      };
    },
  ],
  [
    'hangs',
    'no whole answer in time',
    async ({ nginx }) => {
      nginx.hang();
      return async () => nginx.goOn();
    },
  ],
];

describe.skipIf(nginxGap() !== undefined)('a firewall of two mirrors', () => {
  it('takes each release from the one that has it, whatever the other does, and says what that is', async () => {
    const house = new MirrorHouse();
    await house.publisher();
    const [near, far] = [await house.mirror('near'), await house.mirror('far')];
    await house.push();
    for (const mirror of [near, far]) house.copyTo(mirror);
    const firewall = await house.firewall('fw', near.nginx, far.nginx);
    await firewall.logged(isApplied(1));
    for (const [name, said, failure] of FAILURES) {
      const version = await house.push();
      const lines = firewall.log.length;
      const undo = await failure(near, house);
      house.copyTo(far);
      await firewall.logged(isApplied(version));
      const isSaid = (): boolean => firewall.log.slice(lines).some(says(near.nginx.url, said));
      if (said !== '') await expect.poll(isSaid, { message: name, timeout: 15_000 }).toBe(true);
      await undo?.();
      house.copyTo(near);
      if (said !== '') await expect.poll(() => firewall.log.slice(lines).some(says('well again'))).toBe(true);
    }
    expect(firewall.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  it('takes the snapshot where deltas are gone or bad, and keeps what it has where all is', async () => {
    const house = new MirrorHouse();
    await house.publisher();
    const [near, far] = [await house.mirror('near'), await house.mirror('far')];
    const mirrors = [near, far];
    await house.push();
    for (const mirror of mirrors) house.copyTo(mirror);
    const firewall = await house.firewall('fw', near.nginx, far.nginx);
    await firewall.logged(isApplied(1));
    /** Copies the depot, with its objects of some kinds changed before the head is there. */
    const show = (kinds: readonly ('deltas' | 'snapshot')[], change: (path: string) => void): void => {
      const paths = kinds.flatMap((kind) => house.page()[kind]).map(objectPath);
      for (const mirror of mirrors)
        house.copyTo(mirror, () => {
          for (const path of paths) change(join(mirror.directory, path));
        });
    };
    const cut = (path: string): void => writeFileSync(path, readFileSync(path).subarray(0, -1));
    for (const change of [(path: string) => rmSync(path), cut]) {
      const version = await house.push();
      show(['deltas'], change);
      await firewall.logged(isApplied(version));
    }
    expect(house.page().deltas.length).toBeGreaterThan(1);

    const lines = firewall.log.length;
    const version = await house.push();
    show(['deltas', 'snapshot'], cut);
    await expect
      .poll(() => firewall.log.slice(lines).some(says('does not match its hash')), { timeout: 30_000 })
      .toBe(true);
    expect(firewall.log.some(isApplied(version))).toBe(false);
    for (const mirror of mirrors) house.copyTo(mirror);
    await firewall.stop(); // it has made a pause that gets longer, as with a publisher
    const again = await house.firewall('fw', near.nginx, far.nginx);
    await again.logged(isApplied(version));
  });

  it('takes what is there while the publisher is away, and a first start takes nothing until it is back', async () => {
    const house = new MirrorHouse();
    const publisher = await house.publisher();
    const mirror = await house.mirror('mirror');
    await house.push();
    house.copyTo(mirror);
    const firewall = await house.firewall('old', mirror.nginx);
    await firewall.logged(isApplied(1));
    const version = await house.push();
    await publisher.stop();
    house.copyTo(mirror);
    await firewall.logged(isApplied(version));
    await firewall.stop();
    const again = await house.firewall('old', mirror.nginx);
    await again.logged((line) => line['msg'] === 'connected');
    const fresh = await house.firewall('new', mirror.nginx);
    await fresh.logged(says('no report is answered'));
    expect([fresh, again].flatMap(({ log }) => log.filter((line) => line['msg'] === 'applied'))).toEqual([]);
    await house.publisher();
    await fresh.logged(isApplied(version));
  });
});
