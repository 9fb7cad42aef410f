/**
 * What a qrexec service would run: carries bytes between its standard input and output and the endpoint in
 * its argument.
 */

import { connect, listen, parseEndpoint } from '@rulecast/vchan';

const listener = await listen(parseEndpoint('stdio:'));
const near = await listener.accept();
const far = await connect(parseEndpoint(process.argv[2] ?? ''));

/** @param {import('@rulecast/vchan').Channel} from @param {import('@rulecast/vchan').Channel} to */
async function carry(from, to) {
  for (;;) {
    if (from.dataReady() === 0) {
      if (from.state === 'disconnected') break;
      await from.waitReadable();
      continue;
    }
    let bytes = from.read(65_536);
    while (bytes.length > 0 && to.state !== 'disconnected') {
      bytes = bytes.subarray(to.write(bytes));
      if (bytes.length > 0) await to.waitWritable();
    }
    if (to.state === 'disconnected') break;
  }
  from.close();
  to.close();
}

await Promise.all([carry(near, far), carry(far, near)]);
await listener.close();
