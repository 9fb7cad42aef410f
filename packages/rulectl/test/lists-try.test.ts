/** `rulectl lists try`: lists of files and servers before they are ones, beside those of a publisher. */

import { mkdirSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Connection } from '@rulecast/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CliResult, Folder, ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';
import { list } from './records.ts';

let folder: Folder;
let publisher: FakePublisher | undefined;
let server: Server | undefined;
beforeEach(() => {
  folder = new Folder();
  mkdirSync(join(folder.path, 'tmp'));
});
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
  server?.close();
  server?.closeAllConnections();
  server = undefined;
  folder.remove();
});

/** Without a publisher, unless there is one. */
async function tried(...args: readonly string[]): Promise<CliResult> {
  const control = publisher?.endpoint ?? `unix:${join(folder.path, 'nobody.sock')}`;
  const result = await rulectl(['lists', 'try', ...args, '--control', control], {
    cwd: folder.path,
    env: { TMPDIR: join(folder.path, 'tmp') },
  });
  expect(readdirSync(join(folder.path, 'tmp'))).toEqual([]); // nothing is left behind
  return result;
}

/** The record, and the end. */
async function record(...args: readonly string[]) {
  const { exit, stdout, stderr } = await tried(...args, '--json');
  const [first, end] = ndjson(stdout);
  expect(end, stdout + stderr).toMatchObject({ kind: 'end', exit });
  return { ...first, end };
}

/** A publisher with lists of these entries. */
async function publish(lists: Readonly<Record<string, readonly string[]>>, holds: 'prefixes' | 'names') {
  const records = Object.entries(lists).map(([name, lines]) => list({ name, holds, count: lines.length }));
  publisher = await FakePublisher.start(async (connection: Connection) => {
    const { message } = (await connection.receive()) ?? {};
    const asked = message?.kind === 'greet' ? (await connection.receive())?.message : message;
    if (asked?.kind === 'lists') await sendRecords(connection, records);
    else if (asked?.kind === 'list')
      await sendRecords(connection, [
        ...records.filter(({ name }) => name === asked.name),
        { record: 'entries', lines: lists[asked.name] ?? [] },
      ]);
    await connection.send({ kind: 'done', code: 'ok', text: '' });
  });
}

async function serve(body: string): Promise<string> {
  server = createServer(
    ({ url }, response) =>
      void (url === '/moved.txt'
        ? response.writeHead(301, { location: '/bad.txt' }).end()
        : response.writeHead(200, { 'content-type': 'text/plain' }).end(body)),
  );
  const listening = server;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}/bad.txt`;
}

describe('a file', () => {
  it('is shown with its format, content, rejects, coverage and cost', async () => {
    folder.write('bad.txt', '# bad\n198.51.100.1\n192.0.2.0/24\n2001:db8::/32\n10.0.0.0/8\n5.0.0.0/8\n');
    const { exit, stdout, stderr } = await tried('bad.txt');
    expect([exit, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^format: +plain$/m);
    expect(stdout).toMatch(/^holds: +4 entries, 3 of IPv4 and 1 of IPv6$/m);
    expect(stdout).toMatch(/^covers: +0\.4\d? % of the Internet's IPv4, nothing of its IPv6$/m);
    expect(stdout).toMatch(/^never block: 1 entry holds what is taken out$/m);
    expect(stdout).toMatch(/^overlap: +not compared: no publisher answers at unix:/m);
    expect(stdout).toMatch(/^costs: +each firewall 0\.\d MiB of the kernel, of 256 /m);
    expect(stdout).toMatch(/^verdict: +good/m);
  });

  it('says the same to programs', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `198.51.100.${i}`);
    folder.write('bad.txt', [...lines, 'nonsense!'].join('\n'));
    expect(await record('bad.txt')).toMatchObject({
      kind: 'tried',
      formats: ['plain'],
      holds: 'prefixes',
      entries: 20,
      rejects: 1,
      rejected: [expect.stringMatching(/^bad\.txt:21:1: /)],
      kernelMostBytes: 256 * 2 ** 20,
      end: { code: 'good' },
    });
  });

  it('steers no terminal by its name', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `198.51.100.${i}`);
    folder.write('\u001b[31mbad.txt', [...lines, 'nonsense!'].join('\n'));
    const { exit, stdout } = await tried('\u001b[31mbad.txt');
    expect([exit, stdout.includes('\u001b')]).toEqual([0, false]);
    folder.write('\u001b[31mworse.txt', 'nonsense!\n');
    expect((await tried('\u001b[31mworse.txt')).stderr).not.toContain('\u001b');
  });

  it('of names costs nothing of the kernel', async () => {
    folder.write('names.txt', 'a.example\nb.example\n');
    const { stdout } = await tried('names.txt');
    expect(stdout).toMatch(/^holds: +2 names$/m);
    expect(stdout).toMatch(/^costs: +nothing of the kernel/m);
  });

  it('is told what guards have against it, and shown all the same', async () => {
    folder.write('half.txt', '0.0.0.0/1\n');
    const { exit, stdout } = await tried('half.txt');
    expect(exit).toBe(2);
    expect(stdout).toMatch(/^holds: +\d+ entries of IPv4$/m);
    expect(stdout).toMatch(/^verdict: +short-prefix: .*would cover/m);
    expect(await record('half.txt')).toMatchObject({ against: { code: 'short-prefix' } });
  });

  it('is told where a firewall has no room for it', async () => {
    const hosts = Array.from({ length: 20_000 }, (_, i) => `7.${i >> 8}.${i & 255}.1`);
    folder.write('many.txt', hosts.join('\n'));
    expect((await tried('many.txt')).exit).toBe(0);
    const { exit, stdout } = await tried('many.txt', '--kernel-mib', '2');
    expect(exit).toBe(2);
    const least = /with --kernel-mib (\d+) or more/.exec(stdout)?.[1] ?? '';
    expect((await tried('many.txt', '--kernel-mib', least)).exit).toBe(0);
    expect((await tried('many.txt', '--kernel-mib', String(Number(least) - 1))).exit).toBe(2);
  });
});

describe('a URL', () => {
  it('is fetched once, in the format that is stated', async () => {
    const url = await serve('192.0.2.1 5\n198.51.100.1 1\n');
    expect(await record(url, '--format', 'scored')).toMatchObject({ formats: ['scored'], entries: 2 });
  });

  it('that moved is told with where it is now', async () => {
    const url = await serve('192.0.2.1\n');
    const old = url.replace('bad', 'moved');
    expect(await record(old)).toMatchObject({ notes: [`${old} leads to ${url}`] });
    expect(await record(url)).toMatchObject({ notes: [] });
  });

  it('that says something else is refused in words', async () => {
    const { exit, stdout, stderr } = await tried(await serve('<!DOCTYPE html><html><body>no</body></html>'));
    expect([exit, stdout]).toEqual([2, '']);
    expect(stderr).toContain('HTML');
  });
});

describe('the lists of the publisher', () => {
  it('are compared, as far as they hold something of it', async () => {
    await publish({ some: ['192.0.2.0/25', '5.0.0.0/8'], other: ['203.0.113.0/24'] }, 'prefixes');
    folder.write('bad.txt', '192.0.2.0/24\n');
    const { stdout } = await tried('bad.txt');
    expect(stdout).toMatch(/^overlap: +some has 50 % of its IPv4 addresses$/m);
    expect(stdout).not.toContain('other');
  });

  it('are counted that are too large', async () => {
    publisher = await FakePublisher.start(async (connection) => {
      await receive(connection, 'lists');
      await sendRecords(connection, [list({ name: 'huge', holds: 'prefixes', count: 4_000_000 })]);
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    });
    folder.write('bad.txt', '192.0.2.0/24\n');
    expect((await tried('bad.txt')).stdout).toMatch(/^overlap: +not compared: 1 list is too large/m);
  });

  it('of names are compared by their names', async () => {
    await publish({ ads: ['.ads.example', 'a.example'] }, 'names');
    folder.write('names.txt', 'a.example\nx.ads.example\nb.example\n');
    expect((await tried('names.txt')).stdout).toMatch(/^overlap: +ads has 2 of its names$/m);
  });
});

describe('what is none of these', () => {
  it.each([
    [['nosuch'], 2, 'there is no file nosuch, and the catalogue has no such key'],
    [['country:rus'], 64, 'write a country of two letters'],
    [['company:gogle'], 64, 'did you mean google?'],
    [['asn:x'], 64, 'write the number of an autonomous system'],
    [['country:ru', '--format', 'rir'], 64, '--format goes with a URL or a file'],
    [['registries'], 64, 'is a table, which lists are cut from'],
    [['http://'], 64, 'is no https: or http: URL'],
    [['x', '--kernel-mib', '0'], 64, 'a number of MiB'],
    [['x', '--kernel-mib', '1', '--kernel-mib', '2'], 64, '--kernel-mib'],
    [[], 64, 'name a URL, a file, or a key'],
    [['.'], 2, 'is no file'],
  ])('%j is refused', async (args, exit, words) => {
    const result = await tried(...args);
    expect([result.exit, result.stdout]).toEqual([exit, '']);
    expect(result.stderr).toContain(words);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });
});
