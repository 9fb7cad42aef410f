/**
 * Hosts of one's own networks: a server out there that leads a download to one reaches what it should not
 * through whoever asks.
 */

import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPrivateAddress, isPrivateName, parseAddress } from '@rulecast/rules';

/** Whether the text of an address is of a private one. Of text that is no address: yes. */
export function isPrivateText(text: string): boolean {
  const address = parseAddress(text.replace(/%.*$/, '')); // the zone of a link-local address
  return address === undefined || isPrivateAddress(address);
}

/** Of a URL: whether its host is a private address, or a name that is private. */
export function isPrivateHost({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? isPrivateName(host) : isPrivateText(host);
}

/**
 * Of a URL: whether its host is a private address as it is written, or `localhost`, so that nobody else has a
 * say in it.
 */
export function isPrivateLiteral({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? /^(.*\.)?localhost\.?$/i.test(host) : isPrivateText(host);
}

/** How a lookup says that a name stands for private addresses alone. */
export const PRIVATE_ADDRESS_CODE = 'ERR_PRIVATE_ADDRESS';

/**
 * Looks names up for a connection, and leaves private addresses out: what is connected to is what was looked
 * at.
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
