/** Values of QubesDB, by a `qubesdb-read` of the test's own. */

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { fromQubesDb } from '../src/daemon/qubesdb.ts';

beforeEach(() => {
  const directory = temporaryDirectory();
  const program = join(directory, 'qubesdb-read');
  writeFileSync(program, '#!/bin/sh\n[ "$*" = /vm-config/rulecast-trust ] && echo rulecast2:line\n');
  chmodSync(program, 0o755);
  vi.stubEnv('PATH', `${directory}:/usr/bin:/bin`);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a value of QubesDB', () => {
  it('stands for what is there', () => {
    expect(fromQubesDb('qubesdb:/vm-config/rulecast-trust')).toBe('rulecast2:line');
  });

  it('that is not there is said with what dom0 has to do', () => {
    expect(() => fromQubesDb('qubesdb:/vm-config/rulecast-connect')).toThrow(
      'QubesDB has no /vm-config/rulecast-connect: in dom0, qvm-features QUBE vm-config.rulecast-connect VALUE',
    );
  });

  it('of no path is asked of nobody', () => {
    for (const key of ['', 'name', '/a b', '/--help;x', `/${'x'.repeat(63)}`])
      expect(() => fromQubesDb(`qubesdb:${key}`), key).toThrow('write qubesdb: and a path');
  });

  it.each(['/etc/rulecast/trust', 'unix:/run/qubesdb:/x', ''])('is not meant by %o', (text) => {
    expect(fromQubesDb(text)).toBe(text);
  });
});
