import { emptyPolicy, type RuleSet } from '@rulecast/rules';
import { afterEach, describe, expect, it, vi } from 'vitest';

const RULE_SET: RuleSet = {
  lists: new Map(),
  policies: new Map([['default', { ...emptyPolicy('default'), defaultAction: 'accept' }]]),
  resolutions: new Map(),
  unmatched: undefined,
};

/** The package as it is where the engine's code is something else, or nothing. */
async function tableWith(readFileSync: () => Uint8Array): Promise<typeof import('../src/index.ts')> {
  vi.resetModules();
  vi.doMock('node:fs', () => ({ readFileSync }));
  return import('../src/index.ts');
}

describe('the engine', () => {
  afterEach(() => {
    vi.doUnmock('node:fs');
    vi.resetModules();
  });

  it.each([
    [
      'is not built',
      (): never => {
        throw new Error('ENOENT: no such file');
      },
    ],
    ['is of a kind that this machine does not know', () => Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 99)],
  ])('that %s is served by its twin, unless it was chosen expressly', async (_, readFileSync) => {
    const { openReader, Table } = await tableWith(readFileSync);
    const table = new Table();
    table.flip(table.prepare(RULE_SET, { now: 0, dns: [] }));
    expect(table.stats().engine).toBe('twin');
    expect(table.lookup4(0, undefined, 0x0a000001, 6, 443) & 3).toBe(1);
    const reader = openReader(table.handle());
    expect(reader.engineKind).toBe('twin');
    expect(reader.lookup4(0, undefined, 0x0a000001, 6, 443) & 3).toBe(1);
    reader.close();
    expect(() => new Table({ engine: 'wasm' })).toThrow(/cannot be had: /);
  });

  it('is WebAssembly where it can be had, and the twin where that is chosen', async () => {
    const { Table } = await import('../src/index.ts');
    const kinds = [undefined, 'wasm', 'twin'] as const;
    const engines = kinds.map((engine) => new Table(engine === undefined ? {} : { engine }).stats().engine);
    expect(engines).toEqual(['wasm', 'wasm', 'twin']);
  });
});
