/** Lists with entries for a name and all below it, as sources make them. */

import { entryCount, type List, nameListOf, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { layersWith, listOfLayers } from '../src/lists/layers.ts';
import { loadedInputs } from '../src/read/inputs.ts';
import { readSource } from '../src/read/reading.ts';
import type { ListWork } from '../src/source/source.ts';
import { entriesOf } from './list-of.ts';
import { SourceRig } from './source-rig.ts';

const URL = 'https://feed.example/names.txt';

/** Reads `below-NAME` as a suffix: what formats make of bytes is no matter here. */
const READS_SUFFIXES: Partial<ListWork> = {
  read: async (order) => {
    const read = await readSource({ ...order, inputs: await loadedInputs(order.inputs) });
    if (read.kind === 'refused' || read.list.kind !== 'names') return read;
    const texts = [...nameTexts(read.list.names)].map((text) => text.replace('below-', '.'));
    return { ...read, list: nameListOf(texts, read.list.resolve) };
  },
};

describe('a list that rules accept', () => {
  const WIDER = { code: 'wider', reason: '1 of its entries stands for more names than before' };

  async function held(keys = ''): Promise<SourceRig> {
    const rig = new SourceRig(
      temporaryDirectory(),
      `lists: { cdn: { url: ${JSON.stringify(URL)}, resolve: firewall${keys} } }`,
      { work: READS_SUFFIXES },
    );
    rig.network.set(URL, 'a.example\n');
    await rig.start();
    rig.network.set(URL, 'below-a.example\n');
    rig.consumer.wider.set('cdn', WIDER);
    return rig;
  }

  it('waits where entries are wider than those in force, and says why, over every flush', async () => {
    const rig = await held();
    for (let i = 0; i < 2; i++) {
      await rig.refresh(['cdn']);
      expect(rig.status('cdn')).toMatchObject({ state: 'failing', trouble: WIDER });
      expect(entriesOf(rig.consumer.lists.get('cdn'))).toEqual(['a.example']);
    }
    expect(rig.audit).toEqual([]);
    rig.network.set(URL, 'a.example\n');
    await rig.refresh(['cdn']);
    expect(rig.status('cdn')).toMatchObject({ state: 'ok', trouble: undefined }); // as in force again
  });

  it('is released where that is permitted, once and on record', async () => {
    const rig = await held();
    await rig.refresh(['cdn'], ['wider'], 'ann');
    expect(entriesOf(rig.consumer.lists.get('cdn'))).toEqual(['.a.example']);
    expect(rig.audit).toEqual([{ list: 'cdn', ...WIDER, before: 1, after: 1, by: 'ann' }]);
    expect(rig.status('cdn')).toMatchObject({ state: 'ok', trouble: undefined });
  });

  it('is opened by no other permit', async () => {
    const rig = await held();
    await rig.refresh(['cdn'], ['shrunk', 'grown', 'covers-too-much', 'all-addresses', 'kind-changed']);
    expect(rig.status('cdn').trouble).toMatchObject(WIDER);
  });

  it('is released where it says that names below are meant, without a record', async () => {
    const rig = await held(', suffixes: below');
    await rig.refresh(['cdn']);
    expect(entriesOf(rig.consumer.lists.get('cdn'))).toEqual(['.a.example']);
    expect(rig.audit).toEqual([]);
  });
});

describe('a list made of others', () => {
  async function madeOf(expression: string): Promise<SourceRig> {
    const rig = new SourceRig(
      temporaryDirectory(),
      `lists:
  ads: { url: ${JSON.stringify(URL)}, publish: false }
  fine: { names: [www.ads.example, b.example], publish: false }
  block: ${expression}
`,
      { work: READS_SUFFIXES },
    );
    rig.network.set(URL, 'below-ads.example\nb.example\n');
    await rig.start(0);
    await rig.refresh();
    return rig;
  }

  it('excepts what is taken out of a suffix, and says how much', async () => {
    const rig = await madeOf('{ union: ads, minus: fine, resolve: firewall }');
    expect(rig.status('block')).toMatchObject({ trouble: undefined, count: 1, exceptionCount: 1 });
    expect(entriesOf(rig.consumer.lists.get('block'))).toEqual(['.ads.example', '!www.ads.example']);
  });

  it('takes the names alone where it says so, and tells of how many entries', async () => {
    const rig = await madeOf('{ union: [ads, fine], resolve: publisher, suffixes: as-names }');
    expect(entriesOf(rig.consumer.lists.get('block'))).toEqual([
      'ads.example',
      'www.ads.example',
      'b.example',
    ]);
    expect(rig.status('block').suffixCount).toBe(1);
  });
});

describe('layers of names', () => {
  it('except the part of a suffix that was seen again, and drop what is below a new one', () => {
    const named = (...texts: readonly string[]): List => nameListOf(texts, 'firewall');
    const wide = layersWith([{ seenAtMs: 1, list: named('.x.example') }], named('www.x.example'), 2);
    expect(wide.map(({ list }) => entriesOf(list))).toEqual([
      ['www.x.example'],
      ['.x.example', '!www.x.example'],
    ]);
    expect(entriesOf(listOfLayers(wide))).toEqual(['.x.example', 'www.x.example']);
    const covered = layersWith([{ seenAtMs: 1, list: named('www.x.example') }], named('.x.example'), 2);
    expect(covered.map(({ list }) => entryCount(list))).toEqual([1]);
  });
});
