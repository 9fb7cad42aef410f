/** `rulecast-relay` between a publisher and subscribers, all as processes. */

import { writeFileSync } from 'node:fs';
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

describe('a relay', () => {
  it('serves subscribers behind it at once, also after the publisher was away', async () => {
    const directory = temporaryDirectory();
    const config = join(directory, 'publisher.yaml');
    writeFileSync(config, `depot: { directory: ${join(directory, 'depot')} }\n`);
    const { listen } = endpointsIn(directory);
    const start = (): Promise<Daemon> => startPublisher(directory, ['--config', config]);
    let publisher = await start();
    onTestFinished(async () => {
      await publisher.stop();
    });
    const push = async (address: string): Promise<void> => {
      writeFileSync(join(directory, 'bad.txt'), `${address}\n`);
      const { code, stderr } = await rulectl(directory, ['push', '--no-wait', join(directory, 'bad.txt')]);
      expect(code, stderr).toBe(0);
    };
    const trust = await trustOf(directory);
    const state = ['--state', join(directory, 'fw')];
    await push('192.0.2.1');
    const applied = (daemon: Daemon, version: number): Promise<unknown> =>
      daemon.logged((line) => line['msg'] === 'applied' && line['version'] === version);
    const direct = await startSubscriberOf(trust, listen, 'fw', state);
    await applied(direct, 1);
    await direct.stop();

    const served = `unix:${join(directory, 'relay.sock')}`;
    const token = join(directory, 'dc1.token');
    writeFileSync(token, `${'1'.repeat(64)}\n`, { mode: 0o600 });
    const own = ['--listen', served, '--trust', trust, '--name', 'dc1', '--report-token', token];
    await push('192.0.2.2');
    owned(await startRelay(['--from', listen, ...own]));
    const behind = owned(await startSubscriberOf(trust, served, 'fw', state));
    await applied(behind, 2);
    await push('192.0.2.3');
    await applied(behind, 3);
    await publisher.kill();
    publisher = await start();
    await push('192.0.2.4');
    await applied(behind, 4);
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
