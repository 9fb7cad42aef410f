/** A publisher as a process that writes releases as files, too, and takes reports. */

import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { openIdentity } from '@rulecast/program/identity';
import {
  encodeReport,
  hexOf,
  joinReports,
  readDepotHead,
  readReportAnswer,
  readStatement,
  splitReports,
} from '@rulecast/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { rulectl, runPublisher, startPublisher } from '../processes.mjs';

it('answers what firewalls report, shows it, and knows it after a restart', async () => {
  const directory = temporaryDirectory();
  const [config, secret, socket] = ['publisher.yaml', 'fleet.key', 'reports.sock'].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  expect((await rulectl(directory, ['keys', 'fleet', secret])).code).toBe(0);
  writeFileSync(config, `fleet: { reports: "unix:${socket}", secret: ${secret} }\n`);
  let publisher = await startPublisher(directory, ['--config', config]);
  onTestFinished(async () => {
    await publisher.stop();
  });
  writeFileSync(join(directory, 'bad.txt'), '192.0.2.1\n');
  expect((await rulectl(directory, ['push', '--no-wait', join(directory, 'bad.txt')])).code).toBe(0);
  const { lineage } = openIdentity(join(directory, 'publisher', 'identity'));
  const named = ['keys', 'token', 'fw-1', '--secret', secret, '--lineage', hexOf(lineage)];
  const token = Buffer.from((await rulectl(directory, named)).stdout.trim(), 'hex');
  let sequence = 0;
  const post = async (held?: ReturnType<typeof readStatement>) => {
    const nonce = new Uint8Array(16).fill(++sequence);
    const base = { lineage, name: 'fw-1', via: undefined, refused: undefined, proof: undefined };
    const some = held && { ...held, applyMs: 4, isPersisted: true };
    const report = encodeReport({ ...base, sequence, nonce, held: some }, token);
    const [answer] = splitReports(await posted(socket, joinReports([report])));
    const { statement } = readReportAnswer(answer ?? new Uint8Array(), token);
    return statement && readStatement(statement.content);
  };
  const first = await post();
  expect(first).toMatchObject({ version: 1, nonce: new Uint8Array(16).fill(1) });
  await post(first);
  const state = async () => {
    const { stdout } = await rulectl(directory, ['status', '--state', 'synced', '--json']);
    return stdout;
  };
  expect(await state()).toContain('"fw-1"');
  expect(await state()).toContain('"synced":1');
  await publisher.stop();
  publisher = await startPublisher(directory, ['--config', config]);
  expect(await state()).toContain('"synced":1');
});

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

function posted(socketPath: string, body: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': body.length };
    const sent = request({ socketPath, path: '/report', method: 'POST', headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve(Buffer.concat(chunks));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}
