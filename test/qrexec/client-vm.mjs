/**
 * The program `qrexec-client-vm TARGET SERVICE`, as far as a caller sees it: standard input and output are
 * the service's. Where the policy refuses the call it says so and ends with 126.
 *
 *     node client-vm.mjs AGENT TARGET SERVICE        AGENT: the socket of agent.mjs
 */

import net from 'node:net';
import { pass } from './pass.mjs';

const REFUSED = 126;

const [agent = '', target = '', service = ''] = process.argv.slice(2);
const call = net.connect({ path: agent, allowHalfOpen: true });
call.write(`${target} ${service}\n`);
call.once('readable', () => {
  const answer = call.read(1)?.toString();
  if (answer !== 'a') {
    process.stderr.write('Request refused\n');
    process.exit(REFUSED);
  }
  pass(process.stdin, call);
  pass(call, process.stdout);
});
call.on('error', () => process.exit(1));
call.on('close', () => process.exit(0));
