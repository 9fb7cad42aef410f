/** Names blocked by a release: publisher, subscriber and `rulecast-dns` as processes. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { freePort, rcodeOf } from '../kit/dns.ts';
import { type Daemon, rulectl, startDns, startPublisher, startSubscriber } from '../processes.mjs';
import { answersAll } from './upstream.ts';

function ended(daemon: Daemon): Daemon {
  onTestFinished(async () => {
    await daemon.stop();
  });
  return daemon;
}

const BLOCKING = (name: string): string =>
  `lists: { ads: { names: ["${name}"], resolve: firewall } }\npolicies: { default: { default: accept, egress: [drop dst=@ads] } }\n`;

//
it('are blocked as long as rulecast-dns has the release, and else it is not said to be enforced', async () => {
  const folder = temporaryDirectory();
  const [port, above] = [await freePort(), await answersAll()];
  const socket = join(folder, 'names.sock');
  const dns = (): Promise<Daemon> =>
    startDns(['--releases', socket, '--listen', `127.0.0.1:${port}`, '--upstream', `127.0.0.1:${above}`]);
  const push = async (text: string, required = 'fw'): Promise<string> => {
    writeFileSync(join(folder, 'names.yaml'), text);
    const { stdout, stderr } = await rulectl(folder, [
      'push',
      join(folder, 'names.yaml'),
      '--yes',
      '--require',
      required,
      '--permit',
      'accept-all',
    ]);
    return stdout + stderr;
  };
  ended(await startPublisher(folder));
  ended(await startSubscriber(folder, 'plain'));
  ended(await startSubscriber(folder, 'fw', ['--names', socket, '--state', join(folder, 'fw')]));

  const unread =
    /refused: subscriber plain: plain has no rulecast-dns; start it with --names auto.*needs-names/;
  expect(await push(BLOCKING('ads.example'), 'plain')).toMatch(unread);
  expect(await push(BLOCKING('ads.example'))).toMatch(
    /plain has no rulecast-dns[\s\S]*rulecast-dns does not block its names: .*names\.sock/,
  );
  const shown = await rulectl(folder, ['status']);
  expect(shown.stdout.replace(/\s+/g, ' ')).toContain(
    'unsupported: plain has no rulecast-dns; start it with --names auto',
  );

  const first = ended(await dns());
  await first.logged(({ msg }) => msg === 'judges names by a release');
  expect([await rcodeOf(port, 'ads.example'), await rcodeOf(port, 'b.example')]).toEqual([
    'NXDOMAIN',
    'NOERROR',
  ]);
  expect(await push(BLOCKING('*.b.example'))).toMatch(/applied by fw/);
  expect([await rcodeOf(port, 'ads.example'), await rcodeOf(port, 'x.b.example')]).toEqual([
    'NOERROR',
    'NXDOMAIN',
  ]);

  const judged = await rulectl(folder, [
    'test',
    'default ? x.b.example',
    '--subscriber',
    'fw',
    '--expect',
    'drop',
  ]);
  expect([judged.code, judged.stdout]).toEqual([
    0,
    expect.stringMatching(/answer +nxdomain[\s\S]*list +ads/),
  ]);

  const terms = BLOCKING('*.b.example').replace(
    'default: accept,',
    'default: accept, blocked: refused, unlisted: nxdomain,',
  );
  expect(await push(terms)).toMatch(/resolvers-open[\s\S]*applied by fw/);
  expect([await rcodeOf(port, 'ads.example'), await rcodeOf(port, 'x.b.example')]).toEqual([
    'NXDOMAIN',
    'REFUSED',
  ]);
  expect(await push(terms.replace('blocked: refused, unlisted: nxdomain,', 'unlisted: answer,'))).toMatch(
    /applied by fw/,
  );
  expect([await rcodeOf(port, 'ads.example'), await rcodeOf(port, 'x.b.example')]).toEqual([
    'NOERROR',
    'NXDOMAIN',
  ]);

  await expect
    .poll(async () => (await rulectl(folder, ['status', '--counters'])).stdout)
    .toMatch(/DNS blocked by ads +4 questions/);

  await first.kill();
  await expect
    .poll(async () => (await rulectl(folder, ['status'])).stdout, { timeout: 30_000 })
    .toMatch(/not\s+enforced/);
  const second = ended(await dns());
  await second.logged(({ msg }) => msg === 'judges names by a release');
  expect([await rcodeOf(port, 'ads.example'), await rcodeOf(port, 'x.b.example')]).toEqual([
    'NOERROR',
    'NXDOMAIN',
  ]);
}, 60_000);

// Regression: it kept waiting, for up to 30 s, and so did removing the package.
it('are not waited for by a subscriber that stops, where rulecast-dns hangs', async () => {
  const folder = temporaryDirectory();
  const hung = createServer();
  onTestFinished(() => void hung.close());
  const isSent = new Promise<void>((resolve) => {
    hung.on('connection', (socket) => socket.on('data', (bytes) => bytes.includes('ads') && resolve()));
  });
  hung.listen(join(folder, 'names.sock'));
  ended(await startPublisher(folder));
  const subscriber = ended(
    await startSubscriber(folder, 'fw', ['--names', 'router', '--names-folder', folder]),
  );
  writeFileSync(join(folder, 'names.yaml'), BLOCKING('ads.example'));
  const options = ['--yes', '--wait', 'released', '--permit', 'accept-all'];
  await rulectl(folder, ['push', join(folder, 'names.yaml'), ...options]);
  await isSent;
  const since = performance.now();
  await subscriber.stop();
  expect(performance.now() - since).toBeLessThan(10_000);
}, 60_000);
