/**
 * Processes that can have no table, in runs of their own: the first thing that is asked of the table says
 * why, in words.
 */

import { spawnSync } from 'node:child_process';
import { prefixOf } from '@rulecast/rules';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Table } from '../src/index.ts';
import { ENVIRONMENT, FIRST, release } from './release.ts';

const INDEX = new URL('../dist/index.js', import.meta.url).href;
const PROGRAM = `
  const { Table, TableEngineError } = await import(${JSON.stringify(INDEX)});
  try {
    new Table();
    console.log('{}');
  } catch (error) {
    console.log(JSON.stringify({ is: error instanceof TableEngineError, code: error.code, text: error.message }));
  }`;

/** What a process says that makes a table, started by a shell's words before `node`. */
function told(before: string, ...flags: readonly string[]): unknown {
  const words = [...flags, '--input-type=module', '-e', PROGRAM];
  const { stdout, stderr } = spawnSync('sh', ['-c', `${before} exec "$0" "$@"`, process.execPath, ...words]);
  try {
    return JSON.parse(stdout.toString('utf8'));
  } catch {
    throw new Error(`not JSON: ${stdout}; ${stderr}`);
  }
}

/** The package as it is where the engine's file is something else, or nothing. */
async function tableWith(readFileSync: () => Uint8Array): Promise<typeof import('../src/index.ts')> {
  vi.resetModules();
  vi.doMock('node:fs', () => ({ readFileSync }));
  return import('../src/index.ts');
}

describe('a process can have a table', () => {
  afterEach(() => {
    vi.doUnmock('node:fs');
    vi.resetModules();
  });

  it('as it is usually started', () => {
    expect(told('')).toEqual({});
  });

  it('not without WebAssembly, which Node has not where it may not make code', () => {
    expect(told('', '--jitless')).toEqual({
      is: true,
      code: 'no-webassembly',
      text: expect.stringMatching(/start Node without --jitless, .* MemoryDenyWriteExecute=/),
    });
  });

  it('not where the address space that the memory reserves is beyond its limit', () => {
    expect(told('ulimit -v 6000000 &&')).toEqual({
      is: true,
      code: 'no-address-space',
      text: expect.stringMatching(/raise the limit of the process \(ulimit -v, LimitAS=\)/),
    });
  });

  it.each([
    [
      'is not built',
      (): never => {
        throw new Error('ENOENT: no such file');
      },
    ],
    ['is of a kind that this machine does not know', () => Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 99)],
  ])('not where the engine %s', async (_, readFileSync) => {
    const broken = await tableWith(readFileSync);
    expect(() => new broken.Table()).toThrow(
      expect.objectContaining({
        name: 'TableEngineError',
        code: 'engine-unusable',
        message: expect.stringMatching(/cannot be used: .+; install @rulecast\/table anew/),
      }),
    );
  });
});

describe('a packet whose addresses are of two families', () => {
  it.each(['egress', 'ingress', 'both'] as const)(
    'is judged, %s, by each of them as what it is',
    (direction) => {
      const table = new Table();
      table.flip(table.prepare(release(1), ENVIRONMENT));
      const [host, other] = [prefixOf(4, [FIRST], 32), prefixOf(6, [0x20010db8, 0, 0, 1], 128)];
      const packet = { direction, proto: 6, port: 443, icmpType: undefined } as const;
      const actions = [
        table.reader.judge({ ...packet, src: other, dst: host }).action,
        table.reader.judge({ ...packet, src: host, dst: other }).action,
      ];
      // The default policy judges what qubes send: it accepts the host and drops the rest.
      expect(actions).toEqual(direction === 'ingress' ? ['none', 'none'] : ['accept', 'drop']);
    },
  );
});
