/**
 * The name servers of a resolv.conf: the upstreams of `rulecast-dns`, and the subscriber's DNS addresses for
 * `specialtarget=dns`. resolv.conf(5).
 */

import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { type Address, parseAddress } from '@rulecast/rules';

/** Most name servers used; the resolver itself uses three. */
const NAME_SERVERS_MAX = 16;
/** The interval of looks at the file: it may be replaced or be a link, which notifications miss. */
const LOOK_EVERY_MS = 2000;

/** The valid addresses in the `nameserver` lines. Throws the errors of reading the file. */
export function readNameServers(file: string): readonly Address[] {
  const addresses: Address[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const text = /^nameserver\s+(\S+)/.exec(line)?.[1]?.replace(/%.*$/, ''); // without the zone of a link-local address
    const address = text === undefined ? undefined : parseAddress(text);
    if (address !== undefined && addresses.length < NAME_SERVERS_MAX) addresses.push(address);
  }
  return addresses;
}

/**
 * The new addresses; undefined if the file cannot be read or names no server: it is being written or
 * replaced, and the last addresses hold. With none, a drop rule for DNS would drop nothing.
 */
export function nextNameServers(file: string): readonly Address[] | undefined {
  try {
    const addresses = readNameServers(file);
    return addresses.length === 0 ? undefined : addresses;
  } catch {
    return undefined;
  }
}

/** Calls back with the addresses soon, and whenever they may have changed. Call the result to stop. */
export function watchNameServers(
  file: string,
  onChange: (addresses: readonly Address[]) => void,
): () => void {
  const look = (): void => {
    const addresses = nextNameServers(file);
    if (addresses !== undefined) onChange(addresses);
  };
  watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, look);
  // The watch starts from the file as it is then, which may be newer than what its caller has read.
  const first = setTimeout(look, LOOK_EVERY_MS).unref();
  return () => {
    clearTimeout(first);
    unwatchFile(file, look);
  };
}
