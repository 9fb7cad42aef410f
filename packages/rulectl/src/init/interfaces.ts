/** Network interfaces of this host, and the link group that marks those whose packets a firewall judges. */

import type { Machine } from '../doctor/finding.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';

/** The group of the interfaces of downstream qubes, in Qubes and as the packages have it. */
const GROUP = '2';

export interface Interface {
  readonly name: string;
  readonly isJudged: boolean;
}

/** Those that hosts may be behind: none of the host itself, nor the one that leads to the Internet. */
export function interfacesOf(machine: Machine): readonly Interface[] {
  const uplinks = new Set(rowsOf(machine, 'route', 'show', 'default').map(({ dev }) => dev));
  return rowsOf(machine, 'link', 'show').flatMap(({ ifname, group, link_type: type }) => {
    if (type === 'loopback' || uplinks.has(ifname) || ifname === undefined) return [];
    return [{ name: ifname, isJudged: group === GROUP }];
  });
}

/** The fields used from the output of `ip` for links and routes. */
interface Row {
  readonly ifname?: string;
  readonly group?: string;
  readonly link_type?: string;
  readonly dev?: string;
}

function rowsOf(machine: Machine, ...words: readonly string[]): readonly Row[] {
  const { status, stdout } = machine.run('ip', '-json', ...words);
  if (status === 0) return JSON.parse(stdout || '[]');
  throw new CliError(
    ExitCode.refused,
    'no-ip',
    'the interfaces of this host are not known: apt install iproute2',
  );
}

/** The commands that put an interface into the group now. */
export function groupCommand(name: string): readonly [program: string, ...words: string[]] {
  return ['ip', 'link', 'set', 'dev', name, 'group', GROUP];
}

/** The udev rule that sets the group when the interface appears, at each boot. */
export function udevLine(name: string): string {
  return `ACTION=="add", SUBSYSTEM=="net", KERNEL=="${name}", ATTR{netdev_group}="${GROUP}"`;
}

/**
 * Options of the subscriber that say behind which interface each qube is. Outside Qubes nothing else says so,
 * and no name opens anything to a qube that could be anywhere.
 */
export function sourcesOf(
  machine: Machine,
  interfaces: readonly string[],
  qubes: readonly string[],
): readonly string[] {
  return qubes.map((addresses) => {
    const [address = ''] = addresses.split(',');
    const route = interfaces.length > 1 ? rowsOf(machine, 'route', 'get', address)[0]?.dev : undefined;
    return `--source ${interfaces.find((one) => one === route) ?? interfaces[0]}=${addresses}`;
  });
}

/** The first address of this host, beyond loopback, at which something answers DNS. */
export function resolverHere(machine: Machine): string | undefined {
  const { stdout } = machine.run('ss', '-Hlnu', 'sport = 53');
  const addresses = stdout
    .split('\n')
    .map((line) => line.split(/\s+/)[3]?.replace(/(?:%[^:]*)?:53$/, '') ?? '');
  return addresses.find((address) => address !== '' && !/^127\.|^\[::1\]/.test(address));
}
