/**
 * The resolvers that Qubes translates questions of qubes to: the chain `dnat-dns` of its tables, which it
 * rewrites whenever the firewall's resolvers change.
 */

import type { Family } from '@rulecast/rules';
import { bitsOf } from '@rulecast/rules/columns';
import { attribute, attributesOf, textOf, within } from './attributes.ts';
import { NftMessage } from './commands.ts';
import { NFPROTO } from './expressions.ts';
import type { Netlink } from './netlink.ts';

const QUBES_TABLE = 'qubes';
const DNAT_CHAIN = 'dnat-dns';
const NETWORK_HEADER = 1;
/** The offset of the destination in an IP header. */
const DESTINATION_AT = { 4: 16, 6: 24 } as const;
const EQUAL = 0;
const DESTINATION_NAT = 1;

/**
 * The resolvers that qubes use and those that Qubes translates them to, 8 or 32 hex digits. Rejects with
 * NativeError.
 */
export async function qubesResolvers(
  netlink: Netlink,
  turn: () => Promise<void>,
): Promise<ReadonlySet<string>> {
  let found = new Set<string>();
  for (const family of [4, 6] as const) {
    const before = found;
    const start = (): ((body: Buffer) => void) => {
      found = new Set(before);
      return (body) => {
        for (const address of addressesOfDnat(body, family)) found.add(address);
      };
    };
    await netlink.all(
      NftMessage.getRule,
      [
        [1, QUBES_TABLE],
        [2, DNAT_CHAIN],
      ],
      start,
      turn,
      NFPROTO[family],
    );
  }
  return found;
}

/** The target addresses of a rule, if it is one of that chain that translates destinations. */
export function addressesOfDnat(rule: Buffer, family: Family): readonly string[] {
  if (textOf(attribute(rule, 1)) !== QUBES_TABLE || textOf(attribute(rule, 2)) !== DNAT_CHAIN) return [];
  const bytes = bitsOf(family) / 8;
  const found: Buffer[] = [];
  let [isDestination, isNat] = [false, false];
  const number = (data: Buffer | undefined, type: number): number | undefined =>
    within(data, type)?.readUInt32BE(0);
  for (const { value } of attributesOf(attribute(rule, 4))) {
    const data = within(value, 2);
    switch (textOf(within(value, 1))) {
      case 'payload':
        isDestination =
          number(data, 2) === NETWORK_HEADER &&
          number(data, 3) === DESTINATION_AT[family] &&
          number(data, 4) === bytes;
        break;
      case 'cmp': {
        const compared = within(within(data, 3), 1);
        if (isDestination && number(data, 2) === EQUAL && compared?.length === bytes) found.push(compared);
        isDestination = false;
        break;
      }
      case 'immediate': {
        const loaded = within(within(data, 2), 1);
        if (loaded?.length === bytes) found.push(loaded);
        break;
      }
      case 'nat':
        isNat ||= number(data, 1) === DESTINATION_NAT;
    }
  }
  return isNat ? found.map((each) => each.toString('hex')) : [];
}
