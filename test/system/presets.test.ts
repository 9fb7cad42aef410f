/**
 * Each preset of examples/presets, run to the end: a publisher with the preset's unchanged files, feeds
 * answered by a proxy of the test with lists as they are published, a release without any permit, and
 * verdicts of that release.
 */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { bundle } from '../../packaging/bundle.mjs';
import { openFeedProxy, type Pages, REGISTRY_PAGES } from '../docs/feeds.ts';
import { temporaryDirectory } from '../kit/directory.ts';

/** The programs as packages have them: there a publisher could download nothing once, and here it could. */
const packed = mkdtempSync(join(tmpdir(), 'rulecast-presets-'));
await bundle('management', {
  folder: join(packed, 'management'),
  maps: join(packed, 'maps'),
  version: '0.0.0',
});
process.env['RULECAST_PACKED'] = packed;
const { rulectl, startPublisher } = await import('../processes.mjs');
afterAll(() => rmSync(packed, { recursive: true }));

const ROOT = join(import.meta.dirname, '../..');
const PRESETS = join(ROOT, 'examples/presets');
const feed = (name: string): Buffer => readFileSync(join(ROOT, 'test/fixtures/feeds', name));

/** What the feeds of the presets have. */
const PAGES: Pages = {
  'adguardteam.github.io/AdGuardSDNSFilter/Filters/filter.txt': () =>
    Buffer.concat([Buffer.from('||ads.example^\n@@||good.ads.example^\n'), feed('drugs-adblock.txt')]),
  'www.spamhaus.org/drop/drop_v4.json': () => feed('spamhaus-drop_v4.ndjson'),
  'www.spamhaus.org/drop/drop_v6.json': () =>
    '{"cidr":"2001:678:738::/48","sblid":"SBL1","rir":"ripencc"}\n{"type":"metadata","records":1}\n',
  'feodotracker.abuse.ch/downloads/ipblocklist.txt': () => '# nothing at the moment\n',
  ...REGISTRY_PAGES,
};

const proxy = await openFeedProxy(PAGES);
Object.assign(process.env, proxy.environment); // of the publishers
afterAll(() => proxy.close());

/** Releases a preset; returns a folder with the documents that say what was released. */
async function released(preset: string): Promise<string> {
  const folder = temporaryDirectory();
  mkdirSync(join(folder, 'lists'));
  const config = readFileSync(join(PRESETS, preset, 'publisher.yaml'), 'utf8');
  writeFileSync(join(folder, 'publisher.yaml'), config);
  writeFileSync(join(folder, 'rules.yaml'), readFileSync(join(PRESETS, preset, 'rules.yaml')));
  const publisher = await startPublisher(folder, ['--config', join(folder, 'publisher.yaml')]);
  onTestFinished(async () => void (await publisher.stop()));
  const lists = [...config.matchAll(/^ {2}([\w-]+):$/gm)].map(([, name = '']) => name);
  await expect
    .poll(() => statesOf(folder, lists), { timeout: 30_000 })
    .toEqual(lists.map((name) => [name, 'ok', undefined]));
  const rules = (): Promise<string> => rulectl(folder, ['get', 'all']).then(({ stdout }) => stdout);
  await expect.poll(rules, { timeout: 30_000 }).toContain('unmatched: accept');
  writeFileSync(join(folder, 'released.yaml'), await rules());
  const inline = await Promise.all(
    lists.map((name) => exported(folder, name, config.includes('resolve: firewall'))),
  );
  writeFileSync(join(folder, 'lists.yaml'), `lists: {${inline.join(', ')}}\n`);
  return folder;
}

/** The objects of NDJSON. */
function records(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

async function statesOf(folder: string, names: readonly string[]): Promise<readonly unknown[]> {
  const { stdout } = await rulectl(folder, ['lists', '--json']);
  const lists = records(stdout).filter(({ name }) => names.includes(String(name)));
  return lists.map(({ name, state, ...more }) => [name, state, state === 'ok' ? undefined : more]);
}

/** A list of the release, as a list of a document. */
async function exported(folder: string, name: string, ofNames: boolean): Promise<string> {
  const format = ofNames ? 'adblock' : 'plain'; // exceptions and all
  const { stdout } = await rulectl(folder, ['lists', 'show', name, '--export', format]);
  writeFileSync(join(folder, 'lists', `${name}.txt`), stdout);
  return `${name}: { file: lists/${name}.txt${ofNames ? ', resolve: firewall' : ''} }`;
}

/** What becomes of packets, or of questions of DNS, by the rules and lists that were released. */
async function verdicts(folder: string, asked: readonly string[]): Promise<readonly string[]> {
  if (asked.length === 0) return [];
  const files = ['released.yaml', 'lists.yaml'].map((file) => join(folder, file));
  const tests = asked.flatMap((text) => ['--test', text]);
  const { stdout, stderr } = await rulectl(folder, ['check', '--json', ...files, ...tests]);
  const actions = records(stdout).flatMap(({ action }) => (action === undefined ? [] : [action]));
  expect(actions, stdout + stderr).toHaveLength(asked.length);
  return asked.map((question, index) => `${question}: ${actions[index]}`);
}

/** By preset: the expected verdicts on packets and questions. */
const PROMISES: Readonly<Record<string, readonly string[]>> = {
  ads: [
    '10.137.0.9 ? ads.example: drop',
    '10.137.0.9 ? cdn.ads.example: drop',
    '10.137.0.9 ? good.ads.example: accept',
    '10.137.0.9 ? debian.org: accept',
    '10.137.0.9 > 9.9.9.9 udp/53: none',
  ],
  'bad-addresses': [
    '10.137.0.9 > 1.19.7.7 tcp/443: drop',
    'fd09::9 > 2001:678:738::1 tcp/443: drop',
    '10.137.0.9 > 9.9.9.9 tcp/443: none',
  ],
  country: [
    '10.137.0.5 > 5.8.1.1 tcp/443: drop',
    '10.137.0.5 > 43.224.8.9 tcp/443: drop',
    '10.137.0.5 > 3.0.1.1 tcp/443: accept',
    '10.137.0.9 > 5.8.1.1 tcp/443: none',
  ],
  'only-names': [
    '10.137.0.5 ? deb.debian.org: accept',
    '10.137.0.5 ? yum.qubes-os.org: accept',
    '10.137.0.5 ? www.debian.org: drop',
    '10.137.0.9 ? www.debian.org: accept',
    '10.137.0.5 > 10.139.1.1 udp/53: accept',
    '10.137.0.5 > 9.9.9.9 udp/53: drop',
    '10.137.0.5 > 9.9.9.9 tcp/443: drop',
    '10.137.0.9 > 9.9.9.9 tcp/443: none',
  ],
};

it('a list can be tried by the program of the packages, large ones in its thread', async () => {
  const folder = temporaryDirectory();
  const { code, stdout, stderr } = await rulectl(folder, ['lists', 'try', 'country:za']);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/^format: +rir$/m);
});

it('each preset has its promises here', () => {
  const folders = readdirSync(PRESETS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(PROMISES).sort());
});

it.each(Object.entries(PROMISES))(
  '%s does what it promises',
  async (preset, promises) => {
    const folder = await released(preset);
    const asked = promises.map((promise) => promise.replace(/: \w+$/, ''));
    const questions = asked.filter((text) => text.includes('?'));
    const packets = asked.filter((text) => !text.includes('?'));
    expect([...(await verdicts(folder, questions)), ...(await verdicts(folder, packets))]).toEqual(promises);
  },
  60_000,
);
