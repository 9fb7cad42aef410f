/** Who has a port of this host, as far as this process may see: proc_pid_net(5). */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { formatAddress, parseAddress, strideOf } from '@rulecast/rules';
import type { DnsEndpoint } from '../proxy/upstream.ts';

const TABLES = ['udp', 'tcp', 'udp6', 'tcp6'];
const UNSPECIFIED = ['0.0.0.0', '::'];
const [LOCAL, USER, INODE] = [1, 7, 9];

/** ` by NAME`, the process or, where that is hidden, its user; empty: nobody is seen. */
export function ownerOfPort({ address, port }: DnsEndpoint): string {
  for (const table of TABLES) {
    for (const line of linesOf(`/proc/self/net/${table}`).slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [hex = '', portHex = ''] = (fields[LOCAL] ?? '').split(':');
      if (Number.parseInt(portHex, 16) !== port) continue;
      const local = addressIn(hex);
      if (local !== address && !UNSPECIFIED.includes(local)) continue;
      const process = processOf(fields[INODE] ?? '');
      return process === undefined ? ` by a process of ${userOf(fields[USER] ?? '')}` : ` by ${process}`;
    }
  }
  return '';
}

/** Words of the machine's byte order, which is the little one wherever this runs. */
function addressIn(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  if (bytes.length === 4 * strideOf(4)) return bytes.join('.');
  const parsed = parseAddress((Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? []).join(':'));
  return parsed === undefined ? '' : formatAddress(parsed);
}

function processOf(inode: string): string | undefined {
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name)))
    for (const fd of namesIn(`/proc/${pid}/fd`))
      if (linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`)
        return `${linesOf(`/proc/${pid}/comm`)[0]} (process ${pid})`;
  return undefined;
}

function userOf(uid: string): string {
  const account = linesOf('/etc/passwd').find((line) => line.split(':')[2] === uid);
  return `the user ${account?.split(':')[0] ?? uid}`;
}

function namesIn(folder: string): readonly string[] {
  return seen(() => readdirSync(folder)) ?? [];
}

function linkOf(path: string): string | undefined {
  return seen(() => readlinkSync(path));
}

function linesOf(path: string): readonly string[] {
  return seen(() => readFileSync(path, 'utf8'))?.split('\n') ?? [];
}

/** Undefined: it is gone, or another's. */
function seen<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
