/**
 * What was refused, end to end: a qube's packet is refused, `rulectl log` says why and what could allow it,
 * that line opens it, and it closes by itself. docs/how-to/log.md. Nothing outside the namespaces is asked.
 */

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { blockText } from '../docs/blocks.ts';
import { Network } from '../enforce/network.mjs';
import { endpointsIn, rulectl } from '../processes.mjs';
import { entered, startWeb } from '../web/visitor.mjs';
import { House, PREFIXES, ready } from './house.ts';
import { enforcementGap } from './namespaces.ts';

const UPSTREAM = fileURLToPath(new URL('../enforce/names-upstream.mjs', import.meta.url));
const SERVING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, host: '::', backlog: 4096 }, () => console.log('ready'))`;
const [WORLD, UPSTREAM_PORT] = ['198.18.0.2', 5302];
const LISTS = {
  updates: { names: ['.deb.example'], resolve: 'firewall' },
  ads: { names: ['.ads.example'], resolve: 'firewall' },
  bad: { entries: ['93.184.0.0/24'] },
};
const RULES = ['drop dst=@bad', 'drop dst=@ads', 'accept dst=@updates proto=tcp dstports=443'];
const [QUBE] = PREFIXES.a;
/** What it takes is printed: a person waits for a second. */
const SOON = { timeout: 10_000, interval: 50 };
/** In place of an hour. */
const OPEN_FOR = '12s';

async function opened(...options: readonly string[]): Promise<House> {
  const network = await Network.open();
  const house = await House.open('4.3', options, { network, upstreams: [`${WORLD}:${UPSTREAM_PORT}`] });
  const world = network.links.world.namespace;
  world.run(['ip', '-batch', '-'], 'route add local 93.184.0.0/16 dev lo\n');
  await ready(world, [process.execPath, '-e', SERVING]);
  await ready(world, [process.execPath, UPSTREAM, `${UPSTREAM_PORT}`, WORLD]);
  await house.push(RULES, LISTS);
  return house;
}

/** What `rulectl log` has of something, as programs read it. */
async function logged(house: House, ...args: readonly string[]) {
  const { stdout, stderr, code } = await rulectl(house.scene.directory, ['log', '--json', ...args]);
  expect(code, stderr).toBe(0);
  const records = stdout
    .trimEnd()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line));
  return records.filter(({ kind }) => kind === 'refused');
}

describe.skipIf(enforcementGap() !== undefined)('what was refused', () => {
  it('is in the log within a second, and the line below it opens it, until it closes by itself', async () => {
    const house = await opened('--log');
    const { directory } = house.scene;
    const a = house.client(house.a);
    expect(await a({ from: 7 })).toEqual({ refused: 1 });
    const sinceMs = performance.now();
    await expect
      .poll(() => logged(house, '--name', 'n7.deb.example'), SOON)
      .toMatchObject([
        {
          subscriber: 'firewall',
          what: 'packet',
          qube: QUBE,
          interface: 'vif-a',
          direction: 'egress',
          remote: '93.184.0.7',
          proto: 6,
          port: 443,
          name: 'n7.deb.example',
          reason: 'rule',
          verdict: { action: 'drop', policy: 'a', rule: 'action=drop dst=@bad', ruleIndex: 0, list: 'bad' },
          allow: 'n7.deb.example',
        },
      ]);
    console.log(`a refused packet was in rulectl log ${Math.round(performance.now() - sinceMs)} ms later`);

    const { stdout } = await rulectl(directory, ['log']);
    const times = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g;
    const timeless = (text: string): string => text.replace(times, 'T').replace(/, \d+ times/g, '');
    expect(timeless(stdout)).toBe(timeless(blockText('docs/how-to/log.md#See it/3')));
    for (const line of blockText('docs/how-to/log.md#See it/2').trimEnd().split('\n')) {
      const { code, stderr } = await rulectl(directory, line.replace('rulectl ', '').split(' '));
      expect([line, code, stderr]).toEqual([line, 0, '']);
    }

    const [, proposed = ''] = /^ {2}rulectl (allow .*) --for 1h$/m.exec(stdout) ?? [];
    const { page, link } = await startWeb(endpointsIn(directory).control);
    house.scene.onClose(() => void page.kill());
    const refused = await (await entered(link))('refused');
    expect(refused).toContain(`<code>rulectl ${proposed} --for 1h</code>`);
    expect(refused).toContain('a rule 1 (action=drop dst=@bad): list bad has 93.184.0.0/24');
    const allowed = await rulectl(directory, [...proposed.split(' '), '--for', OPEN_FOR]);
    expect(allowed.code, allowed.stderr).toBe(0);
    expect(await a({ from: 7 })).toEqual({ open: 1 });
    expect(await a({ from: 8 })).toEqual({ refused: 1 }); // another name
    await house.publisher?.kill();
    await expect.poll(() => a({ from: 7 }), { timeout: 30_000, interval: 200 }).toEqual({ refused: 1 });
    a.end();
  }, 120_000);

  it('has names that are blocked, and the line below it has them answered', async () => {
    const house = await opened('--log');
    const a = house.client(house.a);
    const ask = (): Promise<unknown> => a({ label: 'x', domain: 'ads.example' });
    expect(await ask()).toEqual({ NXDOMAIN: 1 });
    const found = () => logged(house, '--list', 'ads', '--name', 'ads.example');
    await expect.poll(async () => (await found()).length, SOON).toBe(1);
    const [one] = await found();
    expect(one).toMatchObject({ what: 'name', qube: QUBE, name: 'x.ads.example', allow: 'x.ads.example' });
    const { stdout } = await rulectl(house.scene.directory, ['log', '--list', 'ads']);
    expect(stdout).toMatch(
      / 10\.137\.0\.5 asks for x\.ads\.example: a rule 2 \(action=drop dst=@ads\): list ads\n/,
    );
    const [, proposed = ''] = /^ {2}rulectl (allow .*)$/m.exec(stdout) ?? [];
    const allowed = await rulectl(house.scene.directory, proposed.split(' '));
    expect(allowed.code, allowed.stderr).toBe(0);
    expect(await ask()).toEqual({ open: 1 });
    a.end();
  }, 120_000);

  it('is not logged by a firewall that does not say so', async () => {
    const house = await opened();
    const { code, stderr } = await rulectl(house.scene.directory, ['log']);
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining(blockText('docs/how-to/log.md#See it').trim()),
    ]);
  }, 120_000);
});
