/**
 * A publisher that keeps lists fresh by itself, as a process: real files, a real web server, a real
 * subscriber.
 */

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Daemon, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

type Row = Readonly<Record<string, unknown>>;

const HTML = '<!DOCTYPE html><html><head><title>429</title></head><body>Too Many Requests</body></html>';

let directory: string;
let publisher: Daemon;
let firewall: Daemon;
let server: Server;
/** What the server says now at each path, and how often it was asked. */
const pages: Record<string, string> = {
  '/feed.txt': '203.0.113.1\n203.0.113.3\n',
  '/more.txt': '198.51.100.200\n',
};
let asked = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-sources-'));
  server = createServer((request, response) => {
    asked++;
    const page = pages[request.url ?? ''] ?? '';
    const etag = `"${Buffer.from(page).toString('base64url')}"`;
    if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag, 'content-type': 'text/plain' }).end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  mkdirSync(join(directory, 'incidents'));
  place('office.txt', '198.51.100.0/25\n');
  place('incidents/one.txt', '192.0.2.1\n');
  place('incidents/two.txt', '192.0.2.3\n');
  place('publisher.yaml', configOf());
  publisher = await start();
  firewall = await startSubscriber(directory, 'sys-firewall', ['--state', join(directory, 'subscriber')]);
  await released(1);
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

function configOf(more = ''): string {
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return `subscribers: { sys-firewall: {} }
lists:
  office: { file: office.txt, growth: off }
  incidents: { dir: incidents }
  feed: { url: "http://127.0.0.1:${port}/feed.txt", interval: 1h }
  more: { url: "http://127.0.0.1:${port}/more.txt", interval: 1h }
  blocked: { union: [incidents, feed, more], minus: office }
${more}`;
}

function start(): Promise<Daemon> {
  return startPublisher(directory, ['--config', join(directory, 'publisher.yaml')]);
}

/**
 * Puts a file in place whole, as a careful writer does. It was written before it was moved: in one tick of
 * the kernel's clock, that would look like writing in place, which is given time to end.
 */
function place(name: string, text: string): void {
  const path = join(directory, name);
  writeFileSync(`${path}.new`, text);
  const writtenAt = Date.now() / 1000 - 1;
  utimesSync(`${path}.new`, writtenAt, writtenAt);
  renameSync(`${path}.new`, path);
}

function released(version: number): Promise<Row> {
  return publisher.logged((line) => line['msg'] === 'released' && line['version'] === version);
}

async function records(...args: string[]): Promise<{ code: number | null; rows: readonly Row[] }> {
  const { code, stdout } = await rulectl(directory, [...args, '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return { code, rows: lines.map((line): Row => JSON.parse(line)) };
}

/** What `rulectl lists` says of one list. */
async function listed(name: string): Promise<Row> {
  const { rows } = await records('lists');
  const row = rows.find((candidate) => candidate['kind'] === 'list' && candidate['name'] === name);
  if (row === undefined) throw new Error(`no ${name} among ${JSON.stringify(rows)}`);
  return row;
}

async function contentOf(name: string): Promise<readonly string[]> {
  const { stdout } = await rulectl(directory, ['lists', 'show', name, '--export', 'plain']);
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

async function headVersion(): Promise<unknown> {
  const { rows } = await records('status');
  return rows.find((row) => row['kind'] === 'head')?.['version'];
}

const ROWS = 5000;
const MORE = '198.51.100.200/32';
const FEED = ['203.0.113.1/32', '203.0.113.3/32'];

describe('a publisher with sources', () => {
  it('releases all lists of its configuration at once, and the firewall has them', async () => {
    expect(await headVersion()).toBe(1);
    expect(await contentOf('blocked')).toEqual(['192.0.2.1/32', '192.0.2.3/32', MORE, ...FEED]);
    expect(await listed('feed')).toMatchObject({
      source: 'url',
      state: 'ok',
      count: 2,
      added: 2,
      formats: ['plain'],
    });
    expect(await listed('incidents')).toMatchObject({ source: 'dir', state: 'ok', count: 2 });
    place('rules.yaml', 'policies: { default: { default: accept, egress: [drop dst=@blocked] } }\n');
    const pushed = await records('push', join(directory, 'rules.yaml'));
    expect(pushed.code, JSON.stringify(pushed.rows)).toBe(0);
    // Lists that others are made of are of use, whether a rule has them or not.
    expect(pushed.rows.filter(({ code }) => code === 'unused-list')).toEqual([]);
    const { rows } = await records('test', '10.137.0.5 > 203.0.113.3 tcp/443');
    expect(rows[0]).toMatchObject({ action: 'drop', list: 'blocked' });
  });

  it('makes one release of files that are replaced together, and of feeds that changed', async () => {
    place('office.txt', '198.51.100.0/25\n192.0.2.1\n');
    place('incidents/three.txt', '192.0.2.5\n');
    await released(3);
    expect(await contentOf('blocked')).toEqual(['192.0.2.3/32', '192.0.2.5/32', MORE, ...FEED]);
    pages['/feed.txt'] = '203.0.113.1\n203.0.113.3\n203.0.113.5\n';
    pages['/more.txt'] = '198.51.100.200\n198.51.100.202\n';
    const { code, rows } = await records('lists', 'refresh');
    expect(code).toBe(0);
    expect(rows.filter((row) => row['kind'] === 'list')).toHaveLength(5);
    expect(await headVersion()).toBe(4);
    const history = await records('history', '--last', '1');
    expect(history.rows[0]).toMatchObject({ version: 4, cause: 'source', added: 4, removed: 0 });
    expect(history.rows[0]?.['changedParts']).toEqual(['list blocked', 'list feed', 'list more']);
  });

  it('asks a server again and takes its word that nothing changed', async () => {
    const before = asked;
    expect((await records('lists', 'refresh', 'feed')).code).toBe(0);
    expect(asked).toBe(before + 1);
    expect(await headVersion()).toBe(4);
  });

  it('keeps the last good list when the feed turns into a page, and says why', async () => {
    pages['/feed.txt'] = HTML;
    const { code, rows } = await records('lists', 'refresh', 'feed');
    expect(code).toBe(2);
    expect(rows[0]).toMatchObject({ name: 'feed', state: 'failing', count: 3, error: { code: 'unusable' } });
    expect((await listed('feed'))['error']).toMatchObject({ text: expect.stringContaining('HTML') });
    const status = await rulectl(directory, ['status', '--verbose']);
    expect(status.stdout).toContain('List feed is not fresh');
    expect(await headVersion()).toBe(4);
    expect((await contentOf('feed')).length).toBe(3);
  });

  it('takes a much shorter list only by permit, and the permit is on record', async () => {
    pages['/feed.txt'] = '203.0.113.1\n';
    expect((await records('lists', 'refresh', 'feed')).rows[0]).toMatchObject({
      error: { code: 'shrunk' },
      count: 3,
    });
    expect((await records('lists', 'refresh', 'feed', '--permit', 'shrunk')).rows[0]).toMatchObject({
      state: 'ok',
      count: 1,
    });
    const audit = readFileSync(join(directory, 'publisher/audit.log'), 'utf8').trim().split('\n');
    const permits = audit.map((line): Row => JSON.parse(line)).filter(({ code }) => code !== 'released');
    expect(permits).toMatchObject([{ list: 'feed', code: 'shrunk', before: 3, after: 1 }]);
    expect(await headVersion()).toBe(5);
  });

  it('refuses a push of a list that a source keeps', async () => {
    place('x.txt', '192.0.2.9\n');
    const { code, rows } = await records('push', join(directory, 'x.txt'), '--list', 'feed');
    expect(code).toBe(2);
    expect(rows[0]).toMatchObject({ kind: 'reject', code: 'list-of-a-source' });
  });

  it('shows what changed in one list between two versions', async () => {
    const { code, stdout } = await rulectl(directory, ['lists', 'show', 'feed', '--diff', '4..5']);
    expect(code).toBe(1);
    expect(stdout).toContain('- 203.0.113.3/32');
    expect(stdout).not.toContain('list blocked');
  });

  it('refuses a bad configuration, keeps the old one, and takes the next good one', async () => {
    place('publisher.yaml', configOf('  broken: { file: }\n'));
    await publisher.logged((line) => String(line['msg']).startsWith('the configuration is refused'));
    const status = await rulectl(directory, ['status', '--verbose']);
    expect(status.stdout).toContain('The configuration is refused');
    expect((await rulectl(directory, ['check', join(directory, 'publisher.yaml')])).stdout).toMatch(
      /publisher\.yaml:8:\d+: /,
    );
    place('publisher.yaml', configOf());
    await publisher.logged((line) => line['msg'] === 'the configuration file is the one in force again');
    expect((await rulectl(directory, ['status', '--verbose'])).stdout).not.toContain('configuration');
    place('publisher.yaml', configOf('  extra: { entries: [192.0.2.77] }\n'));
    await released(6);
    expect(await contentOf('extra')).toEqual(['192.0.2.77/32']);
    expect((await rulectl(directory, ['status', '--verbose'])).stdout).not.toMatch(
      /is (?:refused|not fresh)/,
    );
  });

  it('withdraws a list that left the configuration, but not one that a rule uses', async () => {
    place('publisher.yaml', configOf().replace(/^ {2}blocked.*\n/m, ''));
    await publisher.logged((line) => line['code'] === 'in-use');
    const names = (await records('lists')).rows.map((row) => row['name']);
    expect(names).toContain('blocked');
    expect(names).not.toContain('extra');
    expect(await listed('blocked')).toMatchObject({ source: 'push' });
    place('publisher.yaml', configOf());
    await publisher.logged(
      (line) => line['msg'] === 'took up the changed configuration' && line['lists'] === 4,
    );
  });

  it('never releases a mixture of files that are replaced again and again', async () => {
    /**
     * Generations have no address in common, so a release of two of them, or of a part of one, would have
     * other counts.
     */
    const generation = (i: number): readonly string[] =>
      Array.from({ length: ROWS }, (_, row) => `100.${64 + i}.${row >> 7}.${(row & 127) * 2}/32`);
    const burst = async (first: number, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) place('office.txt', `${generation((first + i) % 64).join('\n')}\n`);
      const last = generation((first + count - 1) % 64).join();
      const isLast = async (): Promise<boolean> => (await contentOf('office')).join() === last;
      await expect.poll(isLast, { timeout: 20_000, interval: 500 }).toBe(true);
    };
    await burst(0, 1);
    // What that is to the list that is made of it may come with the next release: the configuration was
    // changed just now.
    await expect.poll(() => contentOf('blocked'), { timeout: 20_000 }).toContain('192.0.2.1/32');
    const before = Number(await headVersion());
    for (const first of [7, 14, 21]) await burst(first, 60);
    const { rows } = await records('history', '--all');
    const own = rows.filter(({ version }) => Number(version) > before);
    expect(own.length).toBeGreaterThanOrEqual(3);
    for (const row of own)
      expect(row).toMatchObject({ changedParts: ['list office'], added: ROWS, removed: ROWS });
  }, 90_000);

  it('without a network serves after a restart what it had', async () => {
    const before = await contentOf('blocked');
    const version = await headVersion();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await publisher.stop();
    rmSync(join(directory, 'incidents'), { recursive: true });
    publisher = await start();
    expect((await records('lists', 'refresh')).code).toBe(2);
    expect(await contentOf('blocked')).toEqual(before);
    expect(await listed('feed')).toMatchObject({ state: 'failing', count: 1, error: { code: 'connection' } });
    expect(await listed('incidents')).toMatchObject({
      state: 'failing',
      count: 3,
      error: { code: 'missing-file' },
    });
    expect(await headVersion()).toBe(version);
  });
});
