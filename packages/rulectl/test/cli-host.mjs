/**
 * Runs command lines one after another in one process, each like `dist/main.js`, as most of a `rulectl`'s
 * time is its start. Each ends with a mark on both outputs, and a message with the exit code.
 */

import { writeSync } from 'node:fs';
import { runCli } from '../dist/cli.js';

process.on('message', async ({ args, cwd, environment, mark }) => {
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, environment);
  const exit = await runCli(args, process.env);
  for (const fd of [1, 2]) writeAll(fd, Buffer.from(mark));
  process.send({ exit });
});
process.on('disconnect', () => process.exit());

/** Blocks while the pipe is full. */
function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}
