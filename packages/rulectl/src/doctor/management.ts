/** Checks of the publisher's side: its configuration, key, sockets, and whether a qube persists them. */

import { type PublisherConfig, parseConfig } from '@rulecast/formats';
import { clockOf, diskOf, nodeOf, qubeOf, qubeTypeOf, renewalIn, unitOf } from './common.ts';
import { doubt, type Finding, fault, good, type Machine } from './finding.ts';

const CONFIG = '/etc/rulecast/publisher.yaml';
const STATE = '/var/lib/rulecast/publisher';
const CONTROL = '/run/rulecast/control.sock';
const QREXEC = '/run/rulecast/qrexec.sock';
const SERVICE = '/etc/qubes-rpc/rulecast.Subscribe';
const OTHERS = 0o077;
const WRITABLE = 0o022;

export function isManagement(machine: Machine): boolean {
  return machine.state(CONFIG) !== undefined;
}

export function lookAtManagement(machine: Machine): readonly Finding[] {
  const { config } = parseConfig(CONFIG, Buffer.from(machine.text(CONFIG) ?? ''));
  return [
    configOf(machine),
    ...(config?.rules === undefined ? [] : [rulesOf(machine, config.rules)]),
    identityOf(machine, config?.identity ?? `${STATE}/identity`),
    ...(config?.signer === undefined ? [] : [signerOf(machine, config.signer.value)]),
    rootKeyOf(machine),
    ...renewalIn(machine, config?.identity ?? `${STATE}/identity`),
    unitOf(machine, 'rulecast-publisher'),
    controlOf(machine),
    ...operatorSocketsOf(machine, config?.operators ?? []),
    ...(qubeTypeOf(machine) === undefined ? [] : [serviceOf(machine), keptOf(machine)]),
    diskOf(machine, STATE),
    clockOf(machine),
    nodeOf(machine),
    qubeOf(machine),
  ];
}

function configOf(machine: Machine): Finding {
  const { rejects } = parseConfig(CONFIG, Buffer.from(machine.text(CONFIG) ?? ''));
  const [first] = rejects;
  if (first === undefined) return good('configuration', `${CONFIG} is sound`);
  const text = `${CONFIG}:${first.line}:${first.column}: ${first.reason}`;
  return fault('configuration', text, `mend it; rulectl check ${CONFIG} has all faults`);
}

/** Any user who may write the rules file may release, without a role. */
function rulesOf(machine: Machine, path: string): Finding {
  const found = machine.state(path);
  if (found === undefined)
    return fault('rules', `there is no ${path}, which the configuration names`, 'rulectl init, or write it');
  if ((found.mode & WRITABLE) === 0) return good('rules', `${path} is written by its owner alone`);
  const text = `others than its owner may write ${path}, and so release`;
  return doubt('rules', text, `chmod go-w ${path}, unless its group may push: docs/explain/threat-model.md`);
}

function identityOf(machine: Machine, path: string): Finding {
  const found = machine.state(path);
  if (found === undefined)
    return fault(
      'key',
      `there is no ${path}`,
      'start the publisher, which makes one, or restore a backup (as root, to see it)',
    );
  if ((found.mode & OTHERS) === 0) return good('key', `${path} is its owner's alone`);
  return fault(
    'key',
    `others than its owner may use ${path}`,
    `chmod 600 ${path}; who read it can sign: docs/how-to/recover.md`,
  );
}

function rootKeyOf(machine: Machine): Finding {
  const found = machine.run('find', STATE, '-maxdepth', '1', '-name', 'root-*.key').stdout.trim();
  if (found === '') return good('root key', `the key that signs roots does not lie in ${STATE}`);
  return doubt(
    'root key',
    `${found} lies with the publisher: who steals both can say who may sign`,
    'move it to a vault qube or a stick, and keep a copy: docs/how-to/keys.md',
  );
}

function controlOf(machine: Machine): Finding {
  if (machine.state(CONTROL)?.kind !== 'socket')
    return fault('socket', `there is no ${CONTROL}`, 'start rulecast-publisher');
  return good('socket', `${CONTROL} is there`);
}

/** The socket of the signing process; any user who can open it may have anything signed. */
function signerOf(machine: Machine, endpoint: string): Finding {
  const path = endpoint.replace(/^unix:/, '').replace(/\?.*$/, '');
  const found = machine.state(path);
  if (found?.kind !== 'socket')
    return fault('signer', `there is no ${path}`, 'systemctl enable --now rulecast-signer.socket');
  if ((found.mode & OTHERS) === 0) return good('signer', `${path} is its owner's alone`);
  return fault(
    'signer',
    `others than the publisher may open ${path}: they could have anything signed`,
    'SocketMode=0600 and SocketUser= of the publisher, in rulecast-signer.socket',
  );
}

/** Any user who can open an operator's socket is that operator, so it must not be wider than configured. */
function operatorSocketsOf(machine: Machine, operators: PublisherConfig['operators']): readonly Finding[] {
  return operators.flatMap(({ name, role, socket }) => {
    if (socket === undefined) return [];
    const found = machine.state(socket.path.value);
    if (found?.kind !== 'socket')
      return [
        fault(
          'operators',
          `there is no ${socket.path.value} of ${name}`,
          'systemctl restart rulecast-publisher',
        ),
      ];
    const wider = found.mode & OTHERS & ~socket.mode;
    if (wider === 0) return [good('operators', `${socket.path.value} is for ${name}, who may ${role}`)];
    const text = `more than ${name} may open ${socket.path.value}, and ${role}`;
    return [fault('operators', text, `systemctl restart rulecast-publisher; ${CONFIG} says who may`)];
  });
}

function serviceOf(machine: Machine): Finding {
  const target = machine.target(SERVICE);
  if (target === undefined)
    return fault(
      'qrexec',
      `${SERVICE} leads nowhere`,
      `listen: qrexec:${QREXEC} in ${CONFIG}, and a link from ${SERVICE} to it`,
    );
  const found = machine.state(target);
  if (found?.kind !== 'socket')
    return fault('qrexec', `${target} is no socket`, `make ${SERVICE} a link to ${QREXEC}`);
  if ((found.mode & OTHERS) === 0) return good('qrexec', `${SERVICE} leads to the publisher`);
  return fault(
    'qrexec',
    `others than qrexec may open ${target}`,
    'chmod 600: whoever opens it can say that they are any qube',
  );
}

function keptOf(machine: Machine): Finding {
  const type = qubeTypeOf(machine);
  if (type !== 'AppVM') return good('kept', `a ${type} keeps what is in ${STATE}`);
  const binds = machine.run(
    'sh',
    '-c',
    'cat /usr/lib/qubes-bind-dirs.d/*.conf /etc/qubes-bind-dirs.d/*.conf /rw/config/qubes-bind-dirs.d/*.conf 2>/dev/null; true',
  ).stdout;
  if (/['" (]\/var\/lib\/rulecast/.test(binds)) return good('kept', `${STATE} is kept by bind-dirs`);
  return doubt(
    'kept',
    `an app qube forgets ${STATE} with its next start, and the key with it`,
    'take the package rulecast in the template, which has bind-dirs, and start this qube anew: docs/tutorial/qubes.md "In the templates"',
  );
}
