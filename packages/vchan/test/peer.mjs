/**
 * The other end of a channel in a process of its own, over the built package.
 *
 *     node peer.mjs connect|listen URL flood|echo|once|silent
 *
 * `flood` writes the same block again and again, `echo` sends back what comes, `once` writes the block and
 * stays, `silent` only stays. It says `ready` on standard error when the channel is there and `written` when
 * `once` is done.
 */
import { readFileSync } from 'node:fs';
import { connect, listen, parseEndpoint } from '@rulecast/vchan';

const [, , how, url, what, blockFile] = process.argv;
const endpoint = parseEndpoint(url);
const channel = how === 'listen' ? await (await listen(endpoint)).accept() : await connect(endpoint);
process.stderr.write('ready\n');

async function send(bytes) {
  for (let sent = 0; sent < bytes.length && channel.state === 'connected'; ) {
    sent += channel.write(bytes.subarray(sent));
    if (sent < bytes.length) await channel.waitWritable();
  }
}

async function next() {
  while (channel.dataReady() === 0 && channel.state === 'connected') await channel.waitReadable();
  return channel.read(65_536);
}

const block = blockFile === undefined ? new Uint8Array(0) : readFileSync(blockFile);
switch (what) {
  case 'flood':
    while (channel.state === 'connected') await send(block);
    break;
  case 'once':
    await send(block);
    process.stderr.write('written\n');
    setInterval(() => undefined, 60_000);
    break;
  case 'echo':
    for (let bytes = await next(); bytes.length > 0; bytes = await next()) await send(bytes);
    process.exit(0);
    break;
  case 'silent':
    setInterval(() => undefined, 60_000);
    break;
  default:
    throw new Error(`no such behaviour: ${what}`);
}
