/** Which two addresses are one qube's, by what is said of interfaces. */

import { describe, expect, it } from 'vitest';
import { othersOf, pairsOf } from '../src/apply/interfaces.ts';
import { MessageWriter, messagesIn } from '../src/kernel/attributes.ts';
import { parseSources, type Source, sourcesIn } from '../src/kernel/sources.ts';
import { SOURCES_MAX } from '../src/limits.ts';

const [A4, A6, B4, B6] = ['0a890005', `fd${'0'.repeat(29)}5`, '0a890006', `fd${'0'.repeat(29)}6`];
const by = (name: string, ...addresses: readonly string[]): readonly Source[] =>
  addresses.map((address) => ({ interface: name, address }));

describe('addresses that come by an interface', () => {
  it.each<[string, readonly Source[], Record<string, string>]>([
    ['are one qube where there is one of each family', by('vif1.0', A4, A6), { [A4]: A6, [A6]: A4 }],
    ['are all that a qube has, where there is one', by('vif1.0', A4), { [A4]: '' }],
    [
      'of two interfaces are two qubes',
      [...by('vif1.0', A4, A6), ...by('vif2.0', B6, B4)],
      { [A4]: A6, [A6]: A4, [B4]: B6, [B6]: B4 },
    ],
    ['may be said twice', [...by('vif1.0', A4, A6), ...by('vif3.0', A6, A4)], { [A4]: A6, [A6]: A4 }],
    ["are nobody's where there are two of a family", by('lan', A4, B4), {}],
    ["are nobody's where there are three", by('lan', A4, A6, B4), {}],
    ["are nobody's where there are more than are written", by('lan', A4, ''), {}],
    [
      "are nobody's where another interface says otherwise",
      [...by('vif1.0', A4, A6), ...by('vif2.0', A4)],
      {},
    ],
    [
      "are nobody's where one of them comes with a third elsewhere",
      [...by('vif1.0', A4, A6), ...by('vif2.0', B4, A6), ...by('vif4.0', B6)],
      { [B6]: '' },
    ],
    ['do not spoil what others are', [...by('lan', A4, ''), ...by('vif2.0', B4)], { [B4]: '' }],
    ["are nobody's where any interface is let through", [...by('vif1.0', A4, A6), ...by('', '')], {}],
    [
      "are nobody's where there are too many of all",
      Array.from({ length: SOURCES_MAX + 1 }, (_, i) =>
        by(`vif${i}.0`, i.toString(16).padStart(8, '0')),
      ).flat(),
      {},
    ],
  ])('%s', (_, allowed, others) => {
    expect(Object.fromEntries(othersOf(allowed))).toEqual(others);
  });
});

describe('a pair', () => {
  it.each<[string, readonly Source[], readonly string[]]>([
    ['is each address of an interface', by('lan', A4, B4, A6), [A4, B4, A6]],
    ['may be said twice', [...by('vif1.0', A4), ...by('vif1.0', A4)], [A4]],
    ['is none of two interfaces', [...by('vif1.0', A4, A6), ...by('vif2.0', A4), ...by('vif1.0', A4)], [A6]],
    ['is none of any interface, nor of several addresses', [...by('', A4, B4), ...by('vif1.0', A4, '')], []],
    [
      'is none where there are too many of all',
      Array.from({ length: SOURCES_MAX + 1 }, () => by('vif1.0', A4)).flat(),
      [],
    ],
  ])('%s', (_, sources, addresses) => {
    expect([...pairsOf(sources).keys()]).toEqual(addresses);
  });

  it.each([
    ['eth1=10.137.0.5', by('eth1'.padEnd(16, '\0'), A4)],
    [
      'eth1=10.137.0.5,fd00::5 vif-2=10.137.0.6',
      [...by('eth1'.padEnd(16, '\0'), A4, A6), ...by('vif-2'.padEnd(16, '\0'), B4)],
    ],
    ['', []],
    ['eth1', undefined],
    ['eth1=', undefined],
    ['=10.137.0.5', undefined],
    ['eth1=10.137.0.0/24', undefined],
    ['eth1=10.137.0.5,', undefined],
    ['sixteen-letters-=10.137.0.5', undefined],
    ['\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9=10.137.0.5', undefined],
  ])('is written as %j', (text, sources) => {
    expect(parseSources(text)).toEqual(sources);
  });
});

it('what comes by an interface is read from a set, one address or several', () => {
  const key = (name: string, address: string): Buffer =>
    Buffer.concat([Buffer.from(name.padEnd(16, '\0'), 'latin1'), Buffer.from(address, 'hex')]);
  const writer = new MessageWriter();
  const element = (from: Buffer, to?: Buffer) =>
    [1, [[1, [[1, from]]], ...(to === undefined ? [] : [[10, [[1, to]]] as const])]] as const;
  const elements = [
    element(key('vif1.0', A4)),
    element(key('vif1.0', A4), key('vif1.0', A4)),
    element(key('vif1.0', A4), key('vif1.0', B4)),
    element(key('vif1.0', A6), key('vif2.0', A6)),
    [1, []] as const,
  ];
  writer.message(0, 0, 1, 0, () => writer.attributes([[3, elements]]));
  const [message] = messagesIn(Buffer.from(writer.bytes.subarray(0, writer.length)));
  const name = 'vif1.0'.padEnd(16, '\0');
  expect([...sourcesIn(message?.body ?? Buffer.alloc(0))]).toEqual([
    { interface: name, address: A4 },
    { interface: name, address: A4 },
    { interface: name, address: '' },
    { interface: '', address: '' },
    { interface: '', address: '' },
  ]);
});
