/**
 * A hundred versions of real lists, one after the other: after each the subscriber has in force what was
 * pushed.
 */

import { readFileSync } from 'node:fs';
import { importList } from '@rulecast/formats';
import { encodeSnapshot } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { expect, it } from 'vitest';
import { churnedLines } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { releaseOf } from './control-client.ts';
import { listDigest } from './list-digest.ts';
import { Scene } from './scene.ts';

const SEED = 0x5eed07;
const PUSHES = 100;
const LISTS = [
  'country-nl-ipv4.netset',
  'country-nl-ipv6.netset',
  'country-ru-ipv4.netset',
  'datacenter-ipv6.txt',
  'ipsum-level3.txt',
  'vpn-ipv4.txt',
];
/** What changes from one version to the next, of the lines of the list. */
const CHURN_LEAST = 0.001;
const CHURN_MOST = 0.08;
/** Lines that are not in the first version, of all lines of the file. */
const ABSENT = 0.1;

/** What the whole rule set would cost in one transfer. */
function snapshotSize(
  lists: readonly { readonly name: string; readonly present: readonly string[] }[],
): number {
  const content = lists.map(
    ({ name, present }) =>
      [name, importList('', Buffer.from(`${present.join('\n')}\n`), { format: 'plain' }).list] as const,
  );
  return encodeSnapshot({ ...EMPTY_RULE_SET, lists: new Map(content) }).length;
}

it('has the digest of the pushed list in force after each of a hundred churned versions, at the cost of the changes', async () => {
  console.log(`seed ${SEED}`);
  const next = seededNumbers(SEED);
  const scene = new Scene();
  const { control } = scene;
  await scene.publisher();
  const subscriber = await scene.subscriber('firewall');
  await control.until(({ subscribers }) =>
    subscribers.some(({ connectedSinceMs }) => connectedSinceMs !== undefined),
  );
  const lists = LISTS.map((file) => {
    const lines = readFileSync(new URL(`../fixtures/lists/${file}`, import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const name = file.slice(0, file.lastIndexOf('.'));
    return {
      name,
      ...churnedLines(
        lines.slice(Math.round(lines.length * ABSENT)),
        lines.slice(0, Math.round(lines.length * ABSENT)),
        CHURN_LEAST,
        next,
      ),
    };
  });
  let sentBytes = 0;
  let snapshotBytes = 0;
  let changed = 0;
  for (let i = 0; i < PUSHES; i++) {
    const list = lists[i % lists.length];
    if (list === undefined) throw new TypeError('unreachable: there are lists');
    if (i >= lists.length) {
      const share = CHURN_LEAST * (CHURN_MOST / CHURN_LEAST) ** (next(1000) / 999);
      Object.assign(list, churnedLines(list.present, list.absent, share, next));
    }
    const text = `${list.present.join('\n')}\n`;
    const answer = await control.push({ list: list.name, text });
    expect(releaseOf(answer)).toMatchObject({ version: i + 1, changed: true });
    const applied = answer.records.find((record) => record.record === 'applied');
    expect(applied, `version ${i + 1}`).toMatchObject({ state: 'applied', version: i + 1, persisted: true });
    const { head, parts, subscribers } = await control.status();
    expect(parts.find(({ name }) => name === list.name)?.digest).toBe(listDigest(list.name, text));
    expect(subscribers[0]).toMatchObject({ hash: head.hash, version: i + 1, matches: true });
    if (i < lists.length) continue;
    const change = answer.records.find((record) => record.record === 'change');
    changed += (change?.added ?? 0) + (change?.removed ?? 0);
    sentBytes += applied?.bytes ?? 0;
    snapshotBytes += snapshotSize(lists);
  }
  const churned = PUSHES - lists.length;
  console.log(
    `${churned} versions, ${changed} entries changed: ${sentBytes} bytes sent (${(sentBytes / changed).toFixed(2)} an entry), ` +
      `as snapshots ${snapshotBytes}: ${(snapshotBytes / sentBytes).toFixed(1)} times as much`,
  );
  expect(sentBytes).toBeLessThan(snapshotBytes / 5);
  await subscriber.kill();
  const restarted = await scene.subscriber('firewall');
  expect(await restarted.logged((line) => String(line['msg']).startsWith('restored'))).toMatchObject({
    version: PUSHES,
  });
  await restarted.logged((line) => line['msg'] === 'connected');
  expect(await control.synced('firewall')).toMatchObject({ bytesSent: 0 });
});
