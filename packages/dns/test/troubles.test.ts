/** What is told of upstreams that are down, holdings that are crowded, and a rate that is exceeded. */

import { expect, it } from 'vitest';
import { Troubles } from '../src/proxy/troubles.ts';
import { Upstreams } from '../src/proxy/upstreams.ts';

const NOTHING = { full: 0, refused: 0 };

function told(): { readonly troubles: Troubles; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, troubles: new Troubles((name, isOver) => lines.push(`${name}${isOver ? ' over' : ''}`)) };
}

it('an upstream that is down is told of once, as long as it is down, and once it has been up for a minute', () => {
  const { troubles, lines } = told();
  const upstreams = new Upstreams(2);
  const look = (nowMs: number): void => troubles.look({ counts: NOTHING, upstreams }, nowMs);
  for (let i = 0; i < 3; i++) {
    look(i);
    expect([lines, troubles.counters]).toEqual([[], {}]);
    upstreams.missed(1, i, i);
  }
  for (let nowMs = 0; nowMs <= 200_000; nowMs += 1000) look(nowMs);
  expect([lines, troubles.counters]).toEqual([['dnsDown.2'], { 'dnsDown.2': 1 }]);
  upstreams.heard(1, 200_000);
  look(259_000);
  expect(troubles.counters).toEqual({ 'dnsDown.2': 1 });
  look(260_000);
  expect([lines, troubles.counters]).toEqual([['dnsDown.2', 'dnsDown.2 over'], {}]);
});

it.each([
  ['holdings that are crowded', 'full', 'dnsCrowded'],
  ['a rate that is exceeded', 'refused', 'dnsBeyond'],
] as const)('%s are told of once, however often they are', (_, count, name) => {
  const { troubles, lines } = told();
  let happened = 0;
  for (let nowMs = 0; nowMs < 100_000; nowMs += 1000) {
    if (nowMs >= 5000) happened += 10_000;
    troubles.look({ counts: { ...NOTHING, [count]: happened }, upstreams: new Upstreams(1) }, nowMs);
    expect(troubles.counters).toEqual(nowMs >= 5000 ? { [name]: 1 } : {});
  }
  expect(lines).toEqual([name]);
  for (let nowMs = 100_000; nowMs < 200_000; nowMs += 1000)
    troubles.look({ counts: { ...NOTHING, [count]: happened }, upstreams: new Upstreams(1) }, nowMs);
  expect([lines, troubles.counters]).toEqual([[name, `${name} over`], {}]);
});
