/**
 * A TCP connection on which both sides talk all the time, as two programs: `chatter.mjs serve ADDRESS PORT`
 * and `chatter.mjs call ADDRESS PORT`. Each prints `up` once it hears the other, and then how the connection
 * ended.
 */

import { createConnection, createServer } from 'node:net';

const TALK_EVERY_MS = 10;

const [, , side, host = '', port = ''] = process.argv;
if (side === 'serve') createServer(talk).listen(Number(port), host, () => say('listening'));
else talk(createConnection(Number(port), host));

/** @param {import('node:net').Socket} socket */
function talk(socket) {
  const timer = setInterval(() => {
    if (!socket.connecting && !socket.writableNeedDrain) socket.write('word');
  }, TALK_EVERY_MS);
  socket.once('data', () => say('up'));
  socket.on('data', () => undefined);
  socket.on('error', (error) => say('code' in error ? String(error.code) : error.message));
  socket.on('close', () => clearInterval(timer));
}

/** @param {string} word */
function say(word) {
  process.stdout.write(`${word}\n`);
}
