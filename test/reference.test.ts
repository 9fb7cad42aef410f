/** The reference pages of programs are what their --help says. `npm run reference` writes them anew. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { rulectl } from '../packages/rulectl/test/cli.ts';
import { ROOT } from './docs/blocks.ts';
import { programsPage, rulectlPage } from './docs/reference.ts';

const PROGRAMS = {
  'rulecast-publisher': 'publisher/bin/rulecast-publisher.js',
  'rulecast-subscriber': 'subscriber/bin/rulecast-subscriber.js',
  'rulecast-relay': 'relay/bin/rulecast-relay.js',
  'rulecast-dns': 'dns/bin/rulecast-dns.js',
  'rulecast-dns-net': 'dns/bin/rulecast-dns-net.js',
};

/** Paths as the packages have them: for a user other than root, the state directory is at home. */
function asInstalled(text: string): string {
  return text.replaceAll('/root/.local/state/rulecast', '/var/lib/rulecast');
}

it('docs/reference/rulectl.md is what rulectl says of itself', async () => {
  const page = await rulectlPage(async (words) => asInstalled((await rulectl(words)).stdout));
  await expect(page).toMatchFileSnapshot(join(ROOT, 'docs/reference/rulectl.md'));
});

it('docs/reference/programs.md is what the other programs say of themselves', async () => {
  const env = { PATH: process.env['PATH'], HOME: '/root' };
  const programs = Object.entries(PROGRAMS).map(([name, file]) => {
    const ask = async (words: readonly string[]): Promise<string> => {
      const args = [join(ROOT, 'packages', file), ...words];
      return asInstalled((await promisify(execFile)(process.execPath, args, { env })).stdout);
    };
    return [name, ask] as const;
  });
  const page = await programsPage(new Map(programs));
  await expect(page).toMatchFileSnapshot(join(ROOT, 'docs/reference/programs.md'));
});
