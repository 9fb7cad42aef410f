/** `rulectl test` against real processes: a verdict for each packet, however many. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rulectl, startPublisher, startSubscriber } from '../processes.mjs';

let folder = '';
const daemons: { readonly stop: () => Promise<unknown> }[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rulecast-verdicts-'));
  daemons.push(await startPublisher(folder));
  for (const name of ['fw-a', 'fw-b']) daemons.push(await startSubscriber(folder, name));
});
afterAll(async () => {
  for (const daemon of daemons.reverse()) await daemon.stop();
  rmSync(folder, { recursive: true, force: true });
});

// A subscriber answers twenty questions a second: the verdicts beyond were left out, with exit code 0.
it('more packets than a subscriber answers in a second get a verdict each, of each subscriber', async () => {
  const rules = join(folder, 'odd.yaml');
  const policy = { default: 'drop', egress: ['accept dst4=192.0.2.0/26'] };
  writeFileSync(rules, JSON.stringify({ policies: { default: policy } }));
  const pushed = await rulectl(folder, ['push', rules]);
  expect(pushed.code, pushed.stderr).toBe(0);
  const packets = Array.from({ length: 64 }, (_, i) => `192.0.2.${i * 2}`);
  const { code, stdout, stderr } = await rulectl(folder, ['test', '--json', ...packets]);
  expect(code, stderr).toBe(0);
  const answers: readonly Readonly<Record<string, unknown>>[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const told = answers
    .filter(({ kind }) => kind === 'verdict')
    .map(({ subscriber, packet, action }) => `${subscriber} ${packet} ${action}`);
  const expected = packets.flatMap((packet, i) =>
    ['fw-a', 'fw-b'].map((name) => `${name} ${packet} ${i * 2 < 64 ? 'accept' : 'drop'}`),
  );
  expect(told.sort()).toEqual(expected.sort());
});
