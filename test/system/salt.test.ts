/**
 * The Salt formula (packaging/salt), as far as that can be seen outside Qubes: rendered by Jinja and read as
 * YAML, it says what docs/qubes.md says to do by hand. That Qubes' own states do so is not tried.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { blockText, ROOT } from '../docs/blocks.ts';

const RENDERER = join(ROOT, 'test/python/salt.py');
const FORMULA = join(ROOT, 'packaging/salt');
const MANUAL = readFileSync(join(ROOT, 'docs/qubes.md'), 'utf8');

/** What a state is told: a list of maps, of one entry each. */
type Said = readonly Readonly<Record<string, unknown>>[];
interface State {
  readonly id: string;
  readonly does: string;
  readonly said: Readonly<Record<string, unknown>>;
}

function isThere(): boolean {
  if (spawnSync('python3', ['-c', 'import jinja2, yaml']).status === 0) return true;
  const reason = 'python3 with jinja2 and yaml is not installed: the Salt formula is not rendered';
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`${reason}\n`);
  return false;
}

function rendered(
  pillar: object,
  family = 'Debian',
): Readonly<Record<string, Readonly<Record<string, never>>>> {
  const input = JSON.stringify({ pillar: { rulecast: pillar }, grains: { os_family: family } });
  const { status, stdout, stderr } = spawnSync('python3', ['-B', RENDERER, FORMULA], {
    input,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

/** The states of a file, in its order. */
function statesOf(file: Readonly<Record<string, Readonly<Record<string, Said>>>> = {}): readonly State[] {
  return Object.entries(file).flatMap(([id, state]) =>
    Object.entries(state).map(([does, said]) => ({ id, does, said: Object.assign({}, ...said) })),
  );
}

/** A list of the formula. */
function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError(`no list: ${JSON.stringify(value)}`);
  return value;
}

/** A list of maps of one entry each, as one. */
function mapOf(value: unknown): Readonly<Record<string, string>> {
  return Object.assign({}, ...listOf(value));
}

const of = (states: readonly State[], does: string): readonly State[] =>
  states.filter((state) => state.does === does);
const lines = (block: string): readonly string[] => blockText(`docs/qubes.md#${block}`).trim().split('\n');

it.runIf(isThere())('the Salt formula says what the manual says to do by hand', () => {
  const files = rendered({ management_template: 'debian-13', firewall_template: 'debian-13' });
  expect(files['init.top']).toEqual({
    base: {
      dom0: ['rulecast.dom0'],
      'debian-13': ['rulecast.management-template', 'rulecast.firewall-template'],
      mgmt: ['rulecast.management'],
    },
  });
  const [dom0, management, managementTemplate, firewallTemplate] = [
    'dom0.sls',
    'management.sls',
    'management-template.sls',
    'firewall-template.sls',
  ].map((name) => statesOf(files[name]));
  if (!dom0 || !management || !managementTemplate || !firewallTemplate) throw new Error('a file is missing');

  const tags = of(dom0, 'qvm.tags').map(({ said }) => `qvm-tags ${said['name']} add ${said['add']}`);
  const services = of(dom0, 'qvm.service').map(
    ({ said }) => `qvm-service ${said['name']} ${said['enable']} on`,
  );
  const byHand = lines('In dom0').filter((line) => /^qvm-(tags|service) /.test(line));
  expect([...tags, ...services].sort()).toEqual([...byHand].sort());
  expect(of(dom0, 'file.managed').map(({ id, said }) => [id, said['source']])).toEqual([
    [/\/etc\/\S*policy/.exec(MANUAL)?.[0], 'salt://rulecast/30-rulecast.policy'],
  ]);
  expect(existsSync(join(ROOT, 'packaging/qubes/30-rulecast.policy'))).toBe(true);

  const bindDirs = of(management, 'file.managed').map(({ id, said }) => `echo "${said['contents']}" > ${id}`);
  expect(bindDirs).toEqual([lines('In the management qube').at(-1)]);

  for (const [states, block] of [
    [managementTemplate, 'In the templates'],
    [firewallTemplate, 'In the templates/2'],
  ] as const) {
    const sources = of(states, 'pkg.installed').flatMap(({ said }) => Object.values(mapOf(said['sources'])));
    const units = of(states, 'service.enabled').map(({ id }) => id);
    const copied = of(states, 'file.managed').map(({ id }) => id);
    expect([
      `apt install ./${String(sources[0]).replace(/.*\//, '')}`,
      `systemctl enable ${units.join(' ')}`,
    ]).toEqual(lines(block));
    expect(copied).toEqual(expect.arrayContaining(sources));
  }
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(lines('In the templates')[0]).toContain(`_${version}_`);
});

it.runIf(isThere())('and has firewalls answer DNS where it says whom they ask', () => {
  const template = (pillar: object): readonly State[] => statesOf(rendered(pillar)['firewall-template.sls']);
  const [without, states] = [template({}), template({ dns: ['10.139.1.1', '10.139.1.2'] })];
  const linesOf = (all: readonly State[], file: string): readonly string[] => {
    const contents = all.find(({ id }) => id === file)?.said['contents'] ?? [];
    return (Array.isArray(contents) ? contents : [contents]).map(String);
  };
  const [environment, own] = ['/etc/rulecast/subscriber.env', '/etc/rulecast/dns.env'];
  const more = linesOf(states, environment).filter((line) => !linesOf(without, environment).includes(line));
  const units = of(states, 'service.enabled').map(({ id }) => id);
  expect([
    `echo '${linesOf(states, own)}' > ${own}`,
    `cat >> ${environment} <<'END'`,
    ...more,
    'END',
    `systemctl enable ${units.slice(of(without, 'service.enabled').length).join(' ')}`,
  ]).toEqual(lines('Blocked names'));
  expect(linesOf(without, own)).toEqual([]);
});

it.runIf(isThere())(
  'and has dom0 say to each firewall where to call, and whom to trust once that is known',
  () => {
    const trust = `rulecast2:${'a'.repeat(32)}:${'b'.repeat(64)}`;
    const files = rendered({ firewalls: ['sys-firewall', 'fw-work'], trust });
    const features = of(statesOf(files['dom0.sls']), 'qvm.features').map(({ said }) => said);
    expect(features.map(({ name }) => name)).toEqual(['sys-firewall', 'fw-work']);
    const set = mapOf(features[1]?.['set']);
    const connect = /^RULECAST_CONNECT=(.*)$/m.exec(MANUAL)?.[1];
    expect(set).toEqual({ 'vm-config.rulecast-connect': connect, 'vm-config.rulecast-trust': trust });
    const environment = statesOf(files['firewall-template.sls']).find(({ id }) =>
      id.endsWith('subscriber.env'),
    );
    const asked = Object.keys(set)
      .map((key) => `qubesdb:/${key.replace('.', '/')}`)
      .sort();
    const contents = listOf(environment?.said['contents']).map(String);
    expect(contents.map((line) => line.split('=')[1]).sort()).toEqual(asked);
    for (const line of contents) expect(MANUAL).toContain(`\`${line}\``);
    const unknown = statesOf(rendered({})['dom0.sls']);
    expect(JSON.stringify(of(unknown, 'qvm.features'))).not.toContain('rulecast-trust');
    const fedora = statesOf(rendered({}, 'RedHat')['firewall-template.sls']);
    expect(fedora[0]?.id).toMatch(/\/rulecast-firewall-[\d.]+-1\.x86_64\.rpm$/);
  },
);
