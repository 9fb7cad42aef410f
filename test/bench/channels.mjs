/**
 * Bytes a second through a channel whose ends are in one process: a vchan by its library, which is the stub
 * of the tests, beside a Unix socket. What Xen adds to a vchan is not in it.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, listen, parseEndpoint } from '@rulecast/vchan';
import { machineLine, median, runsOf, table } from './report.mjs';

const STUB = fileURLToPath(new URL('../../packages/vchan/test/stub-libvchan.c', import.meta.url));
const LIBRARY = 'libvchan-xen.so';
const SENT_BYTES = 256 * 2 ** 20;
const PIECE = new Uint8Array(65_536);

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 5);
  const folder = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  try {
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-pthread', '-o', join(folder, LIBRARY), STUB]);
    const self = fileURLToPath(import.meta.url);
    const measured = (/** @type {string} */ endpoint) => {
      // Where libraries are looked for is settled when a process starts.
      const env = { ...process.env, LD_LIBRARY_PATH: folder };
      const one = () => Number(execFileSync(process.execPath, [self, endpoint], { env, encoding: 'utf8' }));
      return median(Array.from({ length: runs }, one));
    };
    process.stdout.write(machineLine(runs));
    const rows = [`unix:${join(folder, 'socket')}`, `vchan:1:1?library=${LIBRARY}`].map((endpoint) => [
      endpoint.replace(folder, ''),
      Math.round(measured(endpoint)).toString(),
    ]);
    process.stdout.write(`\n${table(['endpoint', 'MB/s'], rows)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** MB a second from one end to the other. @param {string} text */
async function throughput(text) {
  const endpoint = parseEndpoint(text);
  const listener = await listen(endpoint);
  const [client, server] = await Promise.all([connect(endpoint), listener.accept()]);
  const startMs = performance.now();
  await Promise.all([send(client), receive(server)]);
  const seconds = (performance.now() - startMs) / 1000;
  client.close();
  await listener.close();
  return SENT_BYTES / seconds / 1e6;
}

/** @param {import('@rulecast/vchan').Channel} channel */
async function send(channel) {
  for (let left = SENT_BYTES; left > 0; ) {
    left -= channel.write(PIECE.subarray(0, Math.min(left, PIECE.length)));
    if (channel.bufferSpace() === 0) await channel.waitWritable();
  }
}

/** @param {import('@rulecast/vchan').Channel} channel */
async function receive(channel) {
  for (let left = SENT_BYTES; left > 0; ) {
    await channel.waitReadable();
    left -= channel.read(left).length;
  }
}

const [, program, endpoint] = process.argv;
if (program === fileURLToPath(import.meta.url) && endpoint !== undefined) {
  process.stdout.write(`${await throughput(endpoint)}`);
  process.exit(0);
}
