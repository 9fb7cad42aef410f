/** Refused names, and DNS that goes nowhere, in the log of a firewall that captures DNS. */

import { beforeEach, describe, expect, it } from 'vitest';
import { rulectl } from '../processes.mjs';
import { ASKED, dig, House } from './house.ts';
import { enforcementGap } from './namespaces.ts';

const SOON = { timeout: 10_000, interval: 200 };

describe.skipIf(enforcementGap() !== undefined)('what rulectl log tells of DNS', () => {
  let house: House;

  beforeEach(async () => {
    house = await House.open('4.3', ['--log']);
    await house.push(['drop dst=@ads']);
  });

  /** The refusals of the firewall. */
  async function refused(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { stdout } = await rulectl(house.scene.directory, ['log', '--json']);
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    return records.filter(({ kind }) => kind === 'refused');
  }

  it('is the name that was asked for, the rule and the list, once with its count', async () => {
    expect(await dig(house.a, ASKED[4][0], 'x.ads.example')).toBe('NXDOMAIN');
    expect(await dig(house.a, ASKED[4][0], 'X.ads.example')).toBe('NXDOMAIN');
    expect(await dig(house.b, ASKED[4][0], 'x.ads.example')).toBe('NOERROR');
    const verdict = { action: 'drop', policy: 'a', rulePolicy: 'a', block: 'own', list: 'ads' };
    await expect.poll(async () => (await refused())[0]?.['count'], SOON).toBe(2);
    expect(await refused()).toMatchObject([{ what: 'name', name: 'x.ads.example', reason: 'name', verdict }]);
  });

  it('is what has room of a name that is longer as text', async () => {
    const label = '\\001'.repeat(60);
    expect(await dig(house.a, ASKED[4][0], `${label}.${label}.ads.example`)).toBe('NXDOMAIN');
    const cut = `${label}.${label}`.slice(0, 253);
    await expect.poll(async () => (await refused()).map(({ name }) => name), SOON).toEqual([cut]);
  });

  it('is a question that would go elsewhere, since nothing leads to rulecast-dns', async () => {
    house.net('--remove');
    expect(await dig(house.a, ASKED[4][0], 'good.example')).not.toBe('NOERROR');
    await expect.poll(async () => (await refused())[0]?.['reason'], SOON).toBe('dns');
    const [first] = await refused();
    expect(first).toMatchObject({ what: 'packet', direction: 'egress', proto: 17, port: 53 });
    expect(first?.['version']).toBeGreaterThan(0);
  });
});
