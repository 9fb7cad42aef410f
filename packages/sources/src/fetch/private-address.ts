/**
 * Hosts of private networks: a server on the Internet that redirects a download to one would reach into the
 * network through this host.
 */

import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPrivateAddress, isPrivateName, parseAddress } from '@rulecast/rules';

/** Whether the text is a private address. Text that is no address counts as private. */
export function isPrivateText(text: string): boolean {
  const address = parseAddress(text.replace(/%.*$/, '')); // the zone of a link-local address
  return address === undefined || isPrivateAddress(address);
}

/** Whether the host of a URL is a private address, or a private name. */
export function isPrivateHost({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? isPrivateName(host) : isPrivateText(host);
}

/**
 * Whether the host of a URL is literally a private address, or `localhost`, so that no DNS answer decides it.
 */
export function isPrivateLiteral({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? /^(.*\.)?localhost\.?$/i.test(host) : isPrivateText(host);
}

/** The error code of a lookup whose name has private addresses only. */
export const PRIVATE_ADDRESS_CODE = 'ERR_PRIVATE_ADDRESS';

/**
 * Looks names up for a connection, and drops private addresses: the checked address is the one connected to.
 */
export function publicLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0);
      const addresses = listed(found).filter(({ address }) => !isPrivateText(address));
      const [first] = addresses;
      if (first === undefined) return callback(privateError(hostname), '', 0);
      if (wantsAll(options)) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function listed(found: string | readonly LookupAddress[]): readonly LookupAddress[] {
  return typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found;
}

function wantsAll({ all }: LookupOptions): boolean {
  return all === true;
}

function privateError(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} stands for a private address`), { code: PRIVATE_ADDRESS_CODE });
}

function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}
