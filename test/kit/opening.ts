/** An opening as `rulecast-dns` asks for, for the tests of both ends. */

import type { Opening } from '@rulecast/nftables/openings';

export const OPENING: Omit<Opening, 'id'> = {
  family: 4,
  seconds: 90,
  key: '0'.repeat(16),
  version: '1'.repeat(16),
  qube: Uint8Array.of(10, 137, 0, 5),
  addresses: [Uint8Array.of(93, 184, 0, 1)],
  label: 'deb.example',
};
