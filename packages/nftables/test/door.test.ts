/** The socket for openings by `rulecast-dns`, with a stand-in for the kernel. */

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { OPENING } from '../../../test/kit/opening.ts';
import { Door } from '../src/apply/door.ts';
import { AnswerReader, Outcome, openingFrame } from '../src/apply/opening.ts';

const COUNT = 5000;

it('answers each request of a flood once, in order, and those that come after it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-door-'));
  const path = join(directory, 'door.sock');
  const door = new Door(path);
  onTestFinished(() => {
    door.close();
    rmSync(directory, { recursive: true });
  });
  const seen: number[] = [];
  let pieces = 0;
  door.open((openings) => {
    pieces++;
    return openings.map(({ id, label }) => {
      seen.push(id);
      return label === OPENING.label ? Outcome.open : Outcome.refused;
    });
  });
  await expect.poll(() => existsSync(path)).toBe(true);
  const socket = connect(path);
  await once(socket, 'connect');
  const answers: number[] = [];
  const reader = new AnswerReader();
  socket.on('data', (bytes) => {
    for (const { id, outcome } of reader.feed(bytes)) answers.push(outcome === Outcome.open ? id : -id);
  });
  const ids = Array.from({ length: COUNT }, (_, i) => i + 1);
  socket.write(Buffer.concat(ids.map((id) => openingFrame({ ...OPENING, id }))));
  await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(COUNT);
  expect(pieces).toBeLessThan(COUNT / 10); // what came together is opened together
  for (let id = COUNT + 1; id <= COUNT + 5; id++) {
    socket.write(openingFrame({ ...OPENING, id }));
    await expect.poll(() => answers.at(-1)).toBe(id);
  }
  expect(answers).toEqual(Array.from({ length: COUNT + 5 }, (_, i) => i + 1));
  expect(seen).toEqual(answers);
  socket.destroy();
});
