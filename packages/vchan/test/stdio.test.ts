import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { childPids } from '../../../test/kit/children.ts';
import type { Channel } from '../src/channel/channel.ts';
import type { ExecEndpoint } from '../src/channel/endpoint.ts';
import { SOCKET_SLACK_BYTES } from '../src/stream/channel.ts';
import { openPipes } from '../src/stream/stdio.ts';
import { connect, listen } from '../src/transport.ts';
import { BLOCK, PEER_PROGRAM } from './child.ts';
import { describeChannel } from './conformance.ts';
import {
  drain,
  fill,
  receive,
  repeats,
  sameBytes,
  seededBytes,
  sendAll,
  stopTimers,
  until,
} from './streams.ts';

/** The program of coreutils: Node makes no pipes. */
const MAKE_PIPE = 'mkfifo';
/** What a Linux pipe takes unless configured. */
const PIPE_BYTES = 65_536;
/**
 * What a Unix socket takes, which is what Node gives a child, and what `cat` has in its hands, generously.
 */
const CAT_BYTES = 1_048_576;
/**
 * A program that joins its standard input and output to two named pipes, which are gone once it has them: two
 * times `cat`.
 */
const JOIN = 'exec 3<&0 4>"$1" <"$2" && { cat <&3 >&4 & } && exec 3<&- 4>&- && rm "$1" "$2" && exec cat';

let directory = '';
let handlesBefore: readonly string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-'));
  handlesBefore = handles();
});

afterEach(async () => {
  await until(() => handles().length <= handlesBefore.length);
  rmSync(directory, { recursive: true });
});

/** Pipes, sockets and children that keep this process alive. */
function handles(): readonly string[] {
  return process.getActiveResourcesInfo().filter((kind) => /^(Pipe|PipeServer|Process)Wrap$/.test(kind));
}

interface OpenPipe {
  readonly readFd: number;
  readonly writeFd: number;
}

function makePipe(name: string): OpenPipe {
  const path = join(directory, name);
  execFileSync(MAKE_PIPE, [path]);
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeFd = openSync(path, constants.O_WRONLY);
  rmSync(path);
  return { readFd, writeFd };
}

describeChannel('stdio', async (bufferBytes) => {
  const up = makePipe('up');
  const down = makePipe('down');
  const server = openPipes(
    'server',
    { name: 'test' },
    { inputFd: up.readFd, outputFd: down.writeFd },
    bufferBytes,
  );
  const client = openPipes(
    'client',
    { name: 'test' },
    { inputFd: down.readFd, outputFd: up.writeFd },
    bufferBytes,
  );
  return {
    server,
    client,
    acceptedBytes: { min: 2 * bufferBytes, max: 2 * bufferBytes + SOCKET_SLACK_BYTES + PIPE_BYTES },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await until(() => handles().length <= handlesBefore.length);
    },
  };
});

describeChannel('exec', async (bufferBytes) => {
  const [up, down] = [join(directory, 'up'), join(directory, 'down')];
  execFileSync(MAKE_PIPE, [up, down]);
  // Open for reading and writing, so that whichever side opens first finds the other.
  const held = [up, down].map((path) => openSync(path, constants.O_RDWR));
  const inputFd = openSync(up, constants.O_RDONLY | constants.O_NONBLOCK);
  const outputFd = openSync(down, constants.O_WRONLY);
  const client = await connect({
    kind: 'exec',
    command: 'sh',
    args: ['-c', JOIN, 'join', up, down],
    bufferBytes,
  });
  const [child = 0] = childPids();
  await until(() => !existsSync(up) && !existsSync(down));
  for (const fd of held) closeSync(fd);
  const server = openPipes('server', { name: 'test' }, { inputFd, outputFd }, bufferBytes);
  return {
    server,
    client,
    acceptedBytes: { min: 2 * bufferBytes, max: 2 * bufferBytes + 2 * SOCKET_SLACK_BYTES + CAT_BYTES },
    stuck: () => [child, ...childPids(child)].every(isWaitingCat),
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await until(() => handles().length <= handlesBefore.length);
    },
  };
});

/**
 * Whether the process waits in a system call of `cat`: whatever can go on is woken before the call that lets
 * it returns.
 */
function isWaitingCat(id: number): boolean {
  try {
    const [, name, state] = /\((.*)\) (\w)/.exec(readFileSync(`/proc/${id}/stat`, 'utf8')) ?? [];
    return name === 'cat' && state === 'S';
  } catch {
    return false; // gone since it was listed: something that sh started before its cats
  }
}

function peerEndpoint(what: string, bufferBytes = 4_096): ExecEndpoint {
  const blockFile = join(directory, 'block');
  writeFileSync(blockFile, BLOCK);
  return {
    kind: 'exec',
    command: process.execPath,
    args: [PEER_PROGRAM, 'listen', 'stdio:', what, blockFile],
    bufferBytes,
  };
}

/** Starts a shell script as the other end. */
function script(text: string): Promise<Channel> {
  return connect({ kind: 'exec', command: 'sh', args: ['-c', text] });
}

describe('a program and its standard input and output', () => {
  it('are the two ends of one channel', async () => {
    const client = await connect(peerEndpoint('echo'));
    const bytes = seededBytes(1, 1_000_000);

    const [, received] = await Promise.all([sendAll(client, bytes), receive(client, bytes.length)]);

    expect(sameBytes(received, bytes)).toBe(true);
    client.close();
  });

  it('does not stop its own event loop when nobody reads its output', async () => {
    // The peer floods into a pipe that nobody empties, and answers a signal all the same.
    const args = [PEER_PROGRAM, 'listen', 'stdio:', 'flood', join(directory, 'block')];
    writeFileSync(join(directory, 'block'), BLOCK);
    const guard = `data:text/javascript,process.on('SIGUSR2',()=>{process.stderr.write('alive')})`;
    const output = makePipe('output');
    const child = spawn(process.execPath, ['--import', guard, ...args], {
      stdio: ['pipe', output.writeFd, 'pipe'],
    });
    let text = '';
    child.stderr?.on('data', (piece) => {
      text += piece;
    });
    await until(() => text.includes('ready'));

    child.kill('SIGUSR2');
    await until(() => text.includes('alive'));

    child.kill('SIGKILL');
    await once(child, 'close');
    closeSync(output.readFd);
    closeSync(output.writeFd);
  });

  it('killed in the middle of a stream leaves a beginning of it, then a disconnected channel', async () => {
    stopTimers(); // how it ended is told however long that takes
    const client = await connect(peerEndpoint('flood'));
    const before = await receive(client, 64 * BLOCK.length);

    const [child] = childPids();
    process.kill(child ?? 0, 'SIGKILL');
    const after = await receive(client, 1_000 * BLOCK.length);

    expect(repeats(before, BLOCK)).toBe(true);
    expect(repeats(after, BLOCK)).toBe(true);
    expect([client.state, client.closeReason]).toEqual(['disconnected', 'the program was ended by SIGKILL']);
  });

  it.each([
    ['exit 0', 'closed by the peer'],
    ['exit 3', 'the program exited with status 3'],
    ['kill -TERM $$', 'the program was ended by SIGTERM'],
    ['exit 126', 'the program exited with status 126'],
    ['echo Request refused >&2; exit 1', 'the program exited with status 1'],
  ])('tells how it ended: %s', async (text, reason) => {
    stopTimers();
    const client = await script(text);

    expect(await drain(client)).toBe(0);

    expect([client.state, client.closeReason, client.isForbidden]).toEqual(['disconnected', reason, false]);
  });

  it('is forbidden where it ends as qrexec-client-vm does when dom0 refuses the call', async () => {
    stopTimers();
    const client = await script('echo Request refused >&2; exit 126');
    expect(await drain(client)).toBe(0);
    expect([client.closeReason, client.isForbidden]).toEqual(['the qrexec policy refuses the call', true]);
  });

  it('leaves its last words to a slow reader, even when it no longer takes ours', async () => {
    stopTimers(); // as long as they come within a second of its closed input
    const client = await script(`exec <&-; head -c 50000 /dev/zero; exit 0`);
    await client.waitReadable();
    client.write(seededBytes(2, 60_000));

    expect(await drain(client)).toBe(50_000);
  });

  it('is not read by a shell', async () => {
    const canary = join(directory, 'canary');
    const client = await connect({ kind: 'exec', command: 'echo', args: [`$(touch ${canary})`, ';', '*'] });

    const text = Buffer.from(await receive(client, 1_000)).toString();

    expect(text).toBe(`$(touch ${canary}) ; *\n`);
    expect(existsSync(canary)).toBe(false);
  });

  it('passes its standard error through, and a service may not write logs to its output', async () => {
    const log = join(directory, 'log');
    const program = `
      import { connect } from '@rulecast/vchan';
      const channel = await connect({ kind: 'exec', command: 'sh', args: ['-c', 'echo problem >&2'] });
      while (channel.state === 'connected') await channel.waitReadable();`;
    const logFd = openSync(log, 'w');
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'ignore', logFd],
      cwd: import.meta.dirname,
    });
    await once(child, 'close');
    closeSync(logFd);

    expect(readFileSync(log, 'utf8')).toBe('problem\n');
  });

  it('is given time to end after close, then ended by force', async () => {
    stopTimers();
    const heard = join(directory, 'heard');
    const client = await script(
      `trap 'touch ${heard}' TERM; echo up; while :; do read -r x || sleep 0.02; done`,
    );
    await receive(client, 3);

    client.close();
    await vi.advanceTimersByTimeAsync(5_999);
    expect(existsSync(heard)).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await until(() => existsSync(heard));
    await vi.advanceTimersByTimeAsync(1_999);
    expect(childPids()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    await until(() => childPids().length === 0);
  });

  it.each([
    [{ command: '/nowhere/program' }, 'nobody-listens', 'no such program'],
    [{ command: '/etc/passwd' }, 'no-permission', 'executable'],
  ])('cannot be started if it is %o', async ({ command }, code, message) => {
    await expect(connect({ kind: 'exec', command, args: [] })).rejects.toMatchObject({
      name: 'ChannelConnectError',
      code,
      message: expect.stringContaining(message),
    });
  });

  it('cannot be listened for', async () => {
    await expect(listen({ kind: 'exec', command: 'cat', args: [] })).rejects.toMatchObject({
      name: 'EndpointError',
      code: 'cannot-listen',
      message: expect.stringContaining('stdio:'),
    });
  });

  it('is not started once aborted', async () => {
    const attempt = connect(
      { kind: 'exec', command: 'touch', args: [join(directory, 'started')] },
      { signal: AbortSignal.abort('stop') },
    );

    await expect(attempt).rejects.toMatchObject({ code: 'aborted', cause: 'stop' });
    expect(existsSync(join(directory, 'started'))).toBe(false);
  });
});

describe('standard input and output', () => {
  it.each([
    ['a file', 'not-a-pipe', `listen({ kind: 'stdio' })`],
    ['taken', 'in-use', `connect({ kind: 'stdio' }).then(() => listen({ kind: 'stdio' }))`],
  ])('are refused with a code when they are %s', async (state, code, call) => {
    const program = `
      import { connect, listen } from '@rulecast/vchan';
      await (${call}).catch((error) => process.stderr.write(error.name + ' ' + error.code));
      process.exit(0);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: [state === 'a file' ? openSync('/dev/null', 'r') : 'pipe', 'pipe', 'pipe'],
      cwd: import.meta.dirname,
    });
    let text = '';
    child.stderr?.on('data', (piece) => {
      text += piece;
    });
    await once(child, 'close');

    expect(text).toBe(`Endpoint${code === 'in-use' ? 'InUse' : ''}Error ${code}`);
  });

  it.each([
    ['fw1', 'fw1'],
    ['../fw1', 'undefined'],
    [undefined, 'undefined'],
  ])('are of the qube that qrexec says: %s', async (QREXEC_REMOTE_DOMAIN, qube) => {
    const program = `
      import { listen } from '@rulecast/vchan';
      const listener = await listen({ kind: 'stdio' });
      process.stderr.write(String((await listener.accept()).peer.qube));
      process.exit(0);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: 'pipe',
      cwd: import.meta.dirname,
      env: { ...process.env, QREXEC_REMOTE_DOMAIN },
    });
    let text = '';
    child.stderr.on('data', (piece) => {
      text += piece;
    });
    await once(child, 'close');
    expect(text).toBe(qube);
  });

  it('that end disconnect, and what came before is readable', async () => {
    const up = makePipe('up');
    const down = makePipe('down');
    const server = openPipes(
      'server',
      { name: 'test' },
      { inputFd: up.readFd, outputFd: down.writeFd },
      4_096,
    );
    writeFileSync(up.writeFd, seededBytes(3, 50_000));
    closeSync(up.writeFd);

    expect(await receive(server, 50_001)).toHaveLength(50_000);

    expect([server.state, server.closeReason]).toEqual(['disconnected', 'closed by the peer']);
    closeSync(down.readFd);
  });

  it('whose reader has gone disconnect at a write', async () => {
    const up = makePipe('up');
    const down = makePipe('down');
    const server = openPipes(
      'server',
      { name: 'test' },
      { inputFd: up.readFd, outputFd: down.writeFd },
      4_096,
    );
    closeSync(down.readFd);

    server.write(Uint8Array.of(1));
    await fill(server, seededBytes(4, 4_096)).catch(() => 0);
    await server.waitReadable();

    expect(server.state).toBe('disconnected');
    closeSync(up.writeFd);
  });
});
