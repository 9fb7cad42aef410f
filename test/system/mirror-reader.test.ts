/** A firewall as a process that takes releases from web servers. */

import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import {
  type LogLine,
  rulectl,
  rulectlOffline,
  startPublisher,
  startSubscriber,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';

const CERTIFICATE = new URL('../fixtures/tls/certificate.pem', import.meta.url);
const KEY = new URL('../fixtures/tls/key.pem', import.meta.url);

/** Shows a folder by http, or https, until the test ends, and passes reports on to a socket. */
async function show(folder: string, isEncrypted: boolean, reports?: string): Promise<string> {
  const answer: http.RequestListener = (request, response) => {
    const { url = '/', method, headers } = request;
    if (url === '/report' && reports !== undefined) {
      const passed = http.request({ socketPath: reports, path: url, method, headers }, (answered) => {
        response.writeHead(answered.statusCode ?? 502, answered.headers);
        answered.pipe(response);
      });
      passed.on('error', () => response.writeHead(502).end());
      return void request.pipe(passed);
    }
    const path = join(folder, url.split('?')[0] ?? '');
    response.writeHead(existsSync(path) ? 200 : 404);
    response.end(existsSync(path) ? readFileSync(path) : undefined);
  };
  const tls = { cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) };
  const server = isEncrypted ? https.createServer(tls, answer) : http.createServer(answer);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${isEncrypted ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** A release came into force. */
function isIn(version: number): (line: LogLine) => boolean {
  return (line) => line['version'] === version && line['msg'] === 'applied';
}

function says(text: string): (line: LogLine) => boolean {
  return (line) => String(line['msg']).includes(text);
}

it('takes what a mirror shows by its floor, and nothing where nothing was in force and nobody says what is newest', async () => {
  const directory = temporaryDirectory();
  const depot = join(directory, 'depot');
  const config = join(directory, 'publisher.yaml');
  writeFileSync(config, `depot: { directory: ${depot} }\n`);
  const publisher = await startPublisher(directory, ['--config', config]);
  onTestFinished(async () => void (await publisher.stop()));
  const push = async (address: string, ...wait: readonly string[]) => {
    writeFileSync(join(directory, 'bad.txt'), `${address}\n`);
    const { code, stderr } = await rulectl(directory, ['push', ...wait, join(directory, 'bad.txt')]);
    expect(code, stderr).toBe(0);
  };
  const state = join(directory, 'fw');
  const before = await startSubscriber(directory, 'fw', ['--state', state]);
  await push('192.0.2.1', '--require', 'fw');
  await before.stop();
  await publisher.stop(); // and the depot stays
  const again = await startPublisher(directory, ['--config', config]);
  onTestFinished(async () => void (await again.stop()));
  await push('192.0.2.2', '--no-wait');

  const [plain, encrypted] = [await show(depot, false), await show(depot, true)];
  const trust = await trustOf(directory);
  const ca = ['--ca', CERTIFICATE.pathname, '--poll', '1'];
  const fw = await startSubscriberOf(trust, encrypted, 'fw', ['--state', state, '--connect', plain, ...ca]);
  onTestFinished(async () => void (await fw.stop()));
  await fw.logged(isIn(2));
  await push('192.0.2.3', '--no-wait');
  await fw.logged(isIn(3));
  await fw.logged(says('without --report-token FILE the publisher does not know which release is in force'));
  await fw.logged(says('not encrypted: anybody on the way can read or withhold'));

  const fresh = await startSubscriberOf(trust, plain, 'new', ['--poll', '1']);
  onTestFinished(async () => void (await fresh.stop()));
  await fresh.logged((line) => line['code'] === 'not-fresh');
  await fresh.logged(says('no release was in force here, and the first one needs --report-token FILE'));
  expect(fresh.log.some(isIn(3))).toBe(false);
});

it('takes the first release once the publisher has answered its report, and shows in its status', async () => {
  const directory = temporaryDirectory();
  const inside = (name: string): string => join(directory, name);
  const [depot, secret, token] = [inside('depot'), inside('fleet.key'), inside('fw.token')];
  const config = join(directory, 'publisher.yaml');
  const reports = join(directory, 'reports.sock');
  writeFileSync(
    config,
    `depot: { directory: ${depot} }\nfleet: { reports: unix:${reports}, secret: ${secret} }\n`,
  );
  expect((await rulectlOffline(['keys', 'fleet', secret])).code).toBe(0);
  const publisher = await startPublisher(directory, ['--config', config]);
  onTestFinished(async () => void (await publisher.stop()));
  const [, lineage = ''] = (await trustOf(directory)).split(':');
  const made = await rulectlOffline(['keys', 'token', 'fw', '--secret', secret, '--lineage', lineage]);
  expect(made.code, made.stderr).toBe(0);
  writeFileSync(token, made.stdout, { mode: 0o600 });
  writeFileSync(join(directory, 'bad.txt'), '192.0.2.1\n');
  expect((await rulectl(directory, ['push', '--no-wait', join(directory, 'bad.txt')])).code).toBe(0);

  const mirror = await show(depot, true, reports);
  const args = ['--ca', CERTIFICATE.pathname, '--poll', '1', '--report-token', token];
  const fw = await startSubscriberOf(await trustOf(directory), mirror, 'fw', args);
  onTestFinished(async () => void (await fw.stop()));
  await fw.logged(isIn(1));
  writeFileSync(join(directory, 'bad.txt'), '192.0.2.2\n');
  const pushed = await rulectl(directory, [
    'push',
    '--wait',
    '100%',
    '--timeout',
    '120',
    join(directory, 'bad.txt'),
  ]);
  expect(pushed.code, pushed.stdout + pushed.stderr).toBe(0);
  await fw.logged(isIn(2));
  expect((await rulectl(directory, ['status', '--state', 'synced'])).stdout).toContain('fw');
});
