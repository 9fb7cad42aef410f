/** How many addresses names may open. */

import { bitsOf, type Prefixes } from './prefix.ts';

/** Addresses that one qube may hold by one list of names. Our choice: of a thousand names that are in use. */
export const NAME_ADDRESSES_MAX = 1024;
/** Qubes that may hold any by one list, where policies have more of them. Our choice. */
export const NAME_QUBES_MAX = 64;
/** Addresses that all lists of a firewall may open together: some 160 MB of its kernel's memory. */
export const FIREWALL_NAME_ADDRESSES_MAX = 524_288;

/** Addresses that some qubes may hold by one list in one family. */
export function nameRoomOf({ family, lengths }: Prefixes): number {
  let qubes = 0;
  for (const length of lengths) qubes += 2 ** (bitsOf(family) - length);
  return Math.min(qubes, NAME_QUBES_MAX) * NAME_ADDRESSES_MAX;
}
