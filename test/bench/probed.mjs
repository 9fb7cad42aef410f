/** Processes whose event loops are watched by stall-probe.mjs. */

import { readFileSync } from 'node:fs';

/**
 * @typedef {object} Stall Milliseconds.
 * @property {number} stallMs The longest time that the event loop stood still.
 * @property {number} ownMs The longest without what its thread waited meanwhile for a processor that others had.
 * @property {number} cpuMs The most that its thread ran of such a time: what it did, whatever the machine does.
 */

/**
 * Starts processes that write their stalls to `file`, with their ids appended.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} start
 * @returns {Promise<T>}
 */
export async function probed(file, start) {
  process.env['RULECAST_STALLS'] = file;
  process.env['NODE_OPTIONS'] = `--import=${new URL('stall-probe.mjs', import.meta.url).href}`;
  try {
    return await start();
  } finally {
    delete process.env['NODE_OPTIONS'];
  }
}

/** What a process has written. @param {string} file @param {{ readonly pid?: number | undefined }} of @returns {Stall} */
export function stallOf(file, { pid }) {
  return JSON.parse(readFileSync(`${file}.${pid}`, 'utf8'));
}
