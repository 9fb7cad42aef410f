/**
 * Metrics of real processes, as Prometheus reads them: promtool checks them and the alerts, and the document
 * has each of them.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRICS } from '../../packages/rulectl/src/render/metrics.ts';
import { ROOT } from '../docs/blocks.ts';
import { rulectl } from '../processes.mjs';
import { Scene } from './scene.ts';

const RULES = join(ROOT, 'packaging/prometheus/rulecast.rules.yml');

/** Why nothing is checked by promtool here, printed; undefined where it is. Throws instead where CI=true. */
function promtoolGap(): string | undefined {
  if (spawnSync('promtool', ['--version']).status === 0) return undefined;
  if (process.env['CI'] === 'true') throw new Error('metrics cannot be checked: promtool is not installed');
  const text = 'promtool is not installed (apt-get install promtool)';
  console.log(`tests of metrics by promtool are skipped: ${text}`);
  return text;
}
const hasPromtool = promtoolGap() === undefined;

/** What promtool says; '' where it has nothing to say. */
function promtool(args: readonly string[], input = ''): { readonly status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8', cwd: ROOT });
  return { status, said: `${stdout}${stderr}` };
}

/** A publisher with a list, a policy and a firewall, which has them in force. */
async function house(): Promise<Scene> {
  const scene = new Scene();
  writeFileSync(scene.path('p.yaml'), 'lists: {}\n');
  await scene.publisher(['--config', scene.path('p.yaml')]);
  await scene.subscriber('lab-firewall');
  writeFileSync(scene.path('bad.txt'), '203.0.113.7\n');
  writeFileSync(
    scene.path('f.yaml'),
    'unmatched: drop\npolicies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@bad, accept] } }\n',
  );
  const files = [scene.path('bad.txt'), scene.path('f.yaml')];
  expect((await rulectl(scene.directory, ['push', '--wait', 'applied', ...files])).code).toBe(0);
  return scene;
}

describe('rulectl metrics', () => {
  it('has what is released and in force, and promtool finds nothing to say of it', async () => {
    const scene = await house();
    const { code, stdout } = await rulectl(scene.directory, ['metrics']);
    expect(code).toBe(0);
    for (const line of [
      'rulecast_head_version 1',
      'rulecast_head_entries 1',
      'rulecast_releases_total{cause="push"} 1',
      'rulecast_release_refusals_total{guard="shrunk"} 0',
      'rulecast_store_commit_seconds_count 1',
      'rulecast_apply_seconds_count 1',
      'rulecast_outcomes_total{state="applied"} 1',
      'rulecast_control_requests_total{command="push",code="released"} 1',
      'rulecast_degraded{reason="absent"} 0',
      'rulecast_dns_upstream_seconds_count 0',
      'rulecast_list_entries{list="bad"} 1',
      'rulecast_list_packets_total{list="bad",verdict="drop"} 0',
      'rulecast_policy_packets_total{policy="work",verdict="accept"} 0',
      'rulecast_subscriber_connected{subscriber="lab-firewall"} 1',
      'rulecast_subscriber_matches_head{subscriber="lab-firewall"} 1',
      'rulecast_subscriber_active_version{subscriber="lab-firewall"} 1',
      'rulecast_series_left_out{kind="lists"} 0',
    ])
      expect(stdout.split('\n')).toContain(line);
    expect(stdout).toMatch(/^rulecast_build_info\{version="\d+\.\d+\.\d+[^"]*",protocol="\d+"\} 1$/m);
    expect(stdout).toMatch(/^rulecast_exported_timestamp_seconds 1\d{9}\.\d+$/m);
    const reasons = [...stdout.matchAll(/^rulecast_degraded\{reason="([\w-]+)"\} 0$/gm)].map(
      ([, one]) => one,
    );
    expect([...page.matchAll(/^\| `([\w-]+)` \| [^|]+ \|$/gm)].map(([, one]) => one)).toEqual([
      'reason',
      ...reasons,
    ]);
    const families = [...stdout.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
    expect(METRICS.map(({ name }) => name)).toEqual(expect.arrayContaining(families));
    if (hasPromtool) expect(promtool(['check', 'metrics'], stdout)).toEqual({ status: 0, said: '' });
  });

  it('is OpenMetrics where it is asked for, which Prometheus reads', async () => {
    const scene = await house();
    const { stdout } = await rulectl(scene.directory, ['metrics', '--openmetrics']);
    expect(stdout).toMatch(/^# TYPE rulecast_releases counter\nrulecast_releases_total\{cause="push"\} 1\n/m);
    expect(stdout).toMatch(/^rulecast_releases_created\{cause="push"\} 1\d{9}(\.\d+)?$/m);
    expect(stdout).toMatch(/^# TYPE rulecast_build info$/m);
    expect(stdout.endsWith('\n# EOF\n')).toBe(true);
    if (!hasPromtool) return;
    const at = stdout.replace(/^(?!#)(.+)$/gm, '$1 1790000000'); // what it takes has times
    writeFileSync(scene.path('metrics.txt'), at);
    const blocks = ['tsdb', 'create-blocks-from', 'openmetrics', scene.path('metrics.txt'), scene.path('db')];
    expect(promtool(blocks)).toMatchObject({ status: 0 });
  });

  it('replaces a file whole, which others may read, and leaves it where the publisher does not answer', async () => {
    const scene = new Scene();
    const publisher = await scene.publisher();
    const file = scene.path('rulecast.prom');
    writeFileSync(file, 'old\n', { mode: 0o600 });
    const { code, stdout } = await rulectl(scene.directory, ['metrics', '--output', file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/^rulecast_start_time_seconds /m);
    expect(statSync(file).mode & 0o444).toBe(0o444);
    await publisher.stop();
    expect((await rulectl(scene.directory, ['metrics', '--output', file])).code).toBe(3);
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect(readdirSync(scene.directory).filter((name) => name.includes('rulecast.prom'))).toEqual([
      'rulecast.prom',
    ]);
  });

  it('says what to do where the file cannot be written, and takes one file', async () => {
    const scene = new Scene();
    await scene.publisher();
    const gone = await rulectl(scene.directory, ['metrics', '--output', scene.path('gone', 'm.prom')]);
    expect(gone.code).toBe(74);
    expect(gone.stderr).toMatch(
      /m\.prom cannot be written: ENOENT.*; name a file in a directory that you may/,
    );
    const folder = await rulectl(scene.directory, ['metrics', '--output', scene.directory]);
    expect(folder.code).toBe(74);
    const twice = await rulectl(scene.directory, ['metrics', '--output', 'a', '--output', 'b']);
    expect(twice.code).toBe(64);
    expect((await rulectl(scene.directory, ['metrics', '--output', '-'])).code).toBe(64);
    expect((await rulectl(scene.directory, ['metrics', '--output', ''])).code).toBe(64);
  });
});

const page = readFileSync(join(ROOT, 'docs/reference/metrics.md'), 'utf8');

describe('docs/reference/metrics.md', () => {
  it('has each metric with its type, its labels and what it means', () => {
    const rows = [...page.matchAll(/^\| (`rulecast_\w+`.*) \|$/gm)].map(([, cells]) => cells);
    expect(rows).toEqual(
      METRICS.map(({ name, type, labels, help }) => {
        const shown = labels.map((label) => `\`${label}\``).join(', ');
        return `\`${name}\` | ${type} |${shown === '' ? '' : ` ${shown}`} | ${help}`;
      }),
    );
  });

  it('has each alert, and each alert looks at metrics that there are', () => {
    const rules = readFileSync(RULES, 'utf8');
    const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
    expect([...page.matchAll(/^\| `(Rulecast\w+)` \|/gm)].map(([, name]) => name)).toEqual(alerts);
    const known = new Set(METRICS.map(({ name }) => name));
    const used = [...rules.matchAll(/\brulecast_\w+/g)].map(([name]) => name);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});

describe.runIf(hasPromtool)('the alerts', () => {
  it('are sound, and fire where they should and nowhere else', () => {
    expect(promtool(['check', 'rules', RULES])).toMatchObject({ status: 0 });
    const { status, said } = promtool([
      'test',
      'rules',
      join(ROOT, 'test/prometheus/rulecast.rules.test.yml'),
    ]);
    expect({ status, said }).toMatchObject({ status: 0, said: expect.stringContaining('SUCCESS') });
    const tested = readFileSync(join(ROOT, 'test/prometheus/rulecast.rules.test.yml'), 'utf8');
    for (const [, name = ''] of readFileSync(RULES, 'utf8').matchAll(/^ +- alert: (\w+)$/gm))
      expect(tested).toMatch(new RegExp(`alertname: ${name}\n +exp_alerts:( &\\w+)?\n +- exp_labels`));
  });
});
