/** Prefixes shorter than /8, and of IPv6 than /16, need a permission. */

import { afterEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SourceRig } from './source-rig.ts';

const URL_A = 'https://feeds.example/a';
let rig: SourceRig;
afterEach(() => rig.sources.close());

function start(keys: string, content: string): Promise<void> {
  rig = new SourceRig(temporaryDirectory(), `lists:\n  a: { url: "${URL_A}", max-coverage: off, ${keys} }\n`);
  rig.network.set(URL_A, content);
  return rig.sources.start(new Map());
}

describe('a short prefix', () => {
  it('refuses the list whole, and says where it stands and what to do', async () => {
    await start('purpose: allow', '192.0.2.1\n64.0.0.0/4\n');
    await rig.state('a', 'failing');
    expect(rig.status('a').trouble).toMatchObject({
      code: 'short-prefix',
      reason:
        '1 of its prefixes is shorter than /8, or than /16 of IPv6, line 2 of a: 64.0.0.0/4 (allow-short-prefixes: true permits them): look at the source, then rulectl lists refresh a --permit short-prefix',
    });
    expect(rig.status('a').count).toBe(0);
  });

  it.each([
    ['the configuration', 'allow-short-prefixes: true'],
    ['allow-all', 'allow-all: true'],
  ])('is taken where %s permits it', async (_, key) => {
    await start(`purpose: allow, ${key}`, '64.0.0.0/4\n');
    expect(await rig.batch(1)).toEqual({ a: ['64.0.0.0/4'] });
  });

  it('once permitted stays so for that list, and one more does not', async () => {
    await start('purpose: allow, coverage-change: off', '64.0.0.0/4\n');
    await rig.state('a', 'failing');
    await rig.refresh(['a'], ['short-prefix', 'covers-too-much']);
    expect(rig.audit.map(({ list, code }) => [list, code])).toEqual([['a', 'short-prefix']]);
    rig.network.set(URL_A, '64.0.0.0/4\n192.0.2.1\n');
    await rig.refresh(['a']);
    expect(rig.status('a')).toMatchObject({ count: 2, trouble: undefined });
    rig.network.set(URL_A, '64.0.0.0/4\n192.0.2.1\n128.0.0.0/4\n');
    await rig.refresh(['a']);
    expect(rig.status('a')).toMatchObject({ count: 2, trouble: { code: 'short-prefix' } });
  });

  it('of special purpose disturbs nobody', async () => {
    await start('purpose: allow', '224.0.0.0/3\n0.0.0.0/8\n4000::/2\n');
    expect(await rig.batch(1)).toEqual({ a: ['0.0.0.0/8', '224.0.0.0/3', '4000::/2'] });
  });

  it('is judged before what must never be blocked is taken out', async () => {
    await start('purpose: block', '160.0.0.0/3\n');
    await rig.state('a', 'failing');
    expect(rig.status('a').trouble?.code).toBe('short-prefix');
  });
});

describe('host bits of a feed', () => {
  it('are a reject, and masked where the configuration says so', async () => {
    const content = '192.0.2.7/24\n198.51.100.0/24\n';
    await start('rejects: 50%', content);
    expect(await rig.batch(1)).toEqual({ a: ['198.51.100.0/24'] });
    expect(rig.status('a').firstReject).toMatch(/^a:1:1: "192.0.2.7\/24" has bits beyond its prefix length/);
    await rig.sources.close();
    await start('host-bits: mask', content);
    expect(await rig.batch(1)).toEqual({ a: ['192.0.2.0/24', '198.51.100.0/24'] });
  });
});
