/** Pushes a list without `rulectl`, whose start and file would take most of a measured time. */

import { Connection } from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { endpointsIn } from '../processes.mjs';

/**
 * Replaces the list `hosts` of the publisher in `directory`; resolves once the release is made.
 * @param {string} directory
 * @param {string} text
 * @returns {Promise<{ readonly version: number, readonly createdAtMs: number }>}
 */
export async function committed(directory, text) {
  const bytes = Buffer.from(text);
  const connection = new Connection(await connect(parseEndpoint(endpointsIn(directory).control)));
  const common = /** @type {const} */ ({ action: 'replace', replaceAll: false, dryRun: false, files: 1 });
  const wait = /** @type {const} */ ({ wait: 'released', timeoutMs: 60_000 });
  await connection.send({ kind: 'push', ...common, ...wait, list: 'hosts', allowGrowth: true });
  await connection.send({ kind: 'file', name: 'hosts.txt', role: 'pushed', bytes: bytes.length });
  const sent = await connection.sendBytes([bytes]);
  await connection.send({ kind: 'end', sha256: sent.sha256 });
  for (;;) {
    const message = (await connection.receive())?.message;
    if (message?.kind !== 'record') throw new Error(`a record was due: ${JSON.stringify(message)}`);
    if (message.record.record !== 'release') continue;
    connection.close();
    return message.record;
  }
}
