/** Parts of more than one leaf, which vectors give by a rule. */

import type { ListSpec, NamesSpec, PolicySpec, ResolutionsSpec } from './slow-encoder.ts';

function address(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

export function largeList(): ListSpec {
  const v4 = Array.from({ length: 5000 }, (_, i) => `${address(Math.imul(i, 2_654_435_761) >>> 0)}/32`);
  const v6 = Array.from({ length: 1000 }, (_, i) => {
    return `2001:db8:${((i * 40_503) & 0xffff).toString(16)}::/48`;
  });
  return { kind: 'list', name: 'large', prefixes: [...v4, ...v6] };
}

export function largeNames(): NamesSpec {
  const names = Array.from({ length: 2000 }, (_, i) => `n${i}.example`);
  return { kind: 'names', name: 'large', resolve: false, names };
}

export function largePolicy(): PolicySpec {
  const egress = Array.from(
    { length: 4000 },
    (_, i) => `action=drop dst4=${address(0x0a00_0000 + 7 * i)}/32`,
  );
  return { kind: 'policy', name: 'large', defaultAction: 'drop', prefixes: [], egress, ingress: [] };
}

export function largeResolutions(): ResolutionsSpec {
  const names = Array.from({ length: 300 }, (_, i) => [`n${i}.example`, [`${address(0x0a00_0000 + i)}/32`]]);
  return { kind: 'resolutions', names: Object.fromEntries(names) };
}
