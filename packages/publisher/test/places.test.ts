import { SUBSCRIBERS_MAX } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { placesFor } from '../src/daemon/places.ts';

/** As the kernel writes it. */
function limits(files: string): string {
  return `Limit                     Soft Limit           Hard Limit           Units
Max processes             95288                95288                processes
Max open files            ${files.padEnd(20)} 1048576              files
`;
}

it.each([
  ['1048576', 0, SUBSCRIBERS_MAX],
  ['unlimited', 0, SUBSCRIBERS_MAX],
  [`${SUBSCRIBERS_MAX + 512}`, 0, SUBSCRIBERS_MAX],
  [`${SUBSCRIBERS_MAX + 511}`, 0, SUBSCRIBERS_MAX - 1],
  ['1024', 0, 512],
  ['1024', 100, 412],
  ['256', 0, 1],
])('with %s open files, %i names bound, there is room for %i subscribers', (files, bound, places) => {
  expect(placesFor(limits(files), bound)).toBe(places);
});

it('is not bounded by what nobody tells', () => {
  expect(placesFor(undefined, 0)).toBe(SUBSCRIBERS_MAX);
});
