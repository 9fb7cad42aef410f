/** `rulectl doctor`: two machines on which all is well, and each fault that is put into one of them. */

import { createHash } from 'node:crypto';
import { formatRoots, formatTrust, type SignedRoot } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { keyOfSeed, rootOf, signedRoot } from '../../../test/kit/roots.mjs';
import type { FileState, Finding, Machine } from '../src/doctor/finding.ts';
import { isFirewall, lookAtFirewall } from '../src/doctor/firewall.ts';
import { isManagement, lookAtManagement } from '../src/doctor/management.ts';
import { rulectl } from './cli.ts';

const SOCKET: FileState = { kind: 'socket', mode: 0o600 };
const FILE: FileState = { kind: 'file', mode: 0o644 };
const DEVICE: FileState = { kind: 'device', mode: 0o660 };
const ACTIVE = 'LoadState=loaded\nActiveState=active\nResult=success\nConditionResult=yes\n';
const TRUST = formatTrust({ lineage: new Uint8Array(16), rootHash: new Uint8Array(32) });

/** What a machine holds, by what it is asked. */
interface Parts {
  readonly texts: Record<string, string | undefined>;
  readonly states: Record<string, FileState | undefined>;
  readonly targets: Record<string, string | undefined>;
  readonly runs: Record<string, string>;
  readonly freeBytes: number;
  readonly nowMs: number;
  readonly kernel: string;
  readonly node: string;
}

/** What is otherwise than on a healthy machine; undefined: not there. */
interface Change {
  readonly texts?: Record<string, string | undefined>;
  readonly states?: Record<string, FileState | undefined>;
  readonly targets?: Record<string, string | undefined>;
  readonly runs?: Record<string, string>;
  readonly freeBytes?: number;
  readonly nowMs?: number;
  readonly kernel?: string;
  readonly node?: string;
}

function spoilt({ texts, states, targets, runs, ...rest }: Change): Parts {
  const parts = healthy();
  return {
    ...parts,
    texts: { ...parts.texts, ...texts },
    states: { ...parts.states, ...states },
    targets: { ...parts.targets, ...targets },
    runs: { ...parts.runs, ...runs },
    ...rest,
  };
}

function healthy(): Parts {
  const devices = ['evtchn', 'gntalloc', 'gntdev', 'xenbus'].map((name) => [`/dev/xen/${name}`, DEVICE]);
  return {
    texts: {
      '/etc/rulecast/publisher.yaml': 'state: /var/lib/rulecast/publisher\n',
      '/etc/rulecast/trust': TRUST,
      '/etc/rulecast/subscriber.env':
        'RULECAST_CONNECT=exec:qrexec-client-vm?arg=mgmt&arg=rulecast.Subscribe\n',
    },
    states: {
      '/usr/share/qubes/marker-vm': FILE,
      '/etc/rulecast/publisher.yaml': FILE,
      '/var/lib/rulecast/publisher/identity': { kind: 'file', mode: 0o600 },
      '/run/rulecast/control.sock': SOCKET,
      '/run/rulecast/qrexec.sock': SOCKET,
      '/run/rulecast-dns/names.sock': { kind: 'socket', mode: 0o660 },
      '/usr/lib/systemd/system/rulecast-subscriber.service': FILE,
      ...Object.fromEntries(devices),
    },
    targets: { '/etc/qubes-rpc/rulecast.Subscribe': '/run/rulecast/qrexec.sock' },
    runs: {
      'systemctl rulecast-publisher': ACTIVE,
      'systemctl rulecast-subscriber': ACTIVE,
      'systemctl rulecast-boot': ACTIVE,
      'systemctl rulecast-dns': ACTIVE.replace('=active', '=inactive'),
      'qubesdb-read /qubes-vm-type': 'AppVM\n',
      'sh true': "binds+=( '/var/lib/rulecast' '/etc/rulecast' )\n",
      'journalctl 200': '{"msg":"connected"}\n{"msg":"applied"}\n',
      'id rulecast': 'rulecast qubes\n',
      'nft qubes': 'chain antispoof {}',
      'nft tables': 'table inet rulecast_a\n',
      'find root-*.key': '',
    },
    freeBytes: 2 ** 31,
    nowMs: Date.UTC(2026, 11, 1),
    kernel: '6.12.48-1.qubes.fc37.x86_64',
    node: '20.19.2',
  };
}

function machineOf({ texts, states, targets, runs, ...rest }: Parts): Machine {
  return {
    text: (path) => texts[path],
    state: (path) => states[path],
    target: (path) => targets[path],
    freeBytes: () => rest.freeBytes,
    run: (program, ...args) => {
      const last = args.at(-1)?.endsWith('true') === true ? 'true' : args.at(-1);
      const stdout = runs[`${program} ${last}`];
      return { status: stdout === undefined ? undefined : 0, stdout: stdout ?? '' };
    },
    nowMs: rest.nowMs,
    kernel: rest.kernel,
    node: rest.node,
  };
}

const CONFIGURED = {
  '/etc/rulecast/publisher.yaml': `state: /var/lib/rulecast/publisher
identity: /var/lib/rulecast/signer/identity
rules: rules.yaml
signer: unix:/run/rulecast-signer/signer.sock
operators:
  anna: { role: push, socket: { path: /run/rulecast/anna.sock, mode: 0660, group: users } }
`,
};
const WITH_OPERATOR = {
  '/var/lib/rulecast/signer/identity': { kind: 'file', mode: 0o600 },
  '/etc/rulecast/rules.yaml': FILE,
  '/run/rulecast-signer/signer.sock': SOCKET,
  '/run/rulecast/anna.sock': { kind: 'socket', mode: 0o660 },
} as const;
const OPERATORS: readonly [string, string, string, Change][] = (
  [
    ['no socket of an operator', 'operators', 'restart', { '/run/rulecast/anna.sock': undefined }],
    [
      'one that is wider than said',
      'operators',
      'restart',
      { '/run/rulecast/anna.sock': { kind: 'socket', mode: 0o666 } },
    ],
    ['no signer', 'signer', 'rulecast-signer.socket', { '/run/rulecast-signer/signer.sock': undefined }],
    [
      'a signer for everybody',
      'signer',
      '0600',
      { '/run/rulecast-signer/signer.sock': { kind: 'socket', mode: 0o666 } },
    ],
    ['no rules file', 'rules', 'rulectl init', { '/etc/rulecast/rules.yaml': undefined }],
    [
      'a rules file that others may write',
      'rules',
      'chmod go-w',
      { '/etc/rulecast/rules.yaml': { kind: 'file', mode: 0o664 } },
    ],
    ['no identity of the signer', 'key', 'backup', { '/var/lib/rulecast/signer/identity': undefined }],
  ] as const
).map(([what, check, remedy, states]) => {
  return [what, check, remedy, { texts: CONFIGURED, states: { ...WITH_OPERATOR, ...states } }];
});

const settings = (names: string) => ({
  '/etc/rulecast/subscriber.env': `RULECAST_OPTIONS=--connect unix:/run/a.sock ${names}\n`,
});
const DNS_UNITS = { 'systemctl rulecast-dns': ACTIVE, 'systemctl rulecast-dns.socket': ACTIVE };
const NAMES: readonly [string, string, string, Change][] = [
  [
    'a rulecast-dns that failed',
    'unit',
    'journalctl -u rulecast-dns',
    { runs: { 'systemctl rulecast-dns': ACTIVE.replace('=active', '=failed') } },
  ],
  [
    'no socket of rulecast-dns',
    'names',
    'systemctl start rulecast-dns-names.socket',
    { states: { '/run/rulecast-dns/names.sock': undefined } },
  ],
  [
    'no socket that qubes could ask',
    'unit',
    'enable --now rulecast-dns.socket',
    {
      runs: { ...DNS_UNITS, 'systemctl rulecast-dns.socket': ACTIVE.replace('=active', '=inactive') },
    },
  ],
  [
    'no way to it',
    'capture',
    'restart rulecast-dns-net',
    {
      runs: DNS_UNITS,
      states: { '/run/netns/rulecast-dns': { kind: 'file', mode: 0o444 } },
    },
  ],
];

function troubles(parts: Parts): readonly Finding[] {
  const machine = machineOf(parts);
  expect([isManagement(machine), isFirewall(machine)]).toEqual([true, true]);
  const all = [...lookAtManagement(machine), ...lookAtFirewall(machine)];
  return all.filter(({ result }) => result !== 'good');
}

describe('doctor', () => {
  it('finds nothing where all is well', () => {
    expect(troubles(healthy())).toEqual([]);
  });

  it.each<[string, string, string, Change]>([
    [
      'a key that others read',
      'key',
      'chmod 600',
      { states: { '/var/lib/rulecast/publisher/identity': FILE } },
    ],
    [
      'the key of roots beside the publisher',
      'root key',
      'move it to a vault',
      { runs: { 'find root-*.key': '/var/lib/rulecast/publisher/root-0123abcd.key\n' } },
    ],
    ['no key', 'key', 'restore', { states: { '/var/lib/rulecast/publisher/identity': undefined } }],
    [
      'a configuration with a fault',
      'configuration',
      'rulectl check',
      { texts: { '/etc/rulecast/publisher.yaml': 'stat: x\n' } },
    ],
    [
      'no control socket',
      'socket',
      'start rulecast-publisher',
      { states: { '/run/rulecast/control.sock': undefined } },
    ],
    [
      'a service without its link',
      'qrexec',
      'link',
      { targets: { '/etc/qubes-rpc/rulecast.Subscribe': undefined } },
    ],
    [
      'a service that all may open',
      'qrexec',
      'chmod 600',
      { states: { '/run/rulecast/qrexec.sock': { kind: 'socket', mode: 0o666 } } },
    ],
    ['no bind-dirs', 'kept', 'in the template, which has bind-dirs', { runs: { 'sh true': '' } }],
    [
      'a unit that failed',
      'unit',
      'journalctl -u rulecast-subscriber',
      { runs: { 'systemctl rulecast-subscriber': ACTIVE.replace('active', 'failed') } },
    ],
    [
      'a service that dom0 did not switch on',
      'unit',
      'rulecast-publisher on',
      {
        runs: { 'systemctl rulecast-publisher': ACTIVE.replace('=active', '=inactive').replace('yes', 'no') },
      },
    ],
    ['no trust line', 'trust', '--print-trust', { texts: { '/etc/rulecast/trust': 'rulecast2:x\n' } }],
    [
      'an endpoint that is none',
      'endpoint',
      'subscriber.env',
      { texts: { '/etc/rulecast/subscriber.env': 'RULECAST_CONNECT=mgmt\n' } },
    ],
    [
      'a policy that refuses',
      'policy',
      'rulecast-dom0 MGMT QUBE',
      { runs: { 'journalctl 200': '{"msg":"connected"}\n{"code":"refused-by-policy"}\n' } },
    ],
    [
      'a socket that it may not open',
      'policy',
      'usermod',
      {
        runs: {
          'journalctl 200':
            '{"code":"disconnected","msg":"no permission to connect to unix:/run/a.sock: it has mode 0600"}\n',
        },
      },
    ],
    [
      'another publisher',
      'lineage',
      'docs/how-to/recover.md',
      { runs: { 'journalctl 200': '{"msg":"connected"}\n{"code":"wrong-lineage"}\n' } },
    ],
    [
      'a release that nobody says is the newest',
      'freshness',
      'threat-model',
      { runs: { 'journalctl 200': '{"msg":"connected"}\n{"freshness":"fresh"}\n{"freshness":"stale"}\n' } },
    ],
    ...OPERATORS,
    ...NAMES,
    [
      'a library that is not installed',
      'endpoint',
      'qubes-libvchan-xen',
      {
        texts: {
          '/etc/rulecast/subscriber.env': 'RULECAST_CONNECT=vchan:3:4711?library=libvchan-xen.so\n',
        },
      },
    ],
    [
      'a mirror without a token',
      'endpoint',
      'rulectl keys token NAME, and RULECAST_REPORT_TOKEN=FILE',
      {
        texts: { '/etc/rulecast/subscriber.env': 'RULECAST_CONNECT=https://a:b@rules.example/ https://c/\n' },
      },
    ],
    ['no device of Xen', 'xen', 'qrexec-client-vm', { states: { '/dev/xen/gntdev': undefined } }],
    ['a user without the group', 'xen', 'usermod', { runs: { 'id rulecast': 'rulecast\n' } }],
    ['no anti-spoofing', 'anti-spoofing', 'qubes-network', { runs: { 'nft qubes': 'chain forward {}' } }],
    ['no table', 'nft', 'rulecast-boot', { runs: { 'nft tables': 'table ip qubes\n' } }],
    ['no release', 'nft', 'rulectl push', { runs: { 'nft tables': 'table inet rulecast_closed\n' } }],
    ['an old kernel', 'kernel', 'Linux 6.9', { kernel: '6.6.48-1.fc37' }],
  ])('finds %s', (_, check, remedy, change) => {
    const found = troubles(spoilt(change));
    expect(found.map((finding) => finding.check)).toEqual([check]);
    expect(found[0]?.remedy).toContain(remedy);
  });

  it.each<[string, string, Change]>([
    ['a full disk', 'disk', { freeBytes: 1000 }],
    ['a clock that was reset', 'clock', { nowMs: 0 }],
    ['an old Node', 'node', { node: '18.20.4' }],
    ['a template', 'qube', { runs: { 'qubesdb-read /qubes-vm-type': 'TemplateVM\n' } }],
  ])('finds %s on either side', (_, check, change) => {
    expect(troubles(spoilt(change)).map((finding) => finding.check)).toEqual([check, check]);
  });

  it.each([
    [undefined, []],
    [31, []],
    [29, ['doubt', 'doubt']],
    [0, ['fault', 'fault']],
  ])('says on either side that a root is to be renewed in %s days', (days, results) => {
    const key = keyOfSeed(new Uint8Array(32).fill(1));
    const refreshBy = days === undefined ? undefined : healthy().nowMs / 1000 + days * 86_400;
    const chain = [1, 2].map((number): SignedRoot => {
      const said = { number, refreshBy: number === 2 ? refreshBy : undefined };
      return signedRoot(rootOf(new Uint8Array(16), key, said), key);
    });
    const roots = formatRoots(chain);
    const seal = createHash('sha256').update(roots).digest('hex');
    const pem = key.export({ format: 'pem', type: 'pkcs8' });
    const texts = {
      '/var/lib/rulecast/publisher/identity': `rulecast-identity 2\nlineage 00\n${pem}${roots}`,
      '/var/lib/rulecast/subscriber/roots': `${roots}${seal}\n`,
    };
    const found = troubles(spoilt({ texts }));
    expect(found.map(({ check, result }) => [check, result])).toEqual(results.map((one) => ['root', one]));
    for (const { remedy } of found) expect(remedy).toContain('rulectl keys renew');
  });

  it('outside of Qubes says nothing of a qube where a unit was never started', () => {
    const never = ACTIVE.replace('=active', '=inactive').replace('yes', 'no');
    const runs = { 'systemctl rulecast-publisher': never };
    const found = troubles(spoilt({ runs, states: { '/usr/share/qubes/marker-vm': undefined } }));
    expect(found).toEqual([
      {
        check: 'unit',
        result: 'fault',
        text: 'rulecast-publisher is inactive (success)',
        remedy: 'journalctl -u rulecast-publisher; systemctl enable --now rulecast-publisher',
      },
    ]);
  });

  it('shows whose a socket is that the subscriber may not open', () => {
    const text = 'no permission to connect to unix:/run/a.sock: it has mode 0660, user root and group x';
    const runs = { 'journalctl 200': `{"code":"disconnected","version":0,"msg":"${text}"}\n` };
    expect(troubles(spoilt({ runs }))[0]?.text).toBe(`the publisher was not reached: ${text}`);
  });

  it.each([
    ['nobody sets anything', ''],
    ['a router is asked', '--names router'],
    ['settings of 0.3 name sockets', '--names /run/rulecast-dns/names.sock --dns-mode own'],
  ])('finds nothing where names are answered and %s', (_, names) => {
    const states = {
      '/run/netns/rulecast-dns': { kind: 'file', mode: 0o444 },
      '/sys/class/net/rulecast-dns': { kind: 'folder', mode: 0o755 },
    } as const;
    expect(troubles(spoilt({ texts: settings(names), runs: DNS_UNITS, states }))).toEqual([]);
  });

  it('asks for no socket where names are off', () => {
    const states = { '/run/rulecast-dns/names.sock': undefined };
    expect(troubles(spoilt({ texts: settings('--names off'), states }))).toEqual([]);
  });

  it('takes a publisher on the same host where no setting names one, and doubts where there is none', () => {
    const texts = { '/etc/rulecast/subscriber.env': undefined };
    const states = { '/usr/share/qubes/marker-vm': undefined };
    const socket = { '/run/rulecast/subscribers.sock': { kind: 'socket', mode: 0o660 } } as const;
    const checks = (more: object): readonly string[] =>
      troubles(spoilt({ texts, states: { ...states, ...more } })).map(({ check }) => check);
    expect([checks({}), checks(socket)]).toEqual([['endpoint'], []]);
  });

  it('asks QubesDB where the settings do, and finds what it does not have', () => {
    const settings =
      'RULECAST_TRUST=qubesdb:/vm-config/trust\nRULECAST_OPTIONS=--name a --connect qubesdb:/vm-config/connect\n';
    const texts = { '/etc/rulecast/subscriber.env': settings };
    const runs = {
      'qubesdb-read /vm-config/trust': TRUST,
      'qubesdb-read /vm-config/connect': 'unix:/run/a.sock',
    };
    expect(troubles(spoilt({ texts, runs }))).toEqual([]);
    expect(troubles(spoilt({ texts })).map(({ check }) => check)).toEqual(['trust', 'endpoint']);
  });

  it('asks QubesDB in a qube without files, as the unit does, and takes its first answers of a boot', () => {
    const none = { '/etc/rulecast/trust': undefined, '/etc/rulecast/subscriber.env': undefined };
    const [trust, connect] = ['/vm-config/rulecast-trust', '/vm-config/rulecast-connect'];
    const runs = { [`qubesdb-read ${trust}`]: 'junk', [`qubesdb-read ${connect}`]: 'unix:/run/a.sock' };
    const first = { [`/run/rulecast-first/${encodeURIComponent(trust)}`]: TRUST };
    expect(troubles(spoilt({ texts: { ...none, ...first }, runs }))).toEqual([]);
    expect(troubles(spoilt({ texts: none, runs })).map(({ text }) => text)).toEqual([
      'junk holds no trust line',
    ]);
    expect(troubles(spoilt({ texts: none })).map(({ text }) => text)).toEqual([
      'qubesdb:/vm-config/rulecast-trust holds no trust line',
      'there is no qubesdb:/vm-config/rulecast-connect',
    ]);
  });

  it('says where there is nothing to look at', async () => {
    const { exit, stdout } = await rulectl(['doctor', '--json']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(0);
    // Packages may be installed where this runs.
    expect(exit === 2 ? stdout : 'installed').toMatch(/"code":"nothing-here"|installed/);
  });
});
