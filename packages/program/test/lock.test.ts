/** One process to a directory, whatever it is called. */

import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { LockedError, lockDirectory } from '../src/lock.ts';

it('a directory is locked once, by whatever name, until it is released', async () => {
  const directory = join(temporaryDirectory(), 'state');
  const other = join(temporaryDirectory(), 'state');
  const lock = await lockDirectory(directory);
  const alias = `${directory}-alias`;
  symlinkSync(directory, alias);
  await expect(lockDirectory(directory)).rejects.toThrow(LockedError);
  await expect(lockDirectory(alias)).rejects.toThrow('another publisher or subscriber uses');
  await (await lockDirectory(other)).release();
  await lock.release();
  await (await lockDirectory(alias)).release();
});
