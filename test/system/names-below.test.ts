/**
 * Names below others, from each way by which lists come to what rulectl prints of them: file, directory, URL,
 * archive, the configuration itself, pushes, standard input and documents.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { rulectl, startPublisher } from '../processes.mjs';

const ADBLOCK = '||a.example^\n@@||www.a.example^\n@@/ad/\nb.example\n##.ad\n';
/** Entries that ad blockers read too. */
const A_AND_B = ['||a.example^', 'b.example', '@@||www.a.example^'];
const WILDCARDS = '# Syntax: Domains Wildcard\n*.c.example\n*.d.example\n';

/** The entries of a list, as plain text has them. */
async function entriesOf(directory: string, list: string, format = 'plain'): Promise<readonly string[]> {
  const { code, stdout, stderr } = await rulectl(directory, ['lists', 'show', list, '--export', format]);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.split('\n').filter((line) => line !== '' && !/^[#![]/.test(line));
}

describe('a list with names below others', () => {
  let directory = '';

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'rulecast-'));
    const server = createServer((_, answer) => answer.end('address=/e.example/\nserver=/f.e.example/#\n'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    writeFileSync(join(directory, 'ads.txt'), ADBLOCK);
    writeFileSync(join(directory, 'wildcards.txt.gz'), gzipSync(WILDCARDS));
    const config = join(directory, 'publisher.yaml');
    const lists = [
      'lists:',
      '  file: { file: ads.txt, resolve: firewall }',
      '  wide: { file: ads.txt, resolve: firewall, subdomains: true }',
      '  archive: { file: wildcards.txt.gz, resolve: firewall }',
      `  url: { url: "http://127.0.0.1:${port}/ads.conf", resolve: firewall }`,
      '  own: { names: [g.example, .h.example, "*.i.example"], resolve: firewall }',
      '  part: { file: ads.txt, publish: false }',
      '  joined: { union: [part, archive], resolve: firewall }',
      '  fine: { names: [.f.a.example], resolve: firewall, publish: false }',
      '  less: { union: part, minus: fine, resolve: firewall }',
    ];
    writeFileSync(config, lists.join('\n'));
    const publisher = await startPublisher(directory, ['--config', config]);
    const refreshed = await rulectl(directory, ['lists', 'refresh']);
    expect([refreshed.code, refreshed.stderr]).toEqual([0, '']);
    return async () => {
      await publisher.stop();
      server.close();
      rmSync(directory, { recursive: true, force: true });
    };
  });

  it.each([
    ['file', 'adblock', A_AND_B],
    ['wide', 'adblock', ['||a.example^', '||b.example^', '@@||www.a.example^']],
    ['archive', 'plain', ['.c.example', '.d.example']],
    ['url', 'dnsmasq', ['address=/e.example/', 'server=/f.e.example/#']],
    ['own', 'plain', ['g.example', '.h.example', '*.i.example']],
    ['joined', 'adblock', [...A_AND_B.slice(0, 2), '||c.example^', '||d.example^', '@@||www.a.example^']],
    ['less', 'adblock', [...A_AND_B.slice(0, 2), '@@||f.a.example^', '@@||www.a.example^']],
  ] as const)('of a source: %s', async (list, format, entries) => {
    expect(await entriesOf(directory, list, format)).toEqual(entries);
  });

  it('is told with its exceptions, and what its source left out', async () => {
    const { stdout } = await rulectl(directory, ['lists', 'show', 'file']);
    expect(stdout).toMatch(/^holds: +2 entries, names, 1 exception$/m);
    expect(stdout).toMatch(
      /^left out: +1 exceptions of .*\(exception\)\nleft out: +1 rules .*\(cosmetic\)$/m,
    );
    expect((await rulectl(directory, ['lists', 'show', 'archive'])).stdout).not.toContain('left out');
  });

  it('comes by pushes and standard input, once somebody says who knows such names', async () => {
    const push = (args: readonly string[], input?: string) =>
      rulectl(directory, ['push', '--no-wait', '--permit', 'grown', ...args], input);
    const refused = await push(['--list', 'pushed', '-'], ADBLOCK);
    expect(refused.code).toBe(2);
    expect(refused.stdout + refused.stderr).toContain('say resolve: firewall for it');
    const pushed = await push(['--list', 'pushed', '--resolve', 'firewall', '--subdomains', '-'], ADBLOCK);
    expect(pushed.code).toBe(0);
    const both = ['||a.example^', '||b.example^', '@@||www.a.example^'];
    expect(await entriesOf(directory, 'pushed', 'adblock')).toEqual(both);
    const plain = await rulectl(directory, ['lists', 'show', 'pushed', '--export', 'plain']);
    expect([plain.code, plain.stderr]).toEqual([2, expect.stringContaining('this list holds exceptions')]);
    // What was said of it holds for the next push.
    expect((await push(['--list', 'pushed', '-'], WILDCARDS)).code).toBe(0);
    expect(await entriesOf(directory, 'pushed')).toEqual(['.c.example', '.d.example']);
    const document = join(directory, 'below.yaml');
    const own = '{ names: [j.example], resolve: firewall, subdomains: true }';
    writeFileSync(document, `lists:\n  doc: { file: ads.txt, resolve: firewall }\n  inline: ${own}\n`);
    expect((await push([document])).code).toBe(0);
    expect(await entriesOf(directory, 'doc', 'adblock')).toEqual(A_AND_B);
    expect(await entriesOf(directory, 'inline')).toEqual(['.j.example']);
    const tld = await push(['--list', 'pushed', '-'], '||com^\n');
    expect([tld.code, tld.stdout + tld.stderr]).toEqual([2, expect.stringContaining('public-suffix')]);
    expect((await push(['--list', 'pushed', '--allow-public-suffixes', '-'], '||com^\n')).code).toBe(0);
    expect(await entriesOf(directory, 'pushed')).toEqual(['.com']);
  });

  it('is written in the formats that can say it, and told in diffs', async () => {
    expect(await entriesOf(directory, 'own', 'rpz')).toEqual(
      expect.arrayContaining(['h.example CNAME .', '*.h.example CNAME .', '*.i.example CNAME .']),
    );
    const hosts = await rulectl(directory, ['lists', 'show', 'own', '--export', 'hosts']);
    expect([hosts.code, hosts.stderr]).toEqual([2, expect.stringContaining('holds single names')]);
    const { stdout: status } = await rulectl(directory, ['status', '--json']);
    const version = /"kind":"head".*?"version":(\d+)/.exec(status)?.[1] ?? '';
    writeFileSync(join(directory, 'ads.txt'), '||a.example^\n||k.example^\n');
    expect((await rulectl(directory, ['lists', 'refresh', 'file', '--permit', 'grown,shrunk'])).code).toBe(0);
    const diff = await rulectl(directory, ['lists', 'show', 'file', '--diff', version]);
    expect(diff.stdout).toMatch(/\+ *\.k\.example/);
    expect(diff.stdout).toMatch(/- *b\.example/);
    expect(diff.stdout).toMatch(/- *exception \.www\.a\.example/);
  });
});
