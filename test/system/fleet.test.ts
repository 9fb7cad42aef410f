/** Firewalls that report, as the operator sees them: by a real publisher and rulectl. */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { encodeReport, joinReports, type Report, readReportAnswer, splitReports } from '@rulecast/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { rulectl, startPublisher } from '../processes.mjs';

interface Head {
  readonly lineage: string;
  readonly epoch: number;
  readonly version: number;
  readonly hash: string;
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

/** A publisher with a fleet, and the senders of reports. */
async function house() {
  const directory = temporaryDirectory();
  const config = join(directory, 'publisher.yaml');
  const secret = join(directory, 'fleet.key');
  const socket = join(directory, 'reports.sock');
  const run = async (...args: readonly string[]) => rulectl(directory, [...args]);
  expect((await run('keys', 'fleet', secret)).code).toBe(0);
  writeFileSync(config, `fleet: { reports: 'unix:${socket}', secret: ${secret}, every: 1h }\n`);
  const start = () => startPublisher(directory, ['--config', config]);
  let publisher = await start();
  onTestFinished(async () => {
    await publisher.stop();
  });
  const restart = async (): Promise<void> => {
    await publisher.stop();
    publisher = await start();
  };
  const json = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> =>
    (await run(...args, '--json')).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  const head = async (): Promise<Head> => (await json('status'))[0] as unknown as Head;
  const tokens = new Map<string, Uint8Array>();
  const tokenOf = async (name: string): Promise<Uint8Array> => {
    const paths = ['--secret', secret, '--identity', join(directory, 'publisher', 'identity')];
    const made = tokens.get(name) ?? bytesOf((await run('keys', 'token', name, ...paths)).stdout.trim());
    tokens.set(name, made);
    return made;
  };
  let sequence = 0;
  /** Posts a report of each name, in one body; resolves once all are answered. */
  const report = async (names: readonly string[], of: Head, more: Partial<Report> = {}): Promise<void> => {
    const { lineage, epoch, version, hash } = of;
    const held = { epoch, version, hash: bytesOf(hash), applyMs: 5, isPersisted: true };
    sequence += 1;
    const rest = {
      lineage: bytesOf(lineage),
      via: undefined,
      sequence,
      nonce: new Uint8Array(16),
      refused: undefined,
    };
    const reports: Uint8Array[] = [];
    for (const name of names)
      reports.push(encodeReport({ name, ...rest, held, proof: undefined, ...more }, await tokenOf(name)));
    const post = request({ socketPath: socket, method: 'POST', path: '/report' });
    post.end(joinReports(reports));
    const [answer] = (await once(post, 'response')) as [import('node:http').IncomingMessage];
    const parts = (await answer.toArray()) as Buffer[];
    expect(answer.statusCode).toBe(200);
    const answers = splitReports(Buffer.concat(parts));
    for (const [i, bytes] of answers.entries()) {
      const { isReplayed } = readReportAnswer(bytes, await tokenOf(names[i] ?? ''));
      expect(isReplayed).toBe(false);
    }
    expect(answers).toHaveLength(names.length);
  };
  const push = (address: string, ...args: readonly string[]) => {
    const file = join(directory, 'bad.txt');
    writeFileSync(file, `${address}\n`);
    return run('push', file, ...args);
  };
  return { run, json, head, report, push, restart };
}

const NAMES = Array.from({ length: 10 }, (_, i) => `fw-${i}`);
const COUNTS = /^of \d+ names that report: .*$/m;

it('counts firewalls that report, lists those of a state, and keeps all that over a restart', async () => {
  const { run, json, head, report, push, restart } = await house();
  await push('192.0.2.1', '--no-wait');
  const first = await head();
  await report(NAMES, first);
  expect((await run('status')).stdout).toMatch(/^10 of 10 names that report enforce version 1, released/);
  expect((await run('status', '--check')).code).toBe(0);

  const { code, stdout } = await push('192.0.2.2'); // nobody is connected, and it is somewhere all the same
  expect([code, stdout]).toEqual([
    0,
    expect.stringContaining('10 behind, 0 refused, 0 silent, 0 unknown; --wait'),
  ]);
  const second = await head();
  await report(NAMES.slice(2), second);
  const refused = { hash: bytesOf(second.hash), code: 'over-limit' };
  await report(['fw-0'], first, { refused });
  const whole = 'of 10 names that report: 8 synced, 1 behind, 1 refused (1 over-limit), 0 silent, 0 unknown';
  const status = (await run('status')).stdout.replaceAll('\n  ', ' ');
  expect(COUNTS.exec(status)?.[0]).toBe(whole);
  expect(status).toMatch(/^fw-0 +- +refused +1 +\S+ \S+ ago +over-limit$/m);
  expect(status).toMatch(/^fw-1 +- +behind +1 /m);
  expect(status).toContain('Run: rulectl status --state refused');

  await restart();
  const members = (await json('status', '--state', 'refused')).filter(({ kind }) => kind === 'member');
  expect(members).toMatchObject([
    { name: 'fw-0', version: 1, refusal: { hash: second.hash, code: 'over-limit' } },
  ]);
  expect((await run('status', '--state', 'synced')).stdout.split('\n')[0]).toBe(whole);
  const metrics = (await run('metrics')).stdout;
  expect(metrics).toContain('rulecast_fleet_names{state="synced"} 8\n');
  expect(metrics).toContain('rulecast_fleet_refused{code="over-limit"} 1\n');

  expect((await run('forget', 'fw-0')).code).toBe(0);
  expect((await run('forget', 'fw-0')).code).toBe(2);
  expect(COUNTS.exec((await run('status')).stdout)?.[0]).toContain(
    'of 9 names that report: 8 synced, 1 behind, 0 ref',
  );
});

it('waits with push until so many have it, and ends with 1 where they do not', async () => {
  const { head, report, push } = await house();
  await push('192.0.2.1', '--no-wait');
  const first = await head();
  await report(NAMES, first);

  const pushed = push('192.0.2.2', '--wait', '90%');
  let next = await head();
  while (next.version === 1) next = await head();
  await report(NAMES.slice(1), next);
  const enough = await pushed;
  expect([enough.code, enough.stdout]).toEqual([
    0,
    expect.stringContaining('of 10 names that report: 9 synced, 1 behind'),
  ]);

  const late = await push('192.0.2.3', '--wait', '90%', '--timeout', '1');
  expect([late.code, late.stdout]).toEqual([1, expect.stringContaining('0 synced, 10 behind')]);
  expect(late.stdout).toContain('less than 90% have it');
});
