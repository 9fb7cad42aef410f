/**
 * An attacker that may connect to a publisher, as a process of its own: `node attacker.mjs SOCKET TRUST
 * NAME…`. Twenty-five times a second it connects and says nothing, says HELLO under the next of the names,
 * and sends what is no frame; and one session of its own sends PINGs and reads nothing until it is ended. A
 * steady pace: it has a part of the two cores itself, which is not what is measured.
 */

import { createConnection } from 'node:net';
import { Connection, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { trusting } from '../kit/roots.mjs';

const [path = '', trust = '', ...names] = process.argv.slice(2);
const trusted = trusting(parseTrust(trust));
const PAUSE_MS = 40;
/** Silent ones that it keeps open: as many as the publisher has places. */
const SILENT_MAX = 256;
const PINGS = 40;
const ping = /** @type {const} */ ({ kind: 'ping' });

/** @type {import('node:net').Socket[]} */
const silent = [];
/** @type {Connection | undefined} */
let flood;
let claims = 0;

function raw() {
  const socket = createConnection(path);
  socket.on('error', () => undefined);
  socket.resume();
  return socket;
}

/** @param {string} name */
async function greet(name) {
  const connection = new Connection(await connect(parseEndpoint(`unix:${path}`)));
  const limits = { entries: 1_000_000, bytes: 10_000_000, parts: 1024 };
  const versions = { protocolMin: PROTOCOL_VERSION, protocolMax: PROTOCOL_VERSION };
  await connection.send({ kind: 'hello', ...versions, ...trusted, name, refused: [], limits });
  return connection;
}

async function attack() {
  silent.push(raw());
  if (silent.length > SILENT_MAX) silent.shift()?.destroy();
  const garbage = raw();
  garbage.end(Buffer.alloc(4096, 0x5a));
  const claimed = await greet(names[claims++ % names.length] ?? 'attacker');
  claimed.receive().then(
    () => claimed.close(),
    () => claimed.close(),
  );
  if (flood === undefined) {
    flood = await greet('attacker');
    await flood.receive(); // WELCOME, and nothing after it
  }
  const session = flood;
  for (let i = 0; i < PINGS; i++) {
    session.send(ping).catch(() => {
      if (flood === session) flood = undefined;
    });
  }
}

process.stdout.write('attacking\n');
for (;;) {
  await attack().catch(() => undefined); // turned away, which it is there for
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
