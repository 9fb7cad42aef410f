/** Words that have a meaning, and nothing that enforces it: MEANING.md "Forms to come". */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { rulectl, rulectlOffline, startPublisher } from '../processes.mjs';

// P-23
it.each([
  ['{"lists": {"a": {"names": ["*.a.example"]}}}', 'wildcard', 29],
  ['{"policies": {"default": {"egress": ["drop dsthost=*.a.example"]}}}', 'wildcard', 52],
])('is refused by check and push, with its place: %s', async (content, words, column) => {
  const directory = temporaryDirectory();
  const publisher = await startPublisher(directory);
  onTestFinished(async () => {
    await publisher.stop();
  });
  const file = join(directory, 'soon.json');
  writeFileSync(file, content);
  for (const said of [await rulectlOffline(['check', file]), await rulectl(directory, ['push', file])]) {
    expect(said.code).toBe(2);
    expect(said.stdout + said.stderr).toContain(`soon.json:1:${column}: unsupported: `);
    expect(said.stdout + said.stderr).toContain(words);
  }
});
