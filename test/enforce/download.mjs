/**
 * A download that never ends, as two programs: `download.mjs serve ADDRESS PORT` and
 * `download.mjs fetch ADDRESS PORT`.
 *
 * The bytes count up from 0 to 255 and again, so that the fetching side knows whether it got each. It prints
 * a JSON line each 20 ms in which something came: {"atMs": CLOCK_MONOTONIC, "bytes": all so far}, and
 * {"wrong": …} where the bytes are not what they should be or the connection ended.
 */

import { createConnection, createServer } from 'node:net';

const CHUNK_BYTES = 16 * 1024; // a multiple of 256
const CHUNK_EVERY_MS = 5;
const REPORT_EVERY_MS = 20;

const [, , side, host = '', port = ''] = process.argv;
if (side === 'serve') serve();
else fetch();

function serve() {
  const chunk = Buffer.from(Array.from({ length: CHUNK_BYTES }, (_, index) => index & 255));
  const server = createServer((socket) => {
    const timer = setInterval(() => {
      if (socket.writableNeedDrain) return; // a client that is cut off
      socket.write(chunk);
    }, CHUNK_EVERY_MS);
    socket.on('error', () => undefined);
    socket.on('close', () => clearInterval(timer));
  });
  server.listen(Number(port), host, () => say({ ready: true }));
}

function fetch() {
  let bytes = 0;
  let reported = 0;
  const socket = createConnection(Number(port), host);
  socket.on('data', (data) => {
    for (const byte of data) {
      if (byte !== (bytes & 255)) {
        say({ wrong: `byte ${bytes} is ${byte}` });
        process.exit(1);
      }
      bytes += 1;
    }
  });
  socket.on('error', (error) => say({ wrong: error.message }));
  socket.on('close', () => say({ wrong: 'closed' }));
  setInterval(() => {
    if (bytes === reported) return;
    reported = bytes;
    say({ atMs: Number(process.hrtime.bigint()) / 1e6, bytes });
  }, REPORT_EVERY_MS);
}

/** @param {Readonly<Record<string, unknown>>} line */
function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
