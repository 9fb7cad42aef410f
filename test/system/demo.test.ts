/**
 * The demo as somebody without rights sees it: packets in namespaces of their own, or why there are none; and
 * how it ends where something goes wrong. As root: it starts the demo as another user.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SECOND_USER, secondUser } from '../kit/second-user.ts';
import { sceneOf } from '../recording.mjs';
import { enforcementGap } from './namespaces.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DEMO = join(ROOT, 'test/demo.mjs');
const AS_NOBODY = secondUser() ?? [];
/** What a failed expectation may take to end it. */
const ENDS_WITHIN_MS = 5000;
const REFUSED = 'Packet filtered\n1 packets transmitted, 0 received';
const ANSWERED = '64 bytes from 198.18.0.2: icmp_seq=1 ttl=63';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'demo-'));
  chmodSync(directory, 0o777);
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(enforcementGap() !== undefined)('the demo', () => {
  it.each([
    ['a user without rights', AS_NOBODY],
    ['root', []],
  ])('has packets refused, answered, and refused again, as %s', async (_, launch) => {
    const { code, text } = await played([...launch, process.execPath, DEMO]);
    expect(code, text).toBe(0);
    inOrder(text, [
      REFUSED,
      '$ rulectl push examples/firewall.yaml',
      REFUSED,
      'icmp/8: drop',
      '$ rulectl push',
      ANSWERED,
      'icmp/8: accept',
      '$ rulectl rollback 1',
      REFUSED,
      'nothing is left behind',
    ]);
    expect(readdirSync(directory)).toEqual([]);
    expect(shapeOf(sceneOf(text)), 'npm run recording renews the picture').toEqual(shapeOf(pictured()));
  });

  // In a chroot the kernel refuses user namespaces.
  it('says where the kernel refuses namespaces, and shows verdicts', async () => {
    const tree = join(directory, 'tree');
    mkdirSync(tree);
    const enter = `mount --rbind / "$0" && cd / && exec chroot --userspec=${SECOND_USER}:${SECOND_USER} "$0" "$@"`;
    const { code, text } = await played([
      'unshare',
      '--mount',
      'sh',
      '-c',
      enter,
      tree,
      process.execPath,
      DEMO,
    ]);
    expect(code, text).toBe(0);
    inOrder(text, [
      'Verdicts only, no packets: no user namespace (unshare: unshare failed: Operation not permitted): a chroot',
      'icmp/8: drop',
      'icmp/8: accept',
      'nothing is left behind',
    ]);
    expect(text).not.toContain('$ ping');
  });

  it('says which programs it lacks, and shows verdicts', async () => {
    const { code, text } = await played([...AS_NOBODY, 'env', `PATH=${directory}`, process.execPath, DEMO]);
    expect(code, text).toBe(0);
    inOrder(text, [
      'Verdicts only, no packets: unshare, nsenter, mount, ip, ping not found: install the packages util-linux, iproute2',
      'icmp/8: drop',
      'nothing is left behind',
    ]);
  });

  it.each(['publisher', 'subscriber'])('ends soon, with its last line, where the %s ends', async (name) => {
    const demo = start([...AS_NOBODY, process.execPath, DEMO]);
    const { pid = '' } = (await demo.prints(new RegExp(`${name} pid (?<pid>\\d+)`)))?.groups ?? {};
    await demo.prints(/rulectl push/);
    process.kill(Number(pid), 'SIGKILL');
    const startMs = performance.now();
    expect(await demo.ended).toBe(1);
    expect(performance.now() - startMs).toBeLessThan(ENDS_WITHIN_MS);
    expect(demo.text()).toMatch(/The demo failed: /);
    expect(demo.text()).toMatch(new RegExp(`^The last line of the ${name}: \\{"level".*\\}$`, 'm'));
    expect(readdirSync(directory)).toEqual([]);
  });
});

/** The lines of README's picture. */
function pictured(): readonly string[] {
  const svg = readFileSync(join(ROOT, 'docs/images/demo-light.svg'), 'utf8');
  const text = (markup: string): string =>
    markup
      .replace(/<[^>]+>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&');
  return [...svg.matchAll(/<text [^>]*>(.*)<\/text>/g)].map(([, line = '']) => text(line));
}

/** Times and sizes differ from run to run. */
function shapeOf(lines: readonly string[]): readonly string[] {
  return lines.map((line) => line.replace(/ in [\d.]+ m?s\b|(?<=time=)[\d.]+|[\d.]+ k?B\b/g, '#'));
}

function inOrder(text: string, pieces: readonly string[]): void {
  let at = 0;
  for (const piece of pieces) {
    const found = text.indexOf(piece, at);
    expect(found, `${piece} in ${text.slice(at)}`).toBeGreaterThanOrEqual(0);
    at = found + piece.length;
  }
}

async function played(command: readonly string[]): Promise<{ code: number | null; text: string }> {
  const demo = start(command);
  return { code: await demo.ended, text: demo.text() };
}

function start([program = '', ...args]: readonly string[]) {
  const env = { PATH: process.env['PATH'] ?? '', HOME: directory, TMPDIR: directory };
  const child: ChildProcess = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let heard = (): void => undefined;
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      heard();
    });
  const ended = once(child, 'close').then(([code]): number | null => code);
  const prints = async (what: RegExp): Promise<RegExpExecArray | null> => {
    while (!what.test(text) && child.exitCode === null)
      await Promise.race([ended, new Promise<void>((resolve) => (heard = resolve))]);
    return what.exec(text);
  };
  return { ended, prints, text: () => text };
}
