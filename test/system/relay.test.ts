/** `rulecast-relay` between a publisher and subscribers, all as processes. */

import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import {
  endpointsIn,
  rulectl,
  runRelay,
  startPublisher,
  startRelay,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';

type Daemon = Awaited<ReturnType<typeof startPublisher>>;

/** Ended with the test. */
function owned(daemon: Daemon): Daemon {
  onTestFinished(async () => {
    await daemon.stop();
  });
  return daemon;
}

/** Resolves when a firewall has a version in force. */
function applied(daemon: Daemon, version: number): Promise<unknown> {
  return daemon.logged((line) => line['msg'] === 'applied' && line['version'] === version);
}

/** A publisher with a depot and a fleet, and what a relay of it is started with. */
async function house() {
  const directory = temporaryDirectory();
  const at = (name: string): string => join(directory, name);
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await rulectl(directory, args);
    expect(code, stderr).toBe(0);
    return stdout;
  };
  const trust = await trustOf(directory);
  await run('keys', 'fleet', at('fleet.key'));
  const secret = ['--secret', at('fleet.key'), '--identity', at('publisher/identity')];
  writeFileSync(at('dc1.token'), await run('keys', 'token', 'dc1', '--relay', ...secret), { mode: 0o600 });
  writeFileSync(
    at('publisher.yaml'),
    `depot: { directory: ${at('depot')} }\nfleet: { reports: 'unix:${at('reports.sock')}', secret: ${at('fleet.key')}, every: 5m }\n`,
  );
  const start = (): Promise<Daemon> => startPublisher(directory, ['--config', at('publisher.yaml')]);
  let publisher = await start();
  onTestFinished(async () => {
    await publisher.stop();
  });
  const served = `unix:${at('relay.sock')}`;
  const relay = ['--listen', served, '--trust', trust, '--name', 'dc1', '--report-token', at('dc1.token')];
  const json = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> =>
    (await run(...args, '--json'))
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  return {
    at,
    json,
    relay: ['--from', endpointsIn(directory).listen, ...relay],
    firewall: (name: string): Promise<Daemon> => startSubscriberOf(trust, served, name),
    restart: async (between = (): void => undefined): Promise<void> => {
      await publisher.stop();
      between();
      publisher = await start();
    },
    publisher: (): Daemon => publisher,
    push: async (address: string): Promise<void> => {
      writeFileSync(at('bad.txt'), `${address}\n`);
      await run('push', '--no-wait', at('bad.txt'));
    },
  };
}

describe('a relay', () => {
  it('serves firewalls that have nothing, at once, and the status says by which relay they report', async () => {
    const { relay, firewall, json, push, restart } = await house();
    await push('192.0.2.1');
    owned(await startRelay(relay));
    const firewalls = [owned(await firewall('fw-1')), owned(await firewall('fw-2'))];
    await Promise.all(firewalls.map((one) => applied(one, 1)));
    await push('192.0.2.2');
    await Promise.all(firewalls.map((one) => applied(one, 2)));
    const synced = async () =>
      (await json('status', '--state', 'synced')).filter(({ kind }) => kind === 'member');
    await expect
      .poll(async () => (await synced()).map(({ name, via, version }) => [name, via, version]))
      .toEqual([
        ['fw-1', 'dc1', 2],
        ['fw-2', 'dc1', 2],
      ]);
    await restart();
    await push('192.0.2.3');
    await Promise.all(firewalls.map((one) => applied(one, 3)));
  });

  it('brings a publisher whose state is an old one the proof of what it made', async () => {
    const { relay, firewall, push, restart, at, publisher } = await house();
    await push('192.0.2.1');
    await restart(() => cpSync(at('publisher/store'), at('backup'), { recursive: true }));
    owned(await startRelay(relay));
    const one = owned(await firewall('fw-1'));
    await push('192.0.2.2');
    await applied(one, 2);
    await restart(() => {
      rmSync(at('publisher/store'), { recursive: true });
      cpSync(at('backup'), at('publisher/store'), { recursive: true });
    });
    await publisher().logged((line) => String(line['msg']).startsWith('a subscriber proved a release'));
  });

  it.each([
    ['no source', ['--listen', 'unix:/tmp/x'], '--from is missing'],
    ['nowhere to listen', ['--from', 'unix:/tmp/x'], '--listen is missing'],
    ['no token', ['--from', 'unix:/tmp/x', '--listen', 'unix:/tmp/y'], '--report-token FILE is missing'],
    [
      'a name that is none',
      ['--from', 'unix:x', '--listen', 'unix:y', '--name', 'a b'],
      '--name a b: 1 to 63',
    ],
    ['no poll', ['--from', 'unix:x', '--listen', 'unix:y', '--poll', '0'], '--poll 0: a number of seconds'],
    ['a name twice', ['--name', 'a', '--name', 'b'], '--name'],
    ['an empty source', ['--from', ''], '--from'],
  ])('says what to do with %s', async (_, args, text) => {
    const { code, stderr } = await runRelay(args);
    expect(stderr).toContain(text);
    expect(code).toBe(64);
  });
});
