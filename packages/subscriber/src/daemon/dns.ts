/**
 * `--dns`: the addresses that `specialtarget=dns` stands for, from the option and from a file, which is
 * watched.
 */

import { isDeepStrictEqual } from 'node:util';
import { nextNameServers, readNameServers, watchNameServers } from '@rulecast/dns/resolv-conf';
import { EXIT_FAILED, ProgramError, usageError } from '@rulecast/program';
import { type Address, formatAddress, parseAddress } from '@rulecast/rules';

const LOOPBACK = /^(?:127\.|::1$)/;

export interface DnsSettings {
  readonly fixed: readonly Address[];
  /** A file with further addresses, which is watched. */
  readonly file: string | undefined;
}

/** Parses `--dns`. Throws ProgramError `usage`. */
export function dnsSettings(text: string): DnsSettings {
  const texts = text.split(',');
  const [file, ...others] = texts.filter((each) => each.includes('/'));
  if (others.length > 0) throw usageError(`--dns ${text}: write one file at most`);
  return { fixed: texts.filter((each) => each !== file).map(readAddress), file };
}

/** Throws ProgramError if the file is missing and no fixed address is given. */
export function readDns({ fixed, file }: DnsSettings): readonly Address[] {
  if (file === undefined) return fixed;
  if (fixed.length > 0) return [...fixed, ...forQubes(nextNameServers(file) ?? [])];
  try {
    return forQubes(readNameServers(file));
  } catch (cause) {
    // Not a usage error, as services are not restarted after one: at boot such a file may come later.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ProgramError(EXIT_FAILED, `--dns: ${file} cannot be read: ${reason}`, { cause });
  }
}

/** Calls back when the addresses change, at first from `known`. Call the result to stop. */
export function followDns(
  { fixed, file }: DnsSettings,
  known: readonly Address[],
  onChange: (addresses: readonly Address[]) => void,
): (() => void) | undefined {
  if (file === undefined) return undefined;
  let last = known;
  return watchNameServers(file, (named) => {
    const next = [...fixed, ...forQubes(named)];
    if (isDeepStrictEqual(next, last)) return;
    last = next;
    onChange(next);
  });
}

/** Without loopback addresses, such as systemd-resolved's: a qube's questions to them never come here. */
function forQubes(addresses: readonly Address[]): readonly Address[] {
  return addresses.filter((address) => !LOOPBACK.test(formatAddress(address)));
}

function readAddress(text: string): Address {
  const address = parseAddress(text.trim());
  if (address === undefined) throw usageError(`--dns: "${text}" is no address`);
  return address;
}
