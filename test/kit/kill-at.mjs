/**
 * Loaded into a daemon before its own code (`NODE_OPTIONS=--import`): kills it by SIGKILL at one of the steps
 * by which it writes files below a folder. Each file has two: it is written to its half, and it is whole and
 * not yet in place. RULECAST_KILL_IN names the folder, RULECAST_KILL_AT counts from 1.
 */

import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const folder = `${process.env['RULECAST_KILL_IN']}/`;
const at = Number(process.env['RULECAST_KILL_AT']);
let steps = 0;

/** @param {unknown} path @param {() => Promise<unknown>} [first] What is done of the step before it ends. */
async function step(path, first) {
  if (!String(path).startsWith(folder) || ++steps !== at) return;
  await first?.();
  process.kill(process.pid, 'SIGKILL');
}

const { open, rename } = promises;
Object.assign(promises, {
  /** @param {Parameters<typeof rename>} args */
  rename: async (...args) => {
    await step(args[1]);
    return rename(...args);
  },
  /** @param {Parameters<typeof open>} args */
  open: async (...args) => {
    const file = await open(...args);
    const writeFile = file.writeFile.bind(file);
    file.writeFile = async (data, options) => {
      const bytes = /** @type {Uint8Array} */ (data);
      await step(args[0], () => writeFile(bytes.subarray(0, bytes.length >> 1)));
      return writeFile(data, options);
    };
    return file;
  },
});
syncBuiltinESMExports();
