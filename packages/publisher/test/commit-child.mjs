/**
 * A process that commits and is killed: by itself right after a commit resolved, or by the test at any time.
 * Arguments: state directory, how many commits, and `die` to be killed after the last. Prints each version
 * once its promise resolved.
 */

import { writeSync } from 'node:fs';
import { pino } from 'pino';
import { Publisher } from '../dist/index.js';

const [stateDirectory = '', count = '0', end] = process.argv.slice(2);
const publisher = new Publisher({
  stateDirectory,
  name: 'child',
  resolve: () => Promise.reject(new Error('there are no names')),
  logger: pino({ level: 'silent' }),
});

/** A list that tells its version. @param {number} version */
function listOf(version) {
  return Array.from({ length: 200 }, (_, i) => `10.${version}.${i}.1`).join('\n');
}

const first = (publisher.head?.manifest.version ?? 0) + 1;
for (let version = first; version < first + Number(count); version++) {
  const bytes = new TextEncoder().encode(listOf(version));
  await publisher.push({
    action: 'replace',
    list: 'blocked',
    policy: undefined,
    replaceAll: false,
    files: [{ name: 'blocked.txt', role: 'pushed', bytes }],
  });
  writeSync(1, `${version}\n`);
}
if (end === 'die') process.kill(process.pid, 'SIGKILL');
await publisher.close();
