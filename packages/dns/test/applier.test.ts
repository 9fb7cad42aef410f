/** What is asked of the applier, at a socket of somebody else who answers in its place. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpeningOutcome, Outcome, openingFrame } from '@rulecast/nftables/openings';
import { expect, it, onTestFinished } from 'vitest';
import { OPENING } from '../../../test/kit/opening.ts';
import { answerFrame, OpeningReader } from '../../nftables/src/apply/opening.ts';
import { ApplierSocket } from '../src/proxy/applier.ts';
import { Watch } from '../src/proxy/watch.ts';

const FRAME_BYTES = openingFrame({ ...OPENING, id: 1 }).length;

interface Asked {
  readonly applier: ApplierSocket;
  /** What came of each opening, with its place in the wait; and of each wait. */
  readonly told: (readonly [wait: number, index: number, outcome: OpeningOutcome])[];
  readonly outcomes: (readonly [wait: number, outcome: OpeningOutcome])[];
}

/** An applier that does with each connection what is said, and who asks it. */
async function asking(serve: (socket: Socket) => void): Promise<Asked> {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-applier-'));
  const path = join(directory, 'openings.sock');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    serve(socket);
  }).listen(path);
  await once(server, 'listening');
  const watch = new Watch();
  const told: (readonly [number, number, OpeningOutcome])[] = [];
  const outcomes: (readonly [number, OpeningOutcome])[] = [];
  const applier = new ApplierSocket(path, watch, (wait, index, outcome) => {
    told.push([wait, index, outcome]);
    outcomes.push([wait, outcome]);
  });
  onTestFinished(() => {
    applier.close();
    watch.close();
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  expect(applier.isConnected).toBe(true);
  return { applier, told, outcomes };
}

it('asks in one write what is asked in one turn, and is told of each', async () => {
  const sizes: number[] = [];
  const { applier, outcomes } = await asking((socket) => {
    const reader = new OpeningReader();
    socket.on('data', (bytes) => {
      sizes.push(bytes.length);
      for (const { id } of reader.feed(bytes))
        socket.write(answerFrame(id, id % 2 === 0 ? Outcome.full : Outcome.open));
    });
  });
  for (let wait = 1; wait <= 100; wait++) applier.ask(wait, [OPENING]);
  await expect.poll(() => outcomes.length).toBe(100);
  expect(sizes).toEqual([100 * FRAME_BYTES]);
  for (const [wait, outcome] of outcomes) expect(outcome).toBe(wait % 2 === 0 ? Outcome.full : Outcome.open);
});

it('waits for one that does not read, loses nothing of what it took, and refuses what is beyond', async () => {
  const MANY = 30_000; // more than the kernel holds, and more than is held here
  const seen: number[] = [];
  let served: Socket | undefined;
  const { applier, outcomes } = await asking((socket) => {
    socket.pause();
    served = socket;
    const reader = new OpeningReader();
    socket.on('data', (bytes) => {
      for (const { id } of reader.feed(bytes)) {
        seen.push(id);
        socket.write(answerFrame(id, Outcome.open));
      }
    });
  });
  await expect.poll(() => served).toBeDefined();
  for (let wait = 1; wait <= MANY; wait++) applier.ask(wait, [OPENING]);
  const beyond = outcomes.length;
  expect(beyond).toBeGreaterThan(0);
  expect(outcomes.every(([, outcome]) => outcome === Outcome.later)).toBe(true);
  served?.resume();
  await expect.poll(() => outcomes.length).toBe(MANY);
  expect(seen).toEqual(Array.from({ length: MANY - beyond }, (_, i) => i + 1));
  expect(outcomes.filter(([, outcome]) => outcome === Outcome.open)).toHaveLength(MANY - beyond);
});

it('is told of which opening of a wait something came', async () => {
  const { applier, told } = await asking((socket) => {
    const reader = new OpeningReader();
    socket.on('data', (bytes) => {
      const ids = [...reader.feed(bytes)].map(({ id }) => id).reverse();
      for (const id of ids) socket.write(answerFrame(id, id === 1 ? [true, false] : Outcome.full));
    });
  });
  applier.ask(7, [OPENING, OPENING, OPENING]);
  await expect
    .poll(() => told.map(([wait, index, of]) => [wait, index, Array.isArray(of) ? of.slice(0, 3) : of]))
    .toEqual([
      [7, 2, Outcome.full],
      [7, 1, Outcome.full],
      [7, 0, [true, false, false]],
    ]);
});

it('says later of what one was asked that ends, and asks the next', async () => {
  let connections = 0;
  const { applier, outcomes } = await asking((socket) => {
    connections++;
    const reader = new OpeningReader();
    socket.on('data', (bytes) => {
      if (connections === 1) socket.destroy();
      else for (const { id } of reader.feed(bytes)) socket.write(answerFrame(id, Outcome.open));
    });
  });
  applier.ask(1, [OPENING, OPENING]);
  await expect
    .poll(() => outcomes)
    .toEqual([
      [1, Outcome.later],
      [1, Outcome.later],
    ]);
  expect(applier.isConnected).toBe(false);
  applier.ask(2, [OPENING]);
  expect(outcomes.at(-1)).toEqual([2, Outcome.later]);
  await expect.poll(() => connections).toBe(2);
  applier.ask(3, [OPENING]);
  await expect.poll(() => outcomes.at(-1)).toEqual([3, Outcome.open]);
});

it('leaves one that answers what there is not', async () => {
  let connections = 0;
  const { applier, outcomes } = await asking((socket) => {
    connections++;
    socket.on('data', () => socket.write(Uint8Array.of(0, 0, 0, 1, 9, ...new Uint8Array(8))));
  });
  applier.ask(1, [OPENING]);
  await expect.poll(() => outcomes).toEqual([[1, Outcome.later]]);
  await expect.poll(() => connections).toBe(2);
});
