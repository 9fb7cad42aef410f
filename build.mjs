/**
 * `npm run build`: builds each package that changed, by Turborepo. It says which it builds while it does, nothing
 * if all are built, and of one that fails what its compiler said.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const started = performance.now();
/** On standard error: what runs after a build may be piped. @param {string} text */
const say = (text) => process.stderr.write(text);
const turbo = spawn('turbo', ['run', 'build', '--json', '--output-logs=new-only', '--no-update-notifier'], {
  env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1' },
  stdio: ['ignore', 'pipe', 'pipe'],
});
const ended = once(turbo, 'close');
/** Packages in the order in which they are begun. @type {string[]} */
const begun = [];
/** @type {string[]} */
const errors = [];
turbo.stderr.setEncoding('utf8').on('data', (text) => errors.push(text));
for await (const line of createInterface({ input: turbo.stdout })) {
  const { source, level, text } = JSON.parse(line);
  const [, name] = /^@rulecast\/(.*)#build$/.exec(source) ?? [];
  if (name === undefined && level === 'error') errors.push(`${text}\n`);
  if (name === undefined || !text.startsWith('cache miss')) continue;
  if (begun.length === 0) say('Building: 10 seconds on two fast processors, minutes on a slow machine\n');
  say(`${begun.length === 0 ? '' : ', '}${name}`);
  begun.push(name);
}
const [code] = await ended; // null: by a signal
if (begun.length > 0) say(code === 0 ? `: ${Math.ceil((performance.now() - started) / 1000)} s\n` : '\n');
if (code !== 0) {
  for (const name of begun) say(logOf(name));
  say(errors.join(''));
}
process.exit(code ?? 1);

/** What the build of a package printed, if it failed. @param {string} name */
function logOf(name) {
  const home = name === 'protocol' ? name : `packages/${name}`;
  const text = readFileSync(`${home}/.turbo/turbo-build.log`, 'utf8');
  return /npm error/.test(text) ? text.replace(/^npm error.*\n/gm, '') : '';
}
