/** Addresses of this host, by interface. */

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { formatAddress, parseAddress } from '@rulecast/rules';

/** An address that needs the zone of its link, which is not kept. */
export const LINK_LOCAL = /^fe[89ab]/;

export function hostAddresses(isMeant: (interfaceName: string) => boolean = () => true): readonly string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, all]) =>
    isMeant(name) ? (all ?? []).flatMap((each) => parseAddress(each.address) ?? []).map(formatAddress) : [],
  );
}

/** Those of the interfaces in a link group, without addresses of a link. */
export function groupAddresses(group: number): readonly string[] {
  return hostAddresses((name) => groupOf(name) === group).filter((address) => !LINK_LOCAL.test(address));
}

function groupOf(name: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/netdev_group`, 'latin1'));
  } catch {
    return undefined; // it has ended meanwhile
  }
}
