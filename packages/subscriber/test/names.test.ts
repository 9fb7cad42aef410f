/** What `--names` means, and the words of before 0.4. */

import { expect, it } from 'vitest';
import { type NamesOptions, namesSettings, namesWarnings } from '../src/daemon/names.ts';

const NONE: NamesOptions = {
  names: 'off',
  namesFolder: undefined,
  enforce: true,
  dnsMode: undefined,
  openings: undefined,
};
const FIXED = {
  socket: '/run/rulecast-dns/names.sock',
  openings: '/run/rulecast-openings/openings.sock',
  isGiven: false,
  isOnDemand: true,
};
const OLD = { socket: '/a/names.sock', openings: undefined, isGiven: true, isOnDemand: false };

it.each([
  [{}, undefined, 0],
  [{ names: 'auto' }, { ...FIXED, mode: 'auto' }, 0],
  [{ names: 'router' }, { ...FIXED, mode: 'router', isOnDemand: false }, 0],
  [
    { names: 'router', enforce: false },
    { ...FIXED, mode: 'router', openings: undefined, isOnDemand: false },
    0,
  ],
  [{ names: 'auto', enforce: false }, undefined, 1],
  [
    { names: 'auto', namesFolder: '/a' },
    { ...FIXED, mode: 'auto', socket: '/a/names.sock', openings: '/a/openings.sock' },
    0,
  ],
  [{ names: '/a/names.sock' }, { ...OLD, mode: 'router' }, 1],
  [{ names: '/a/names.sock', dnsMode: 'own' }, { ...OLD, mode: 'auto' }, 2],
  [{ names: '/a/names.sock', openings: '/b' }, { ...OLD, mode: 'router', openings: '/b' }, 2],
  [{ names: 'auto', dnsMode: 'off' }, undefined, 1],
  [{ names: 'auto', openings: '/b' }, { ...FIXED, mode: 'auto', openings: '/b' }, 1],
] satisfies readonly (readonly [Partial<NamesOptions>, unknown, number])[])(
  '%j',
  (given, meant, warnings) => {
    const options = { ...NONE, ...given };
    expect(namesSettings(options)).toEqual(meant);
    expect(namesWarnings(options)).toHaveLength(warnings);
  },
);

it.each([
  [{ names: 'atuo' }, '--names atuo: write auto, router or off'],
  [{ names: 'own' }, '--names own: write auto, router or off'],
  [{ names: 'toString' }, '--names toString: write auto, router or off'],
  [{ openings: '/b' }, '--openings /b goes with'],
  [{ names: 'router', openings: '/b', enforce: false }, '--openings /b goes with'],
] satisfies readonly (readonly [Partial<NamesOptions>, string])[])('refuses %j', (given, words) => {
  expect(() => namesSettings({ ...NONE, ...given })).toThrow(words);
});
