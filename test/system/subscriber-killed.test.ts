/**
 * A subscriber that is killed at any moment enforces, once it is back, one whole release: the last one or the
 * next.
 */

import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { dottedQuad, millionHosts } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import type { Daemon } from '../processes.mjs';
import { releaseOf } from './control-client.ts';
import { Gateway, Interviewer } from './gateway.ts';
import { Scene, within } from './scene.ts';

const SEED = 0x5eed02;
const PUSHES = 100;
const HOSTS = 20_000;
/** From the push on; a push of this list is in force after about 50 ms. */
const KILL_WITHIN_MS = 60;

/** When to kill: as soon as the state directory shows that step, or after a while. */
const MOMENTS = [
  { step: 'the candidate is being written', file: /\.release\.part$/ },
  { step: 'the candidate is written', file: /\.release$/ },
  { step: 'the mark is being written', file: /^active\.part$/ },
  { step: 'the mark is written', file: /^active$/ },
  { step: 'some time', file: undefined },
] as const;

/** Each kill waits for a restart, and for a connection that comes back ever later. */
const PATIENCE_MS = 400_000;

let watcher: FSWatcher | undefined;

afterEach(() => watcher?.close());

it(
  'restores the last release or the next, whole, whenever it is killed',
  async () => {
    console.log(`seed ${SEED}`);
    const next = seededNumbers(SEED);
    const scene = new Scene();
    const { control } = scene;
    await scene.publisher();
    const state = scene.path('firewall');
    mkdirSync(state);
    const front = scene.path('front.sock');
    const trust = await scene.trustLine();
    let gateway = await Gateway.open(front, scene.path('subscribers.sock'));
    scene.onClose(() => gateway.close());
    const start = (): Promise<Daemon> => scene.subscriber('firewall', `unix:${front}`);
    let subscriber = await start();
    const hosts = millionHosts(HOSTS, SEED).text;
    await control.push({ list: 'blocked', text: `${hosts}${marker(0)}\n` });
    await control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
    await control.synced('firewall');
    const hashes = [(await control.status()).head.hash];
    const outcomes = new Map<string, { old: number; new: number }>();
    for (let i = 1; i <= PUSHES; i++) {
      const moment = MOMENTS[i % MOMENTS.length] ?? MOMENTS[0];
      const killed = killAt(subscriber, state, moment.file, next(KILL_WITHIN_MS));
      const answer = await control.push({
        list: 'blocked',
        text: `${hosts}${marker(i)}\n`,
        wait: 'released',
      });
      hashes.push(releaseOf(answer).hash);
      await within(killed, 10_000, `a kill when ${moment.step}`);
      await gateway.close();

      const interviewer = await Interviewer.open(`unix:${front}`, trust);
      subscriber = await start();
      const { holds, hash, actions } = await within(
        interviewer.ask([marker(i - 1), marker(i)]),
        15_000,
        'a connection of the restarted subscriber',
      );
      await interviewer.close();
      const isNew = hash === hashes[i];
      expect(hash, `killed when ${moment.step}`).toBe(hashes[isNew ? i : i - 1]);
      expect(holds?.hash).toBe(hash);
      expect(actions).toEqual(isNew ? ['accept', 'drop'] : ['drop', 'accept']);
      const outcome = outcomes.get(moment.step) ?? { old: 0, new: 0 };
      outcome[isNew ? 'new' : 'old'] += 1;
      outcomes.set(moment.step, outcome);

      gateway = await Gateway.open(front, scene.path('subscribers.sock'));
      expect(await control.synced('firewall')).toMatchObject({ hash: hashes[i] });
    }
    console.log('restored, by when it was killed:', Object.fromEntries(outcomes));
    const all = [...outcomes.values()];
    expect(all.some((outcome) => outcome.old > 0)).toBe(true);
    expect(all.some((outcome) => outcome.new > 0)).toBe(true);
  },
  PATIENCE_MS,
);

/** In the list of one push only. */
function marker(index: number): string {
  return dottedQuad(0x0a000000 + index);
}

function killAt(subscriber: Daemon, state: string, file: RegExp | undefined, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const kill = (): void => {
      watcher?.close();
      subscriber.kill().then(resolve, reject);
    };
    if (file === undefined) setTimeout(kill, ms);
    else {
      watcher = watch(state, (_, name) => {
        if (name !== null && file.test(name)) kill();
      });
    }
  });
}
