import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PushParser } from '../src/parser.ts';
import { type PushInput, readPushed } from '../src/pushed.ts';
import { pushOf } from './fresh-publisher.ts';

let parser: PushParser;

beforeEach(() => {
  parser = new PushParser();
});

afterEach(() => parser.close());

/** Lists of both kinds, rules and a document, of which the list of hosts alone is beyond what is read in place. */
function largePush(): PushInput {
  const hosts = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`);
  return pushOf({
    'hosts.txt': `${hosts.join('\n')}\n2001:db8::/32\n`,
    'names.txt': 'a.example\nb.example\n',
    'x.rules': 'drop dst4=192.0.2.0/24 proto=tcp dstports=1-2 comment=why\naccept dst=@hosts\n',
    'firewall.yaml': 'policies:\n  work: { prefixes: [10.137.0.5], ingress: [accept src=@hosts] }\n',
  });
}

describe('reading pushed files', () => {
  it('gives in a worker what it gives in place', async () => {
    expect(await parser.read(largePush(), 7)).toEqual(readPushed(largePush(), 7));
  });

  it('goes on with the same worker, rejects included', async () => {
    await parser.read(largePush(), 7);
    const bad = pushOf({ 'hosts.txt': `${'10.0.0.1\n'.repeat(10_000)}10.0.0.256\n` });
    const { rejectCount, rejects } = await parser.read(bad, 7);
    expect(rejectCount).toBe(1);
    expect(rejects[0]).toMatchObject({ file: 'hosts.txt', line: 10_001, column: 1 });
    expect((await parser.read(largePush(), 7)).lists.get('names')).toMatchObject({ kind: 'names' });
  });
});
