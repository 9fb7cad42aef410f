/**
 * The Salt formula (packaging/salt), as far as that can be seen outside Qubes: rendered by Jinja and read as
 * YAML, it says what docs/tutorial/qubes.md says to do by hand. That Qubes' own states do so is not tried.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { blockText, ROOT } from '../docs/blocks.ts';

const RENDERER = join(ROOT, 'test/python/salt.py');
const FORMULA = join(ROOT, 'packaging/salt');

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

/** A list of maps of one entry each, as one. */
function mapOf(value: unknown): Readonly<Record<string, string>> {
  if (!Array.isArray(value)) throw new TypeError(`no list: ${JSON.stringify(value)}`);
  return Object.assign({}, ...value);
}

const of = (states: readonly State[], does: string): readonly State[] =>
  states.filter((state) => state.does === does);
const lines = (block: string): readonly string[] =>
  blockText(`docs/tutorial/qubes.md#${block}`).trim().split('\n');

const dom0Of = (pillar: object): readonly State[] => statesOf(rendered(pillar)['dom0.sls']);

it.runIf(isThere())('the Salt formula does what the manual does by hand', () => {
  const files = rendered({ management_template: 'debian-13', firewall_template: 'debian-13' });
  expect(files['init.top']).toEqual({
    base: {
      dom0: ['rulecast.dom0'],
      'debian-13': ['rulecast.management-template', 'rulecast.firewall-template'],
    },
  });
  const [script] = dom0Of({});
  expect(script).toMatchObject({ does: 'cmd.script', said: { source: 'salt://rulecast/rulecast-dom0' } });
  expect(existsSync(join(ROOT, 'packaging/qubes/rulecast-dom0'))).toBe(true);
  expect(`sh rulecast-dom0 ${script?.said['args']}`).toBe(lines('In dom0/2')[0]);

  for (const [name, block] of [
    ['management-template.sls', 'In the templates'],
    ['firewall-template.sls', 'In the templates/2'],
  ] as const) {
    const states = statesOf(files[name]);
    const sources = of(states, 'pkg.installed').flatMap(({ said }) => Object.values(mapOf(said['sources'])));
    expect(`apt install ./${String(sources[0]).replace(/.*\//, '')} && poweroff`).toBe(lines(block)[0]);
    expect(of(states, 'file.managed').map(({ id }) => id)).toEqual(sources);
    expect(states).toHaveLength(2);
  }
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(lines('In the templates')[0]).toContain(`_${version}_`);
});

it.runIf(isThere())('and has several firewalls, and templates of Fedora', () => {
  const [script] = dom0Of({ management: 'sys-rules', firewalls: ['sys-firewall', 'fw-work'] });
  expect(script?.said['args']).toBe('sys-rules sys-firewall fw-work');
  const fedora = statesOf(rendered({}, 'RedHat')['firewall-template.sls']);
  expect(fedora[0]?.id).toMatch(/\/rulecast-firewall-[\d.]+-1\.x86_64\.rpm$/);
});
