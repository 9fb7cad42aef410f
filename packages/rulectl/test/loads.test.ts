/** What commands load before they do anything: esbuild says it of the bundle that packages have. */

import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { SOURCE_CONDITION } from '../../../rooms.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const FOLDER = 'packages/rulectl/src';

async function outputs(): Promise<Metafile['outputs']> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [`${FOLDER}/main.ts`],
    outdir: 'nowhere',
    write: false,
    metafile: true,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    conditions: [SOURCE_CONDITION],
    external: ['zeromq', 'koffi'],
  });
  return metafile.outputs;
}

const OUTPUTS = await outputs();

/** The libraries in the chunk of a command, and in those that it imports at once. */
function librariesOf(command: string): ReadonlySet<string> {
  const entry = `${FOLDER}/commands/${command}.ts`;
  const [first] = Object.entries(OUTPUTS).filter(([, { entryPoint }]) => entryPoint === entry);
  const pending = [first?.[0] ?? ''];
  const seen = new Set(pending);
  const libraries = new Set<string>();
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const output = OUTPUTS[path];
    if (output === undefined) throw new Error(`no output ${path}`);
    for (const input of Object.keys(output.inputs))
      libraries.add(/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? 'own');
    for (const { path: next, kind, external } of output.imports) {
      if (kind !== 'import-statement' || external === true || seen.has(next)) continue;
      seen.add(next);
      pending.push(next);
    }
  }
  return libraries;
}

describe('the readers of documents', () => {
  // A push of one line loaded them, for 110 ms of CPU.
  it.each(['push', 'rollback', 'lists-refresh', 'lists-search', 'lists', 'status', 'test', 'get'])(
    'are not loaded by %s before a file is a document',
    (command) => {
      const loaded = librariesOf(command);
      expect(loaded).toContain('own');
      for (const reader of ['ajv', 'yaml', 'csv-parse', 'undici']) expect(loaded).not.toContain(reader);
    },
  );

  it('are loaded by check, which reads documents', () => {
    expect([...librariesOf('check')]).toEqual(expect.arrayContaining(['ajv', 'yaml']));
  });
});
