/** The command line of the packet loop. */

import { parseArgs } from 'node:util';
import { parseTrust } from '@rulecast/protocol';
import { EndpointError, parseEndpoint } from '@rulecast/vchan';

export const HELP = `node examples/packet-loop.mjs [options]

Judges raw IPv4 and IPv6 packets, again and again, in threads of their own, by the rules of a
subscriber in this process. All packets are taken as sent by a qube (egress). Nothing is sent.

  --threads N     judging threads, 1 to 32; default 1
  --seconds N     how long, 1 to 86,400; default 5
  --pcap FILE     the packets of a capture (tcpdump -s 0 -w FILE), instead of made ones
  --seed N        of the made packets; default 1
  --connect ENDPOINT --trust LINE
                  a publisher that runs already, and what rulecast-publisher --print-trust says
                  of it; else one in this process, with a new release every quarter of a second
  --json          a JSON object a line: for each second, and for the whole run
  --help          this text
`;

/** What the user wrote cannot be done. */
export class UsageError extends Error {}

/**
 * @typedef {object} Options
 * @property {boolean} help
 * @property {boolean} json
 * @property {number} threads
 * @property {number} seconds
 * @property {number} seed
 * @property {string | undefined} pcap
 * @property {import('./scene.mjs').Scene | undefined} publisher One that runs already.
 */

/** Throws UsageError. @param {readonly string[]} args @returns {Options} */
export function readOptions(args) {
  const values = valuesOf(args);
  return {
    help: values.help === true,
    json: values.json === true,
    threads: numberOf('threads', values.threads, 1, 32),
    seconds: numberOf('seconds', values.seconds, 1, 86_400),
    seed: numberOf('seed', values.seed, 1, 2 ** 31 - 1),
    pcap: values.pcap,
    publisher: publisherOf(values.connect, values.trust),
  };
}

/** @param {readonly string[]} args */
function valuesOf(args) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        threads: { type: 'string', default: '1' },
        seconds: { type: 'string', default: '5' },
        seed: { type: 'string', default: '1' },
        pcap: { type: 'string' },
        connect: { type: 'string' },
        trust: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} name @param {string} text @param {number} least @param {number} most */
function numberOf(name, text, least, most) {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new UsageError(`--${name} is a whole number from ${least} to ${most}, not "${text}"`);
}

/** @param {string | undefined} connect @param {string | undefined} line @returns {Options['publisher']} */
function publisherOf(connect, line) {
  if (connect === undefined && line === undefined) return undefined;
  if (connect === undefined || line === undefined) throw new UsageError('--connect and --trust go together');
  const trust = parseTrust(line);
  if (trust === undefined)
    throw new UsageError('--trust is the line that rulecast-publisher --print-trust prints');
  try {
    return { endpoint: parseEndpoint(connect), trust, close: () => Promise.resolve() };
  } catch (error) {
    if (error instanceof EndpointError) throw new UsageError(error.message);
    throw error;
  }
}
