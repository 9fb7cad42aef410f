/** `--json` on every command: cli.ts holds each output to the schema, and to its end. */

import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/command.ts';
import { Folder, ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, type Script, sendRecords } from './fake-publisher.ts';
import { head } from './records.ts';

const folder = new Folder();
afterAll(() => folder.remove());

async function records(...words: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
  return ndjson((await rulectl([...words, '--json'], { cwd: folder.path })).stdout);
}

async function asked(
  script: Script,
  ...words: readonly string[]
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const publisher = await FakePublisher.start(script);
  try {
    return await records(...words, '--control', publisher.endpoint);
  } finally {
    await publisher.stop();
  }
}

const USAGE = { kind: 'error', code: 'usage', message: expect.stringContaining('Try: rulectl') };

describe.each([...COMMANDS.keys()])('%s --json', (command) => {
  it('has records of a wrong command line', async () => {
    expect(await records(...command.split(' '), '--no-such-option')).toEqual([
      USAGE,
      { kind: 'end', exit: 64, code: 'usage' },
    ]);
  });

  it('has records of its help', async () => {
    expect(await records(...command.split(' '), '--help')).toEqual([
      { kind: 'text', text: expect.stringContaining('Exit codes:') },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
  });
});

it('has records of a word that is no command', async () => {
  expect(await records('stauts')).toEqual([USAGE, { kind: 'end', exit: 64, code: 'usage' }]);
});

describe('what is text', () => {
  it('is whole in records: a document', async () => {
    const file = folder.write(
      'work.yaml',
      'policies: { work: { prefixes: [10.1.2.3], egress: [accept] } }\n',
    );
    const plain = await rulectl(['export', 'qubes', 'work', file], { cwd: folder.path });
    const told = await records('export', 'qubes', 'work', file);
    expect(told.map(({ text }) => text ?? '').join('')).toBe(plain.stdout);
    expect(plain.stdout).toContain('action=accept');
  });

  it('is whole in records: what is refused of rules has its place', async () => {
    const rules = folder.write('work.rules', 'accept\naccpt\n');
    const addresses = folder.write('qubes', 'work|10.1.2.3|-\n');
    expect(await records('import', 'qubes', rules, '--addresses', addresses)).toMatchObject([
      { kind: 'reject', file: rules, line: 2 },
      { kind: 'error', code: 'bad-input' },
      { kind: 'end', exit: 2 },
    ]);
  });

  it('is whole in records: a release', async () => {
    const script: Script = async (connection) => {
      const received = await connection.receive();
      if (received?.message.kind === 'greet') {
        const { protocolMin, protocolMax } = received.message;
        await connection.send({ kind: 'greet', protocolMin, protocolMax, capabilities: [] });
      }
      const request = (await connection.receive())?.message.kind;
      if (request === 'status') await sendRecords(connection, [head()]);
      await connection.send({ kind: 'done', code: request === 'diff' ? 'different' : 'ok', text: '' });
    };
    const told = await asked(script, 'get', 'all');
    expect(new Set(told.slice(0, -1).map(({ kind }) => kind))).toEqual(new Set(['text']));
    expect(told.at(-1)).toMatchObject({ kind: 'end', exit: 0 });
  });
});

describe('what is made', () => {
  it('keys, tokens and their ends', async () => {
    const secret = join(folder.path, 'fleet.key');
    const lineage = ['--lineage', '0'.repeat(32)];
    expect(await records('keys', 'new', 'curve.key')).toMatchObject([
      { kind: 'key', publicKey: expect.stringMatching(/^\S{40,}$/) },
      { kind: 'end', exit: 0 },
    ]);
    expect(await records('keys', 'init', 'own.key', ...lineage)).toMatchObject([
      { kind: 'key' },
      { kind: 'end' },
    ]);
    expect(await records('keys', 'fleet', secret)).toEqual([{ kind: 'end', exit: 0, code: 'ok' }]);
    expect(await records('keys', 'token', 'fw-1', '--secret', secret, ...lineage)).toMatchObject([
      { kind: 'token', token: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { kind: 'end' },
    ]);
  });

  it('samples of metrics', async () => {
    const samples = { record: 'samples', family: 'head-version', labels: [], values: [13] } as const;
    const script: Script = async (connection) => {
      await receive(connection, 'metrics');
      await sendRecords(connection, [samples]);
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    };
    expect(await asked(script, 'metrics')).toEqual([
      { kind: 'samples', family: 'head-version', labels: [], values: [13] },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
  });
});
