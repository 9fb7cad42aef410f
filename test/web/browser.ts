/** Chromium for tests of the page, as Debian has it, and what axe says of a page. */

import { spawnSync } from 'node:child_process';
import axe, { type AxeResults } from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

const PROGRAM = 'chromium';

/** Why no browser looks at the page, printed; undefined where one does. Throws instead where CI=true. */
export function browserGap(): string | undefined {
  if (spawnSync(PROGRAM, ['--version']).status === 0) return undefined;
  if (process.env['CI'] === 'true')
    throw new Error(`no browser can look at the page: ${PROGRAM} is not installed`);
  const text = `${PROGRAM} is not installed (apt-get install chromium fonts-dejavu-core)`;
  console.log(`tests of the page in a browser are skipped: ${text}`);
  return text;
}

export function openBrowser(args: readonly string[] = []): Promise<Browser> {
  const executablePath = spawnSync('which', [PROGRAM], { encoding: 'utf8' }).stdout.trim();
  const own = process.getuid?.() === 0 ? ['--no-sandbox'] : []; // root has no sandbox of Chromium's
  return chromium.launch({ executablePath, args: [...args, ...own] });
}

/** What is hard to use for some people: rules that are broken, with the elements that break them. */
export async function axeFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
