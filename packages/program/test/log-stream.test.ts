/** Logs that nobody reads, and what cannot be written: nothing waits for either. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { secondUser } from '../../../test/kit/second-user.ts';
import { isJournal, withPriorities } from '../src/journal.ts';
import { LogStream } from '../src/log-stream.ts';
import type { NowOrNever } from '../src/now-or-never.ts';
import { nowOrNever } from '../src/now-or-never.ts';

const BUILT = fileURLToPath(new URL('../dist/log-stream.js', import.meta.url));
/** More than a pipe, a socket and the queue hold together. */
const LINES = 20_000;
const TALKER = `
  const { openLog } = await import(${JSON.stringify(BUILT)});
  const log = await openLog();
  for (let i = 0; i < ${LINES}; i++) log.write(String(i).padStart(99) + '\\n');
  process.stdout.write('done');
`;

let folder = '';
let children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rulecast-log-'));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  rmSync(folder, { recursive: true, force: true });
});

/** Both ends of a pipe whose writers block, as one descriptor that nobody reads. */
function fullPipe(): number {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', ['-m', '600', path]);
  return openSync(path, constants.O_RDWR);
}

/**
 * Runs the talker with such a standard error; resolves to how it ended and how long it lived after its last
 * line.
 */
function talk(
  stderr: number | 'pipe',
  as: readonly string[] = [],
): Promise<{ code: number | null; lingeredMs: number; child: ChildProcess }> {
  return new Promise((resolve) => {
    const [command = '', ...words] = [...as, process.execPath, '--input-type=module', '-e', TALKER];
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', stderr] });
    children.push(child);
    let doneMs = Number.NaN;
    child.stdout?.once('data', () => {
      doneMs = performance.now();
    });
    child.once('exit', (code) => resolve({ code, lingeredMs: performance.now() - doneMs, child }));
  });
}

describe('a log that nobody reads', () => {
  it('is no reason to wait but at the end: a pipe', async () => {
    const fd = fullPipe();
    const { code, lingeredMs } = await talk(fd);
    expect(code).toBe(0);
    expect(lingeredMs).toBeGreaterThan(500);
    const bytes = Buffer.alloc(1 << 20);
    const length = readSync(fd, bytes, 0, bytes.length, null);
    expect(bytes.toString('latin1', 0, 100)).toBe(`${'0'.padStart(99)}\n`);
    expect(length % 100).toBe(0);
    closeSync(fd);
  });

  it('likewise a socket, which is what systemd gives', async () => {
    const { code } = await talk('pipe'); // a socket pair, of Node
    expect(code).toBe(0);
  });

  const as = secondUser();
  it.skipIf(as === undefined)(
    'likewise the pipe of another user, which cannot be opened once more',
    async () => {
      const fd = fullPipe();
      const { code } = await talk(fd, as);
      expect(code).toBe(0);
      closeSync(fd);
    },
  );

  it('leaves the flags of the pipe as they are, for others may write to it', async () => {
    const fd = fullPipe();
    await talk(fd);
    const flags = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').match(/flags:\s*(\d+)/)?.[1];
    expect(Number.parseInt(flags ?? '', 8) & constants.O_NONBLOCK).toBe(0);
    closeSync(fd);
  });
});

describe('LogStream', () => {
  /** Takes so many bytes. */
  function room(bytes: number): { takes: NowOrNever; free: (bytes: number) => void; text: () => string } {
    let [left, text] = [bytes, ''];
    const takes: NowOrNever = (line, at) => {
      const piece = line.subarray(at, at + left);
      left -= piece.length;
      text += Buffer.from(piece).toString();
      return piece.length;
    };
    const addRoom = (more: number): void => {
      left += more;
    };
    return { takes, text: () => text, free: addRoom };
  }

  it('writes lines whole and in order, and then how many it lost', () => {
    const { takes, free, text } = room(3);
    const log = new LogStream(takes);
    log.write('abcde\n');
    log.write('fgh\n');
    log.write('x'.repeat(300_000));
    log.write('y'.repeat(300_000));
    expect(text()).toBe('abc');
    free(1_000_000);
    log.write('ij\n');
    const lines = text().split('\n');
    expect(lines.slice(0, 3)).toEqual(['abcde', 'fgh', 'ij']);
    expect(JSON.parse(lines[3] ?? '')).toMatchObject({
      level: 40,
      msg: '2 lines of the log were lost: its reader was too slow',
    });
  });

  it('keeps no more than its bound, and the last line beside it', () => {
    const { takes, free, text } = room(0);
    const log = new LogStream(takes);
    for (let i = 0; i < 10_000; i++) log.write(`${'z'.repeat(99)}\n`);
    log.last('the end\n');
    free(10_000_000);
    log.end();
    expect(text().split('\n').length).toBeLessThan(2_625);
    expect(text()).toContain('the end\n');
  });

  // A log on a full disk ended the daemon.
  it.runIf(existsSync('/dev/full'))('loses what cannot be written', async () => {
    const fd = openSync('/dev/full', 'w');
    const log = new LogStream(await nowOrNever(fd));
    expect(() => log.write('a\n')).not.toThrow();
    expect(() => log.end()).not.toThrow();
    closeSync(fd);
  });

  it('writes to a file as to anything', async () => {
    const fd = openSync(join(folder, 'log'), 'w');
    const log = new LogStream(await nowOrNever(fd));
    log.write('a\n');
    log.write('b\n');
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('a\nb\n');
    closeSync(fd);
  });
});

describe('priorities for the journal', () => {
  it.each([
    ['{"level":60,"msg":"a"}\n', '<2>{"level":60,"msg":"a"}\n'],
    ['{"level":50,"msg":"a"}\n', '<3>{"level":50,"msg":"a"}\n'],
    ['{"level":40,"msg":"a"}\n', '<4>{"level":40,"msg":"a"}\n'],
    ['{"level":30,"msg":"a"}\n', '<6>{"level":30,"msg":"a"}\n'],
    ['{"level":20,"msg":"a"}\n', '<7>{"level":20,"msg":"a"}\n'],
    ['cannot read\n\nthis\n', '<4>cannot read\n\n<4>this\n'],
    ['{"msg":"level","level":50}', '<4>{"msg":"level","level":50}'],
    ['', ''],
  ])('begin each line, by its level: %j', (text, told) => {
    expect(withPriorities(text, false)).toBe(told);
  });

  it('begin no line that another text began', () => {
    let told = '';
    const log = new LogStream((bytes, at) => {
      told += Buffer.from(bytes.subarray(at)).toString();
      return bytes.length - at;
    }, true);
    for (const text of ['one ', 'line\nan', 'other\n', '{"level":50}\n']) log.write(text);
    expect(told).toBe('<4>one line\n<4>another\n<3>{"level":50}\n');
  });

  it('are for the very stream that JOURNAL_STREAM names, and for no other', () => {
    const [one, other] = ['one', 'other'].map((name) => openSync(join(folder, name), 'w'));
    const { dev, ino } = fstatSync(one ?? 0, { bigint: true });
    expect(isJournal(one ?? 0, `${dev}:${ino}`)).toBe(true);
    expect(isJournal(other ?? 0, `${dev}:${ino}`)).toBe(false); // a child that inherits the variable
    for (const named of [undefined, '', `${dev}`, `${dev}:${ino}0`, `0${dev}:${ino}`, ` ${dev}:${ino}`])
      expect(isJournal(one ?? 0, named)).toBe(false);
    for (const fd of [one, other]) closeSync(fd ?? 0);
  });

  it('come from a process whose standard error is such a stream, its last words too', async () => {
    const fd = fullPipe();
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const program = `
      const { openLog, sayLast } = await import(${JSON.stringify(BUILT)});
      sayLast('before it has a log\\n');
      (await openLog()).write('{"level":50}\\n');
      sayLast('the end\\n');`;
    const run = (stream: string): Promise<void> =>
      new Promise((resolve) => {
        const env = { ...process.env, JOURNAL_STREAM: stream };
        const words = ['--input-type=module', '-e', program];
        spawn(process.execPath, words, { stdio: ['ignore', 'ignore', fd], env }).once('exit', () =>
          resolve(),
        );
      });
    await run(`${dev}:${ino}`);
    await run(`${dev}:${ino}1`);
    const bytes = Buffer.alloc(4096);
    const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, null));
    const plain = 'before it has a log\n{"level":50}\nthe end\n';
    expect(text).toBe(`<4>before it has a log\n<3>{"level":50}\n<4>the end\n${plain}`);
    closeSync(fd);
  });
});
