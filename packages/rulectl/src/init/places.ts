/** The steps in each place, as text to paste, and the publisher's configuration of the firewalls. */

import { groupCommand, udevLine } from './interfaces.ts';

export const WHERE = ['qubes', 'host', 'hosts'] as const;
export type Where = (typeof WHERE)[number];

/** The configuration folder of the packages. */
export const HOME = '/etc/rulecast';
/** The default configuration of a command: for root, that of the service. */
export function usualConfiguration(): string {
  return process.getuid?.() === 0 ? `${HOME}/publisher.yaml` : 'publisher.yaml';
}

/** A marker in the qube that dom0 chose for the publisher: only that qube persists HOME. */
export const SERVICE = '/var/run/qubes-service/rulecast-publisher';
/** The administrator's rules of udev. */
export const UDEV_FILE = '/etc/udev/rules.d/70-rulecast.rules';
/** Our choice: no port that IANA has given to anybody. */
export const PORT = 7701;
/** The key of the publisher, whose name no firewall may have. */
export const PUBLISHER = 'publisher';
/** The environment file of the subscriber. */
export const SUBSCRIBER_FILE = `${HOME}/subscriber.env`;

export interface Site {
  readonly where: Where;
  readonly firewalls: readonly string[];
  /** For firewalls: the interfaces of the networks they judge. */
  readonly interfaces: readonly string[];
  /** The folder for the files. */
  readonly folder: string;
  /** Whether init itself configures the interfaces and the subscriber of this host. */
  readonly setsInterfaces: boolean;
  /** Options of the subscriber: which qube is behind which interface, where names open something. */
  readonly sources: readonly string[];
  /** The name of this host or qube. */
  readonly host: string;
  /** The publisher's endpoint for firewalls on other hosts, and the address they connect to. */
  readonly endpoints: { readonly listen: string; readonly connect: string } | undefined;
}

/** The configuration of the firewalls, as YAML; those on other hosts have public keys. */
export function siteConfiguration(site: Site, publicKeys: ReadonlyMap<string, string>): string {
  const { where, firewalls, endpoints } = site;
  const bindings = {
    qubes: (name: string) => `{qube: ${name}}`,
    host: () => '{}',
    hosts: (name: string) => `{curve-key: ${JSON.stringify(publicKeys.get(name))}}`,
  };
  return [
    ...(endpoints === undefined
      ? []
      : [`listen: [${JSON.stringify(endpoints.listen)}]`, 'curve: {secret: keys/publisher.key}']),
    'subscribers: # the firewalls; status says which of them has not what was released',
    ...firewalls.map((name) => `  ${name}: ${bindings[where](name)}`),
    '',
  ].join('\n');
}

/** The text to paste in each place, in this order. */
export function blocksOf(site: Site): string {
  const { where, firewalls, folder, endpoints } = site;
  const each = (text: (name: string) => string): string => firewalls.map(text).join('');
  const files = `${folder}/{publisher.yaml,rules.yaml${where === 'hosts' ? ',keys' : ''}}`;
  const copy = folder === HOME ? '' : `cp -r ${files} ${HOME}/\n`;
  const trust = `rulecast-publisher --print-trust > ${HOME}/trust`;
  // A firewall starts anew only when there is a release: before, it lets nothing pass, be it the lists of a
  // publisher behind it.
  const blocks = {
    qubes: () => `
# here, as root:
${copy}systemctl restart rulecast-publisher

# in the template of the firewall, if the package is not there yet, as root:
apt install rulecast-firewall && poweroff

# in dom0, if it does not know this firewall yet; read the script before you run it:
${dom0Lines(site)}${each(
  (name) => `
qvm-shutdown --wait --force ${name} && qvm-start ${name}`,
)}
`,
    host: () => `
# here, as root:
${copy}${interfaceLines(site)}systemctl enable --now rulecast-publisher
${trust}
${startLine(site)}
`,
    hosts: () => `
# on ${firewalls.join(', ')}, as root:
apt install rulecast-firewall rulecast-zeromq && mkdir -p ${HOME}

# here, as root:
${copy}apt install rulecast-zeromq
chown -R rulecast-publisher ${HOME}/keys
systemctl enable rulecast-publisher && systemctl restart rulecast-publisher
${trust}
${each(
  (name) => `scp ${HOME}/{trust,keys/publisher.pub,keys/${name}.key} root@${name}:${HOME}/
`,
)}${each(
  (name) => `
# on ${name}, as root:
printf 'RULECAST_%s\\n' NAME=${name} 'CONNECT=${endpoints?.connect}' CURVE_KEY=${HOME}/${name}.key CURVE_PEER=${HOME}/publisher.pub > ${SUBSCRIBER_FILE}
${interfaceLines(site)}${startLine(site)}
`,
)}`,
  };
  return blocks[where]();
}

/** The commands for dom0 to set up these qubes. */
export function dom0Lines({ host, firewalls }: Pick<Site, 'host' | 'firewalls'>): string {
  return `qvm-run --pass-io ${host} 'cat /usr/share/rulecast/rulecast-dom0' > rulecast-dom0
sh rulecast-dom0 ${[host, ...firewalls].join(' ')}`;
}

/** Commands that put the interfaces into the group, now and at each boot, and set their sources. */
function interfaceLines({ interfaces, setsInterfaces, sources }: Site): string {
  if (setsInterfaces) return '';
  const groups = interfaces.map(
    (one) => `${groupCommand(one).join(' ')}\necho '${udevLine(one)}' >> ${UDEV_FILE}\n`,
  );
  const options = `echo 'RULECAST_OPTIONS=${sources.join(' ')}' >> ${SUBSCRIBER_FILE}\n`;
  return `${groups.join('')}${sources.length === 0 ? '' : options}`;
}

/** Starts a firewall, once it knows whom to trust, or has it read its options again. */
function startLine({ sources }: Site): string {
  const start = 'systemctl enable --now rulecast-boot rulecast-subscriber';
  return sources.length === 0 ? start : `${start} && systemctl restart rulecast-subscriber`;
}
