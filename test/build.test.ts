/** What `npm run build` prints, with a Turborepo that is told what to do. */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './kit/directory.ts';

const BUILD = fileURLToPath(new URL('../build.mjs', import.meta.url));
const MISS = 'cache miss, executing 0123';
const HIT = 'cache hit, suppressing logs 0123';

/** The build, if Turborepo says this of packages and ends so. The log of each is that of a compiler. */
function built(said: Readonly<Record<string, string>>, code: number, log = '') {
  const home = temporaryDirectory();
  const lines = Object.entries(said).map(([name, text]) => {
    mkdirSync(join(home, 'packages', name, '.turbo'), { recursive: true });
    writeFileSync(join(home, 'packages', name, '.turbo/turbo-build.log'), log);
    return JSON.stringify({ source: `@rulecast/${name}#build`, level: 'stdout', text });
  });
  const whole = ['{"source":"turbo","level":"info","text":"turbo 2"}', ...lines].join('\n');
  writeFileSync(join(home, 'turbo'), `#!/bin/sh\ncat << 'END'\n${whole}\nEND\nexit ${code}\n`);
  chmodSync(join(home, 'turbo'), 0o755);
  const env = { PATH: `${home}:${process.env['PATH']}` };
  const { status, stdout, stderr } = spawnSync(process.execPath, [BUILD], {
    cwd: home,
    env,
    encoding: 'utf8',
  });
  expect(stdout).toBe(''); // what comes after a build may be read by a program
  return { status, stderr };
}

it('says nothing if all is built', () => {
  expect(built({ rules: HIT, table: HIT }, 0)).toEqual({ status: 0, stderr: '' });
});

it('says at the start what it does and how long that takes, and names each package that it builds', () => {
  const { status, stderr } = built({ rules: MISS, vchan: HIT, table: MISS }, 0);
  expect(status).toBe(0);
  expect(stderr).toMatch(/^Building: .*slow machine\nrules, table: \d+ s\n$/);
});

it('shows what the compiler said of a package that failed, and ends as Turborepo does', () => {
  const log = 'src/index.ts(1,1): error TS2322: no\nnpm error code 2\n';
  const { status, stderr } = built({ rules: MISS }, 2, log);
  expect(status).toBe(2);
  expect(stderr).toContain('src/index.ts(1,1): error TS2322: no\n');
  expect(stderr).not.toContain('npm error');
});
