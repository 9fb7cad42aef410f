/**
 * Countries and autonomous systems without a table of one's own, with real processes: from a configuration of
 * one line to the verdict of a firewall, by one push.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FeedProxy, openFeedProxy } from '../docs/feeds.ts';
import { type Daemon, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

const PATIENCE = { timeout: 30_000 };

let directory: string;
let proxy: FeedProxy;
let publisher: Daemon;
let firewall: Daemon;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-countries-'));
  proxy = await openFeedProxy();
  Object.assign(process.env, proxy.environment); // of the publisher
  configure('lists: { russia: { country: ru } }');
  publisher = await startPublisher(directory, ['--config', join(directory, 'publisher.yaml')]);
  firewall = await startSubscriber(directory, 'sys-firewall', ['--state', join(directory, 'subscriber')]);
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  await proxy.close();
  rmSync(directory, { recursive: true });
});

function configure(text: string): void {
  writeFileSync(join(directory, 'publisher.yaml'), `${text}\n`);
}

async function entriesOf(list: string): Promise<readonly string[]> {
  const { stdout } = await rulectl(directory, ['lists', 'show', list, '--export', 'plain']);
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

async function verdict(packet: string): Promise<string> {
  const { stdout } = await rulectl(directory, ['test', packet]);
  return stdout;
}

describe('a list of a country on a fresh publisher', () => {
  it('is fetched from the registries, and blocked for all qubes by one line', async () => {
    await publisher.logged(({ msg }) => msg === 'released');
    const { code, stdout, stderr } = await rulectl(directory, ['block', '@russia']);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('applied by sys-firewall');
    const said = await verdict('10.137.0.5 > 5.8.1.1');
    expect(said).toMatch(/: drop/);
    expect(said).toContain('@russia');
    expect((await rulectl(directory, ['blocks', '--remove', 'all'])).code).toBe(0);
  });

  it('is enforced by one push', async () => {
    writeFileSync(join(directory, 'office.rules'), 'drop dst=@russia\naccept\n');
    const { code, stdout, stderr } = await rulectl(directory, ['push', join(directory, 'office.rules')]);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('applied by sys-firewall');
    expect(await verdict('5.8.1.1')).toMatch(/: drop/);
    expect(await verdict('43.224.8.9')).toMatch(/: drop/); // another registry's
    expect(await verdict('2a00:f940::1')).toMatch(/: drop/);
    expect(await verdict('3.0.1.1')).toMatch(/: accept/);
  });

  it('has asked each registry once, and nobody else', () => {
    expect(proxy.asked.map((url) => url.split('/')[0]).toSorted()).toEqual([
      'ftp.afrinic.net',
      'ftp.apnic.net',
      'ftp.arin.net',
      'ftp.lacnic.net',
      'ftp.ripe.net',
    ]);
  });

  it('can be tried beside the lists that there are, and is not changed by it', async () => {
    const { code, stdout, stderr } = await rulectl(directory, ['lists', 'try', 'country:ru,us']);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^format: +rir$/m);
    expect(stdout).toMatch(/^holds: +5 entries, 4 of IPv4 and 1 of IPv6$/m);
    expect(stdout).toMatch(
      /^overlap: +russia has 28 % of its IPv4 addresses and 100 % of its IPv6 addresses$/m,
    );
    expect((await rulectl(directory, ['lists', '--json'])).stdout).not.toContain('tried');
  });

  it('may stand in an expression, in the place of a name', async () => {
    writeFileSync(join(directory, 'all.txt'), '5.8.0.1\n3.0.0.1\n192.0.2.1\n');
    configure(`lists:
  russia: { country: ru }
  seen: { file: all.txt, publish: false }
  elsewhere: { union: [seen], minus: { country: [ru, us] } }`);
    await expect.poll(() => entriesOf('elsewhere'), PATIENCE).toEqual(['192.0.2.1/32']);
    const { code, stdout } = await rulectl(directory, ['lists', 'refresh', 'country.ru.us']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^country\.ru\.us \(operand\) +table +ok +\d/m);
  });

  it('has an autonomous system beside it, whose table is fetched when a list asks for it', async () => {
    configure('lists: { russia: { country: ru }, google: { asn: 15169 } }');
    await expect
      .poll(() => entriesOf('google'), PATIENCE)
      .toEqual(['8.8.4.0/24', '8.8.8.0/24', '2001:4860::/32']);
    expect(proxy.asked.filter((url) => url.startsWith('iptoasn.com'))).toHaveLength(1);
  });
});
