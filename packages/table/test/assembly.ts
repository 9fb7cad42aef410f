/** Parts of assembly/ as they are now, compiled for tests with an entry of the test's own. */

import { readFileSync } from 'node:fs';
import asc from 'assemblyscript/asc';

/** The binary of `entry`, which may import the files of assembly/ that are named. */
export async function compiledAssembly(entry: string, names: readonly string[]): Promise<Uint8Array> {
  const files = names.map((name) => {
    const text = readFileSync(new URL(`../assembly/${name}.ts`, import.meta.url), 'utf8');
    return [`${name}.ts`, text] as const;
  });
  const { binary, error, stderr } = await asc.compileString(
    { 'entry.ts': entry, ...Object.fromEntries(files) },
    {
      runtime: 'stub',
      optimizeLevel: 3,
      importMemory: true,
      sharedMemory: true,
      initialMemory: 1,
      maximumMemory: 65536,
      noAssert: true,
      enable: ['simd', 'threads'],
    },
  );
  if (binary === null) throw new Error(`${error}: ${stderr}`);
  return binary;
}
