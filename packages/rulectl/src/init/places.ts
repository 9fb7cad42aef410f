/** What to do in each place, as lines to paste, and what the publisher has to know of the firewalls. */

import { groupCommand, udevLine } from './interfaces.ts';

export const WHERE = ['qubes', 'host', 'hosts'] as const;
export type Where = (typeof WHERE)[number];

/** Where the packages look for the configuration. */
export const HOME = '/etc/rulecast';
/** What a qube has that dom0 has named as the one with the publisher: it keeps HOME, and no other does. */
export const SERVICE = '/var/run/qubes-service/rulecast-publisher';
/** Where udev looks for what an administrator has it do. */
export const UDEV_FILE = '/etc/udev/rules.d/70-rulecast.rules';
/** Our choice: no port that IANA has given to anybody. */
const PORT = 7701;
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
  /** The name of this host or qube, and an address by which firewalls reach it. */
  readonly host: string;
  readonly address: string;
}

export interface Block {
  readonly place: string;
  readonly lines: readonly string[];
}

/** What the configuration says of the firewalls, as YAML; `hosts` have public keys. */
export function siteConfiguration(site: Site, keyOf: (firewall: string) => string): string {
  const { where, firewalls, address } = site;
  const bindings = {
    qubes: (name: string) => `{qube: ${name}}`,
    host: () => '{}',
    hosts: (name: string) => `{curve-key: ${JSON.stringify(keyOf(name))}}`,
  };
  return [
    ...(where === 'hosts'
      ? [`listen: ["zmq+tcp:${address}:${PORT}"]`, 'curve: {secret: keys/publisher.key}']
      : []),
    'subscribers: # the firewalls; status says which of them has not what was released',
    ...firewalls.map((name) => `  ${name}: ${bindings[where](name)}`),
    '',
  ].join('\n');
}

/** What is pasted where, in this order. */
export function blocksOf(site: Site): readonly Block[] {
  const { where, firewalls, folder } = site;
  const files = `${folder}/{publisher.yaml,rules.yaml${where === 'hosts' ? ',keys' : ''}}`;
  const copy = folder === HOME ? [] : [`cp -r ${files} ${HOME}/`];
  if (where === 'qubes') return qubesBlocks(site, copy);
  const trust = `rulecast-publisher --print-trust > ${HOME}/trust`;
  if (where === 'host') {
    const lines = [
      ...copy,
      ...interfaceLines(site),
      'systemctl enable --now rulecast-publisher',
      trust,
      startLine(site),
    ];
    return [{ place: 'here, as root', lines }];
  }
  const here = [
    ...copy,
    'apt install rulecast-zeromq',
    `chown -R rulecast-publisher ${HOME}/keys`,
    'systemctl enable rulecast-publisher && systemctl restart rulecast-publisher',
    trust,
    ...firewalls.map(
      (name) => `scp ${HOME}/{trust,keys/publisher.pub,keys/${name}.key} root@${name}:${HOME}/`,
    ),
  ];
  const install = `apt install rulecast-firewall rulecast-zeromq && mkdir -p ${HOME}`;
  return [
    { place: `on ${firewalls.join(', ')}, as root`, lines: [install] },
    { place: 'here, as root', lines: here },
    ...firewalls.map((name) => ({ place: `on ${name}, as root`, lines: farLines(site, name) })),
  ];
}

function qubesBlocks(site: Site, copy: readonly string[]): readonly Block[] {
  return [
    { place: 'here, as root', lines: [...copy, 'systemctl restart rulecast-publisher'] },
    {
      place: 'in the template of a firewall that has it not yet, as root',
      lines: ['apt install rulecast-firewall && poweroff'],
    },
    {
      place: 'in dom0, for a firewall that it has not been told of, once you have read the script',
      lines: [
        ...dom0Lines(site),
        ...site.firewalls.map((name) => `qvm-shutdown --wait --force ${name} && qvm-start ${name}`),
      ],
    },
  ];
}

/**
 * The commands by which dom0 lets qubes be what they are to be. A firewall starts anew only after that, when
 * there is a release: it lets nothing pass before, be it the lists of a publisher behind it.
 */
export function dom0Lines({ host, firewalls }: Pick<Site, 'host' | 'firewalls'>): readonly string[] {
  return [
    `qvm-run --pass-io ${host} 'cat /usr/share/rulecast/rulecast-dom0' > rulecast-dom0`,
    `sh rulecast-dom0 ${[host, ...firewalls].join(' ')}`,
  ];
}

function farLines(site: Site, name: string): readonly string[] {
  const settings = [
    `NAME=${name}`,
    `CONNECT=zmq+tcp:${site.address}:${PORT}`,
    `CURVE_KEY=${HOME}/${name}.key`,
    `CURVE_PEER=${HOME}/publisher.pub`,
  ];
  return [
    `printf 'RULECAST_%s\\n' ${settings.join(' ')} > ${SUBSCRIBER_FILE}`,
    ...interfaceLines(site),
    startLine(site),
  ];
}

/** What puts the interfaces into the group, now and at each boot, and says who is behind them. */
function interfaceLines({ interfaces, setsInterfaces, sources }: Site): readonly string[] {
  if (setsInterfaces) return [];
  const groups = interfaces.flatMap((one) => [
    groupCommand(one).join(' '),
    `echo '${udevLine(one)}' >> ${UDEV_FILE}`,
  ]);
  const options =
    sources.length === 0 ? [] : [`echo 'RULECAST_OPTIONS=${sources.join(' ')}' >> ${SUBSCRIBER_FILE}`];
  return [...groups, ...options];
}

/** Starts a firewall, once it knows whom to trust, or has it read its options again. */
function startLine({ sources }: Site): string {
  const start = 'systemctl enable --now rulecast-boot rulecast-subscriber';
  return sources.length === 0 ? start : `${start} && systemctl restart rulecast-subscriber`;
}
