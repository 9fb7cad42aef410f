/** What to do in each place, as text to paste, and what the publisher has to know of the firewalls. */

import { groupCommand, udevLine } from './interfaces.ts';

export const WHERE = ['qubes', 'host', 'hosts'] as const;
export type Where = (typeof WHERE)[number];

/** Where the packages look for the configuration. */
export const HOME = '/etc/rulecast';
/** The configuration that a command is about if nobody says which: of root, that of the service. */
export function usualConfiguration(): string {
  return process.getuid?.() === 0 ? `${HOME}/publisher.yaml` : 'publisher.yaml';
}

/** What a qube has that dom0 has named as the one with the publisher: it keeps HOME, and no other does. */
export const SERVICE = '/var/run/qubes-service/rulecast-publisher';
/** Where udev looks for what an administrator has it do. */
export const UDEV_FILE = '/etc/udev/rules.d/70-rulecast.rules';
/** Our choice: no port that IANA has given to anybody. */
export const PORT = 7701;
/** The key of the publisher, whose name no firewall may have. */
export const PUBLISHER = 'publisher';
/** What the subscriber reads at its start. */
export const SUBSCRIBER_FILE = `${HOME}/subscriber.env`;

export interface Site {
  readonly where: Where;
  readonly firewalls: readonly string[];
  /** Of the firewalls: those that lead to what they judge. */
  readonly interfaces: readonly string[];
  /** Where the files are written to. */
  readonly folder: string;
  /** The interfaces and the subscriber are set here, by init itself, and nobody else has to do that. */
  readonly setsInterfaces: boolean;
  /** Options of the subscriber: which qube is behind which interface, where names open something. */
  readonly sources: readonly string[];
  /** The name of this host or qube. */
  readonly host: string;
  /** Where the publisher listens for firewalls on other hosts, and how they reach it. */
  readonly endpoints: { readonly listen: string; readonly connect: string } | undefined;
}

/** What the configuration says of the firewalls, as YAML; those on other hosts have public keys. */
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

/** What is pasted where, in this order. */
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

/** The commands by which dom0 makes these qubes what they are to be. */
export function dom0Lines({ host, firewalls }: Pick<Site, 'host' | 'firewalls'>): string {
  return `qvm-run --pass-io ${host} 'cat /usr/share/rulecast/rulecast-dom0' > rulecast-dom0
sh rulecast-dom0 ${[host, ...firewalls].join(' ')}`;
}

/** What puts the interfaces into the group, now and at each boot, and says who is behind them. */
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
