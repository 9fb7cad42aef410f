/** `rulectl doctor --report`: what is wrong, and nothing that says where or whose it is. */

import { expect, it } from 'vitest';
import { doubt, fault, good, type Machine } from '../src/doctor/finding.ts';
import { reportLines } from '../src/doctor/report.ts';
import { recordOf } from '../src/terminal/records.ts';
import { ndjson, rulectl } from './cli.ts';
import { head, list, subscriber } from './records.ts';

const REASON = { code: 'bad-rule-set', text: 'list secret-list of 10.137.0.5', atMs: 5 };
const STATUS = [
  head({ degraded: ['list secret-list is not fresh: https://feeds.example/x'] }),
  subscriber({ name: 'secret-firewall', bound: ['qube secret-qube'] }),
  subscriber({ name: 'other', state: 'refused', refusal: REASON }),
  subscriber({ name: 'third', state: 'behind', lastError: { ...REASON, code: 'secret-code' } }),
];
const LISTS = [
  list({ name: 'secret-list', origin: 'https://feeds.example/x' }),
  list({ name: 'b', state: 'failing', error: { code: 'shrunk', text: 'secret', atMs: 5 } }),
];
const RUNS: Readonly<Record<string, string>> = {
  'rulectl --version': '0.3.0\n',
  'rulecast-publisher --version': '0.3.0\n',
  'nft --version': 'nftables v1.1.3 (Commodore Bullmoose #4)\n',
  'systemctl --version': 'systemd 257 (257.9-1~deb13u1)\n+PAM +AUDIT\n',
  'rulectl status --json': [...STATUS.map(recordOf), { kind: 'end' }]
    .map((each) => JSON.stringify(each))
    .join('\n'),
  'rulectl lists --json': LISTS.map((each) => JSON.stringify(recordOf(each))).join('\n'),
};

function machineOf(runs: Readonly<Record<string, string>>): Machine {
  return {
    text: (path) =>
      path === '/etc/os-release' ? 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n' : undefined,
    state: () => undefined,
    target: () => undefined,
    freeBytes: () => undefined,
    run: (program, ...args) => {
      const stdout = runs[[program, ...args].join(' ')];
      return { status: stdout === undefined ? undefined : 0, stdout: stdout ?? '' };
    },
    nowMs: 0,
    kernel: '6.12.48',
    node: '20.19.2',
  };
}

const FINDINGS = [
  good('key', '/var/lib/secret-folder is its own'),
  doubt('qube', 'this is secret-qube', 'do something at 10.137.0.5'),
  fault('socket', 'there is no secret', 'start it'),
];

it('has versions, states and codes', () => {
  expect(reportLines(machineOf(RUNS), FINDINGS, true)).toEqual([
    'rulectl              0.3.0',
    'rulecast-publisher   0.3.0',
    'rulecast-subscriber  none',
    'rulecast-dns         none',
    'nft                  1.1.3',
    'systemctl            257',
    'node                 20.19.2',
    'kernel               6.12.48',
    'system               Debian GNU/Linux 13 (trixie)',
    'qube                 none',
    'doctor: key          good',
    'doctor: qube         doubt',
    'doctor: socket       fault',
    'publisher            epoch 1, version 13, parts 2, entries 1,000,000, rules 1',
    'degraded             1 reason',
    'subscribers          1 synced, 1 refused, 1 behind',
    'their errors         1 bad-rule-set, 1 other',
    'lists                1 ok, 1 failing',
  ]);
});

it('has no name, address, key or text of what it looked at', () => {
  const text = reportLines(machineOf(RUNS), FINDINGS, true).join('\n');
  expect(text).not.toMatch(/secret|example|10\.137|other,|third|[0-9a-f]{16}/);
});

it('says where the publisher does not answer', () => {
  const text = reportLines(machineOf({}), [], true).join('\n');
  expect(text).toContain('publisher            does not answer');
});

it('is made where no package is installed, too, and is text in records', async () => {
  const { exit, stdout } = await rulectl(['doctor', '--report']);
  expect(stdout).toMatch(/^node +\d+\.\d+\.\d+$/m);
  expect(exit).toBe(0);
  const records = ndjson((await rulectl(['doctor', '--report', '--json'])).stdout);
  const text = records.map((record) => record['text'] ?? '').join('');
  expect(text).toBe(stdout);
});
