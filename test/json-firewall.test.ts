/** `--json` of the programs that a firewall has in the place of rulectl, as packages have them. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundle } from '../packaging/bundle.mjs';
import { checkedRecords, checkWhole } from './kit/json-records.ts';

const root = mkdtempSync(join(tmpdir(), 'firewall-programs-'));
const folder = join(root, 'lib');
beforeAll(async () => void (await bundle('firewall', { folder, maps: join(root, 'maps'), version: '0' })));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const PROGRAMS = ['rulecast-doctor', 'rulecast-names'];

it.each(PROGRAMS)('%s ends with an end, whatever it finds', (program) => {
  const { stdout, status } = run(program, '--json');
  checkWhole(stdout, status, [program]);
});

it.each(PROGRAMS)('%s has records of a wrong command line, and of its help', (program) => {
  const wrong = run(program, '--json', '--nope');
  checkWhole(wrong.stdout, wrong.status, [program]);
  expect(checkedRecords(wrong.stdout)).toMatchObject([{ kind: 'error', code: 'usage' }, { exit: 64 }]);
  const help = run(program, '--json', '--help');
  expect(checkedRecords(help.stdout)).toMatchObject([{ kind: 'text' }, { kind: 'end', exit: 0 }]);
});

function run(program: string, ...words: readonly string[]) {
  const env = { PATH: process.env['PATH'] };
  return spawnSync(process.execPath, [join(folder, `${program}.js`), ...words], { encoding: 'utf8', env });
}
