/**
 * A connection that is cut anywhere in a transfer leaves the last good release in force, and the next
 * connection brings the new one.
 */

import { FRAME_HEADER_BYTES, FrameDecoder } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { millionHosts } from '../inputs.mjs';
import { Gateway, type Interview, Interviewer } from './gateway.ts';
import { Scene, within } from './scene.ts';

const SEED = 0x5eed03;
/** About 1 MB on the wire. */
const HOSTS = 600_000;
const LAST_GOOD = '10.0.0.1';
const MARKER = '10.0.0.2';

/** Some hundred cuts, each with a connection that comes back. */
const PATIENCE_MS = 600_000;

it(
  'has the last good release in force after a cut at any frame or chunk border, and then the new one',
  async () => {
    console.log(`seed ${SEED}`);
    const scene = new Scene();
    const { control } = scene;
    const front = scene.path('front.sock');
    const upstream = scene.path('subscribers.sock');
    await scene.publisher();
    let subscriber = await scene.subscriber('firewall');
    await control.push({ list: 'blocked', text: `${LAST_GOOD}\n` });
    await control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
    const { hash: lastGood } = await control.synced('firewall');
    await subscriber.stop();
    scene.copy('firewall', 'firewall.good');
    const trust = await scene.trustLine();
    await control.push({
      list: 'blocked',
      text: `${millionHosts(HOSTS, SEED).text}${MARKER}\n`,
      wait: 'released',
    });
    const { hash: head } = (await control.status()).head;

    const recorder = await Gateway.open(front, upstream);
    scene.onClose(() => recorder.close());
    subscriber = await scene.subscriber('firewall', `unix:${front}`);
    await control.synced('firewall');
    await subscriber.stop();
    await recorder.close();
    const cuts = cutPoints(Buffer.concat(recorder.recorded.at(-1) ?? []));
    expect(cuts.length).toBeGreaterThanOrEqual(60);

    let sawNew = 0;
    for (const afterBytes of cuts) {
      scene.copy('firewall.good', 'firewall');
      const cutter = await Gateway.open(front, upstream);
      cutter.carry = { kind: 'cut', afterBytes };
      subscriber = await scene.subscriber('firewall', `unix:${front}`);
      await within(cutter.ended, 30_000, `a connection cut after ${afterBytes} bytes`);
      await cutter.close();
      const interviewer = await Interviewer.open(`unix:${front}`, trust);
      const seen = await within(interviewer.ask([LAST_GOOD, MARKER]), 30_000, 'the next connection');
      await interviewer.close();
      const isNew = seen.hash === head;
      if (isNew) sawNew += 1;
      const expected: Pick<Interview, 'hash' | 'actions'> = isNew
        ? { hash: head, actions: ['accept', 'drop'] }
        : { hash: lastGood, actions: ['drop', 'accept'] };
      expect(seen, `cut after ${afterBytes} bytes`).toMatchObject(expected);
      const through = await Gateway.open(front, upstream);
      expect(await control.synced('firewall')).toMatchObject({ hash: head });
      await subscriber.kill();
      await through.close();
    }
    console.log(`${cuts.length} cuts in ${cuts.at(-1)} bytes; ${sawNew} after the whole transfer`);
    expect(sawNew).toBeGreaterThan(0);
    expect(sawNew).toBeLessThan(4);
  },
  PATIENCE_MS,
);

/** Each frame's start, one byte before it, and its header's end; the middle of the short ones. */
function cutPoints(session: Buffer): readonly number[] {
  const decoder = new FrameDecoder();
  decoder.feed(session);
  const points = new Set<number>([0, 1]);
  let at = 0;
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
    const end = at + FRAME_HEADER_BYTES + frame.body.length;
    for (const point of [at + FRAME_HEADER_BYTES, end - 1, end]) points.add(point);
    if (frame.body.length < 1000) points.add((at + end) >> 1);
    at = end;
  }
  return [...points].sort((a, b) => a - b);
}
