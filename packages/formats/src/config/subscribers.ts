/**
 * The part of the publisher's configuration about subscribers: who is expected, and what a name is bound to. What is bound to two names, or
 * said twice, would bind neither: it is a fault, at the place of the second.
 */

import { posix } from 'node:path';
import { isPartName } from '@rulecast/rules';
import type { MappingNode } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import { ConfigFault, type ConfigNodeReader, type ConfigText } from './node.ts';
import { fault, type ValueResult } from './value.ts';

/** One subscriber that is expected. */
export interface SubscriberConfig {
  readonly name: string;
}

/** What proves to be a subscriber: each by itself. A name without any is whoever's says it. */
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

export const SUBSCRIBERS_MAX = 256;
/** 40 characters of Z85 (RFC 32). */
const CURVE_KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;
/** As Qubes names qubes. */
const QUBE = /^[A-Za-z][A-Za-z0-9_.-]{0,30}$/;
const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/;
const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

/** An empty mapping says nothing: that nobody is expected is said with each push. */
export function readSubscribers(
  root: MappingNode | undefined,
  reader: ConfigNodeReader,
): ReadonlyMap<string, SubscriberConfig> | undefined {
  const subscribers = new Map<string, SubscriberConfig>();
  for (const [name, { keyOffset }] of reader.entries(reader.mapping(root, 'subscribers'))) {
    if (!isPartName(name)) {
      const reason = `${quote(name)} cannot name a subscriber: write 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`;
      reader.fault(keyOffset, ConfigFault.name, reason);
      continue;
    }
    if (subscribers.size === SUBSCRIBERS_MAX) {
      reader.fault(keyOffset, ConfigFault.limit, `at most ${SUBSCRIBERS_MAX} subscribers are served`);
      break;
    }
    subscribers.set(name, { name });
  }
  return subscribers.size === 0 ? undefined : subscribers;
}

/** What names are bound to; names that are bound to nothing are not there. */
export function readBindings(
  root: MappingNode | undefined,
  reader: ConfigNodeReader,
  directory: string,
): readonly BindingConfig[] {
  const bindings: BindingConfig[] = [];
  /** Whose each key, qube and path is, with the line that says so. */
  const owners = new Map<string, string>();
  for (const [name, { value: node }] of reader.entries(reader.mapping(root, 'subscribers'))) {
    if (node.kind !== 'mapping') continue;
    const own = (key: string, shown: string, text: ConfigText | undefined, offset: number): void => {
      if (text === undefined) return;
      const owner = owners.get(`${key} ${text.value}`);
      if (owner === undefined) owners.set(`${key} ${text.value}`, `${name} (line ${text.line})`);
      else reader.fault(offset, ConfigFault.shared, `${shown}: this is bound to ${owner} already`);
    };
    const told = (key: 'curve-key' | 'qube', check: (text: string) => ValueResult<string>) => {
      const text = reader.text(node, key);
      const value = text === undefined ? undefined : reader.valueOf(text, key, check);
      if (text === undefined || value === undefined) return undefined;
      const found = { ...reader.textOf(text), value };
      own(key, key, found, text.offset);
      return found;
    };
    const curveKey = told('curve-key', checkKey);
    const qube = told('qube', checkQube);
    const socket = readSocket(node, reader, directory);
    own('socket', 'socket', socket?.path, node.entries.get('socket')?.value.offset ?? 0);
    if (curveKey ?? qube ?? socket) bindings.push({ name, curveKey, qube, socket });
  }
  return bindings;
}

function readSocket(
  node: MappingNode,
  reader: ConfigNodeReader,
  directory: string,
): SocketConfig | undefined {
  const absolute = (text: ConfigText): ConfigText => ({
    ...text,
    value: posix.resolve(directory, text.value),
  });
  const alone = reader.text(node, 'socket');
  if (alone !== undefined) {
    return { path: absolute(reader.textOf(alone)), mode: OWNER_ONLY, group: undefined };
  }
  const socket = reader.mapping(node, 'socket');
  const path = reader.text(socket, 'path');
  if (socket === undefined || path === undefined) return undefined;
  const groupNode = reader.text(socket, 'group');
  const group =
    groupNode === undefined || reader.valueOf(groupNode, 'group', checkGroup) === undefined
      ? undefined
      : reader.textOf(groupNode);
  const said = reader.value(socket, 'mode', checkMode);
  const modeNode = reader.text(socket, 'mode');
  if (said === OWNER_ONLY && groupNode !== undefined && modeNode !== undefined) {
    reader.fault(modeNode.offset, ConfigFault.value, 'mode: 0600 lets no group in: leave out mode or group');
  }
  const mode = said ?? (groupNode === undefined ? OWNER_ONLY : OWNER_AND_GROUP);
  return { path: absolute(reader.textOf(path)), mode, group };
}

function checkKey(text: string): ValueResult<string> {
  if (CURVE_KEY.test(text)) return { kind: 'value', value: text };
  return fault('write the 40 characters that rulectl keygen FILE prints, in quotes');
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
