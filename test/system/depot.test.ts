/** A publisher as a process that writes releases as files, too. */

import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDepotHead } from '@rulecast/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { rulectl, runPublisher, startPublisher } from '../processes.mjs';

it('has each release in its depot, is the only one there, and says what keeps it from that', async () => {
  const directory = temporaryDirectory();
  const depot = join(directory, 'depot');
  const config = join(directory, 'publisher.yaml');
  writeFileSync(config, `depot: { directory: ${depot} }\n`);
  const publisher = await startPublisher(directory, ['--config', config]);
  onTestFinished(async () => {
    await publisher.stop();
  });
  const version = () => readDepotHead(readFileSync(join(depot, 'head'))).head.version;
  const push = async (address: string) => {
    writeFileSync(join(directory, 'bad.txt'), `${address}\n`);
    const { code, stdout, stderr } = await rulectl(directory, [
      'push',
      '--no-wait',
      join(directory, 'bad.txt'),
    ]);
    expect(code, stderr).toBe(0);
    return stdout;
  };
  expect(await push('192.0.2.1')).not.toContain('not-published');
  expect(version()).toBe(1);
  expect(statSync(join(depot, 'head')).mode & 0o777).toBe(0o644);

  const other = temporaryDirectory();
  const paths = ['--state', other, '--control', `unix:${other}/c`, '--listen', `unix:${other}/l`];
  const second = await runPublisher(['--config', config, ...paths]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`another publisher or subscriber uses ${depot}: stop it first`);

  rmSync(depot, { recursive: true });
  writeFileSync(depot, 'no folder');
  expect(await push('192.0.2.2')).toContain('warning: stored, not published: the depot is not written: o/');
  expect((await rulectl(directory, ['status', '--verbose', '--json'])).stdout).toContain(
    'the depot is not written',
  );
  rmSync(depot);
  expect(existsSync(depot)).toBe(false);
  expect(await push('192.0.2.3')).not.toContain('not-published');
  expect(version()).toBe(3);
});
