/** Elements of name sets as we write them, beside what the `nft` program says of them. */

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { Namespace } from '../enforce/network.mjs';
import { namespacePrefix } from '../run/run.mjs';
import { enforcementGap } from './namespaces.ts';

const SCRIPT = fileURLToPath(new URL('../enforce/name-elements.mjs', import.meta.url));
const SET4 = 'n0123456789abcdef_4_4_0000000000000000';
const SET6 = 'n0123456789abcdef_6_4_0000000000000000';
const [QUBE, OTHER, ADDRESS] = [0x0a890005, 0x0a890006, 0x5db8d822]; // 10.137.0.5 and .6; 93.184.216.34
const QUBE6 = [0xfd000000, 0, 0, 5];
const ADDRESS6 = [0x26062800, 0x02200001, 0x02481893, 0x25c81946];

interface Line {
  readonly verb: 'make' | 'add' | 'destroy' | 'read';
  readonly set: string;
  readonly elements?: readonly {
    readonly key: readonly number[];
    readonly milliseconds?: number;
    readonly label?: string;
  }[];
}

let namespace: Namespace | undefined;

afterEach(() => {
  namespace?.close();
  namespace = undefined;
});

/** A namespace, and how to have a line done in it. */
function opened(): { readonly there: Namespace; readonly say: (line: Line) => Promise<unknown> } {
  const there = new Namespace(`${namespacePrefix()}${process.pid}-names`);
  namespace = there;
  const child = there.spawn([process.execPath, SCRIPT]);
  const lines = createInterface({ input: child.stdout });
  const say = async (line: Line): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(line)}\n`);
    const [answer] = await once(lines, 'line');
    return JSON.parse(String(answer));
  };
  return { there, say };
}

interface Listed {
  readonly val: { readonly concat: readonly string[] };
  readonly timeout: number;
  readonly expires: number;
  readonly comment: string;
}

/** What `nft` lists of a set: pairs, whole seconds and comments. */
function listed(there: Namespace, set: string): readonly unknown[] {
  const text = there.run(['nft', '-j', 'list', 'set', 'inet', 'rulecast_a', set]);
  const { nftables } = JSON.parse(text) as {
    nftables: readonly { set?: { elem?: readonly { elem: Listed }[] } }[];
  };
  const elements = nftables.flatMap((each) => each.set?.elem ?? []);
  return elements.map(({ elem: { val, timeout, expires, comment } }) => {
    expect(expires).toBeLessThanOrEqual(timeout);
    return [val.concat.join(' '), timeout, comment];
  });
}

describe.skipIf(enforcementGap() !== undefined)('elements of name sets', () => {
  it('are what nft lists, in both families, and are read back with the time that is left', async () => {
    const { there, say } = opened();
    const long = 'x'.repeat(63);
    const digest = 'ab'.repeat(32);
    await say({ verb: 'make', set: SET4 });
    await say({ verb: 'make', set: SET6 });
    const some = [
      { key: [QUBE, ADDRESS], milliseconds: 90_000, label: 'api.example' },
      { key: [OTHER, ADDRESS], milliseconds: 86_430_000, label: `${long}.${long}` },
    ];
    expect(await say({ verb: 'add', set: SET4, elements: some })).toEqual([]);
    const six = [{ key: [...QUBE6, ...ADDRESS6], milliseconds: 60_500, label: digest }];
    expect(await say({ verb: 'add', set: SET6, elements: six })).toEqual([]);
    expect(listed(there, SET4)).toEqual(
      expect.arrayContaining([
        ['10.137.0.5 93.184.216.34', 90, 'api.example'],
        ['10.137.0.6 93.184.216.34', 86_430, `${long}.${long}`],
      ]),
    );
    expect(listed(there, SET6)).toEqual([['fd00::5 2606:2800:220:1:248:1893:25c8:1946', 60, digest]]);
    const read = (await say({ verb: 'read', set: SET4 })) as typeof some;
    expect(read.map(({ key, label }) => [key.join(), label]).sort()).toEqual(
      some.map(({ key, label }) => [key.join(), label]).sort(),
    );
    for (const { milliseconds, label } of read)
      expect(milliseconds).toBeLessThanOrEqual(label === 'api.example' ? 90_000 : 86_430_000);
    expect(await say({ verb: 'read', set: SET6 })).toMatchObject([{ key: [...QUBE6, ...ADDRESS6] }]);
  });

  it('are renewed where they are, go where they are said to, and end by themselves', async () => {
    const { there, say } = opened();
    await say({ verb: 'make', set: SET4 });
    const one = (milliseconds: number, label: string) => [{ key: [QUBE, ADDRESS], milliseconds, label }];
    for (const seconds of [90, 3600, 60])
      await say({ verb: 'add', set: SET4, elements: one(seconds * 1000, `n${seconds}.example`) });
    expect(listed(there, SET4)).toEqual([['10.137.0.5 93.184.216.34', 60, 'n60.example']]);
    expect(await say({ verb: 'destroy', set: SET4, elements: one(1, 'x') })).toEqual([]);
    expect(await say({ verb: 'destroy', set: SET4, elements: one(1, 'x') })).toEqual([]); // not there any more
    await say({ verb: 'add', set: SET4, elements: one(200, 'short.example') });
    await expect.poll(() => say({ verb: 'read', set: SET4 }), { timeout: 5000 }).toEqual([]);
  });

  it('are refused by the kernel with its number, all of them or none', async () => {
    const { there, say } = opened();
    await say({ verb: 'make', set: SET4 });
    const many = Array.from({ length: 9 }, (_, i) => ({
      key: [QUBE, ADDRESS + i],
      milliseconds: 60_000,
      label: 'a.example',
    }));
    expect(await say({ verb: 'add', set: SET4, elements: many })).toMatchObject({ errno: -23 }); // ENFILE: full
    expect(listed(there, SET4)).toEqual([]);
    expect(await say({ verb: 'add', set: SET4.replace('0123', '4567'), elements: many })).toMatchObject({
      errno: -2,
    });
    expect(await say({ verb: 'add', set: SET4, elements: many.slice(0, 8) })).toEqual([]);
  });

  it('are the same tables again from a listing that was saved, whatever their names are', async () => {
    const { there, say } = opened();
    await say({ verb: 'make', set: SET4 });
    for (const label of ['a"; }', 'a\nb', 'A', '', 'a b', 'é', 'x'.repeat(128)])
      expect(
        await say({
          verb: 'add',
          set: SET4,
          elements: [{ key: [QUBE, ADDRESS], milliseconds: 60_000, label }],
        }),
      ).toMatchObject({ text: expect.stringContaining('label') });
    const labels = ['_-._-.', '0', `${'a'.repeat(63)}.${'b'.repeat(63)}`, 'add.rule.drop'];
    const elements = labels.map((label, i) => ({
      key: [QUBE, ADDRESS + i],
      milliseconds: 86_430_000,
      label,
    }));
    await say({ verb: 'add', set: SET4, elements });
    const before = listed(there, SET4);
    const saved = there.run(['nft', 'list', 'ruleset']);
    const again = saved.replaceAll('table inet rulecast_a', 'table inet copy').replace(/flags owner.*\n/, '');
    there.nft(again);
    const copied = there.run(['nft', '-j', 'list', 'set', 'inet', 'copy', SET4]);
    for (const label of labels) expect(copied).toContain(JSON.stringify(label));
    expect(before).toHaveLength(labels.length);
    expect(there.run(['nft', 'list', 'tables']).trim().split('\n')).toHaveLength(2);
  });
});
