/**
 * Decompressors as child processes: whatever they do, and whatever ends us, none is left, and nothing of what
 * went wrong is taken for a list.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { SOURCE_LIMITS } from '@rulecast/formats';
import { describe, expect, it, onTestFinished } from 'vitest';
import { childPids, isRunning } from '../../../test/kit/children.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ListWorker } from '../src/read/list-worker.ts';
import { bunzip2 } from '../src/unpack/bzip2.ts';
import type { ProgramOptions } from '../src/unpack/program.ts';
import { type UnpackOptions, unpack } from '../src/unpack/unpack.ts';
import { unzstd } from '../src/unpack/zstd.ts';
import { AMPLE, fixture, unpacked } from './archives.ts';
import { FakeClock } from './fake-clock.ts';
import { directoryWith, HAS_ZSTD, isHere } from './programs.ts';
import { jobOf } from './reading-job.ts';

/** What begins as bzip2; the programs here do not read on. */
const INPUT = Buffer.from('BZh91AY&SY and so on');
const BUILT = new URL('../dist/unpack/bzip2.js', import.meta.url).href;

/** Runs a script of the shell as the program bzip2; its first words are its process id. */
async function run(
  script: string,
  options: ProgramOptions = {},
): Promise<{ readonly pid: number; readonly pieces: AsyncGenerator<Uint8Array> }> {
  const directories = [directoryWith('bzip2', `echo $$\n${script}`)];
  const pieces = bunzip2(INPUT, { directories, ...options });
  const { value } = await pieces.next();
  return { pid: Number.parseInt(Buffer.from(value ?? []).toString(), 10), pieces };
}

async function textOf(script: string, options: Partial<UnpackOptions> = {}): Promise<string> {
  const directories = [directoryWith('bzip2', script)];
  const { x = '' } = await unpacked('x', INPUT, { directories, ...options });
  return x;
}

describe.runIf(isHere('setpriv') && isHere('prlimit'))('a program that', () => {
  it('hangs is ended when its time is over', async () => {
    const { pid, pieces } = await run('exec sleep 1000', { timeMs: 300 });
    expect(isRunning(pid)).toBe(true);
    await expect(pieces.next()).rejects.toMatchObject({ code: 'too-slow' });
    expect(isRunning(pid)).toBe(false);
    expect(childPids()).not.toContain(pid);
  });

  it('is killed gives nothing, whatever it has written', async () => {
    const { pid, pieces } = await run('echo 192.0.2.1; exec sleep 1000');
    process.kill(pid, 'SIGKILL');
    const rest = async (): Promise<void> => {
      for await (const _piece of pieces);
    };
    await expect(rest()).rejects.toMatchObject({
      code: 'program-failed',
      message: expect.stringContaining('bzip2, which undoes it, was ended by SIGKILL'),
    });
  });

  it('writes for ever is ended when more comes than is allowed', async () => {
    const before = process.memoryUsage().rss;
    const endless = textOf('exec yes', { maxBytes: 1_000_000 });
    await expect(endless).rejects.toMatchObject({ code: 'too-large' });
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    expect(childPids()).toEqual([]);
  });

  it('is not read from waits, and is ended when nobody reads on', async () => {
    const { pid, pieces } = await run('exec yes');
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    expect(process.memoryUsage().rss - before).toBeLessThan(30_000_000);
    await pieces.return(undefined);
    expect(isRunning(pid)).toBe(false);
  });

  it('complains for ever is ended', async () => {
    const failure = textOf('echo 192.0.2.1\nexec yes words >&2');
    await expect(failure).rejects.toMatchObject({ code: 'program-failed' });
    await failure.catch((error: Error) => expect(error.message.length).toBeLessThan(400));
  });

  it('complains and says that all is well is not believed', async () => {
    const failure = textOf('echo 192.0.2.1\necho some\u0007thing >&2');
    await expect(failure).rejects.toThrow('x: the bzip2 data is damaged: some thing');
  });

  it('ends without a word, and not well, is not believed', async () => {
    const failure = textOf('echo 192.0.2.1\nexit 3');
    await expect(failure).rejects.toMatchObject({ code: 'program-failed' });
  });

  it('leaves another behind, which holds its output, is ended with that', async () => {
    const { pid, pieces } = await run('sleep 1000 &', { timeMs: 500 });
    await expect(pieces.next()).rejects.toMatchObject({ code: 'too-slow' });
    const isGone = (): boolean => {
      try {
        return !process.kill(-pid, 0);
      } catch {
        return true;
      }
    };
    await expect.poll(isGone).toBe(true);
  });

  it('reads nothing harms nobody', async () => {
    const directories = [directoryWith('bzip2', 'echo 192.0.2.1')];
    const input = Buffer.concat([INPUT, Buffer.alloc(5_000_000)]);
    expect(await unpacked('x', input, { directories })).toEqual({ x: '192.0.2.1\n' });
  });

  it('needs more memory than it is given is no fault of the data', async () => {
    const failure = textOf('echo "bzip2: could not allocate enough memory" >&2\nexit 1');
    await expect(failure).rejects.toMatchObject({ code: 'program-failed' });
    expect(await textOf('ulimit -v')).toBe(`${128 * 1024}\n`);
  });
});

describe('a program that is missing', () => {
  it('refuses what is compressed by it, says what to install, and nothing else', async () => {
    const options = { ...AMPLE, directories: [temporaryDirectory()], withoutNode: true };
    for (const [suffix, name] of [
      ['bz2', 'bzip2'],
      ['zst', 'zstd'],
    ]) {
      const failure = unpack(`feed.${suffix}`, fixture(`is4.netset.${suffix}`), options);
      await expect(failure).rejects.toMatchObject({ code: 'missing-program' });
      await expect(failure).rejects.toThrow(
        `feed.${suffix}: it is compressed by ${name}, and this machine has no ${name}: apt install ${name}`,
      );
    }
    expect(await unpack('feed.xz', fixture('is4.netset.xz'), options)).toHaveLength(1);
  });

  it('is not looked for in PATH', async () => {
    const path = process.env['PATH'];
    onTestFinished(() => {
      process.env['PATH'] = path;
    });
    process.env['PATH'] = directoryWith('bzip2', 'echo 192.0.2.1');
    const failure = unpack('x', INPUT, { ...AMPLE, directories: [temporaryDirectory()] });
    await expect(failure).rejects.toMatchObject({ code: 'missing-program' });
  });
});

describe.runIf(isHere('setpriv') && isHere('prlimit'))('what a program may', () => {
  it('is next to nothing: no environment, no privileges, no file written', async () => {
    expect(await textOf('env')).toMatch(/^(PWD=\/\n|_=\S*\n|OLDPWD=\S*\n|SHLVL=\d\n)*$/);
    expect(await textOf('ulimit -t; ulimit -f; ulimit -c; ulimit -n')).toBe('50\n0\n0\n16\n');
    expect(await textOf('setpriv --dump 2>&1 | grep no_new_privs')).toBe('no_new_privs: 1\n');
    const file = `${temporaryDirectory()}/x`;
    expect(await textOf(`(echo x > ${file}) 2>&-; test -s ${file} || echo no`)).toBe('no\n');
  });

  it.runIf(process.getuid?.() === 0)('is what a user of its own may, where we are root', async () => {
    expect(await textOf('id -u; id -g; id -G')).toBe('65533\n65533\n65533\n');
    expect(await textOf('kill -0 1 2>&- || echo no')).toBe('no\n');
  });

  it('is to read what programs are made of, where the kernel can bound that', async () => {
    const rule = '--landlock-rule=path-beneath:execute,read-file,read-dir:/';
    const [code] = await once(spawn('/usr/bin/setpriv', ['--landlock-access=fs', rule, 'true']), 'exit');
    if (code !== 0) return console.warn('no Landlock here: what a program may read is not tested');
    expect(await textOf('test -r /usr/bin && echo yes; cat /etc/passwd 2>&- || echo no')).toBe('yes\nno\n');
  });
});

describe.runIf(isHere('setpriv') && isHere('prlimit'))('whatever ends us, a program ends too:', () => {
  const script = (directory: string): string => `
    import { bunzip2 } from ${JSON.stringify(BUILT)};
    const pieces = bunzip2(Buffer.from('BZh9'), { directories: [${JSON.stringify(directory)}] });
    const { value } = await pieces.next();
    say(value.toString());
    await pieces.next();`;
  const sleeper = (): string => directoryWith('bzip2', 'echo $$\nexec sleep 1000');

  it('a thread', async () => {
    const code = `import { parentPort } from 'node:worker_threads';
      const say = (text) => parentPort.postMessage(text);
      ${script(sleeper())}`;
    const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const [text] = await once(thread, 'message');
    expect(isRunning(Number(text))).toBe(true);
    await thread.terminate();
    await expect.poll(() => isRunning(Number(text))).toBe(false);
  });

  it('a process, by SIGKILL', async () => {
    const code = `const say = (text) => console.log(text);\n${script(sleeper())}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [text] = await once(child.stdout, 'data');
    expect(isRunning(Number(text))).toBe(true);
    child.kill('SIGKILL');
    await expect.poll(() => isRunning(Number(text))).toBe(false);
  });

  it('a signal', async () => {
    const ending = new AbortController();
    const { pid, pieces } = await run('exec sleep 1000', { signal: ending.signal });
    const next = pieces.next();
    ending.abort();
    await expect(next).rejects.toMatchObject({ code: 'ended' });
    expect(isRunning(pid)).toBe(false);
  });

  it.runIf(isHere('bzip2'))('the end of a worker, which buries it', async () => {
    const others = childPids(); // a thread that is ended buries nobody
    const worker = new ListWorker(new FakeClock());
    // 46 bytes that are 46 MB, a thousand times
    const bomb =
      '425a68393141592653590e09e2df015f8e4000c0000008200030804d4642a025a90a80971772453850900e09e2df';
    const bytes = Buffer.from(bomb.repeat(1000), 'hex');
    const read = worker.read(jobOf({ 'bomb.bz2': bytes }, { limits: { ...SOURCE_LIMITS, bytes: 1e12 } }));
    const ours = (): readonly number[] => childPids().filter((pid) => !others.includes(pid));
    await expect.poll(ours).toHaveLength(1);
    await worker.close();
    expect(await read).toMatchObject({ code: 'ended' });
    expect(ours()).toEqual([]);
  });
});

const WAYS = [
  ...(HAS_ZSTD ? [['by Node', false] as const] : []),
  ...(isHere('zstd') ? [['by its program', true] as const] : []),
];

describe.each(WAYS)('zstd %s', (_, withoutNode) => {
  const whole = async (bytes: Uint8Array): Promise<string> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of unzstd(bytes, { withoutNode })) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  const zst = fixture('is4.netset.zst');
  const text = fixture('is4.netset').toString();
  const skippable = Buffer.from('502a4d1803000000616263', 'hex');

  it('is all of its frames, and passes over what is to be passed over', async () => {
    expect(await whole(zst)).toBe(text);
    expect(await whole(Buffer.concat([zst, zst]))).toBe(text + text);
    expect(await whole(Buffer.concat([skippable, zst, skippable, zst, skippable]))).toBe(text + text);
    expect(await whole(skippable)).toBe('');
  });

  it.each([
    ['garbage', Buffer.from('192.0.2.1\n')],
    ['gzip', gzipSync('192.0.2.1\n')],
    ['zeros', Buffer.alloc(9)],
    ['a frame of zstd 0.7', Buffer.from('27b52ffd00000000', 'hex')],
  ])('takes no %s for a frame', async (_name, bytes) => {
    await expect(whole(Buffer.concat([zst, bytes]))).rejects.toMatchObject({ code: 'damaged' });
  });

  it('has an end at every byte, or none', async () => {
    const two = Buffer.concat([zst, skippable, zst]);
    const ends = [0, zst.length, zst.length + skippable.length];
    for (let cut = 1; cut < two.length; cut += cut < 40 || two.length - cut < 40 ? 1 : 97) {
      if (ends.includes(cut)) continue;
      await expect(whole(two.subarray(0, cut)), `${cut} bytes`).rejects.toMatchObject({ code: 'truncated' });
    }
  });

  it('is checked, and is not asked for dictionaries and large windows', async () => {
    const wrong = Buffer.from(zst);
    wrong.writeUInt8((zst.at(-1) ?? 0) ^ 1, zst.length - 1);
    await expect(whole(wrong)).rejects.toMatchObject({ code: 'damaged' });
    const dictionary = Buffer.from('28b52ffd0100070100005a', 'hex');
    await expect(whole(dictionary)).rejects.toMatchObject({ code: 'unsupported' });
    const window = Buffer.from('28b52ffd0090010000', 'hex'); // of 256 MiB
    await expect(whole(window)).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe.runIf(isHere('bzip2'))('bzip2', () => {
  const bz2 = fixture('is4.netset.bz2');
  const text = fixture('is4.netset').toString();

  it('is all of its streams', async () => {
    expect(await unpacked('x', Buffer.concat([bz2, bz2]))).toEqual({ x: text + text });
  });

  it.each(['\0', 'B', 'BZ', 'BZh', 'BZh9', '192.0.2.1\n'])('followed by %j is refused', async (rest) => {
    const failure = unpack('x', Buffer.concat([bz2, Buffer.from(rest)]), AMPLE);
    await expect(failure).rejects.toMatchObject({ code: expect.stringMatching(/^(damaged|truncated)$/) });
  });
});
