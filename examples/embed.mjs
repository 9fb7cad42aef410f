/**
 * A firewall of your own around the subscriber: it receives releases and judges packets; you forward or drop
 * them.
 *
 *   node examples/embed.mjs "$(rulecast-publisher --print-trust)" unix:/run/rulecast/subscribers.sock
 *
 * Prints the verdict of one packet whenever a release comes into force; ends with the process.
 */

import { parseTrust } from '@rulecast/protocol';
import { parseAddress } from '@rulecast/rules';
import { createSubscriber } from '@rulecast/subscriber';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';

const [trustLine = '', endpointText = ''] = process.argv.slice(2);
const trust = parseTrust(trustLine);
const dst = parseAddress('203.0.113.5');
if (trust === undefined || dst === undefined) throw new Error('the first argument is a trust line');
const endpoint = parseEndpoint(endpointText);

const subscriber = await createSubscriber({
  channel: (signal) => connect(endpoint, { signal }), // called again after every disconnect
  trust,
  name: 'my-firewall',
  logger: pino({ level: 'silent' }),
  bootMode: 'closed', // drop everything until the first release
});

/** @type {import('@rulecast/rules').Packet} */
const packet = { direction: 'egress', src: undefined, dst, proto: 6, port: 443, icmpType: undefined };
console.log(`at boot: ${subscriber.lookup(packet).action}`);
subscriber.events.on('applied', ({ release }) => {
  const { action, policy, list } = subscriber.lookup(packet);
  console.log(`version ${release.manifest.version}: ${action} by policy ${policy}, list ${list ?? 'none'}`);
});
process.once('SIGTERM', () => void subscriber.close());
