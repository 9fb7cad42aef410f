/** The owner of a port on this host: proc_pid_net(5). A user without rights cannot see the process. */

import { readFileSync } from 'node:fs';
import { formatAddress, parseAddress } from '@rulecast/rules';
import type { DnsEndpoint } from '../proxy/upstream.ts';

const TABLES = ['udp', 'tcp', 'udp6', 'tcp6'];
const UNSPECIFIED = ['0.0.0.0', '::'];
const [LOCAL, USER] = [1, 7];
const HEX_OF_IPV4 = 8;

/** ` by a process of the user NAME`; empty if nobody is seen. */
export function ownerOfPort({ address, port }: DnsEndpoint): string {
  for (const line of TABLES.flatMap((table) => linesOf(`/proc/self/net/${table}`).slice(1))) {
    const fields = line.trim().split(/\s+/);
    const [hex = '', portHex = ''] = (fields[LOCAL] ?? '').split(':');
    const isOfPort = Number.parseInt(portHex, 16) === port;
    if (isOfPort && [address, ...UNSPECIFIED].includes(addressIn(hex)))
      return ` by a process of the user ${userOf(fields[USER] ?? '')}`;
  }
  return '';
}

/**
 * An address from hexadecimal words in the machine's byte order, which is little-endian on all our platforms.
 */
function addressIn(hex: string): string {
  const bytes = Buffer.from(hex, 'hex').swap32();
  if (hex.length === HEX_OF_IPV4) return bytes.join('.');
  const parsed = parseAddress((bytes.toString('hex').match(/.{4}/g) ?? []).join(':'));
  return parsed === undefined ? '' : formatAddress(parsed);
}

function userOf(uid: string): string {
  const account = linesOf('/etc/passwd').find((line) => line.split(':')[2] === uid);
  return account?.split(':')[0] ?? uid;
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return []; // such as of a family that this machine does not have
  }
}
