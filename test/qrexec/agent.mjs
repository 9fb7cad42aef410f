/**
 * What stands between two qubes when one calls a service of the other: dom0, which asks its policy, and the
 * agent at the other end, which connects to a service that is a socket and says first what is called, and by
 * whom.
 *
 *     node agent.mjs SOCKET SOURCE POLICY TAGS SERVICES
 *
 * All calls are of the qube SOURCE. POLICY is a file as dom0 has it, of which actions, names, `@anyvm` and
 * tags are read; TAGS has a line `QUBE TAG` for each tag, and is read at each call. SERVICES is the folder of
 * the services.
 */

import { existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { pass } from './pass.mjs';

const [socket = '', source = '', policy = '', tags = '', services = ''] = process.argv.slice(2);

/** @param {string} file @returns {readonly (readonly string[])[]} */
function wordsOf(file) {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([word = '']) => word !== '' && word[0] !== '#');
}

/** @param {string} pattern @param {string} qube */
function isMeant(pattern, qube) {
  if (pattern === '@anyvm') return true;
  if (!pattern.startsWith('@tag:')) return pattern === qube;
  return wordsOf(tags).some(([tagged, tag]) => tagged === qube && `@tag:${tag}` === pattern);
}

/** The first line that is about the call decides; without one it is refused. @param {string} target @param {string} called */
function isAllowed(target, called) {
  const [name = '', argument = ''] = called.split(/\+(.*)/);
  const line = wordsOf(policy).find(
    ([service, arg, from = '', to = '']) =>
      (service === name || service === '*') &&
      (arg === '*' || arg === `+${argument}`) &&
      isMeant(from, source) &&
      isMeant(to, target),
  );
  return line?.[4] === 'allow';
}

net
  .createServer({ allowHalfOpen: true }, (caller) => {
    caller.on('error', () => undefined);
    caller.once('readable', () => {
      const [target = '', called = ''] = `${caller.read() ?? ''}`.trim().split(' ');
      if (!isAllowed(target, called)) return void caller.end('r');
      caller.write('a');
      const name = called.split('+')[0] ?? '';
      const service = net.connect({ path: join(services, name), allowHalfOpen: true });
      // Between qubes there always is a +.
      service.write(`${called.includes('+') ? called : `${called}+`} ${source}\0`);
      pass(caller, service);
      pass(service, caller);
      service.on('error', () => caller.destroy());
      caller.on('close', () => service.destroy());
    });
  })
  .listen(socket, () => process.stdout.write('ready\n'));
