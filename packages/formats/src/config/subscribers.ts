/**
 * The part of the publisher's configuration about subscribers: the expected ones, and the identity bound to
 * each name. An identity bound to two names, or given twice, is a fault at the second place, as it would bind
 * neither.
 */

import { isPartName } from '@rulecast/rules';
import type { MappingEntry, MappingNode } from '../document/node.ts';
import { partNameReason } from '../text/entry.ts';
import { atStart, type Key, type Keys, place, readKeys, scalar, schemaOf } from './key.ts';
import { ConfigFault, type ConfigReader, type ConfigText } from './reader.ts';
import { fault, type ValueResult } from './value.ts';

/** Identities of a subscriber; each of them suffices. A name without any may be claimed by every client. */
export interface BindingConfig {
  readonly name: string;
  /** A public key of CURVE, Z85. */
  readonly curveKey: ConfigText | undefined;
  /** The qube that qrexec says a call is from. */
  readonly qube: ConfigText | undefined;
  readonly socket: SocketConfig | undefined;
}

/** A Unix socket for one subscriber alone. */
export interface SocketConfig {
  /** Absolute. */
  readonly path: ConfigText;
  /** Permission bits: 0600, or 0660 with a group. */
  readonly mode: number;
  /** By name or number. */
  readonly group: ConfigText | undefined;
}

export const SUBSCRIBERS_MAX = 1000;
/** 40 characters of Z85 (RFC 32). */
const CURVE_KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;
/** As Qubes names qubes. */
const QUBE = /^[A-Za-z][A-Za-z0-9_.-]{0,30}$/;
const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/;
const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

const SOCKET_KEYS = {
  path: place('where it is', checkPath),
  mode: scalar(checkMode, '0600 or 0660; without it, 0660 if there is a group'),
  group: place('the group that may connect, by name or number', checkGroup),
} as const satisfies Keys;

const SOCKET: Key<SocketConfig> = {
  schema: {
    ...schemaOf(SOCKET_KEYS),
    type: ['string', 'object'],
    required: ['path'],
    description: 'write socket: PATH, or { path: PATH, mode: 0660, group: NAME }',
  },
  sentence: 'a Unix socket for it alone: its path, or a mapping',
  absent: undefined,
  keys: SOCKET_KEYS,
  read: readSocket,
};

export const SUBSCRIBER_KEYS = atStart({
  curveKey: place('its public key for zmq endpoints, in quotes; `clients` need not name it', checkKey),
  qube: place('the qube that it is in, as qrexec says', checkQube),
  socket: SOCKET,
});

/** An empty mapping means nothing: a push itself can say that no subscriber is expected. */
export function readSubscribers(node: MappingNode, reader: ConfigReader): ReadonlySet<string> | undefined {
  const subscribers = new Set<string>();
  for (const [name, { keyOffset }] of node.entries) {
    if (!isPartName(name)) {
      reader.fault(keyOffset, ConfigFault.name, partNameReason(name, 'subscriber'));
      continue;
    }
    if (subscribers.size === SUBSCRIBERS_MAX) {
      reader.fault(keyOffset, ConfigFault.limit, `at most ${SUBSCRIBERS_MAX} subscribers are served`);
      break;
    }
    subscribers.add(name);
  }
  return subscribers.size === 0 ? undefined : subscribers;
}

/** The bindings of names; names without one are left out. */
export function readBindings(node: MappingNode, reader: ConfigReader): readonly BindingConfig[] {
  const bindings: BindingConfig[] = [];
  /** The owner of each key, qube and path, with its line. */
  const owners = new Map<string, string>();
  for (const [name, { value }] of node.entries) {
    if (value.kind !== 'mapping') continue;
    const own = (key: string, text: ConfigText | undefined): void => {
      if (text === undefined) return;
      const owner = owners.get(`${key} ${text.value}`);
      if (owner === undefined) owners.set(`${key} ${text.value}`, `${name} (line ${text.line})`);
      else {
        const offset = value.entries.get(key)?.value.offset ?? value.offset;
        reader.fault(offset, ConfigFault.shared, `${key}: this is bound to ${owner} already`);
      }
    };
    const { curveKey, qube, socket } = readKeys(SUBSCRIBER_KEYS, value, reader);
    own('curve-key', curveKey);
    own('qube', qube);
    own('socket', socket?.path);
    if (curveKey ?? qube ?? socket) bindings.push({ name, curveKey, qube, socket });
  }
  return bindings;
}

function readSocket(entry: MappingEntry, key: string, reader: ConfigReader): SocketConfig | undefined {
  const absolute = (text: ConfigText): ConfigText => ({ ...text, value: reader.pathOf(text.value) });
  const { value: node } = entry;
  if (node.kind !== 'mapping') {
    const alone = SOCKET_KEYS.path.read(entry, key, reader);
    return alone === undefined ? undefined : { path: absolute(alone), mode: OWNER_ONLY, group: undefined };
  }
  const { path, mode, group } = readKeys(SOCKET_KEYS, node, reader);
  if (path === undefined) return undefined;
  const saysGroup = node.entries.has('group');
  if (mode === OWNER_ONLY && saysGroup) {
    const offset = node.entries.get('mode')?.value.offset ?? node.offset;
    reader.fault(offset, ConfigFault.value, 'mode: 0600 lets no group in: leave out mode or group');
  }
  return { path: absolute(path), mode: mode ?? (saysGroup ? OWNER_AND_GROUP : OWNER_ONLY), group };
}

/** An endpoint would be taken for a path below the directory of the configuration. */
function checkPath(text: string): ValueResult<string> {
  const [scheme = ''] = /^[a-z+]+:(?=.*\/)/.exec(text) ?? [];
  if (scheme === '') return { kind: 'value', value: text };
  return fault(`write a path alone: ${text.slice(scheme.length)}`);
}

function checkKey(text: string): ValueResult<string> {
  if (CURVE_KEY.test(text)) return { kind: 'value', value: text };
  return fault('write the 40 characters that rulectl keys new FILE prints, in quotes');
}

function checkQube(text: string): ValueResult<string> {
  return QUBE.test(text)
    ? { kind: 'value', value: text }
    : fault('write the name of a qube, such as sys-firewall');
}

function checkGroup(text: string): ValueResult<string> {
  return GROUP.test(text) ? { kind: 'value', value: text } : fault('write the name or number of a group');
}

/** Only these two: any other opens it to everybody, or is of no use. */
function checkMode(text: string): ValueResult<number> {
  if (/^0?600$/.test(text)) return { kind: 'value', value: OWNER_ONLY };
  if (/^0?660$/.test(text)) return { kind: 'value', value: OWNER_AND_GROUP };
  return fault('write 0600, for its owner alone, or 0660, for its group as well');
}
