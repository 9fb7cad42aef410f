/**
 * Daemons whose log has no reader: a pipe that is full and blocks from the first line on. They work
 * for every peer, and end on SIGTERM.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { eventually } from '../enforce/enforcer.ts';
import { endpointsIn, rulectl } from '../processes.mjs';
import { Scene } from './scene.ts';

const BIN = {
  publisher: '../../packages/publisher/bin/rulecast-publisher.js',
  subscriber: '../../packages/subscriber/bin/rulecast-subscriber.js',
  dns: '../../packages/dns/bin/rulecast-dns.js',
} as const;
/** As long as a stop may take at most. */
const END_MS = 2_000;
const STRANGERS = 300;

/** A pipe without room whose writers wait. */
function fullPipe(scene: Scene): number {
  const path = scene.path('log');
  execFileSync('mkfifo', ['-m', '600', path]);
  const fd = openSync(path, constants.O_RDWR);
  const full = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(full, Buffer.alloc(4096, '.'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
  }
  closeSync(full);
  scene.onClose(() => closeSync(fd));
  return fd;
}

function start(
  scene: Scene,
  program: keyof typeof BIN,
  args: readonly string[],
  stderr: number,
): ChildProcess {
  const script = fileURLToPath(new URL(BIN[program], import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'ignore', stderr] });
  scene.onClose(() => void child.kill('SIGKILL'));
  return child;
}

/** How long it takes from SIGTERM to the end, and the exit code. */
async function stopped(child: ChildProcess): Promise<{ readonly code: number | null; readonly ms: number }> {
  const startMs = performance.now();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const [code] = await exited;
  return { code, ms: performance.now() - startMs };
}

/** Connects, says what is no frame, and is sent away. */
async function strange(path: string): Promise<void> {
  const socket = connect(path);
  socket.on('error', () => undefined);
  socket.write(Buffer.alloc(64, 0xff));
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
}

describe('a log that nobody reads', () => {
  it('holds up neither publisher nor subscriber, whoever fills it, and neither at its end', async () => {
    const scene = new Scene();
    const trust = await scene.trustLine();
    const fd = fullPipe(scene);
    const { control, listen } = endpointsIn(scene.directory);
    const publisher = start(
      scene,
      'publisher',
      ['--state', scene.path('publisher'), '--listen', listen, '--control', control, '--log-level', 'debug'],
      fd,
    );
    await eventually(async () => (await rulectl(scene.directory, ['status'])).code === 0);
    const connected = ['--trust', trust, '--connect', listen, '--name', 'fw', '--state', scene.path('fw')];
    const subscriber = start(scene, 'subscriber', connected, fd);
    await eventually(async () => (await rulectl(scene.directory, ['status'])).stdout.includes('fw'));
    for (let i = 0; i < STRANGERS; i += 50)
      await Promise.all(Array.from({ length: 50 }, () => strange(listen.slice('unix:'.length))));
    const pushed = await rulectl(
      scene.directory,
      ['push', '--require', 'fw', '--policy', 'default', '-'],
      'drop dst4=203.0.113.1\naccept\n',
    );
    expect(pushed).toMatchObject({ code: 0, stderr: '' });
    for (const daemon of [subscriber, publisher]) {
      const { code, ms } = await stopped(daemon);
      expect(code).toBe(0);
      expect(ms).toBeLessThan(END_MS);
    }
  });

  it('nor rulecast-dns', async () => {
    const scene = new Scene();
    const fd = fullPipe(scene);
    const path = scene.path('names.sock');
    const dns = start(
      scene,
      'dns',
      ['--listen', '127.77.0.1:5353', '--upstream', '127.0.0.1:9', '--releases', path],
      fd,
    );
    await eventually(async () => existsSync(path));
    for (let i = 0; i < STRANGERS; i++) await strange(path);
    const { code, ms } = await stopped(dns);
    expect([code, ms < END_MS]).toEqual([0, true]);
  });

  // A socket pair is what the service manager gives.
  it('nor where it is a socket', async () => {
    const scene = new Scene();
    await scene.trustLine();
    const { control, listen } = endpointsIn(scene.directory);
    const script = fileURLToPath(new URL(BIN.publisher, import.meta.url));
    const args = ['--state', scene.path('publisher'), '--listen', listen, '--control', control];
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    scene.onClose(() => void child.kill('SIGKILL'));
    await eventually(async () => (await rulectl(scene.directory, ['status'])).code === 0);
    // More lines than one that connects may cause: a file is missing at each.
    for (let i = 0; i < STRANGERS * 6; i += 50)
      await Promise.all(Array.from({ length: 50 }, () => strange(listen.slice('unix:'.length))));
    expect((await rulectl(scene.directory, ['status'])).code).toBe(0);
    const { code, ms } = await stopped(child);
    expect([code, ms < END_MS]).toEqual([0, true]);
    const text = child.stderr.read()?.toString() ?? '';
    expect(
      text.split('\n').filter((line: string) => line.includes('before it had a name')).length,
    ).toBeLessThan(1_300);
  });
});
