/**
 * The demo: a publisher and a subscriber as processes of their own, a push of real lists and a real policy, a
 * push of a changed list (which travels as a delta), status and verdicts. Everything lives in a temporary
 * directory.
 *
 * With `--enforce`, as root: the same between two network namespaces, with real packets (demo-enforce.mjs).
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runEnforcementDemo } from './demo-enforce.mjs';
import { rulectl, startPublisher, startSubscriber } from './processes.mjs';
import { openRun } from './run/run.mjs';

const args = process.argv.slice(2);
if (args.join() === '--enforce') {
  openRun();
  process.exit(await runEnforcementDemo());
}
if (args.length > 0) {
  process.stderr.write('npm run demo [-- --enforce]\n');
  process.exit(64);
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
openRun();
const directory = mkdtempSync(join(tmpdir(), 'rulecast-demo-'));

/** @param {string} text */
function say(text) {
  process.stdout.write(`\n── ${text}\n`);
}

/**
 * Runs rulectl as a user would, shows what it prints, and stops the demo if it fails. @param {string[]} args
 */
async function show(...args) {
  process.stdout.write(`$ rulectl ${args.map((arg) => (/[ >]/.test(arg) ? `'${arg}'` : arg)).join(' ')}\n`);
  const { code, stdout, stderr } = await rulectl(directory, args);
  process.stdout.write(stdout);
  if (code !== 0) throw new Error(`rulectl ended with ${code}: ${stderr}`);
}

/** The Dutch list as it may be tomorrow: 40 prefixes gone, 10 new ones. */
function changedList() {
  const lines = readFileSync(join(ROOT, 'test/fixtures/lists/country-nl-ipv4.netset'), 'utf8')
    .trimEnd()
    .split('\n');
  const kept = lines.filter((line, index) => line.startsWith('#') || index % 140 !== 139);
  const added = Array.from({ length: 10 }, (_, index) => `203.0.113.${index * 16}/28`);
  const path = join(directory, 'netherlands.netset');
  writeFileSync(path, `${[...kept, ...added].join('\n')}\n`);
  return path;
}

async function main() {
  process.chdir(ROOT);
  say('A publisher (the management qube) and a subscriber (the firewall), each a process of its own');
  const publisher = await startPublisher(directory);
  const subscriber = await startSubscriber(directory, 'sys-firewall', [
    '--state',
    join(directory, 'subscriber'),
  ]);
  try {
    process.stdout.write(
      `publisher pid ${publisher.process.pid}, subscriber pid ${subscriber.process.pid}\n`,
    );
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    say('Push three real lists and the policies of three qubes: the first release, a snapshot');
    await show('push', 'examples/firewall.yaml');
    say('Push a changed list: the second release, a delta');
    await show('push', changedList());
    say('What is in force');
    await show('status');
    say('What packets get, asked of the live table in the firewall');
    await show('test', '10.137.0.5 > 203.0.113.5 tcp/443');
    await show('test', '10.137.0.6 > 5.3.0.1 tcp/443');
    await show('test', '10.137.0.9 > 192.0.2.1 icmp/8', '10.137.0.9 > 192.0.2.1 udp/9');
  } finally {
    await subscriber.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  say('Both processes ended, nothing is left behind');
}

await main();
