import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PERMITS } from '../src/guards/permits.ts';

const BY = { push: '`push`', refresh: '`lists refresh`', both: 'both' };

it('docs/reference/guards.md has the codes of --permit as the table of them', () => {
  const page = readFileSync(new URL('../../../docs/reference/guards.md', import.meta.url), 'utf8');
  const rows = Object.entries(PERMITS).map(([code, { by, severity, takes }]) => {
    const mistake = severity === 'holds' ? 'holds a firewall back' : severity;
    return `| \`${code}\` | ${BY[by]} | ${mistake} | ${takes} |`;
  });
  const head = '| code | by | a mistake | releases |\n| --- | --- | --- | --- |';
  expect(page).toContain(`\n\n${[head, ...rows].join('\n')}\n\n`);
});
