/**
 * The supervisor: keeps an applier running for a subscriber that has no privileges left to start one with. It passes whole frames both
 * ways and looks into none; where an applier dies, what it was asked is lost, and the subscriber is told so.
 */

import { spawn } from 'node:child_process';
import { SEARCH_PATH } from './command.ts';
import { RESPAWN_MS } from './limits.ts';
import { FrameSplitter, frameOf } from './message.ts';

/** Runs appliers, one after the other, until the input ends. Resolves when the last of them has ended. */
export async function supervise(
  program: string,
  args: readonly string[],
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): Promise<void> {
  let ending = false;
  let child: ReturnType<typeof start> | undefined = start();
  let held: Buffer[] = []; // asked while there is none
  const requests = new FrameSplitter();
  input.on('data', (bytes: Buffer) => {
    for (const frame of requests.push(bytes)) {
      if (child === undefined) held.push(Buffer.from(frame));
      else child.stdin.write(frame);
    }
  });
  input.once('end', () => {
    ending = true;
    child?.stdin.end();
  });
  for (;;) {
    await ended(child);
    if (ending) return;
    child = undefined;
    for (const piece of frameOf({ died: true })) output.write(piece);
    await new Promise((resolve) => setTimeout(resolve, RESPAWN_MS));
    child = start();
    for (const frame of held) child.stdin.write(frame);
    held = [];
    if (ending) child.stdin.end();
  }

  function start() {
    const next = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: SEARCH_PATH } });
    const replies = new FrameSplitter();
    next.stdin.on('error', () => undefined); // it ended; `ended` says so
    next.stdout.on('data', (bytes: Buffer) => {
      for (const frame of replies.push(bytes)) output.write(frame);
    });
    return next;
  }
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
}
