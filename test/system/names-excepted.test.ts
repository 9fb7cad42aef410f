/**
 * Exceptions of names, end to end: a list with some is pushed as an ad blocker has it and as a document, and
 * `rulecast-dns` answers what they take out and blocks what is beside it.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { freePort, rcodeOf } from '../kit/dns.ts';
import { type Daemon, rulectl, startDns, startPublisher, startSubscriber } from '../processes.mjs';
import { answersAll } from './upstream.ts';

const ADS = '||tracker.example^\n@@||static.tracker.example^\n||spy.static.tracker.example^$important\n';
const DOCUMENT = `lists: { ads: { file: ads.txt, resolve: firewall } }
policies: { default: { default: accept, egress: [drop dst=@ads] } }
`;

function ended(daemon: Daemon): Daemon {
  onTestFinished(async () => {
    await daemon.stop();
  });
  return daemon;
}

//
it('are answered, what is beside them is blocked, and each way of saying them is shown', async () => {
  const folder = temporaryDirectory();
  const [port, above] = [await freePort(), await answersAll()];
  const socket = join(folder, 'names.sock');
  const file = join(folder, 'rules.yaml');
  const push = async (...args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await rulectl(folder, [
      'push',
      ...args,
      '--require',
      'fw',
      '--permit',
      'accept-all',
    ]);
    return stdout + stderr;
  };
  const codes = async (...names: readonly string[]): Promise<readonly unknown[]> => {
    const all: unknown[] = [];
    for (const name of names) all.push(await rcodeOf(port, `${name}.example`));
    return all;
  };
  const BESIDE = ['tracker', 'a.tracker', 'spy.static.tracker'];
  const EXCEPTED = ['static.tracker', 'img.static.tracker', 'b.spy'];
  const [blocked, answered] = ['NXDOMAIN', 'NOERROR'].map((code) => [code, code, code]);
  ended(await startPublisher(folder));
  ended(await startSubscriber(folder, 'fw', ['--names', socket]));
  const dns = ended(
    await startDns([
      '--releases',
      socket,
      '--listen',
      `127.0.0.1:${port}`,
      '--upstream',
      `127.0.0.1:${above}`,
    ]),
  );
  writeFileSync(join(folder, 'ads.txt'), ADS);
  writeFileSync(file, DOCUMENT);
  expect(await push(file, '--yes')).toMatch(/applied by fw/);
  await dns.logged(({ msg }) => msg === 'judges names by a release');
  expect([await codes(...BESIDE), await codes(...EXCEPTED)]).toEqual([blocked, answered]);

  const got = await rulectl(folder, ['get', 'all']);
  expect(got.stdout).toContain(
    'names:\n      - .tracker.example\n      - .spy.static.tracker.example\n    exceptions:\n      - .static.tracker.example\n',
  );

  // A change of exceptions alone travels, and is followed in place.
  const { stdout: status } = await rulectl(folder, ['status', '--json']);
  const before = /"kind":"head".*?"version":(\d+)/.exec(status)?.[1] ?? '';
  writeFileSync(
    join(folder, 'ads.txt'),
    ADS.replace('static.tracker.example^\n||', 'a.tracker.example^\n||'),
  );
  expect(await push(file, '--yes')).toMatch(/applied by fw/);
  expect(await codes('a.tracker', 'x.a.tracker', 'static.tracker')).toEqual([
    'NOERROR',
    'NOERROR',
    'NXDOMAIN',
  ]);
  const diff = await rulectl(folder, ['diff', before]);
  expect(diff.stdout).toMatch(/^- exception \.static\.tracker\.example$/m);
  expect(diff.stdout).toMatch(/^\+ exception \.a\.tracker\.example$/m);

  // What a withdrawal takes out of a suffix is an exception, too.
  const withdrawn = join(folder, 'ads.list');
  writeFileSync(withdrawn, 'deep.tracker.example\n');
  expect(await push('--withdraw', '--list', 'ads', withdrawn, '--yes')).toMatch(/applied by fw/);
  expect(await codes('deep.tracker', 'x.deep.tracker')).toEqual(['NOERROR', 'NXDOMAIN']);
  expect((await rulectl(folder, ['lists', 'show', 'ads'])).stdout).toMatch(
    /holds: +2 entries, names, 2 exceptions/,
  );

  // As a document says them; one that takes nothing away is refused with its place.
  const own = (exceptions: string): string =>
    DOCUMENT.replace('file: ads.txt', `names: [.tracker.example], exceptions: [${exceptions}]`);
  writeFileSync(file, own('.static.tracker.example, other.example'));
  expect(await push(file, '--yes')).toMatch(/rules.yaml:1:\d+: useless-exception: .*other\.example/);
  writeFileSync(file, own('.static.tracker.example'));
  expect(await push(file, '--yes')).toMatch(/applied by fw/);
  expect([await codes('tracker', 'a.tracker'), await codes('static.tracker')]).toEqual([
    ['NXDOMAIN', 'NXDOMAIN'],
    ['NOERROR'],
  ]);
}, 90_000);
