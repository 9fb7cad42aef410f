/** Checks of the subscriber's side: its trust line, its publisher, and whether the kernel enforces. */

import { parseTrust, trustFault } from '@rulecast/protocol';
import { EndpointError, parseEndpoint } from '@rulecast/vchan';
import { clockOf, diskOf, nodeOf, QUBE_MARKER, qubeOf, qubeTypeOf, renewalIn, unitOf } from './common.ts';
import { doubt, type Finding, fault, good, isAtLeast, type Machine } from './finding.ts';

const UNIT = '/usr/lib/systemd/system/rulecast-subscriber.service';
const TRUST = '/etc/rulecast/trust';
const SETTINGS = '/etc/rulecast/subscriber.env';
const STATE = '/var/lib/rulecast/subscriber';
const NAMES_SOCKET = '/run/rulecast-dns/names.sock';
const DNS_NAMESPACE = '/run/netns/rulecast-dns';
const DNS_LINK = '/sys/class/net/rulecast-dns';
const QUBESDB = 'qubesdb:';
/** QubesDB's first answers since boot, which stay valid; readable by root only. */
const FIRST_ANSWERS = '/run/rulecast-first';
const XEN = ['evtchn', 'gntalloc', 'gntdev', 'xenbus'].map((name) => `/dev/xen/${name}`);
/** The first that has tables which are owned for good. */
/** The unit's default endpoint outside of Qubes: 40_qubesdb.conf. */
const PUBLISHER_HERE = '/run/rulecast/subscribers.sock';
const KERNEL_LEAST = [6, 9];
const LOG_LINES = '200';

export function isFirewall(machine: Machine): boolean {
  return machine.state(UNIT) !== undefined;
}

export function lookAtFirewall(machine: Machine): readonly Finding[] {
  const log = machine.run('journalctl', '-u', 'rulecast-subscriber', '-o', 'cat', '-n', LOG_LINES).stdout;
  return [
    trustOf(machine),
    endpointOf(machine),
    unitOf(machine, 'rulecast-boot'),
    unitOf(machine, 'rulecast-subscriber'),
    connectionOf(log),
    lineageOf(log),
    freshnessOf(log),
    ...renewalIn(machine, `${STATE}/roots`),
    ...namesOf(machine),
    ...(qubeTypeOf(machine) === undefined ? [] : [xenOf(machine), antispoofOf(machine)]),
    tablesOf(machine),
    kernelOf(machine),
    diskOf(machine, STATE),
    clockOf(machine),
    nodeOf(machine),
    qubeOf(machine),
  ];
}

function trustOf(machine: Machine): Finding {
  const said = settingOf(machine, 'trust') ?? TRUST;
  const text = said.startsWith('/') ? machine.text(said) : said;
  const remedy = `put into ${TRUST} what rulecast-publisher --print-trust prints; of a qube, in dom0: rulecast-dom0 MGMT QUBE`;
  if (text === undefined) return fault('trust', `there is no ${said}`, remedy);
  if (parseTrust(text) !== undefined) return good('trust', 'there is a trust line');
  return fault('trust', `${said.slice(0, 80)} holds ${trustFault(text)}`, remedy);
}

/** The value of an option in the settings; from QubesDB if they refer to it and it has a value. */
function settingOf(
  machine: Machine,
  option: 'trust' | 'connect' | 'report-token' | 'names' | 'dns-mode',
): string | undefined {
  const variable = `RULECAST_${option.toUpperCase().replace('-', '_')}`;
  const written = new RegExp(`^(?:${variable}=|RULECAST_OPTIONS=.*--${option}[ =])(\\S+)`, 'm');
  const said = written.exec(machine.text(SETTINGS) ?? '')?.[1] ?? packagedOf(machine, option);
  if (said?.startsWith(QUBESDB) !== true) return said;
  const key = said.slice(QUBESDB.length);
  const first = machine.text(`${FIRST_ANSWERS}/${encodeURIComponent(key)}`);
  return first ?? (machine.run('qubesdb-read', key).stdout.trim() || said);
}

/** The unit's default in a qube for an option that no file sets: 40_qubesdb.conf. */
function packagedOf(machine: Machine, option: string): string | undefined {
  const isInQubesDb = option === 'connect' || (option === 'trust' && machine.text(TRUST) === undefined);
  if (!isInQubesDb || machine.state(QUBE_MARKER) === undefined) return undefined;
  return `${QUBESDB}/vm-config/rulecast-${option}`;
}

function endpointOf(machine: Machine): Finding {
  const here = machine.state(PUBLISHER_HERE) === undefined ? undefined : `unix:${PUBLISHER_HERE}`;
  const said = settingOf(machine, 'connect') ?? here;
  if (said === undefined)
    return doubt(
      'endpoint',
      `${SETTINGS} does not say where the publisher is`,
      'in Qubes, in dom0: rulecast-dom0 MGMT QUBE; elsewhere RULECAST_CONNECT=unix:PATH or zmq+tcp:ADDRESS:PORT',
    );
  if (said.startsWith(QUBESDB))
    return fault('endpoint', `there is no ${said}`, 'in dom0: rulecast-dom0 MGMT QUBE');
  if (/^https?:/i.test(said)) return mirrorOf(machine, said.replace(/\/\/[^/]*@/, '//'));
  try {
    const endpoint = parseEndpoint(said);
    const soname = endpoint.kind === 'vchan' ? endpoint.soname : undefined;
    if (soname !== undefined && !machine.run('/sbin/ldconfig', '-p').stdout.includes(`\t${soname} `))
      return fault(
        'endpoint',
        `${soname} is not installed, by which it connects`,
        'install it, of Qubes: qubes-libvchan-xen; or use exec:qrexec-client-vm',
      );
    return good('endpoint', `it connects to ${said}`);
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    return fault('endpoint', error.message, `mend it in ${SETTINGS}`);
  }
}

/** By its address without credentials. */
function mirrorOf(machine: Machine, url: string): Finding {
  if (settingOf(machine, 'report-token') !== undefined)
    return good('endpoint', `it takes releases from ${url}, and reports by it`);
  return doubt(
    'endpoint',
    `it takes releases from ${url}, and nobody says which is the newest`,
    `rulectl keys token NAME, and RULECAST_REPORT_TOKEN=FILE in ${SETTINGS}`,
  );
}

/** The last state of the connection in the log. */
function connectionOf(log: string): Finding {
  const lines = log
    .split('\n')
    .filter((line) =>
      /"code":"(refused-by-policy|disconnected|name-bound)"|"msg":"(connected|applied)"/.test(line),
    );
  const last = lines.at(-1) ?? '';
  if (last.includes('refused-by-policy'))
    return fault('policy', 'dom0 refuses the call', 'in dom0: rulecast-dom0 MGMT QUBE');
  if (last.includes('name-bound'))
    return fault(
      'policy',
      'the publisher has bound this name to something else',
      'mend subscribers: in its configuration',
    );
  const [forbidden] = /no permission to connect to [^"]*/.exec(last) ?? [];
  if (forbidden !== undefined)
    return fault(
      'policy',
      `the publisher was not reached: ${forbidden}`,
      `who may open it stands in the configuration of the publisher; rulecast-subscriber runs as the user rulecast (usermod -a -G GROUP rulecast, and start it anew)`,
    );
  if (last.includes('disconnected'))
    return fault(
      'policy',
      'the publisher was not reached',
      'start it, or its qube; journalctl -u rulecast-subscriber',
    );
  return lines.length === 0
    ? doubt('policy', 'the log says nothing of a connection', 'journalctl -u rulecast-subscriber, as root')
    : good('policy', 'it reached the publisher');
}

function lineageOf(log: string): Finding {
  const last =
    log.split('\n').findLast((line) => /wrong-lineage|bad-signature|"msg":"applied"/.test(line)) ?? '';
  if (!/wrong-lineage|bad-signature/.test(last))
    return good('lineage', 'the publisher is the one that is trusted');
  return fault(
    'lineage',
    'the publisher is another one than is trusted',
    `the trust line of this one into ${TRUST}, and an empty ${STATE}: docs/how-to/recover.md`,
  );
}

/** The last freshness in the log. */
function freshnessOf(log: string): Finding {
  const said = [...log.matchAll(/"freshness":"(fresh|stale)"/g)].at(-1)?.[1];
  if (said !== 'stale') return good('freshness', 'nothing says that a newer release is kept back');
  return doubt(
    'freshness',
    'nobody has said for a while that its release is the newest: it is stale',
    'is the publisher there, and has it its keys? rulectl status --counters, docs/explain/threat-model.md "The wire"',
  );
}

/** Whether names are answered, or would be once a release has some. */
function namesOf(machine: Machine): readonly Finding[] {
  const said = settingOf(machine, 'names') ?? 'auto';
  if (said === 'off') return [];
  const socket = said.startsWith('/') ? said : NAMES_SOCKET;
  if (machine.state(socket)?.kind !== 'socket') {
    const remedy = 'systemctl start rulecast-dns-names.socket, which makes it';
    return [fault('names', `there is no socket ${socket}: a release with names is refused`, remedy)];
  }
  const shown = machine.run('systemctl', 'show', '-p', 'ActiveState', 'rulecast-dns').stdout;
  if (/^ActiveState=inactive$/m.test(shown))
    return [good('names', 'rulecast-dns starts once a release has names')];
  const unit = unitOf(machine, 'rulecast-dns');
  if (unit.result !== 'good' && socket === NAMES_SOCKET) return [unit];
  const isCaptured = said === 'auto' || settingOf(machine, 'dns-mode') === 'own';
  return [good('names', `rulecast-dns is told at ${socket}`), ...(isCaptured ? [capturedOf(machine)] : [])];
}

/** Whether qubes that ask their resolvers are answered. */
function capturedOf(machine: Machine): Finding {
  const unit = unitOf(machine, 'rulecast-dns.socket');
  if (unit.result !== 'good') return unit;
  if (machine.state(DNS_NAMESPACE) !== undefined && machine.state(DNS_LINK) !== undefined)
    return good('capture', 'what qubes ask of their resolvers is taken to rulecast-dns');
  const remedy = 'systemctl restart rulecast-dns-net';
  return fault(
    'capture',
    `there is no ${DNS_NAMESPACE} or no ${DNS_LINK}: no DNS of qubes is answered`,
    remedy,
  );
}

function xenOf(machine: Machine): Finding {
  const missing = XEN.filter((path) => machine.state(path) === undefined);
  if (missing.length > 0)
    return fault(
      'xen',
      `there is no ${missing.join(', ')}`,
      'without these qrexec-client-vm cannot call: is this a qube?',
    );
  const groups = machine.run('id', '-nG', 'rulecast').stdout.trim().split(' ');
  if (groups.includes('qubes')) return good('xen', 'the user rulecast may use Xen');
  return fault(
    'xen',
    'the user rulecast is not in the group qubes',
    'usermod -a -G qubes rulecast, in the template',
  );
}

function antispoofOf(machine: Machine): Finding {
  const said = machine.run('nft', 'list', 'table', 'ip', 'qubes');
  if (said.status === 0 && said.stdout.includes('antispoof'))
    return good('anti-spoofing', 'Qubes checks who sends');
  return fault(
    'anti-spoofing',
    'the table qubes has no antispoof',
    'as root; then systemctl restart qubes-network: rules judge by the address that a qube sends from',
  );
}

function tablesOf(machine: Machine): Finding {
  const said = machine.run('nft', 'list', 'tables');
  if (said.status !== 0) return fault('nft', 'nft does not list the tables', 'as root; install nftables');
  if (/rulecast_[ab]\b/.test(said.stdout)) return good('nft', 'a release is in force');
  if (/rulecast_closed\b/.test(said.stdout))
    return doubt('nft', 'closed: no release is in force yet', 'rulectl push, in the management qube');
  return fault(
    'nft',
    'nothing of ours is in the kernel',
    'systemctl enable --now rulecast-boot rulecast-subscriber',
  );
}

function kernelOf(machine: Machine): Finding {
  const { kernel } = machine;
  if (isAtLeast(kernel, KERNEL_LEAST)) return good('kernel', `Linux ${kernel}`);
  return doubt(
    'kernel',
    `Linux ${kernel} has no tables that are owned for good`,
    'Linux 6.9 or later; until then others can change ours, which is noticed and repaired',
  );
}
