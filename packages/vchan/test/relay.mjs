/** Joins its standard input and output to a Unix socket: `node relay.mjs PATH`. Ends when either side does. */
import net from 'node:net';

const input = new net.Socket({ fd: 0, readable: true, writable: false });
const output = new net.Socket({ fd: 1, readable: false, writable: true });
const socket = net.connect({ path: process.argv[2], allowHalfOpen: true });
input.pipe(socket).pipe(output);
for (const stream of [input, output, socket]) {
  stream.on('error', () => process.exit(0));
}
socket.on('end', () => output.on('finish', () => process.exit(0)));
