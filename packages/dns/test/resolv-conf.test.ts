import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatAddress } from '@rulecast/rules';
import { describe, expect, it, onTestFinished } from 'vitest';
import { nextNameServers, readNameServers } from '../src/daemon/resolv-conf.ts';

function fileOf(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-resolv-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'resolv.conf');
  writeFileSync(file, text);
  return file;
}

describe('the name servers of a resolv.conf', () => {
  it('are those of its nameserver lines, without what is no address', () => {
    const file = fileOf(
      'search x\nnameserver 192.0.2.1\n#nameserver 192.0.2.2\nnameserver fe80::1%eth0\nnameserver no\n',
    );
    expect(readNameServers(file).map(formatAddress)).toEqual(['192.0.2.1', 'fe80::1']);
    expect(nextNameServers(file)).toEqual(readNameServers(file));
  });

  // A file that was empty for a moment meant no DNS address, and a rule that drops DNS dropped nothing.
  it.each([
    ['is empty', ''],
    ['names none', 'search x\n'],
  ])('hold where the file %s', (_what, text) => {
    expect(nextNameServers(fileOf(text))).toBeUndefined();
  });

  it('hold where the file is not there', () => {
    expect(nextNameServers(`${fileOf('')}.absent`)).toBeUndefined();
  });
});
