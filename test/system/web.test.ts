/**
 * `rulectl web` in Chromium: all views with real daemons, and with an office that is always the same; nobody
 * else's pages, names and servers get anything of it. With RULECAST_PICTURES=1 the pictures of docs/images
 * are made anew.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Access } from '../../packages/rulectl/src/web/access.ts';
import { Model } from '../../packages/rulectl/src/web/model.ts';
import { servePage } from '../../packages/rulectl/src/web/server.ts';
import { FakePublisher } from '../../packages/rulectl/test/fake-publisher.ts';
import { blockText, ROOT } from '../docs/blocks.ts';
import { endpointsIn, rulectl } from '../processes.mjs';
import { axeFindings, browserGap, openBrowser } from '../web/browser.ts';
import { answersOf, grown, NOW_MS, scripted } from '../web/sample.ts';
import { startWeb } from '../web/visitor.mjs';
import { Scene } from './scene.ts';

/** `rulectl web`, as the document has it. */
const COMMAND = blockText('docs/how-to/web.md#Open it').trim().split(' ').slice(1);
const UNIT = readFileSync(join(ROOT, 'packaging/web/rulecast-web.service'), 'utf8');
const OTHER_NAME = 'rebound.example';
const ASKED = new URLSearchParams({
  packet: 'work > 192.0.2.66 tcp/443',
  direction: 'egress',
  what: '192.0.2.66',
});
const PICTURES = process.env['RULECAST_PICTURES'];
/** Those that documents show, up to the end of which table. */
const SHOWN: Readonly<Record<string, number>> = { 'status-light': 0, 'refused-dark': 1 };

const hasBrowser = browserGap() === undefined;
let browser: Browser;

/** A window that was let in, and what its console said. */
async function entered(link: string, width = 1100, colorScheme: 'light' | 'dark' = 'light') {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const page = await context.newPage();
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  await page.goto(link);
  await page.waitForURL(/\/[0-9a-f]{32}\/$/);
  return { page, said, base: page.url() };
}

async function look(page: Page, url: string): Promise<string> {
  await page.goto(url);
  await page.waitForSelector('main h1');
  // biome-ignore lint/performance/useDomNodeTextContent: with the spaces between cells
  return page.locator('main').innerText();
}

/** `rulectl web` against a publisher, and its first link; it ends with the scene. */
async function served(
  scene: Scene,
  control = endpointsIn(scene.directory).control,
  command = COMMAND,
): Promise<string> {
  const { page, link } = await startWeb(control, command);
  scene.onClose(async () => {
    page.kill();
    await once(page, 'close');
  });
  return link;
}

/** A publisher with a list of its own, one that cannot be read, two firewalls and two releases. */
async function office(): Promise<Scene> {
  const scene = new Scene();
  writeFileSync(scene.path('bad.txt'), '192.0.2.64/28\n203.0.113.7\n');
  writeFileSync(
    scene.path('p.yaml'),
    `lists:\n  bad: { file: ${scene.path('bad.txt')} }\n  gone: { file: ${scene.path('gone.txt')} }\noperators:\n  viewer: { role: status, socket: { path: viewer.sock, group: ${process.getgid?.()} } }\n`,
  );
  await scene.publisher(['--config', scene.path('p.yaml')]);
  for (const name of ['lab-firewall', 'sys-firewall']) await scene.subscriber(name);
  const read = await rulectl(scene.directory, ['lists', 'refresh', 'bad']); // before rules name it
  expect(read.code, read.stderr).toBe(0);
  const rules = (more: string): string =>
    `unmatched: drop\npolicies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@bad, ${more}accept] } }\n`;
  for (const [more, message] of [
    ['', 'The first <b>rules</b>'],
    ['drop dst4=198.51.100.9, ', 'No printer any more'],
  ] as const) {
    writeFileSync(scene.path('f.yaml'), rules(more));
    const { code, stdout, stderr } = await rulectl(scene.directory, [
      'push',
      '--message',
      message,
      scene.path('f.yaml'),
    ]);
    expect(code, stdout + stderr).toBe(0);
  }
  return scene;
}

describe.runIf(hasBrowser)('rulectl web', () => {
  beforeAll(async () => {
    browser = await openBrowser([`--host-resolver-rules=MAP ${OTHER_NAME} 127.0.0.1`]);
  });
  afterAll(() => browser?.close());

  it('shows what real daemons say in every view, and what is released next without being asked', async () => {
    const scene = await office();
    const { page, said, base } = await entered(await served(scene));
    const { stdout } = await rulectl(scene.directory, ['status']);
    const [sentence = ''] = stdout.replaceAll('\n  ', ' ').split('\n', 1);
    const first = await look(page, base);
    const ageless = (text: string | null): string => (text ?? '').replace(/\d+ (s|min)\b/g, 'some time');
    expect(ageless(sentence)).toContain(ageless(await page.textContent('.truth h1')));
    expect(first).toMatch(/sys-firewall\s+synced\s+\d/);
    expect(first).toContain('gone');
    const version = Number(/version (\d+), released/i.exec(first)?.[1]);
    expect(await look(page, `${base}lists`)).toMatch(/bad\s+file\s+ok\s+2/);
    expect(await look(page, `${base}lists/bad`)).toMatch(/Holds\s+2 entries/);
    expect(await look(page, `${base}releases`)).toMatch(
      /\(owner\)[\s\S]*No printer any more[\s\S]*The first <b>rules<\/b>/,
    );
    expect(await look(page, `${base}releases/${version}`)).toContain(
      '+ egress 2: action=drop dst4=198.51.100.9/32',
    );
    expect(await look(page, `${base}refused`)).toContain(
      'keeps no log of what it refuses: write RULECAST_LOG=true',
    );
    const asked = await look(page, `${base}ask?${ASKED}`);
    expect(asked).toMatch(/subscriber lab-firewall, sys-firewall, version/);
    expect(asked).toMatch(/list bad \(file .*\): 192\.0\.2\.64\/28\s+qubes of policy work, egress: drop/);
    expect(await (await page.request.get(`${base}metrics`)).text()).toContain(
      `rulecast_head_version ${version}\n`,
    );

    await look(page, base);
    writeFileSync(scene.path('bad.txt'), '192.0.2.64/28\n');
    await page
      .getByText(`version ${version + 1},`)
      .first()
      .waitFor();
    expect(await look(page, `${base}lists/bad`)).toContain('Entries over time: 2 at first, 1 now');
    expect(said).toEqual([]);
  });

  it('opens an eighth window: those that nobody sees follow nothing', async () => {
    const scene = new Scene();
    const { page, base } = await entered(await served(scene));
    const hide = `Object.defineProperty(document, 'hidden', { get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));`;
    await page.evaluate(hide);
    for (let i = 0; i < 7; i++) {
      const other = await page.context().newPage();
      expect(await look(other, base)).toContain('no publisher answers at');
      await other.evaluate(hide);
    }
  });

  it('takes nothing from who writes while it follows', async () => {
    const scene = new Scene();
    const { page, base } = await entered(await served(scene));
    await look(page, `${base}lists`);
    await page.fill('input', 'mal');
    await page.evaluate('load()');
    expect(await page.inputValue('input')).toBe('mal');
    await page.fill('input', '');
    await page.evaluate('load()');
    expect(await page.evaluate('document.activeElement.name')).toBe('q');
  });

  it('as its unit starts it says in one line what its role may not see, and shows the rest', async () => {
    const scene = await office();
    const [, words = ''] = /^ExecStart=\S+ (.*) --control \S+$/m.exec(UNIT) ?? [];
    const command = words.replace(/(?<=:)8470/, '0').split(' ');
    const link = await served(scene, `unix:${scene.path('viewer.sock')}`, command);
    const { page, base, said } = await entered(link);
    const refused = await look(page, `${base}refused`);
    expect(refused).toContain(
      'Who was refused what is not shown: viewer may status, and log takes the role admin.',
    );
    expect(refused).toContain('Lists that dropped most in 24 hours');
    expect(await look(page, base)).toContain('sys-firewall');
    expect(said).toEqual([]);
  });

  it('says so where the publisher does not answer', async () => {
    const scene = new Scene();
    const { page, base } = await entered(await served(scene));
    expect(await look(page, base)).toContain('no publisher answers at');
  });

  it('lets nobody in by a link that was used, by another name of the machine, or from another site', async () => {
    const scene = new Scene();
    const link = await served(scene);
    const { page, base } = await entered(link);
    const port = new URL(base).port;
    const again = await (await browser.newContext()).newPage();
    await again.goto(link);
    await again.getByText('This link was used').waitFor();
    expect((await again.goto(base))?.status()).toBe(403);
    expect((await again.goto(`http://${OTHER_NAME}:${port}/`))?.status()).toBe(421);
    await again.context().close();

    const seen: IncomingHttpHeaders[] = [];
    const other = createServer((asked, response) => {
      seen.push(asked.headers);
      response
        .setHeader('Content-Type', 'text/html')
        .end('<!doctype html><title>other</title><main>other</main>');
    }).listen(0, '127.0.0.1');
    scene.onClose(() => void other.close());
    await once(other, 'listening');
    const statuses: number[] = [];
    page.on('response', (answer) => void (answer.url().startsWith(base) && statuses.push(answer.status())));
    await page.goto(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
    await page.evaluate(`(async () => {
      const url = ${JSON.stringify(base)};
      await fetch(url, { mode: 'no-cors', credentials: 'include' }).catch(() => undefined);
      const image = document.createElement('img');
      image.src = url + 'lists';
      const frame = document.createElement('iframe');
      frame.src = url + 'releases';
      const ends = [image, frame].map((one) => new Promise((end) => { one.onload = end; one.onerror = end; }));
      document.body.append(image, frame);
      await Promise.all(ends);
    })()`);
    expect(new Set(statuses)).toEqual(new Set([403])); // of others the browser itself says nothing
    expect(seen.map(({ cookie }) => cookie).filter((cookie) => cookie !== undefined)).toEqual([]);
    expect((await page.goto(base))?.status()).toBe(200);
  });
});

/** By keys alone: over the menu to the content, and a command is copied. */
async function copied(page: Page): Promise<string> {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.evaluate(`navigator.clipboard.writeText('')`);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter'); // To the content
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter'); // Copy
  await expect.poll(() => page.evaluate<string>('navigator.clipboard.readText()')).not.toBe('');
  return page.evaluate<string>('navigator.clipboard.readText()');
}

/** A picture of a wide page for the documents, or, into a folder of that name, of each page. */
async function picture(page: Page, name: string, width: number): Promise<void> {
  const end = width === 1100 ? SHOWN[name] : undefined;
  if (PICTURES === undefined || (PICTURES === '1' && end === undefined)) return;
  const folder = PICTURES === '1' ? join(ROOT, 'docs/images') : PICTURES;
  mkdirSync(folder, { recursive: true });
  if (end === undefined) {
    writeFileSync(join(folder, `web-${name}-${width}.png`), await page.screenshot({ fullPage: true }));
    return;
  }
  await page.setViewportSize({ width: 760, height: 800 });
  const bottom = `document.querySelectorAll('.tables')[${end}].getBoundingClientRect().bottom + scrollY`;
  const height = Math.ceil(await page.evaluate<number>(bottom)) + 16;
  const clip = { x: 0, y: 0, width: 760, height };
  writeFileSync(join(folder, `web-${name}.png`), await page.screenshot({ fullPage: true, clip }));
  await page.setViewportSize({ width, height: 800 });
}

describe.runIf(hasBrowser)('the page of an office', () => {
  const views = {
    ...{ status: '', lists: 'lists', list: 'lists/malware', releases: 'releases', release: 'releases/42' },
    ...{ refused: 'refused', ask: `ask?${ASKED}` },
  };
  let publisher: FakePublisher;
  let server: Server;
  let access: Access;

  beforeAll(async () => {
    browser = await openBrowser();
    publisher = await FakePublisher.start(scripted(PICTURES === '1' ? answersOf : grown(20, 20)));
    const world = { nowMs: () => NOW_MS, waitMs: () => new Promise<void>(() => undefined) };
    const at = { host: '127.0.0.1', port: 0 };
    ({ server, access } = await servePage(
      new Model({ endpoint: publisher.endpoint }, world),
      at,
      randomBytes,
      console.log,
    ));
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    server?.closeAllConnections();
    await publisher?.stop();
  });

  it.each([
    ['light', 1100],
    ['dark', 1100],
    ['light', 320],
  ] as const)(
    '%s, %d pixels wide: axe finds nothing in any view, and nothing is wider than the window',
    async (scheme, width) => {
      const { page, said, base } = await entered(access.newLink(), width, scheme);
      await look(page, base);
      expect(await copied(page)).toBe('rulecast-doctor');
      for (const [name, path] of Object.entries(views)) {
        await look(page, `${base}${path}`);
        expect([name, await axeFindings(page)]).toEqual([name, []]);
        expect([name, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([name, width]);
        await picture(page, `${name}-${scheme}`, width);
      }
      expect(said).toEqual([]);
      await page.context().close();
    },
  );
});
