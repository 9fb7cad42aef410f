/** Each mutant still has its place in the sources, and is another source there. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MUTANTS, mutated } from './list.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the list of mutants', () => {
  it.each(MUTANTS)('has the place where $name', (mutant) => {
    const path = `${ROOT}${mutant.path}`;
    const text = readFileSync(path, 'utf8');
    expect(mutated(mutant, path, text)).not.toBe(text);
    expect(mutated(mutant, `${ROOT}another.ts`, text)).toBe(text);
    for (const suite of mutant.suites) expect(readFileSync(`${ROOT}${suite}`, 'utf8')).toContain('it(');
  });

  it('names each once', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });
});
