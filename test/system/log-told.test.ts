/**
 * The log of refused packets, from a firewall to people and programs: real publisher, real `rulectl`, and a
 * firewall with a scripted log.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Capability, type Connection, type WireRefused } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { endpointsIn, rulectl, rulectlOffline } from '../processes.mjs';
import { Scene, within } from './scene.ts';

const RULECTL = fileURLToPath(new URL('../../packages/rulectl/bin/rulectl.js', import.meta.url));
/** 2026-07-01T00:00:00Z. */
const NOW_S = 1_782_864_000;
const SOON_MS = 10_000;
const PAGE_REFUSALS = 10;
/** As many as a firewall keeps. */
const MANY = 10_000;
const RUNS = 3;

const REFUSED: WireRefused = {
  id: 1,
  what: 'packet',
  qube: Uint8Array.of(10, 137, 0, 5),
  interface: 'vif7.0',
  direction: 'egress',
  remote: Uint8Array.of(192, 0, 2, 7),
  proto: 6,
  port: 443,
  name: 'www.example.org',
  reason: 'rule',
  count: 3,
  firstS: NOW_S - 60,
  lastS: NOW_S,
  version: 1,
  judgedBy: 1,
  verdict: {
    action: 'drop',
    direction: 'egress',
    policy: 'work',
    rulePolicy: 'work',
    block: 'own',
    rule: 'action=drop dst=@bad',
    ruleIndex: 0,
    run: 0,
    list: 'bad',
    prefix: '192.0.2.0/24',
  },
};
const RULES = `unmatched: drop
lists: { bad: { entries: [192.0.2.0/24] } }
policies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@bad, accept] } }
`;

/** A firewall that takes no release, and answers what it is asked about its log. */
class ToldFirewall {
  refused: readonly WireRefused[] = [];
  lost = 0;
  asked = 0;
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async open(scene: Scene, name: string, capabilities: readonly string[]): Promise<ToldFirewall> {
    const connection = await scene.greet(name, { capabilities });
    const firewall = new ToldFirewall(connection);
    const welcome = await connection.receive();
    expect(welcome?.message.kind).toBe('welcome');
    void firewall.#answer();
    return firewall;
  }

  async #answer(): Promise<void> {
    for (;;) {
      const received = await this.#connection.receive().catch(() => undefined);
      if (received === undefined) return;
      const { message, transaction } = received;
      if (message.kind === 'ping') await this.#connection.send({ kind: 'pong' });
      if (message.kind !== 'query' || message.refused === undefined) continue;
      this.asked++;
      const { after } = message.refused;
      const left = this.refused.filter(({ id }) => id > after);
      const refused = left.slice(0, PAGE_REFUSALS);
      const next = left.length > refused.length ? refused.at(-1)?.id : undefined;
      const answer = { kind: 'answer', ok: true, refused, refusedLost: this.lost, '+next': next } as const;
      await this.#connection.send(answer, transaction);
    }
  }
}

async function scene(): Promise<Scene> {
  const opened = new Scene();
  await opened.publisher();
  writeFileSync(opened.path('rules.yaml'), RULES);
  const pushed = await rulectl(opened.directory, ['push', opened.path('rules.yaml'), '--yes', '--no-wait']);
  expect(pushed.code, pushed.stderr).toBe(0);
  return opened;
}

it('says why, how often and what could allow it, to people and to programs', async () => {
  const at = await scene();
  const firewall = await ToldFirewall.open(at, 'fw', [Capability.firewallLog]);
  await ToldFirewall.open(at, 'quiet', []);
  firewall.refused = [REFUSED];
  firewall.lost = 2;
  const { code, stdout, stderr } = await rulectl(at.directory, ['log']);
  expect(stdout.split('\n')).toEqual([
    '2026-07-01 00:00:00Z  10.137.0.5 > 192.0.2.7 tcp/443 (www.example.org), 3 times: work rule 1 (action=drop dst=@bad): list bad has 192.0.2.0/24',
    '  rulectl allow www.example.org --qube 10.137.0.5 --for 1h',
    "# Qubes' own rules of a qube (qvm-firewall) are asked as well: what they refuse stays refused.",
    '',
  ]);
  expect(stderr).toMatch(
    /^rulectl: fw refused more than it could keep: 2 .*\nrulectl: not logged by quiet: /,
  );
  expect(code).toBe(0);

  const json = await rulectl(at.directory, ['log', '--json']);
  const { qube: _qube, remote: _remote, ...fields } = REFUSED;
  expect(
    json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    {
      kind: 'refused',
      subscriber: 'fw',
      ...fields,
      qube: '10.137.0.5',
      remote: '192.0.2.7',
      allow: 'www.example.org',
    },
    { kind: 'lost', subscriber: 'fw', count: 2 },
    { kind: 'warning', code: 'unsupported', part: 'subscriber quiet', reason: expect.any(String) },
    { kind: 'end', exit: 0, code: 'ok' },
  ]);
});

it('ends with 3 and what to write where no firewall logs', async () => {
  const at = await scene();
  await ToldFirewall.open(at, 'quiet', []);
  const { code, stderr } = await rulectl(at.directory, ['log']);
  expect([code, stderr]).toEqual([3, expect.stringContaining('RULECAST_LOG=true')]);
});

it('is followed by a process that shows what comes', async () => {
  const at = await scene();
  const firewall = await ToldFirewall.open(at, 'fw', [Capability.firewallLog]);
  const args = [RULECTL, 'log', '--follow', '--control', endpointsIn(at.directory).control];
  const follower = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  at.onClose(() => void follower.kill('SIGKILL'));
  const shown = within(once(follower.stdout, 'data'), SOON_MS, 'a line');
  await expect.poll(() => firewall.asked, { timeout: SOON_MS }).toBeGreaterThanOrEqual(1);
  firewall.refused = [REFUSED];
  expect(String(await shown)).toContain('10.137.0.5 > 192.0.2.7 tcp/443');
});

it('takes the role admin; sums take status', async () => {
  const at = new Scene();
  const group = process.getgid?.();
  writeFileSync(
    at.path('p.yaml'),
    `operators: { desk: { role: status, socket: { path: desk.sock, group: ${group} } } }\n`,
  );
  await at.publisher(['--config', at.path('p.yaml')]);
  const asDesk = (...args: readonly string[]) =>
    rulectlOffline([...args, '--control', `unix:${at.path('desk.sock')}`]);
  const refused = await asDesk('log');
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/desk may status, and log takes the role admin; rulectl log --top lists/),
  ]);
  const sums = await asDesk('log', '--top', 'lists');
  expect([sums.code, sums.stdout]).toEqual([0, expect.stringContaining('no list dropped anything')]);
});

it('of as many refusals as a firewall keeps is told whole', async () => {
  const at = await scene();
  const firewall = await ToldFirewall.open(at, 'fw', [Capability.firewallLog]);
  firewall.refused = Array.from({ length: MANY }, (_, i) => ({ ...REFUSED, id: i + 1, port: i }));
  const took: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const { code, stdout, ms } = await rulectl(at.directory, ['log', '--json']);
    expect([code, stdout.split('\n').length]).toEqual([0, MANY + 2]);
    took.push(ms);
  }
  const [, median = 0] = took.sort((a, b) => a - b);
  const machine = `${cpus()[0]?.model}, Node ${process.versions.node}, median of ${RUNS}`;
  console.log(
    `rulectl log of ${MANY} refusals, ${PAGE_REFUSALS} a page: ${Math.round(median)} ms (${machine})`,
  );
});
