/**
 * The supervisor: keeps an applier running for a subscriber that has no rights left to start one. It passes
 * whole frames both ways without reading them. When an applier dies, its open requests are lost, and the
 * subscriber is told.
 */

import type { Readable, Writable } from 'node:stream';
import { ALIVE_EVERY_MS } from '../limits.ts';
import { FrameSplitter, type FromApplier, frameOf } from './message.ts';
import { ApplierProcess } from './process.ts';

/** Runs appliers, one after the other, until the input ends. Resolves when the last of them has ended. */
export async function supervise(
  program: string,
  args: readonly string[],
  input: Readable,
  output: Writable,
): Promise<void> {
  const tell = (message: FromApplier): void => {
    for (const piece of frameOf(message)) output.write(piece);
  };
  const applier = new ApplierProcess(
    { program, args },
    {
      onFrame: (frame) => output.write(frame),
      onGone: () => {
        tell({ died: true });
        input.pause(); // further requests wait in the pipe
      },
      onRestart: () => input.resume(),
    },
  );
  output.on('error', () => undefined); // nobody reads any more: the input ends, too
  const alive = setInterval(() => tell({ alive: true }), ALIVE_EVERY_MS);
  const requests = new FrameSplitter();
  const drained = (): unknown => input.resume();
  input.on('data', (bytes: Buffer) => {
    for (const frame of requests.push(bytes)) {
      if (applier.input?.write(frame) === false) {
        input.pause();
        applier.input.once('drain', drained);
      }
    }
  });
  await new Promise((resolve) => input.once('end', resolve));
  clearInterval(alive);
  await applier.close();
}
