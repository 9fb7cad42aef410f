/** `audit.log`: who looks for what was done against a guard finds it there, in its order. */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectTypeOf, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { AuditEntry } from '../../sources/src/source/list-log.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import { AuditLog } from '../src/store/audit-log.ts';
import { SILENT } from './fresh-publisher.ts';

it('has a line for each entry in the order of the calls, with the time, for its owner alone', async () => {
  const stateDirectory = temporaryDirectory();
  const log = new AuditLog({ stateDirectory, logger: SILENT, nowMs: () => Date.UTC(2026, 10, 27) });
  for (let n = 0; n < 50; n++) log.add({ n });
  await log.close();
  const file = join(stateDirectory, 'audit.log');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    Array.from({ length: 50 }, (_, n) => ({ at: '2026-11-27T00:00:00.000Z', n })),
  );
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

it('says where it cannot be written, and goes on', async () => {
  const errors: object[] = [];
  const logger = { error: (details: object) => void errors.push(details) };
  const log = new AuditLog({ stateDirectory: join(temporaryDirectory(), 'gone'), logger, nowMs: () => 0 });
  log.add({});
  await log.close();
  expect(errors).toMatchObject([{ err: { code: 'ENOENT' } }]);
});

it('has the fields that docs/reference/metrics.md says are stable, and no others', () => {
  const page = readFileSync(new URL('../../../docs/reference/metrics.md', import.meta.url), 'utf8');
  const section = page.split('\n## ').find((text) => text.startsWith('The audit log\n')) ?? '';
  const documented = [...section.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, field]) => field),
  );
  const FIELDS = [
    ...(['at', 'by', 'code', 'reason', 'before', 'after'] as const),
    ...(['cause', 'epoch', 'version', 'part', 'list'] as const),
  ] as const;
  expectTypeOf<(typeof FIELDS)[number]>().toEqualTypeOf<'at' | keyof ReleaseAudit | keyof AuditEntry>();
  expect(documented).toEqual(FIELDS);
});
