/** Which two addresses are one qube's, by what a check of sources lets through. */

import { describe, expect, it } from 'vitest';
import { type Allowed, allowedIn, othersOf } from '../src/apply/interfaces.ts';
import { MessageWriter, messagesIn } from '../src/kernel/attributes.ts';
import { ALLOWED_MAX } from '../src/limits.ts';

const [A4, A6, B4, B6] = ['0a890005', `fd${'0'.repeat(29)}5`, '0a890006', `fd${'0'.repeat(29)}6`];
const by = (name: string, ...addresses: readonly string[]): readonly Allowed[] =>
  addresses.map((address) => ({ interface: name, address }));

describe('addresses that come by an interface', () => {
  it.each<[string, readonly Allowed[], Record<string, string>]>([
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
      Array.from({ length: ALLOWED_MAX + 1 }, (_, i) =>
        by(`vif${i}.0`, i.toString(16).padStart(8, '0')),
      ).flat(),
      {},
    ],
  ])('%s', (_, allowed, others) => {
    expect(Object.fromEntries(othersOf(allowed))).toEqual(others);
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
  expect([...allowedIn(message?.body ?? Buffer.alloc(0))]).toEqual([
    { interface: name, address: A4 },
    { interface: name, address: A4 },
    { interface: name, address: '' },
    { interface: '', address: '' },
    { interface: '', address: '' },
  ]);
});
