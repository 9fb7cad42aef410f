/** Output that cannot be written, and files that are larger than they can be. */

import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Output, OutputFailedError } from '../src/output.ts';
import { FileTooLargeError, readSmallFile } from '../src/small-file.ts';

const hasFull = existsSync('/dev/full');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rulecast-output-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('Output', () => {
  it('writes what was given, in order', () => {
    const path = join(folder, 'out');
    const fd = openSync(path, 'w');
    const out = new Output(fd);
    out.line('a');
    out.line(JSON.stringify({ b: 1 }));
    out.write('c'.repeat(100_000));
    out.flush();
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe(`a\n{"b":1}\n${'c'.repeat(100_000)}`);
  });

  it.runIf(hasFull)('says that a disk is full', () => {
    const fd = openSync('/dev/full', 'w');
    const out = new Output(fd);
    out.line('a');
    expect(() => out.flush()).toThrow(OutputFailedError);
    expect(() => out.flush()).not.toThrow(); // what was lost does not come again
    closeSync(fd);
  });
});

describe('readSmallFile', () => {
  it.each([0, 1, 9, 10])('reads %i of at most 10 bytes', (length) => {
    const path = join(folder, 'small');
    writeFileSync(path, 'x'.repeat(length));
    expect(readSmallFile(path, 10).toString()).toBe('x'.repeat(length));
  });

  it('refuses one byte more, and what has no end', () => {
    const path = join(folder, 'large');
    writeFileSync(path, 'x'.repeat(11));
    expect(() => readSmallFile(path, 10)).toThrow(FileTooLargeError);
    expect(() => readSmallFile('/dev/zero', 10)).toThrow(FileTooLargeError);
  });
});
