/** What `--dns` says: addresses, and those of a file. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress } from '@rulecast/rules';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { dnsSettings, followDns, readDns } from '../src/daemon/dns.ts';

const shown = (text: string): readonly string[] => readDns(dnsSettings(text)).map(formatAddress);

function fileOf(...servers: readonly string[]): string {
  const file = join(temporaryDirectory(), 'resolv.conf');
  writeFileSync(file, servers.map((server) => `nameserver ${server}\n`).join(''));
  return file;
}

it('are addresses, those of a file, or both, without those that no qube can ask', () => {
  expect(shown('10.139.1.1, fd53::1')).toEqual(['10.139.1.1', 'fd53::1']);
  expect(shown(fileOf('9.9.9.9', '127.0.0.53', '::1'))).toEqual(['9.9.9.9']);
  expect(shown(`10.139.1.1,${fileOf('9.9.9.9')}`)).toEqual(['10.139.1.1', '9.9.9.9']);
});

it('need a file alone, and not one beside addresses, which may come later', () => {
  expect(shown('10.139.1.1,/nonexistent/resolv.conf')).toEqual(['10.139.1.1']);
  expect(() => shown('/nonexistent/resolv.conf')).toThrow('--dns: /nonexistent/resolv.conf cannot be read');
});

it.each([
  ['/etc/a,/etc/b', 'write one file at most'],
  ['10.139.1.1,resolver', '"resolver" is no address'],
])('refuse %s', (text, words) => {
  expect(() => shown(text)).toThrow(words);
});

// At boot the file is written while the subscriber starts.
it('are those of a file that changed after it was read, and before it is followed', async () => {
  const file = fileOf('192.0.2.1');
  const settings = dnsSettings(file);
  const known = readDns(settings);
  writeFileSync(file, 'nameserver 192.0.2.2\n');
  const told: string[] = [];
  const stop = followDns(settings, known, (addresses) => told.push(addresses.map(formatAddress).join()));
  onTestFinished(() => stop?.());
  await expect.poll(() => told, { timeout: 10_000 }).toEqual(['192.0.2.2']);
});
