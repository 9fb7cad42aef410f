/** Checks for both sides: Node, the clock, room on the disk, running units, and a qube's service flag. */

import { ProtocolError, parseRoots, type Root, readRoot, renewalOf, renewalText } from '@rulecast/protocol';
import { doubt, type Finding, fault, good, isAtLeast, type Machine } from './finding.ts';

const NODE_LEAST = [20, 19];
/** When this was written: no clock that is right says less. */
const CLOCK_LEAST_MS = Date.UTC(2026, 10, 1);
const FREE_LEAST_BYTES = 268_435_456;
/** A file that exists in every qube, but not in dom0. */
export const QUBE_MARKER = '/usr/share/qubes/marker-vm';

export function nodeOf({ node }: Machine): Finding {
  if (isAtLeast(node, NODE_LEAST)) return good('node', `Node ${node}`);
  return fault(
    'node',
    `Node ${node} is too old`,
    'take a template that has 20.19 or later: Debian 13, Fedora 42',
  );
}

export function clockOf({ nowMs }: Machine): Finding {
  const shown = new Date(nowMs).toISOString();
  if (nowMs >= CLOCK_LEAST_MS) return good('clock', `it is ${shown}`);
  return fault(
    'clock',
    `the clock says ${shown}`,
    'set it: rules that end by time are judged by it (qvm-sync-clock in a qube)',
  );
}

export function diskOf(machine: Machine, folder: string): Finding {
  const free = machine.freeBytes(folder);
  if (free === undefined)
    return fault('disk', `there is no ${folder}`, 'start the service once, or mend the path');
  const shown = `${Math.floor(free / 1_048_576)} MiB free in ${folder}`;
  if (free >= FREE_LEAST_BYTES) return good('disk', shown);
  return fault('disk', shown, 'make room: a release that cannot be kept is not taken');
}

/** Whether the newest root in a file has to be renewed; nothing if it has no date, or no root is in it. */
export function renewalIn({ text, nowMs }: Machine, path: string): readonly Finding[] {
  const root = newestRootIn(text(path) ?? '');
  if (root === undefined) return [];
  const now = Math.floor(nowMs / 1000);
  const renewal = renewalOf(root, { earliest: now, latest: now });
  const said = renewalText(root, renewal);
  if (renewal === 'good') return root.refreshBy === undefined ? [] : [good('root', said)];
  const remedy = 'rulectl keys renew, where its key is, and start the publisher again: docs/how-to/keys.md';
  return [(renewal === 'due' ? doubt : fault)('root', said, remedy)];
}

/**
 * The newest root in an identity, or in a subscriber's state: keys precede the roots, or a digest follows
 * them.
 */
function newestRootIn(text: string): Root | undefined {
  const lines = /^rulecast-roots 1\n(?:[A-Za-z0-9+/=]{65,}\n)+/m.exec(text)?.[0] ?? '';
  try {
    return parseRoots(lines)?.map(readRoot).at(-1)?.root;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined; // the program that needs it reports it
    throw error;
  }
}

/** A unit of systemd. */
export function unitOf(machine: Machine, unit: string): Finding {
  const asked = machine.run('systemctl', 'show', '-p', 'LoadState,ActiveState,Result,ConditionResult', unit);
  if (asked.status !== 0)
    return doubt('unit', `systemd does not say how ${unit} is`, 'look at how it is started here');
  const said = new Map(asked.stdout.split('\n').map((line) => [line.split('=')[0], line.split('=')[1]]));
  if (said.get('LoadState') !== 'loaded')
    return fault('unit', `there is no ${unit}`, 'install the package (of a qube, in its template)');
  const state = said.get('ActiveState');
  if (state === 'active') return good('unit', `${unit} is active`);
  // Outside of Qubes a unit has no condition: systemd says `no` for one that was never started.
  if (said.get('ConditionResult') === 'no' && machine.state(QUBE_MARKER) !== undefined)
    return fault(
      'unit',
      `${unit} is not to run in this qube`,
      `in dom0: qvm-service QUBE ${serviceOf(unit)} on, and start the qube anew`,
    );
  return fault(
    'unit',
    `${unit} is ${state} (${said.get('Result')})`,
    `journalctl -u ${unit}; systemctl enable --now ${unit}`,
  );
}

/** The service that dom0 must enable for a unit to run in a qube. */
function serviceOf(unit: string): string {
  return unit === 'rulecast-publisher' ? unit : 'rulecast';
}

/** The type of this qube; undefined outside of Qubes. */
export function qubeTypeOf(machine: Machine): string | undefined {
  if (machine.state(QUBE_MARKER) === undefined) return undefined;
  return machine.run('qubesdb-read', '/qubes-vm-type').stdout.trim() || 'unknown';
}

export function qubeOf(machine: Machine): Finding {
  const type = qubeTypeOf(machine);
  if (type === undefined) return good('qube', 'this is no qube');
  if (type === 'TemplateVM')
    return doubt('qube', 'this is a template', 'nothing is to run here: look in a qube that is made of it');
  return good('qube', `this is a qube (${type})`);
}
